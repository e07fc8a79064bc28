/* Benefit and risk side by side: how the days up to the last horizon are spent on average, by the states that the
   patient goes through where the model has transitions between them, by first events otherwise. */

import { element, part, table } from "./dom.js";
import { swatch } from "./plot.js";
import { days, listed, percent, plainNumber, points, title, words } from "./words.js";

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
  const note = element("p", { class: "note" });
  const node = part("benefit", "Benefit and risk side by side", lead, bar, numbers, note);
  function show(state) {
    node.dataset.basis = state.followed?.basis ?? "first_events";
    if (node.dataset.basis === "transitions") byTransitions(state);
    else byFirstEvents(state);
  }

  function byTransitions({ card, prediction, followed }) {
    const { states, times_days, benefit_days } = followed.transitions;
    const last = times_days.at(-1);
    const own = Object.entries(states).map(([name, course]) => ({
      name: stateName(card, name),
      cause: card.causes.indexOf(name),
      spent: course.days.at(-1),
      then: course.probability.at(-1),
      ever: course.ever.at(-1),
    }));
    const [free, complication] = own;
    const ends = card.states.names.slice(2).map(words).join(" or ");
    lead.textContent =
      `Of the ${days(last)} after day ${plainNumber(prediction.landmark_day)}, a patient like this one spends on average ${listed(own.map((one) => `${one.spent.value.toFixed(0)} ${one.name}`))}. ` +
      `${ends ? `Before ${ends}: ` : ""}${benefit_days.value.toFixed(0)} days (95 % interval ${between(benefit_days)}); ${words(card.causes[0])} at some time by then: ${percent(complication.ever.value)} (${points(complication.ever.low)}–${points(complication.ever.high)}\u202f%).`;
    bar.replaceChildren(...own.map((one) => segment(one === free ? "free" : `fill cause-${one.cause}`, capital(one.name), one.spent.value, last)));
    const rows = own.map((one) => [
      element("span", { class: "named" }, one === free ? element("i", { class: "free-swatch" }) : swatch(one.cause), capital(one.name)),
      [one.spent.value.toFixed(0), element("small", {}, between(one.spent))],
      shareCell(one.then),
      one === free ? "" : shareCell(one.ever),
    ]);
    const caption = `States up to day ${plainNumber(last)} after the landmark, with 95 % intervals`;
    numbers.replaceChildren(table(caption, ["State", "Mean days", "On the last day", "Ever by then"], rows, { name: "states" }));
    note.textContent =
      `From a Cox model of each transition between states, fitted to ${card.states.n_patients} patients and not validated: hazards are taken to be proportional, and the way into a state not to matter for the way out of it. A patient's state is that of the furthest event so far. ` +
      `Intervals hold 95 % of ${card.states.n_refits} refits to patients drawn with replacement: how sure the numbers are, not what will happen. The predicted risk above is of another model of the same patients, and differs.`;
  }

  function byFirstEvents({ card, prediction, refusedStates }) {
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
    note.textContent = `${FIRST_EVENTS} ${whyFirst(card, prediction, refusedStates)}`;
  }
  return { node, show };
}

const FIRST_EVENTS =
  "Areas under the event-free curve and under each cumulative incidence (restricted mean; days lost by cause after " +
  "Andersen, Stat Med 2013;32:5278–5285). Days after a first event count as lost to it: they are not days of illness.";

/** Why nothing is said of what comes after a first event. */
function whyFirst(card, prediction, refusal) {
  if (!card.states) return "This model does not follow patients beyond a first event.";
  if (refusal) return `What comes after a first event is not told: ${refusal.field ?? "the service"} ${refusal.rule}.`;
  return `What comes after a first event is told from day ${plainNumber(card.states.landmark_day)} alone, not from day ${plainNumber(prediction.landmark_day)}.`;
}

/** "alive and free of infection", "after infection", "dead". */
function stateName(card, name) {
  if (name === card.states.names[0]) return freeOf(card);
  return name === "death" ? "dead" : `after ${words(name)}`;
}

function capital(text) {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** The ends of an interval of days. */
function between({ low, high }) {
  return `${low.toFixed(0)}–${high.toFixed(0)}`;
}

function shareCell({ value, low, high }) {
  return [percent(value), element("small", {}, `${points(low)}–${points(high)}\u202f%`)];
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
