/* Fields of the form: a name, an input that remembers what came into it, its unit, and what is said of it. */

import { element } from "./dom.js";
import { entered } from "./numbers.js";
import { plainNumber, title, unitText } from "./words.js";

/** By input: what it was filled with, and how that is shown. */
const CAME = new WeakMap();

/** Show a value of a record; a level that a select does not have is added to it, for the service to refuse. */
export function setValue(input, value, shownValue = value) {
  const shown = typeof shownValue === "number" ? entered(shownValue) : String(shownValue ?? "");
  if (input.tagName === "SELECT" && ![...input.options].some((one) => one.value === shown)) input.append(option(shown, shown));
  input.value = shown;
  CAME.set(input, { value, shown: input.value });
}

/** What the input was filled with, as {value}, where nobody has changed it since; else null. */
export function untouched(input) {
  const came = CAME.get(input);
  return came && came.shown === input.value ? came : null;
}

/** A name over an input, its unit after it, its range and what is wrong below. */
export function field(name, label, hint, input, unit, own) {
  const { id } = input;
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

/** An input for a number, unless `more` says otherwise. */
export function text(place, more = {}) {
  const usual = { type: "text", inputmode: "decimal", spellcheck: "false", "data-kind": "numeric" };
  return element("input", { ...usual, id: `f-${place}`, name: place, "data-place": place, ...more });
}

/** A baseline variable: a number, a level of a list, or a text. */
export function baselineField(name, rule, card) {
  const variable = card.variables.find((one) => one.name === name);
  const place = `baseline.${name}`;
  const about = variable.description && variable.description !== name ? title(variable.description) : "";
  if (variable.kind === "numeric") {
    const range = variable.range ? `${plainNumber(variable.range[0])} to ${plainNumber(variable.range[1])}` : "";
    return field(name, title(name), [range, about].filter(Boolean).join(". "), text(place), unitText(variable.unit), variable.unit);
  }
  const levels = rule.anyOf.find((one) => one.enum)?.enum;
  if (levels) {
    const input = element("select", { id: `f-${place}`, name: place, "data-place": place }, option("", "not known"), levels.map((one) => option(one, one)));
    return field(name, title(name), about, input, "");
  }
  const list = element("datalist", { id: `l-${place}` }, (rule.examples ?? []).map((one) => option(one, one)));
  const input = text(place, { list: `l-${place}`, inputmode: "text", "data-kind": "text" });
  const node = field(name, title(name), about || (rule.examples ?? []).join(", "), input, "");
  node.append(list);
  return node;
}

/** One of a list. */
export function option(value, label) {
  return element("option", { value }, label);
}
