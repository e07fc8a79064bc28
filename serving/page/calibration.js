/* How well the model is calibrated for patients like this one: what became of others of similar predicted risk. */

import { drawn, element, part, table } from "./dom.js";
import { axes, figure, percentTick, shareTicks, topOf } from "./plot.js";
import { days, percent, plainNumber, span, words } from "./words.js";

const HEIGHT = 305;
const NONE_KNOWN = "no interval is known";

/** @returns {{node, show}} */
export function calibration() {
  let drawnFrom = null;
  const lead = element("p", { "data-calibration": true });
  const plot = figure(HEIGHT, () => described(drawnFrom), (width) => draw(drawnFrom, width), () => "Observed");
  const numbers = element("div", {});
  const note = element("p", { class: "note" });
  plot.node.classList.add("narrow");
  const node = part("calibration", "How well calibrated for patients of similar predicted risk", lead, plot.node, numbers, note);
  function show(state) {
    const found = groupsFor(state);
    plot.node.hidden = !found;
    note.hidden = !found;
    if (!found) {
      lead.textContent = noneOf(state);
      numbers.replaceChildren();
      return;
    }
    drawnFrom = { ...state, ...found };
    lead.textContent = leadOf(drawnFrom);
    note.textContent = noteOf(drawnFrom);
    numbers.replaceChildren(tableOf(drawnFrom));
    plot.redraw();
  }
  return { node, show };
}

/** The groups of the last landmark up to the patient's, at the horizon, and the place of the patient's own among them. */
export function groupsFor({ card, prediction, horizon }) {
  const at = card.calibration.filter((one) => one.horizon_days === horizon && one.landmark_day <= prediction.landmark_day);
  if (!at.length) return null;
  const { landmark_day: landmark, groups } = at.reduce((last, one) => (one.landmark_day > last.landmark_day ? one : last));
  const risk = prediction.incidence[card.causes[0]][prediction.horizons_days.indexOf(horizon)];
  const own = groups.findIndex((group) => risk <= group.up_to);
  return { landmark, groups, risk, own };
}

function noneOf({ card, prediction, horizon }) {
  const instead = "its cross-validated scores stand below, under The model";
  if (!card.calibration.length) return `This model carries no groups of patients to compare with; ${instead}.`;
  return `This model carries groups of patients to compare with, but none seen by day ${plainNumber(prediction.landmark_day)} and followed for ${days(horizon)}; ${instead}.`;
}

function leadOf({ card, landmark, groups, own, risk, horizon }) {
  const group = groups[own];
  const ends = group.low === null ? `; ${NONE_KNOWN}` : `; 95 % interval ${span([group.low, group.high])}`;
  return (
    `This patient’s risk is ${percent(risk)}. Of ${group.n_patients} patients seen from day ${plainNumber(landmark)} with a predicted risk ${rangeOf(group)}, ` +
    `whatever else they had, ${percent(group.observed)} had ${words(card.causes[0])} within ${days(horizon)}${ends}. Predicted were ${percent(group.predicted)}.`
  );
}

function rangeOf(group) {
  if (group.above === 0 && group.up_to === 1) return "of any size";
  if (group.above === 0) return `up to ${percent(group.up_to)}`;
  return group.up_to === 1 ? `above ${percent(group.above)}` : `of ${span([group.above, group.up_to])}`;
}

function noteOf({ card, landmark }) {
  const who = card.training_cohort.provenance === "simulated" ? "simulated patients" : "patients";
  return (
    `Cross-validated: ${who} seen from day ${plainNumber(landmark)}, each predicted by a model that had not seen them. ` +
    "Observed risks are Aalen–Johansen estimates with 95 % intervals; those of the predicted risk above are of 90 %. Where nobody or " +
    "everybody had the event, no interval is known. On the diagonal, as many had the event as were predicted."
  );
}

function draw({ groups, own, risk }, width) {
  const top = topOf([risk, ...groups.flatMap((group) => [group.high ?? group.observed, group.predicted])]);
  const room = { width, height: HEIGHT, left: 46, right: 26, top: 12, bottom: 48 };
  const { x, y, nodes } = axes(room, { last: top, ticks: shareTicks(top), top, label: "predicted", tickText: percentTick });
  const low = HEIGHT - room.bottom;
  const marks = groups.flatMap((group, i) => [
    group.low === null ? null : drawn("line", { class: "whisker cause-0", x1: x(group.predicted), x2: x(group.predicted), y1: y(group.low), y2: y(group.high) }),
    drawn("circle", { class: i === own ? "dot own cause-0" : "dot cause-0", cx: x(group.predicted), cy: y(group.observed), r: i === own ? 7 : 4.5 }),
  ]);
  const toRight = x(risk) < width / 2;
  return [
    ...nodes,
    drawn("line", { class: "diagonal", x1: x(0), x2: x(top), y1: y(0), y2: y(top) }),
    drawn("line", { class: "cursor", x1: x(risk), x2: x(risk), y1: room.top, y2: low }),
    drawn("text", { class: "value", x: x(risk) + (toRight ? 6 : -6), y: room.top + 12, "text-anchor": toRight ? "start" : "end" }, "this patient"),
    ...marks.filter(Boolean),
  ];
}

function described({ groups }) {
  return groups.map((group) => `predicted ${percent(group.predicted)}, observed ${percent(group.observed)}`).join("; ");
}

function tableOf({ groups, own }) {
  const rows = groups.map((group, i) => [
    i === own ? element("b", {}, "▸ ", capital(rangeOf(group))) : capital(rangeOf(group)),
    String(group.n_patients),
    percent(group.predicted),
    [percent(group.observed), element("small", {}, group.low === null ? "none known" : span([group.low, group.high]))],
  ]);
  const columns = ["Predicted risk", "Patients", "Predicted", "Observed"];
  return table("Groups of patients not trained on, with 95 % intervals of what was observed; ▸ is where this patient belongs", columns, rows, { name: "calibration" });
}

function capital(text) {
  return text.replace(/^of (?=\d|<)/, "").replace(/^./, (first) => first.toUpperCase());
}
