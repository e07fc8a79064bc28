/* How the risk changed: the same record seen from each of the model's landmarks so far. */

import { drawn, element, part, table } from "./dom.js";
import { apart, axes, figure, path, topOf } from "./plot.js";
import { days, listed, percent, plainNumber, span, title, words } from "./words.js";

const HEIGHT = 235;
const ROOM = 44;

/** @returns {{node, show}} */
export function landmarks() {
  let state = null;
  const plot = figure(HEIGHT, () => described(state), (width) => draw(state, width), () => sideOf(state));
  const lead = element("p", {});
  const numbers = element("div", {});
  plot.node.classList.add("narrow");
  const node = part("landmarks", "How the risk changed", lead, plot.node, numbers);
  function show(next) {
    state = next;
    const several = state.seen.length > 1;
    lead.textContent = several ? leadOf(state) : whyOne(state);
    plot.node.hidden = !several;
    numbers.replaceChildren(...(several ? [tableOf(state)] : []));
    if (several) plot.redraw();
  }
  return { node, show };
}

function risksOf({ card, seen, horizon }) {
  const cause = card.causes[0];
  return seen.map((prediction) => {
    const at = prediction.horizons_days.indexOf(horizon);
    return { day: prediction.landmark_day, risk: prediction.incidence[cause][at], ends: prediction.interval?.[cause][at], happened: prediction.happened };
  });
}

function leadOf({ card, horizon, seen }) {
  const each = `Each point is the risk of ${words(card.causes[0])} within ${days(horizon)} from its own day, with what was known by then`;
  const had = seen.filter((one) => one.happened.length);
  if (!had.length) return `${each}, in a patient without an event so far.`;
  const from = listed(had.map((one) => `day ${plainNumber(one.landmark_day)}`));
  return `${each}. By ${from} this patient has had ${listed(had.at(-1).happened.map(words))}: what is told from there is of others.`;
}

function sideOf(state) {
  return `${title(state.card.causes[0])} within ${days(state.horizon)}`;
}

function whyOne({ card, prediction }) {
  const [first, ...later] = card.landmark_days.map(plainNumber);
  if (!later.length) return `This model predicts from day ${first} alone, so there is no course to show.`;
  const seen = `This patient is seen from day ${plainNumber(prediction.landmark_day)}, the first from which the model predicts.`;
  return `${seen} Choose a later day, as ${listed(later)}, with what was measured by then, to see how the risk changed.`;
}

function draw(state, width) {
  const points = risksOf(state);
  const [lowest, last] = [points[0].day, points.at(-1).day];
  const top = topOf(points.map(({ risk, ends }) => ends?.[1] ?? risk));
  const room = { width, height: HEIGHT, left: 66, right: 56, top: 20, bottom: 48 };
  const place = (day) => ((width - room.left - room.right) * (day - lowest)) / (last - lowest || 1);
  const ticks = apart(points.map(({ day }) => day), place);
  const named = new Set(apart(points.map(({ day }) => day), place, ROOM + 12));
  const { x, y, nodes } = axes(room, { lowest, last, ticks, top, label: "seen from day since infusion" });
  const line = drawn("path", { class: "line thin cause-0", d: path(points.map(({ day, risk }) => [x(day), y(risk)])) });
  const marks = points.flatMap(({ day, risk, ends }) => [
    ends ? drawn("line", { class: "whisker cause-0", x1: x(day), x2: x(day), y1: y(ends[0]), y2: y(ends[1]) }) : null,
    drawn("circle", { class: "dot cause-0", cx: x(day), cy: y(risk), r: 5 }),
    named.has(day) ? drawn("text", { class: "value", x: x(day) + 8, y: y(risk) - 8 }, percent(risk)) : null,
  ]);
  return [...nodes, line, ...marks.filter(Boolean)];
}

function described(state) {
  return risksOf(state).map(({ day, risk }) => `Seen from day ${plainNumber(day)}: ${percent(risk)}`).join("; ");
}

function tableOf(state) {
  const rows = risksOf(state).map(({ day, risk, ends, happened }) => [
    `Day ${plainNumber(day)}${happened.length ? `, after ${listed(happened.map(words))}` : ""}`,
    percent(risk),
    ...(ends ? [span(ends)] : []),
  ]);
  const columns = ["Seen from", "Risk", ...(state.prediction.interval ? ["90 % interval"] : [])];
  return table(sideOf(state), columns, rows, { name: "landmarks" });
}
