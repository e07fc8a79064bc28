/* The risk in numbers: the event at the chosen horizon, what competes, and a hundred such patients. */

import { drawn, element, part, table } from "./dom.js";
import { swatch } from "./plot.js";
import { days, listed, percent, plainNumber, ruleText, span, title, words } from "./words.js";

/** @returns {{node, show}} */
export function headline() {
  const large = element("p", { class: "risk" });
  const sentence = element("p", { class: "sentence" });
  const people = element("div", { class: "people" });
  const numbers = element("div", {});
  const node = part("risk", "Predicted risk", element("div", { class: "headline" }, element("div", {}, large, sentence), people), numbers);
  function show(state) {
    const { card, prediction, horizon } = state;
    const at = prediction.horizons_days.indexOf(horizon);
    const event = card.causes[0];
    const ends = prediction.interval?.[event][at];
    large.replaceChildren(
      element("strong", { "data-risk": event }, percent(prediction.incidence[event][at])),
      element("span", { class: "ends" }, ends ? `90 % interval ${span(ends)}` : "fitted without intervals"),
      ...(prediction.happened.length ? [element("span", { class: "ends" }, "of a patient who had no event by then, as this one had")] : []),
    );
    sentence.replaceChildren(sentenceOf(state, at));
    people.replaceChildren(hundred(card.causes, prediction, at));
    numbers.replaceChildren(riskTable(card, prediction));
  }
  return { node, show };
}

function sentenceOf({ card, prediction, horizon }, at) {
  const others = card.causes.slice(1).map((cause) => `${words(cause)} comes first in ${percent(prediction.incidence[cause][at])}`);
  const competing = others.length ? `; ${listed(others)}` : "";
  return (
    `${title(ruleText(card.endpoint.event))} within ${days(horizon)} after day ${plainNumber(prediction.landmark_day)} since infusion` +
    `${competing}; ${percent(prediction.event_free[at])} stay free of all.${expectedOf(card, prediction, at)}`
  );
}

/** How many events are expected, those that come back included, where the model counts them. */
function expectedOf(card, { expected_events: expected }, at) {
  return expected ? ` Expected number of ${words(card.causes[0])} events by then, later ones counted: ${expected[at].toFixed(2)}.` : "";
}

/** What the answer says at the horizons of the endpoint. */
function riskTable(card, prediction) {
  const places = card.horizons_days.map((day) => prediction.horizons_days.indexOf(day));
  const rows = card.causes.map((cause, k) => [
    element("span", { class: "named" }, swatch(k), title(cause)),
    ...places.map((at) => cell(prediction.incidence[cause][at], prediction.interval?.[cause][at])),
  ]);
  const free = ["Free of all", ...places.map((at) => percent(prediction.event_free[at]))];
  const caption = `Risk by days after day ${plainNumber(prediction.landmark_day)}${prediction.interval ? ", with 90 % intervals" : ""}`;
  return table(caption, ["First event", ...card.horizons_days.map(days)], [...rows, free], { name: "risks" });
}

function cell(risk, ends) {
  return ends ? [percent(risk), element("small", {}, span(ends))] : percent(risk);
}

/** A hundred such patients by what happens to them first, told apart by shape as well. */
function hundred(causes, prediction, at) {
  const counts = wholeNumbers([...causes.map((cause) => prediction.incidence[cause][at]), prediction.event_free[at]]);
  const kinds = counts.flatMap((count, k) => Array(count).fill(k));
  const marks = kinds.map((k, i) => mark(k, k === causes.length, 9 + 18 * (i % 10), 9 + 18 * Math.floor(i / 10)));
  const text = listed([...causes.map((cause, k) => `${counts[k]} ${words(cause)}`), `${counts.at(-1)} none of these`]);
  return element(
    "figure",
    {},
    drawn("svg", { viewBox: "0 0 180 180", role: "img", "aria-label": `Of 100 such patients: ${text}` }, marks),
    element("figcaption", {}, `Of 100 such patients: ${text}.`),
  );
}

function mark(k, free, x, y) {
  if (free) return drawn("circle", { class: "free", cx: x, cy: y, r: 5.2 });
  const shapes = [
    { d: `M${x - 6} ${y}a6 6 0 1 0 12 0a6 6 0 1 0 -12 0` },
    { d: `M${x - 5.5} ${y - 5.5}h11v11h-11z` },
    { d: `M${x} ${y - 6.5}l6.5 11.5h-13z` },
    { d: `M${x} ${y - 7}l7 7l-7 7l-7 -7z` },
  ];
  return drawn("path", { class: `fill cause-${k}`, ...shapes[k % shapes.length] });
}

/** Shares in whole hundredths that add up to a hundred: those cut off most are rounded up first. */
export function wholeNumbers(shares) {
  const floors = shares.map((share) => Math.floor(100 * share + 1e-9));
  const left = 100 - floors.reduce((sum, count) => sum + count, 0);
  const order = shares.map((share, i) => [100 * share - floors[i], i]).sort((a, b) => b[0] - a[0]);
  for (const [, i] of order.slice(0, left)) floors[i] += 1;
  return floors;
}
