/* What was not as usual about the record. */

import { element, part } from "./dom.js";
import { placeName } from "./words.js";

const KINDS = [
  ["impossible", "Impossible, and treated as missing", "These values cannot be. Check them and their units."],
  ["outside_training_range", "Outside the training range", "Beyond the central 99 % of the training patients: the model has seen few like this."],
  ["unseen_levels", "Never seen in training", "No training patient had this level; the model knows nothing of it."],
  ["ignored", "Not used", "After the landmark, or replaced by a later sample."],
  ["missing", "Missing, and imputed", "Filled in from the training patients. The prediction says less the more is missing."],
];

/** @returns {{node, show}} */
export function noted() {
  const room = element("div", {});
  const node = part("noted", "What is missing or unusual", room);
  function show({ prediction }) {
    const found = KINDS.filter(([kind]) => prediction[kind].length);
    if (!found.length) room.replaceChildren(element("p", {}, "Nothing: all that the model takes is there, within the training range."));
    else room.replaceChildren(...found.map(([kind, name, text]) => list(kind, name, text, prediction[kind])));
  }
  return { node, show };
}

function list(kind, name, text, places) {
  return element(
    "div",
    { class: `noted ${kind}` },
    element("h4", {}, `${name} `, element("span", { class: "count" }, String(places.length))),
    element("p", {}, text),
    element("ul", { class: "chips", "data-noted": kind }, places.map((place) => element("li", { "data-place": place }, placeName(place)))),
  );
}
