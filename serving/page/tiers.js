/* The tier of the risk: where its thresholds are, what published guidance offers there, and what the tier rests on. */

import { drawn, element, part } from "./dom.js";
import { apart, figure, percentTick } from "./plot.js";
import { days, percent, plainNumber, points, ruleText, title } from "./words.js";

const HEIGHT = 60;
const EDGE = 8;
const MARK = 8;

/** @returns {{node, show}} Hidden where the endpoint has no tiers. */
export function tiers() {
  const lead = element("p", { "data-tier": true });
  let drawnFrom = null;
  const scale = figure(HEIGHT, () => described(drawnFrom), (width) => draw(drawnFrom, width));
  const legend = element("ul", { class: "tiers" });
  const offered = element("ul", { class: "options" });
  const note = element("p", { class: "note" });
  const node = part("tier", "Tier, and what guidance offers there", lead, scale.node, legend, offered, note);
  function show({ card, prediction }) {
    const { decision } = card.endpoint;
    node.hidden = !decision;
    if (!decision) return;
    const risk = prediction.incidence[card.causes[0]][prediction.horizons_days.indexOf(decision.horizon_days)];
    const level = decision.tiers.findLastIndex((tier) => tier.from_risk <= risk);
    lead.replaceChildren(...leadOf(card, decision, risk, level));
    drawnFrom = { decision, risk };
    scale.redraw();
    legend.replaceChildren(...decision.tiers.map((tier, i) => legendOf(decision, tier, i, level)));
    offered.replaceChildren(...optionsOf(card, decision, level).map(optionNode));
    note.textContent = `For a clinician to weigh; no order. ${restsOn(card, decision, prediction, level)}`;
  }
  return { node, show };
}

function leadOf(card, decision, risk, level) {
  return [
    element("strong", {}, title(decision.tiers[level].name)),
    ` (${rangeOf(decision, level)}): ${within(decision, risk)} risk of ${ruleText(card.endpoint.event)} within ${days(decision.horizon_days)}.`,
  ];
}

function rangeOf({ tiers: all }, level) {
  const [from, to] = [all[level].from_risk, all[level + 1]?.from_risk];
  if (to === undefined) return `from ${percent(from)} on`;
  return level ? `from ${percent(from)} to ${percent(to)}` : `below ${percent(to)}`;
}

function legendOf(decision, tier, i, level) {
  const own = i === level;
  const name = element(own ? "b" : "span", {}, title(tier.name), own ? " ▾ this patient" : "");
  return element("li", {}, shaded(element("i", { class: "tier-swatch" }), decision, i), name, element("small", {}, rangeOf(decision, i)));
}

/** The higher the tier, the stronger. */
function shaded(node, decision, i) {
  node.style.setProperty("--strength", `${(85 * i) / (decision.tiers.length - 1)}%`);
  return node;
}

/** A risk with as many digits as it takes to be read in its own tier. */
function within(decision, risk) {
  const level = (share) => decision.tiers.findLastIndex((tier) => tier.from_risk <= share + 1e-12);
  const shown = Number(points(risk).replace("<", "")) / 100;
  if (level(shown) === level(risk)) return percent(risk);
  const digits = [1, 2, 3, 4].find((one) => level(Number((100 * risk).toFixed(one)) / 100) === level(risk)) ?? 5;
  return percent(risk).replace(points(risk), (100 * risk).toFixed(digits));
}

/** Tiers side by side as wide as their ranges up to where the last one can be read, with the patient's place; a
 *  threshold is written where it stands clear of the next one, and the legend has all. */
function draw({ decision, risk }, width) {
  const starts = decision.tiers.map((tier) => tier.from_risk);
  const top = Math.min(1, Math.max(1.6 * starts.at(-1), 1.15 * risk));
  const x = (share) => EDGE + ((width - 2 * EDGE) * share) / top;
  const bands = decision.tiers.map((tier, i) => {
    const [left, right] = [x(tier.from_risk), x(starts[i + 1] ?? top)];
    return shaded(drawn("rect", { class: "tier", x: left, y: 20, width: Math.max(1, right - left - 2), height: 14, rx: 2 }), decision, i);
  });
  const texts = apart(starts.slice(1), x, 48).map((share) =>
    drawn("text", { class: "tick", x: x(share), y: 53, "text-anchor": x(share) > width - 30 ? "end" : "middle" }, percentTick(share)),
  );
  return [...bands, ...texts, drawn("path", { class: "mark", d: `M${x(risk)} 18l-6 -${MARK}h12z` })];
}

function described({ decision, risk }) {
  const starts = decision.tiers.slice(1).map((tier) => `${tier.name} from ${percent(tier.from_risk)} on`);
  return `The risk is ${percent(risk)}; ${starts.join(", ")}.`;
}

/** Of the tier and of those below it. */
function optionsOf(card, decision, level) {
  const keys = decision.tiers.slice(0, level + 1).flatMap((tier) => tier.options);
  return [...new Set(keys)].map((key) => card.guidance[key]);
}

function optionNode(option) {
  return element("li", {}, element("b", {}, option.title), element("span", {}, option.text), element("small", {}, option.source));
}

/** How the tier's threshold came, and what acting from it on was worth from the last landmark up to the patient's. */
function restsOn(card, decision, prediction, level) {
  const above = Math.max(level, 1);
  const threshold = decision.tiers[above].from_risk;
  const measured = card.decision.filter((one) => one.threshold === threshold && one.landmark_day <= prediction.landmark_day);
  const worth = measured.at(-1)?.said ?? `Whether acting from a risk of ${plainNumber(100 * threshold)} % on is of use was not measured.`;
  return `${card.thresholds[above - 1].said} ${worth}`;
}
