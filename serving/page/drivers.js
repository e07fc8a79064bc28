/* What drives the prediction: how each part of the record moves the risk away from that of the average patient. */

import { element, folded, part, table } from "./dom.js";
import { valueOf } from "./records.js";
import { days, percent, placeName, plainNumber, signed, unitText, words } from "./words.js";

const MOST = 8;

/** @returns {{node, show}}; `show` is called again once the explanation has come */
export function drivers() {
  let state = null;
  const choice = element("select", { id: "driver-cause", change: () => fill() });
  const chosen = element("div", { class: "choice" }, element("label", { for: "driver-cause" }, "Of the risk of"), choice);
  const room = element("div", { class: "drivers" });
  const note = element("p", { class: "note" }, "They say what the model makes of the record, not what causes what in the body.");
  const node = part("drivers", "What drives the prediction", chosen, room, note);
  function show(next) {
    state = next;
    if (choice.length !== state.card.causes.length) {
      choice.replaceChildren(...state.card.causes.map((cause) => element("option", { value: cause }, words(cause))));
    }
    fill();
  }
  function fill() {
    const { explanation, refusal } = state;
    room.setAttribute("aria-busy", String(!explanation && !refusal));
    if (refusal) room.replaceChildren(element("p", { class: "why" }, whyNot(refusal)));
    else if (explanation) room.replaceChildren(...explained(state, choice.value));
    else room.replaceChildren(element("p", { class: "why" }, "Being worked out…"));
  }
  return { node, show };
}

function whyNot(refusal) {
  if (refusal.status === 403) return "This key may not ask why: it lacks the scope explain.";
  return `No explanation: ${refusal.message}`;
}

function explained({ card, explanation, record, horizon }, cause) {
  const at = explanation.horizons_days.indexOf(horizon);
  const all = Object.entries(explanation.contributions[cause])
    .map(([source, values]) => ({ source, share: values[at] }))
    .sort((a, b) => Math.abs(b.share) - Math.abs(a.share));
  const [average, risk] = [explanation.average[cause][at], explanation.incidence[cause][at]];
  const lead = `The risk of ${words(cause)}, from ${percent(average)} in the average training patient to ${percent(risk)} here, in percentage points within ${days(horizon)}.`;
  if (!all.length) return [element("p", {}, `${lead} Nothing in the record moves it.`)];
  const rest = all.slice(MOST);
  const others = rest.reduce((sum, { share }) => sum + share, 0);
  const largest = Math.max(...all.map(({ share }) => Math.abs(share)), Math.abs(others));
  const items = all.slice(0, MOST).map((one) => bar(one.share, largest, placeName(one.source), shownValue(card, record, one.source)));
  if (rest.length) items.push(bar(others, largest, `${rest.length} others together`, ""));
  return [element("p", {}, lead), element("ul", { class: "bars" }, items), allOf(all, card, record)];
}

function bar(share, largest, name, value) {
  const length = element("span", { class: share < 0 ? "bar less" : "bar more" });
  length.style.width = `${(50 * Math.abs(share)) / (largest || 1)}%`;
  return element(
    "li",
    {},
    element("span", { class: "of" }, name, value ? element("small", {}, value) : null),
    element("span", { class: "track", "aria-hidden": "true" }, length),
    element("b", {}, signed(share)),
  );
}

function allOf(all, card, record) {
  const rows = all.map(({ source, share }) => [placeName(source), shownValue(card, record, source) || "–", signed(share)]);
  return folded("All parts of the record", table("Percentage points that each part adds", ["Part", "Value", "Adds"], rows, { name: "drivers" }));
}

function shownValue(card, record, source) {
  if (source === "landmark_day") return `day ${plainNumber(record.landmark_day ?? 0)}`;
  const found = valueOf(record, source);
  if (!found) return /^(baseline|measurements)\./.test(source) ? "not known" : "";
  const last = source.startsWith("measurements.") ? "last " : "";
  const own = card.variables.find((one) => source.endsWith(`.${one.name}`));
  if (typeof found.value !== "number") return `${last}${found.value}`;
  return `${last}${plainNumber(found.value)} ${unitText(found.unit ?? own?.unit ?? "1")}`.trim();
}
