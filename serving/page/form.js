/* The patient as a form, made from the model's JSON Schema and card. */

import { element } from "./dom.js";
import { numberOrText } from "./records.js";
import { plainNumber, title, unitText } from "./words.js";

/** @param onAsked called when the form is sent
 *  @param onChanged called when something in it was changed by hand
 *  @returns {{node, fill, record, refuse, clear}} */
export function patientForm(card, schema, onAsked, onChanged) {
  const patient = schema.$defs.PatientRecord.properties;
  const state = { own: {}, units: {} };
  const day = field("landmark_day", "Seen from day", landmarkHint(card), text("landmark_day"), "since infusion");
  const baseline = Object.entries(patient.baseline.properties).map(([name, rule]) => baselineField(name, rule, card));
  const measured = rows("measurements", "Measurements over time", schema.$defs.MeasurementRecord, card, onChanged);
  const happened = rows("events", "Events so far", schema.$defs.EventRecord, card, onChanged);
  const kept = element("p", { class: "note", hidden: true });
  const faults = element("div", { class: "faults", role: "alert" });
  const button = element("button", { type: "submit", class: "primary" }, "Predict");
  const node = element(
    "form",
    { novalidate: true, autocomplete: "off", input: onChanged, focusin: clearOfButton, submit: (event) => (event.preventDefault(), onAsked()) },
    faults,
    day,
    element("fieldset", {}, element("legend", {}, "Baseline"), element("div", { class: "fields" }, baseline)),
    measured?.node,
    happened?.node,
    kept,
    element("div", { class: "send" }, button),
  );

  function fill(record) {
    clear();
    state.own = record;
    node.elements.landmark_day.value = plain(record.landmark_day ?? (patient.landmark_day.default ?? card.landmark_days[0]));
    for (const name of Object.keys(patient.baseline.properties)) {
      const value = record.baseline?.[name];
      const quantity = typeof value === "object" && value !== null;
      state.units[name] = quantity ? value.unit : null;
      setValue(node.elements[`baseline.${name}`], quantity ? value.value : value);
      const shown = node.querySelector(`[data-unit="${CSS.escape(name)}"]`);
      if (shown) shown.textContent = unitText(state.units[name] ?? shown.dataset.own);
    }
    measured?.fill(record.measurements ?? []);
    happened?.fill(record.events ?? []);
    kept.hidden = !record.samples?.length;
    const many = record.samples?.length ?? 0;
    kept.textContent = many === 1 ? "One sample with cells or clones is sent as it is." : `${many} samples with cells or clones are sent as they are.`;
  }

  /** The record as the form has it now; what the form does not know of stays as it came. */
  function record() {
    const baselineNow = { ...state.own.baseline };
    for (const name of Object.keys(patient.baseline.properties)) {
      const input = node.elements[`baseline.${name}`];
      if (input.value.trim() === "") delete baselineNow[name];
      else baselineNow[name] = valueOf(input, state.units[name]);
    }
    const made = { ...state.own, landmark_day: numberOrText(node.elements.landmark_day.value), baseline: baselineNow };
    if (measured) made.measurements = measured.records();
    if (happened) made.events = happened.records();
    return made;
  }

  function clear() {
    faults.replaceChildren();
    for (const wrong of node.querySelectorAll("[aria-invalid]")) wrong.removeAttribute("aria-invalid");
    for (const message of node.querySelectorAll(".fault")) message.textContent = "";
  }

  /** Say what the service refused, at its field where there is one in the form. */
  function refuse(problem) {
    clear();
    const place = (problem.field ?? "").replace(/^patients\[\d+\]\.?/, "");
    const input = fieldAt(node, place);
    const name = input ? labelOf(input) : (problem.field ?? "");
    faults.replaceChildren(element("p", {}, element("strong", {}, "Not predicted. "), name ? `${name}: ${problem.rule}` : problem.rule));
    if (!input) return;
    input.setAttribute("aria-invalid", "true");
    const message = node.ownerDocument.getElementById(input.getAttribute("aria-describedby")?.split(" ").at(-1));
    if (message) message.textContent = problem.rule;
    input.focus();
  }
  return { node, fill, record, refuse, clear };
}

/** Browsers take what is under a sticky button for seen. */
function clearOfButton({ target }) {
  if (target.type !== "submit") target.scrollIntoView({ block: "nearest" });
}

function fieldAt(form, place) {
  for (let path = place; path; path = path.replace(/(\.[^.[]*|\[\d+\])$|^[^.[]*$/, "")) {
    const found = form.querySelector(`[data-place="${CSS.escape(path)}"]`);
    if (found) return found;
  }
  return null;
}

function labelOf(input) {
  return input.getAttribute("aria-label") ?? input.labels[0]?.firstChild.textContent ?? input.name;
}

/** A name over an input, its unit after it, its range and what is wrong below. */
function field(name, label, hint, input, unit, own) {
  const id = input.id;
  input.setAttribute("aria-describedby", `${id}-hint ${id}-fault`);
  const shown = element("span", { class: "unit", "data-unit": own === undefined ? null : name, "data-own": own }, unit);
  return element(
    "div",
    { class: "field" },
    element("label", { for: id }, label),
    element("div", { class: "with-unit" }, input, unit || own ? shown : null),
    element("p", { class: "hint", id: `${id}-hint` }, hint),
    element("p", { class: "fault", id: `${id}-fault` }),
  );
}

function text(place, more = {}) {
  return element("input", { type: "text", inputmode: "decimal", spellcheck: "false", id: `f-${place}`, name: place, "data-place": place, ...more });
}

function landmarkHint(card) {
  const [first, last] = [card.landmark_days[0], card.landmark_days.at(-1)].map(plainNumber);
  const range = first === last ? `Day ${first}: the one the model predicts from` : `Any day from ${first} to ${last}`;
  return `${range}. What is dated later is not used.`;
}

function baselineField(name, rule, card) {
  const variable = card.variables.find((one) => one.name === name);
  const place = `baseline.${name}`;
  const about = variable.description && variable.description !== name ? title(variable.description) : "";
  if (variable.kind === "numeric") {
    const range = variable.range ? `${plainNumber(variable.range[0])} to ${plainNumber(variable.range[1])}` : "";
    return field(name, title(name), [range, about].filter(Boolean).join(". "), text(place, { "data-kind": "numeric" }), unitText(variable.unit), variable.unit);
  }
  const levels = rule.anyOf.find((one) => one.enum)?.enum;
  if (levels) {
    const input = element("select", { id: `f-${place}`, name: place, "data-place": place }, option("", "not known"), levels.map((one) => option(one, one)));
    return field(name, title(name), about, input, "");
  }
  const list = element("datalist", { id: `l-${place}` }, (rule.examples ?? []).map((one) => option(one, one)));
  const node = field(name, title(name), about || (rule.examples ?? []).join(", "), text(place, { list: `l-${place}`, inputmode: "text" }), "");
  node.append(list);
  return node;
}

function option(value, label) {
  return element("option", { value }, label);
}

/** A level that the select does not have is added to it, for the service to refuse. */
function setValue(input, value) {
  const shown = typeof value === "number" ? plain(value) : (value ?? "");
  if (input.tagName === "SELECT" && ![...input.options].some((one) => one.value === shown)) input.append(option(shown, shown));
  input.value = shown;
}

function plain(value) {
  return String(value).replace(/^-(?=\d)/, "−"); // all digits: what is shown is what is sent
}

function valueOf(input, unit) {
  if (input.dataset.kind !== "numeric") return input.value;
  const value = numberOrText(input.value);
  return unit && typeof value === "number" ? { value, unit } : value;
}

/** Records of one kind as rows that are added and removed; null where the model takes none. */
function rows(place, legend, rule, card, onChanged) {
  const [first, ...others] = Object.keys(rule.properties).filter((name) => name !== "unit");
  const names = rule.properties[first].enum;
  if (!names) return null;
  let own = [];
  const list = element("div", { class: "rows" });
  const add = element("button", { type: "button", class: "plain", click: () => (fill([...records(), {}]), list.lastChild.querySelector("select").focus()) }, "Add");
  const node = element("fieldset", {}, element("legend", {}, legend), list, add);

  function fill(found) {
    own = found;
    list.replaceChildren(...found.map((one, i) => row(one, i)));
  }

  function row(one, i) {
    const at = `${place}[${i}]`;
    const unit = element("span", { class: "unit" });
    const told = element("p", { class: "fault", id: `f-${at}-fault` });
    const described = { "aria-describedby": `f-${at}-fault` };
    const choice = element("select", { id: `f-${at}`, "data-place": `${at}.${first}`, "aria-label": `${title(first)}, ${legend.toLowerCase()}, row ${i + 1}`, ...described, change: () => (unit.textContent = unitOf(choice.value, {})) }, option("", "choose"), names.map((name) => option(name, title(name))));
    setValue(choice, one[first]);
    const inputs = others.map((name) => {
      const label = name === "day" ? "Day since infusion" : title(name);
      const input = text(`${at}.${name}`, { "data-part": name, placeholder: name, "aria-label": `${label}, row ${i + 1}`, ...described });
      setValue(input, one[name]);
      return input;
    });
    unit.textContent = unitOf(one[first], one);
    const remove = element("button", { type: "button", class: "plain remove", "aria-label": `Remove row ${i + 1} of ${legend.toLowerCase()}`, click: () => (fill(records().filter((_, j) => j !== i)), onChanged(), add.focus()) }, "×");
    return element("div", { class: `row ${place}` }, choice, inputs, place === "measurements" ? unit : null, remove, told);
  }

  function unitOf(name, one) {
    return unitText(one.unit ?? card.variables.find((variable) => variable.name === name)?.unit ?? "1");
  }

  function records() {
    return [...list.children].map((node, i) => {
      const choice = node.querySelector("select");
      const kept = own[i]?.[first] === choice.value ? own[i] : {};
      const made = { ...kept, [first]: choice.value };
      for (const input of node.querySelectorAll("[data-part]")) {
        const { part } = input.dataset;
        const optional = !rule.required.includes(part);
        if (optional && input.value.trim() === "") delete made[part];
        else made[part] = input.value.trim() === "" ? null : numberOrText(input.value);
      }
      return made;
    });
  }
  return { node, fill, records };
}
