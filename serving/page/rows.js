/* Records of one kind, as measurements or events, as rows of the form that are added and removed. */

import { element } from "./dom.js";
import { option, setValue, text, untouched } from "./fields.js";
import { numberOrText } from "./numbers.js";
import { title, unitText } from "./words.js";

/** @returns {{node, fill, records}} or null where the model takes none */
export function rows(place, legend, rule, card, onChanged) {
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
    const unit = element("span", { class: "unit" }, unitOf(one[first], one));
    const told = element("p", { class: "fault", id: `f-${at}-fault` });
    const described = { "aria-describedby": told.id };
    const choice = element(
      "select",
      { id: `f-${at}`, "data-place": `${at}.${first}`, "aria-label": `${title(first)}, ${legend.toLowerCase()}, row ${i + 1}`, ...described, change: () => (unit.textContent = unitOf(choice.value, {})) },
      option("", "choose"),
      names.map((name) => option(name, title(name))),
    );
    setValue(choice, one[first]);
    const inputs = others.map((name) => {
      const label = name === "day" ? "Day since infusion" : title(name);
      const input = text(`${at}.${name}`, { "data-part": name, placeholder: name, "aria-label": `${label}, row ${i + 1}`, ...described });
      setValue(input, one[name]);
      return input;
    });
    const remove = element("button", { type: "button", class: "plain remove", "aria-label": `Remove row ${i + 1} of ${legend.toLowerCase()}`, click: () => (fill(records().filter((_, j) => j !== i)), onChanged(), add.focus()) }, "×");
    return element("div", { class: `row ${place}` }, choice, inputs, place === "measurements" ? unit : null, remove, told);
  }

  function unitOf(name, one) {
    return unitText(one.unit ?? card.variables.find((variable) => variable.name === name)?.unit ?? "1");
  }

  /** As the rows have them now; what is untouched, or is no part of a row, is as it came. */
  function records() {
    return [...list.children].map((node, i) => {
      const choice = node.querySelector("select");
      const made = untouched(choice) ? { ...own[i] } : { [first]: choice.value };
      for (const input of node.querySelectorAll("[data-part]")) {
        const { part } = input.dataset;
        const value = partOf(input, !rule.required.includes(part));
        if (value === undefined) delete made[part];
        else made[part] = value;
      }
      return made;
    });
  }
  return { node, fill, records };
}

function partOf(input, optional) {
  const came = untouched(input);
  if (came && (came.value !== undefined || optional)) return came.value;
  if (input.value.trim() === "") return optional ? undefined : null;
  return numberOrText(input.value);
}
