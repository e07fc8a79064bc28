/* Cumulative incidence of every cause over time, with intervals, to be read at any day by pointer or key. */

import { drawn, element, folded, part, table } from "./dom.js";
import { axes, dashes, dayTicks, figure, path, swatch, topOf } from "./plot.js";
import { days, percent, plainNumber, span, title, words } from "./words.js";

const HEIGHT = 325;
const TOP = 12;

/** @returns {{node, show}} */
export function curves() {
  let state = null;
  let at = 0;
  const values = element("div", { class: "readout" });
  const slider = element("input", { type: "range", min: 0, step: 1, id: "read-day", input: () => read(Number(slider.value)) });
  const day = element("output", { for: "read-day" });
  const plot = figure(HEIGHT, () => described(state), (width) => draw(state, at, width), () => "Cumulative incidence");
  const note = element("p", { class: "note" });
  const numbers = element("div", {});
  plot.svg.addEventListener("pointermove", (event) => read(nearest(event)));
  plot.svg.addEventListener("pointerdown", (event) => read(nearest(event)));
  const label = element("label", { for: "read-day" }, "Read at ", day);
  const node = part("curves", "Over time", values, plot.node, element("div", { class: "slider" }, label, slider), note, numbers);

  function nearest(event) {
    const { left, width } = plot.svg.getBoundingClientRect();
    const { horizons_days: grid } = state.prediction;
    const room = roomOf(width);
    const wanted = ((event.clientX - left - room.left) / (width - room.left - room.right)) * grid.at(-1);
    return grid.reduce((best, one, i) => (Math.abs(one - wanted) < Math.abs(grid[best] - wanted) ? i : best), 0);
  }

  function read(index) {
    at = index;
    const { prediction, card } = state;
    slider.value = index;
    const when = days(prediction.horizons_days[index]);
    day.textContent = when;
    slider.setAttribute("aria-valuetext", `${when}: ${card.causes.map((cause) => `${words(cause)} ${percent(prediction.incidence[cause][index])}`).join(", ")}`);
    values.replaceChildren(...readings(state, index));
    plot.redraw();
  }

  function show(next) {
    state = next;
    const { prediction, horizon } = state;
    slider.max = prediction.horizons_days.length - 1;
    note.textContent = noteOf(prediction);
    numbers.replaceChildren(tableOf(state));
    read(prediction.horizons_days.indexOf(horizon));
  }
  return { node, show };
}

/** The values at one day, which are the legend of the figure. */
function readings({ card, prediction }, at) {
  const causes = card.causes.map((cause, k) =>
    element(
      "div",
      { class: "reading" },
      swatch(k),
      element("span", {}, title(cause)),
      element("b", { "data-reading": cause }, percent(prediction.incidence[cause][at])),
      prediction.interval ? element("small", {}, span(prediction.interval[cause][at])) : null,
    ),
  );
  const free = element(
    "div",
    { class: "reading" },
    element("i", { class: "free-swatch" }),
    element("span", {}, "Free of all"),
    element("b", {}, percent(prediction.event_free[at])),
  );
  return [...causes, free];
}

function roomOf(width) {
  return { width, height: HEIGHT, left: 46, right: 16, top: TOP, bottom: 48 };
}

function draw({ card, prediction, horizon }, at, width) {
  const grid = prediction.horizons_days;
  const highest = card.causes.flatMap((cause) => (prediction.interval ? rising(prediction.interval[cause]).map(([, high]) => high) : null) ?? prediction.incidence[cause]);
  const shown = { last: grid.at(-1), ticks: dayTicks(grid.at(-1), width), top: topOf(highest) };
  const label = `days after day ${plainNumber(prediction.landmark_day)}`;
  const { x, y, nodes } = axes(roomOf(width), { ...shown, label });
  const bands = card.causes.map((cause, k) => {
    if (!prediction.interval) return null;
    const ends = rising(prediction.interval[cause]);
    const upper = grid.map((day, i) => [x(day), y(ends[i][1])]);
    const lower = grid.map((day, i) => [x(day), y(ends[i][0])]).reverse();
    return drawn("path", { class: `band cause-${k}`, d: `${path([[x(0), y(0)], ...upper, ...lower])}Z` });
  });
  const lines = card.causes.map((cause, k) => {
    const points = grid.map((day, i) => [x(day), y(prediction.incidence[cause][i])]);
    return drawn("path", { class: `line cause-${k}`, "stroke-dasharray": dashes(k), d: path([[x(0), y(0)], ...points]) });
  });
  const low = HEIGHT - 48;
  const dots = card.causes.map((cause, k) =>
    drawn("circle", { class: `dot cause-${k}`, cx: x(grid[at]), cy: y(prediction.incidence[cause][at]), r: 4.5 }),
  );
  return [
    ...nodes,
    drawn("line", { class: "horizon", x1: x(horizon), x2: x(horizon), y1: TOP, y2: low }),
    ...bands.filter(Boolean).reverse(),
    ...lines.reverse(),
    drawn("line", { class: "cursor", x1: x(grid[at]), x2: x(grid[at]), y1: TOP, y2: low }),
    ...dots,
  ];
}

/** Intervals as a band is drawn: risks never fall, so it goes no higher than at a later day, nor lower than before. */
function rising(ends) {
  const high = ends.map(([, end]) => end);
  for (let i = high.length - 2; i >= 0; i -= 1) high[i] = Math.min(high[i], high[i + 1]);
  let low = 0;
  return ends.map(([end], i) => [(low = Math.max(low, end)), high[i]]);
}

function described({ card, prediction }) {
  const last = prediction.horizons_days.at(-1);
  const ends = card.causes.map((cause) => `${words(cause)} ${percent(prediction.incidence[cause].at(-1))}`);
  return `Cumulative incidence curves up to ${days(last)}, where they reach: ${ends.join(", ")}. The table below has the numbers.`;
}

function noteOf(prediction) {
  const counted = `Days count from day ${plainNumber(prediction.landmark_day)} since infusion.`;
  const band =
    "Bands are 90 % intervals of the risk itself, right on average over patients; they do not say how this one patient " +
    "will fare. As risks never fall, a band is drawn no higher than at any later day, and no lower than at any earlier one.";
  return `${counted} ${prediction.interval ? band : "This model was fitted without intervals."}`;
}

function tableOf({ card, prediction }) {
  const grid = prediction.horizons_days;
  const every = Math.ceil(grid.length / 12);
  const kept = grid.map((_, i) => i).filter((i) => i % every === every - 1 || card.horizons_days.includes(grid[i]));
  const rows = kept.map((i) => [
    plainNumber(grid[i]),
    ...card.causes.map((cause) => (prediction.interval ? `${percent(prediction.incidence[cause][i])} (${span(prediction.interval[cause][i])})` : percent(prediction.incidence[cause][i]))),
    percent(prediction.event_free[i]),
  ]);
  const columns = ["Days", ...card.causes.map(title), "Free of all"];
  return folded("The curves as a table", table("Cumulative incidence by days after the landmark", columns, rows, { name: "curves" }));
}
