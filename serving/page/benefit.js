/* Benefit and risk side by side: how the days up to the last horizon are spent on average. */

import { element, part, table } from "./dom.js";
import { swatch } from "./plot.js";
import { days, listed, plainNumber, title, words } from "./words.js";

/** Area under a curve through (0, start) and its values at ascending days, linear between them, in days. */
export function area(grid, values, start) {
  let [day, value, sum] = [0, start, 0];
  for (const [i, next] of grid.entries()) {
    sum += ((next - day) * (value + values[i])) / 2;
    [day, value] = [next, values[i]];
  }
  return sum;
}

/** Mean days free of all, and lost to each cause, up to the last day; they add up to it. */
export function meanDays(causes, prediction) {
  const grid = prediction.horizons_days;
  const lost = causes.map((cause) => area(grid, prediction.incidence[cause], 0));
  return { free: area(grid, prediction.event_free, 1), lost };
}

/** @returns {{node, show}} */
export function benefit() {
  const lead = element("p", {});
  const bar = element("div", { class: "stack", "aria-hidden": "true" });
  const numbers = element("div", {});
  const source =
    "Areas under the event-free curve and under each cumulative incidence (restricted mean; days lost by cause after " +
    "Andersen, Stat Med 2013;32:5278–5285). Days after a first event count as lost to it: they are not days of illness.";
  const node = part("benefit", "Benefit and risk side by side", lead, bar, numbers, element("p", { class: "note" }, source));
  function show({ card, prediction }) {
    const last = prediction.horizons_days.at(-1);
    const { free, lost } = meanDays(card.causes, prediction);
    const spent = card.causes.map((cause, k) => `${lost[k].toFixed(0)} lost to ${words(cause)}`);
    lead.textContent = `Of the ${days(last)} after day ${plainNumber(prediction.landmark_day)}, a patient like this one has on average ${free.toFixed(0)} ${freeOf(card)}, and ${listed(spent)}.`;
    const parts = card.causes.map((cause, k) => segment(`fill cause-${k}`, title(cause), lost[k], last));
    bar.replaceChildren(segment("free", "Free", free, last), ...parts);
    const rows = [
      [element("span", { class: "named" }, element("i", { class: "free-swatch" }), title(freeOf(card))), ...amounts(free, last)],
      ...card.causes.map((cause, k) => [element("span", { class: "named" }, swatch(k), `Lost to ${words(cause)}`), ...amounts(lost[k], last)]),
    ];
    numbers.replaceChildren(table(`Mean days up to day ${plainNumber(last)} after the landmark`, ["Spent", "Days", "Share"], rows, { name: "days" }));
  }
  return { node, show };
}

/** What nobody who is free of all has met: "alive, relapse-free and free of infection". */
function freeOf(card) {
  const others = card.causes.filter((cause) => cause !== "death" && cause !== "relapse");
  const parts = [card.causes.includes("death") ? "alive" : "", card.causes.includes("relapse") ? "relapse-free" : ""];
  return listed([...parts, others.length ? `free of ${listed(others.map(words))}` : ""].filter(Boolean));
}

function amounts(part, last) {
  return [part.toFixed(0), `${((100 * part) / last).toFixed(0)}\u202f%`];
}

/** As long as its days are many, named where there is room. */
function segment(kind, name, part, last) {
  const node = element("span", { class: kind });
  node.style.flexGrow = part / last;
  if (part / last > 0.18) node.append(element("b", {}, `${name} `), part.toFixed(0));
  else if (part / last > 0.07) node.append(part.toFixed(0));
  return node;
}
