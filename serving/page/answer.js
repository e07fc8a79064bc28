/* What is shown of an answer: its parts, all of the same horizon, and what is said above them. */

import { benefit } from "./benefit.js";
import { calibration } from "./calibration.js";
import { curves } from "./curves.js";
import { element } from "./dom.js";
import { drivers } from "./drivers.js";
import { headline } from "./headline.js";
import { landmarks } from "./landmarks.js";
import { noted } from "./noted.js";
import { printed } from "./printed.js";
import { tiers } from "./tiers.js";
import { days, listed, percent, plainNumber, words } from "./words.js";

const SHORT = { risk: "Risk", tier: "Tier", curves: "Over time", benefit: "Benefit and risk", landmarks: "Course", drivers: "Drivers", noted: "Missing", calibration: "Calibration", about: "The model" };
const OUTDATED = "These numbers are of what was entered before. Press Predict for what is entered now.";

/** @returns {{node, show, follow, explain, outdate, awaitsStates}} */
export function answerOf(card) {
  const [tier, why, sides, others] = [tiers(), drivers(), benefit(), calibration()];
  const parts = [headline(), tier, curves(), sides, landmarks(), why, noted(), others];
  const ofPatient = [tier, sides, others];
  const sheet = printed(card);
  let state = { card, horizon: card.horizons_days.at(-1) };
  const horizons = horizonChoice(card, state.horizon, (day) => update({ horizon: day }));
  const outdated = element("p", { class: "outdated", role: "status" });
  const warning = element("p", { class: "warning", role: "alert", hidden: true });
  const nav = element("nav", { class: "parts", "aria-label": "Parts of the prediction" });
  const shown = element("div", { class: "answer", hidden: true }, horizons, outdated, warning, nav, sheet.node, parts.map((one) => one.node));
  const invitation = invitationOf(card);
  const said = document.getElementById("said");

  function update(changed) {
    state = { ...state, ...changed };
    for (const one of parts) {
      one.node.hidden = ofPatient.includes(one) && state.prediction.happened.length > 0;
      if (!one.node.hidden) one.show(state);
    }
  }

  function show(record, { model, predictions }) {
    const [prediction, ...earlier] = predictions;
    invitation.hidden = true;
    shown.hidden = false;
    shown.classList.remove("old");
    outdated.textContent = "";
    warning.hidden = !prediction.happened.length;
    warning.textContent = warning.hidden ? "" : warningOf(card, prediction);
    update({ record, prediction, seen: [...earlier, prediction], explanation: null, refusal: null, followed: null, refusedStates: null, awaited: awaitsStates(prediction) });
    nav.replaceChildren(...links(parts.map((one) => one.node)));
    sheet.show(state, model);
    const risk = prediction.incidence[card.causes[0]][prediction.horizons_days.indexOf(state.horizon)];
    said.textContent = `Predicted, seen from day ${plainNumber(prediction.landmark_day)}: ${words(card.causes[0])} within ${days(state.horizon)} ${percent(risk)}.`;
    if (matchMedia("(max-width: 67.4rem)").matches) document.getElementById("results").scrollIntoView();
  }

  /** Whether the model knows the states that this patient goes through from this day on. */
  function awaitsStates({ landmark_day: day, happened }) {
    return day === card.states?.landmark_day && !happened.length;
  }

  function follow(followed, refusedStates) {
    state = { ...state, followed, refusedStates, awaited: false };
    sides.show(state);
  }

  function explain(explanation, refusal) {
    state = { ...state, explanation, refusal };
    why.show(state);
  }

  /** What is shown is not of what the form now holds. */
  function outdate() {
    if (shown.hidden || shown.classList.contains("old")) return;
    shown.classList.add("old");
    outdated.textContent = OUTDATED;
  }
  return { node: element("div", {}, invitation, shown), show, follow, explain, outdate, awaitsStates };
}

function warningOf(card, { happened, landmark_day: day }) {
  return (
    `This is not this patient’s risk. The record has ${listed(happened.map(words))} by day ${plainNumber(day)}, which ${happened.length > 1 ? "are events" : "is an event"} of ${words(card.endpoint.name)}; ` +
    "the model predicts a first event, and learnt from patients who had none by the day they were seen from. Neither a tier nor days to come are told. Choose an earlier day, or correct the events."
  );
}

function horizonChoice(card, chosen, onChange) {
  const choices = card.horizons_days.map((day) => {
    const input = element("input", { type: "radio", name: "horizon", value: day, id: `h-${day}`, change: () => onChange(day) });
    input.checked = day === chosen;
    return element("label", { for: input.id }, input, element("span", {}, days(day)));
  });
  return element("fieldset", { class: "horizons" }, element("legend", {}, "Within"), element("div", {}, choices));
}

/** To the parts that are shown, and to the model below them. */
function links(nodes) {
  const shown = [...nodes.filter((node) => !node.hidden).map((node) => node.id), "about"];
  return shown.map((id) => element("a", { href: `#${id}` }, SHORT[id]));
}

function invitationOf(card) {
  const shown = [
    "The risk of each event over time, with what competes",
    card.states ? "Days in each state: free of all events, after each, and how often each is met" : "Days free of all events, and days lost to each",
    "How the risk changed, and what drives it",
    "What is missing or unusual about the patient",
    "How well the model is calibrated for patients of similar risk",
  ];
  return element(
    "div",
    { id: "invitation", class: "invitation" },
    element("p", {}, element("b", {}, "Choose an example, or enter what is known of a patient and press Predict.")),
    element("ul", {}, shown.map((text) => element("li", {}, text))),
  );
}
