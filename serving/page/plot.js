/* What all figures share: axes, lines and how causes are told apart without colour. */

import { drawn, element } from "./dom.js";
import { percent, plainNumber } from "./words.js";

const DASHES = ["none", "8 4", "2 3.5", "10 3.5 2 3.5", "5 2", "1 5"];
const ROOM = 30;
const STEPS = [1, 2, 5, 7, 10, 14, 20, 30, 60, 90, 180, 365, 730, 1461, 1826, 3652];

/** The dashes of a cause's line. */
export function dashes(cause) {
  return DASHES[cause % DASHES.length];
}

/** A sample of a cause's line, for legends. */
export function swatch(cause) {
  const line = { x1: 1, x2: 33, y1: 6, y2: 6, class: "line", "stroke-dasharray": dashes(cause) };
  return drawn("svg", { class: `swatch cause-${cause}`, viewBox: "0 0 34 12", "aria-hidden": "true" }, drawn("line", line));
}

/** A figure that is drawn anew, in its own pixels, whenever its width changes.
 *  @param side what its shares are of, as a line above it; "" for none
 *  @param draw of (width), gives the nodes within
 *  @returns {{node, svg, redraw}} */
export function figure(height, description, draw, side = () => "") {
  const svg = drawn("svg", { class: "plot", height, role: "img" });
  const name = element("p", { class: "side" });
  const node = element("div", { class: "plot-room" }, name, svg);
  svg.style.minHeight = `${height}px`;
  const redraw = () => {
    const width = Math.round(node.clientWidth);
    if (!width) return;
    name.textContent = side();
    svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    svg.setAttribute("width", width);
    svg.setAttribute("aria-label", description());
    svg.replaceChildren(...draw(width));
  };
  new ResizeObserver(redraw).observe(node);
  return { node, svg, redraw };
}

/** Axes of shares over a number.
 *  @param room {width, height, left, right, top, bottom}
 *  @returns {{x, y, nodes}} where x and y turn values into pixels */
export function axes(room, { lowest = 0, last, ticks, top, label, tickText = plainNumber }) {
  const [left, right] = [room.left, room.width - room.right];
  const [high, low] = [room.top, room.height - room.bottom];
  const x = (value) => left + ((right - left) * (value - lowest)) / (last - lowest || 1);
  const y = (share) => low - ((low - high) * share) / top;
  const levels = shareTicks(top).map((share) => [
    drawn("line", { class: share ? "grid" : "axis", x1: left, x2: right, y1: y(share), y2: y(share) }),
    drawn("text", { class: "tick", x: left - 8, y: y(share) + 4, "text-anchor": "end" }, percentTick(share)),
  ]);
  const marks = ticks.map((value) => [
    drawn("line", { class: "axis at", x1: x(value), x2: x(value), y1: low, y2: low + 5 }),
    drawn("text", { class: "tick at", x: x(value), y: low + 19, "text-anchor": "middle" }, tickText(value)),
  ]);
  const name = drawn("text", { class: "label", x: right, y: low + 37, "text-anchor": "end" }, label);
  return { x, y, nodes: [...levels.flat(), ...marks.flat(), name] };
}

/** Share ticks without decimals that say nothing. */
export function percentTick(share) {
  return percent(share).replace(".0", "");
}

/** Those of ascending values that stand apart: the last, the first, and what has room between.
 *  @param place of a value, in pixels
 *  @param least pixels between two */
export function apart(values, place, least = ROOM) {
  const [first, ...others] = values;
  const kept = [];
  const clear = (one, other) => Math.abs(place(one) - place(other)) >= least;
  for (const value of others.reverse()) {
    if (!kept.length || (clear(kept[0], value) && clear(first, value))) kept.unshift(value);
  }
  return first !== undefined && (!kept.length || clear(first, kept[0])) ? [first, ...kept] : kept;
}

/** Days for ticks from 0 to the last, which is one of them, as many as a width takes. */
export function dayTicks(last, width) {
  const most = Math.max(2, Math.floor(width / 75));
  const step = STEPS.find((one) => last / one <= most + 0.2) ?? Math.ceil(last / most);
  const even = Array.from({ length: Math.ceil(last / step - 1e-9) }, (_, i) => i * step);
  return apart([...even, last], (day) => (day * width) / last, 50);
}

/** The least round share above all that is drawn. */
export function topOf(shares) {
  const most = Math.max(...shares, 0.01);
  return [0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1].find((one) => one >= most) ?? 1;
}

/** Ticks for shares up to a round one. */
export function shareTicks(top) {
  const parts = [0.3, 0.6].includes(top) ? 3 : [0.05, 0.5, 1].includes(top) ? 5 : 4;
  return Array.from({ length: parts + 1 }, (_, i) => (top * i) / parts);
}

/** Points as the path of a line. */
export function path(points) {
  return points.map(([x, y], i) => `${i ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`).join("");
}
