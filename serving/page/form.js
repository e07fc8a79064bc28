/* The patient as a form, made from the model's JSON Schema and card. */

import { element } from "./dom.js";
import { baselineField, field, setValue, text, untouched } from "./fields.js";
import { ambiguity, numberOrText } from "./numbers.js";
import { rows } from "./rows.js";
import { plainNumber, unitText } from "./words.js";

/** @param onAsked called when the form is sent
 *  @param onChanged called when something in it was changed by hand
 *  @returns {{node, fill, record, refuse, clear}} */
export function patientForm(card, schema, onAsked, onChanged) {
  const patient = schema.$defs.PatientRecord.properties;
  const names = Object.keys(patient.baseline.properties);
  const state = { own: {}, units: {} };
  const day = field("landmark_day", "Seen from day", landmarkHint(card), text("landmark_day"), "since infusion");
  const baseline = Object.entries(patient.baseline.properties).map(([name, rule]) => baselineField(name, rule, card));
  const measured = rows("measurements", "Measurements over time", schema.$defs.MeasurementRecord, card, onChanged);
  const happened = rows("events", "Events so far", schema.$defs.EventRecord, card, onChanged);
  const kept = element("p", { class: "note", hidden: true });
  const faults = element("div", { class: "faults", role: "alert", tabindex: "-1" });
  const send = element("div", { class: "send" }, faults, element("button", { type: "submit", class: "primary" }, "Predict"));
  const node = element(
    "form",
    { novalidate: true, autocomplete: "off", input: onChanged, focusin: clearOfButton, submit: ask },
    day,
    element("fieldset", {}, element("legend", {}, "Baseline"), element("div", { class: "fields" }, baseline)),
    measured?.node,
    happened?.node,
    kept,
    send,
  );
  new ResizeObserver(() => node.style.setProperty("--send", `${send.offsetHeight}px`)).observe(send);

  function ask(event) {
    event.preventDefault();
    const numbers = [...node.querySelectorAll("[data-kind=numeric]")].filter((one) => !untouched(one));
    const doubtful = numbers.find((one) => ambiguity(one.value));
    if (doubtful) refuse({ field: doubtful.dataset.place, rule: ambiguity(doubtful.value) });
    else onAsked();
  }

  function fill(record) {
    clear();
    state.own = record;
    setValue(node.elements.landmark_day, record.landmark_day ?? patient.landmark_day.default ?? card.landmark_days[0]);
    for (const name of names) {
      const value = record.baseline?.[name];
      const quantity = typeof value === "object" && value !== null;
      state.units[name] = quantity ? value.unit : null;
      setValue(node.elements[`baseline.${name}`], value, quantity ? value.value : value);
      const shown = node.querySelector(`[data-unit="${CSS.escape(name)}"]`);
      if (shown) shown.textContent = unitText(state.units[name] ?? shown.dataset.own);
    }
    measured?.fill(record.measurements ?? []);
    happened?.fill(record.events ?? []);
    const many = record.samples?.length ?? 0;
    kept.hidden = !many;
    kept.textContent = many === 1 ? "One sample with cells or clones is sent as it is." : `${many} samples with cells or clones are sent as they are.`;
  }

  /** The record as the form has it now; what is untouched, or what the form does not know of, is as it came. */
  function record() {
    const baselineNow = { ...state.own.baseline };
    for (const name of names) {
      const value = valueIn(node.elements[`baseline.${name}`], state.units[name]);
      if (value === undefined) delete baselineNow[name];
      else baselineNow[name] = value;
    }
    const made = { ...state.own, landmark_day: valueIn(node.elements.landmark_day), baseline: baselineNow };
    for (const [place, part] of Object.entries({ measurements: measured, events: happened })) {
      const found = part?.records() ?? [];
      if (found.length || made[place]) made[place] = part ? found : made[place];
    }
    return made;
  }

  function clear() {
    faults.replaceChildren();
    for (const wrong of node.querySelectorAll("[aria-invalid]")) wrong.removeAttribute("aria-invalid");
    for (const message of node.querySelectorAll(".fault")) message.textContent = "";
  }

  /** Say what was refused, beside the button and at its field where there is one in the form; whether there is. */
  function refuse(problem) {
    clear();
    const place = (problem.field ?? "").replace(/^patients\[\d+\]\.?/, "");
    const input = fieldAt(node, place);
    const name = input ? labelOf(input) : (problem.field ?? "");
    faults.replaceChildren(element("p", {}, element("strong", {}, "Not predicted. "), name ? `${name}: ${problem.rule}` : problem.rule));
    if (input) {
      input.setAttribute("aria-invalid", "true");
      const message = document.getElementById(input.getAttribute("aria-describedby")?.split(" ").at(-1));
      if (message) message.textContent = problem.rule;
      node.style.setProperty("--send", `${send.offsetHeight}px`);
    }
    (input ?? faults).focus();
    if (!input) faults.scrollIntoView({ block: "nearest" });
    return input !== null;
  }
  return { node, fill, record, refuse, clear };
}

/** Browsers take what is under a sticky button for seen. */
function clearOfButton({ target }) {
  if (!target.closest(".send")) target.scrollIntoView({ block: "nearest" });
}

/** As it came, where it is untouched; undefined where there is nothing. */
function valueIn(input, unit = null) {
  const came = untouched(input);
  if (came) return came.value;
  if (input.value.trim() === "") return input.name === "landmark_day" ? null : undefined;
  if (input.dataset.kind !== "numeric") return input.value;
  const value = numberOrText(input.value);
  return unit && typeof value === "number" ? { value, unit } : value;
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

function landmarkHint(card) {
  const [first, last] = [card.landmark_days[0], card.landmark_days.at(-1)].map(plainNumber);
  const range = first === last ? `Day ${first}: the one the model predicts from` : `Any day from ${first} to ${last}`;
  return `${range}. What is dated later is not used.`;
}
