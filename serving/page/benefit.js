/* Benefit and risk side by side: how the days up to the last horizon are spent on average, by the states that the
   patient goes through where the model has transitions between them, by first events otherwise. */

import { meanDays } from "./areas.js";
import { element, part, table } from "./dom.js";
import { swatch } from "./plot.js";
import { count, days, exactDays, listed, percent, plainNumber, points, span, title, words } from "./words.js";

const NONE_KNOWN = "no interval is known";

/** @returns {{node, show}} */
export function benefit() {
  const sides = element("div", { class: "sides" });
  const bar = element("div", { class: "stack", "aria-hidden": "true" });
  const numbers = element("div", {});
  const note = element("p", { class: "note" });
  const node = part("benefit", "Benefit and risk side by side", sides, bar, numbers, note);
  function show(state) {
    node.dataset.basis = state.followed?.basis ?? "first_events";
    node.setAttribute("aria-busy", String(Boolean(state.awaited)));
    if (state.awaited) fill(awaited());
    else fill(node.dataset.basis === "transitions" ? byTransitions(state) : byFirstEvents(state));
  }
  function fill(shown) {
    sides.replaceChildren(...shown.sides);
    bar.replaceChildren(...shown.segments);
    bar.hidden = !shown.segments.length;
    numbers.replaceChildren(...shown.tables);
    note.textContent = shown.note;
  }
  return { node, show };
}

function awaited() {
  return { sides: [element("p", { class: "why" }, "Being worked out…")], segments: [], tables: [], note: "" };
}

function byTransitions({ card, prediction, followed }) {
  const { states, times_days, benefit_days } = followed.transitions;
  const last = times_days.at(-1);
  const own = Object.entries(states).map(([name, course]) => ({
    name: title(stateName(card, name)),
    cause: card.causes.indexOf(name),
    spent: course.days.at(-1),
    then: course.probability.at(-1),
    ever: course.ever.at(-1),
  }));
  const [free, complication] = own;
  const days95 = (one) => `95 % interval ${between(one)}`;
  const benefits = [
    fact(dayCount(benefit_days.value), capital(lastingOf(card)), days95(benefit_days), "before"),
    fact(dayCount(free.spent.value), `of these free of ${words(card.causes[0])} too`, days95(free.spent), "free"),
  ];
  const ever = `95 % interval ${points(complication.ever.low)}–${points(complication.ever.high)}\u202f%`;
  const risks = [
    riskFact(card, prediction, last),
    fact(percent(complication.ever.value), `${words(card.causes[0])} by then, by the models of transitions`, ever, "ever"),
    element("p", { class: "note" }, "Two models of the same patients and the same event: the first was validated, the second follows patients further and was not. Where they differ, go by the first."),
  ];
  const rows = own.map((one) => [
    named(one === free ? element("i", { class: "free-swatch" }) : swatch(one.cause), one.name),
    [one.spent.value.toFixed(0), element("small", {}, between(one.spent))],
    shareCell(one.then),
    one === free ? "" : shareCell(one.ever),
  ]);
  const caption = `States up to day ${plainNumber(last)} after the landmark, with 95 % intervals`;
  return {
    sides: sidesOf(card, prediction, last, benefits, risks),
    segments: own.map((one) => segment(one === free ? "free" : `fill cause-${one.cause}`, one.name, one.spent.value, last)),
    tables: [table(caption, ["State", "Mean days", "On the last day", "Ever by then"], rows, { name: "states" })],
    note:
      `From a Cox model of each transition between states, fitted to ${count(card.states.n_patients)} patients and not validated: hazards are taken to be proportional, and the way into a state not to matter for the way out of it. A patient's state is that of the furthest event so far. ` +
      `Intervals hold 95 % of ${card.states.n_refits} refits to patients drawn with replacement: how sure the numbers are, not what will happen.`,
  };
}

function byFirstEvents({ card, prediction, refusedStates }) {
  const last = prediction.horizons_days.at(-1);
  const { free, lost } = meanDays(card.causes, prediction);
  const benefits = [fact(dayCount(free), `${freeOf(card)}: free of all first events`, NONE_KNOWN, "free")];
  if (card.causes.includes("relapse")) {
    const before = "Days without relapse, with or without other events: not known, for this answer ends with a first event";
    benefits.push(element("p", { class: "note" }, `${before}. Lost to a relapse that comes first: ${dayCount(lost[card.causes.indexOf("relapse")])}; ${NONE_KNOWN}.`));
  }
  const risks = [
    riskFact(card, prediction, last),
    fact(dayCount(lost[0]), `lost to ${words(card.causes[0])} as the first event`, NONE_KNOWN, "lost"),
  ];
  const rows = [
    [named(element("i", { class: "free-swatch" }), title(freeOf(card))), ...amounts(free, last)],
    ...card.causes.map((cause, k) => [named(swatch(k), `Lost to ${words(cause)}`), ...amounts(lost[k], last)]),
  ];
  const caption = `Mean days up to day ${plainNumber(last)} after the landmark; ${NONE_KNOWN} of them`;
  return {
    sides: sidesOf(card, prediction, last, benefits, risks),
    segments: [segment("free", "Free", free, last), ...card.causes.map((cause, k) => segment(`fill cause-${k}`, title(cause), lost[k], last))],
    tables: [table(caption, ["Spent", "Days", "Share"], rows, { name: "days" })],
    note: `${FIRST_EVENTS} ${whyFirst(card, prediction, refusedStates)}`,
  };
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

/** Benefit and risk beside each other, of the same days. */
function sidesOf(card, prediction, last, benefits, risks) {
  const of = `on average, of the ${exactDays(last)} after day ${plainNumber(prediction.landmark_day)}`;
  return [
    element("div", { class: "half" }, element("h4", {}, "Benefit ", element("small", {}, of)), benefits),
    element("div", { class: "half risky" }, element("h4", {}, "Risk ", element("small", {}, `within ${days(last)}`)), risks),
  ];
}

/** One number of a side, what it is, and how sure. */
function fact(number, text, ends, name) {
  return element("p", { class: "fact", "data-fact": name }, element("b", {}, number), " ", element("span", {}, text), " ", element("small", {}, ends));
}

function riskFact(card, prediction, last) {
  const at = prediction.horizons_days.indexOf(last);
  const cause = card.causes[0];
  const ends = prediction.interval?.[cause][at];
  return fact(percent(prediction.incidence[cause][at]), `${words(cause)} as the first event`, ends ? `90 % interval ${span(ends)}` : NONE_KNOWN, "risk");
}

/** "alive and free of infection", "after infection", "dead". */
function stateName(card, name) {
  if (name === card.states.names[0]) return freeOf(card);
  return name === "death" ? "dead" : `after ${words(name)}`;
}

/** What nobody who is free of all has met: "alive, relapse-free and free of infection". */
function freeOf(card) {
  return withoutOf(card.causes);
}

/** What lasts until an event that competes: "alive and relapse-free, with or without infection". */
function lastingOf(card) {
  return [withoutOf(card.causes.slice(1)), `with or without ${words(card.causes[0])}`].filter(Boolean).join(", ");
}

function withoutOf(causes) {
  const others = causes.filter((cause) => cause !== "death" && cause !== "relapse");
  const parts = [causes.includes("death") ? "alive" : "", causes.includes("relapse") ? "relapse-free" : ""];
  return listed([...parts, others.length ? `free of ${listed(others.map(words))}` : ""].filter(Boolean));
}

function capital(text) {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

function dayCount(number) {
  return exactDays(Math.round(number));
}

function named(mark, name) {
  return element("span", { class: "named" }, mark, name);
}

/** The ends of an interval of days. */
function between({ low, high }) {
  return `${low.toFixed(0)}–${high.toFixed(0)}`;
}

function shareCell({ value, low, high }) {
  return [percent(value), element("small", {}, `${points(low)}–${points(high)}\u202f%`)];
}

function amounts(part, last) {
  return [part.toFixed(0), `${((100 * part) / last).toFixed(0)}\u202f%`];
}

/** As long as its days are many, named where there is room. */
function segment(kind, name, part, last) {
  const share = part / last;
  const node = element("span", { class: kind });
  node.style.flexGrow = share;
  if (share > 0.18 && name.length < 70 * share) node.append(element("b", {}, `${name} `));
  if (share > 0.11) node.append(part.toFixed(0));
  return node;
}
