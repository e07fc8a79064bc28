/* The page: reads the model, asks for predictions, and hands the answers to the parts that show them. */

import { Refused, asked, useKey } from "./api.js";
import { benefit } from "./benefit.js";
import { calibration } from "./calibration.js";
import { cardNodes } from "./card.js";
import { curves } from "./curves.js";
import { element } from "./dom.js";
import { drivers } from "./drivers.js";
import { examplesOf } from "./examples.js";
import { patientForm } from "./form.js";
import { headline } from "./headline.js";
import { landmarks } from "./landmarks.js";
import { noted } from "./noted.js";
import { paste } from "./paste.js";
import { gridDays } from "./records.js";
import { tiers } from "./tiers.js";
import { days, percent, plainNumber, ruleText, title, words } from "./words.js";

const at = (id) => document.getElementById(id);

start();

/** Read what the service says of its model; ask for a key where it wants one. */
async function start() {
  try {
    const [card, schema] = await Promise.all([asked("v1/model"), asked("v1/schema")]);
    at("answer").replaceChildren();
    introduce(card);
    ready(card, schema);
  } catch (refusal) {
    if (!(refusal instanceof Refused)) throw refusal;
    if (refusal.status === 401) askForKey();
    else unavailable(refusal);
  } finally {
    document.body.classList.remove("reading");
    at("key")?.focus();
  }
}

/** Keys are held in memory until the page is closed. */
function askForKey() {
  const input = element("input", { type: "password", id: "key", autocomplete: "off", required: true, "aria-describedby": "key-hint" });
  const again = at("key") !== null;
  const said = again ? "This key is not known, or has expired." : "This service answers those who have a key.";
  const hint = "It is kept in the memory of this page alone, and forgotten when the page is closed.";
  const form = element(
    "form",
    { class: "key", autocomplete: "off", submit: (event) => (event.preventDefault(), useKey(input.value.trim()), start()) },
    element("p", { role: again ? "alert" : null }, said),
    element("label", { for: "key" }, "Key"),
    input,
    element("p", { class: "hint", id: "key-hint" }, hint),
    element("button", { type: "submit", class: "primary" }, "Go on"),
  );
  at("lead").textContent = "A key is needed.";
  at("patient").replaceChildren(form);
}

function unavailable(refusal) {
  const button = element("button", { type: "button", class: "plain", click: start }, "Try again");
  at("lead").textContent = "No model can be asked.";
  at("answer").replaceChildren(element("p", { role: "alert" }, refusal.message), button);
}

/** Who answers, of what, and from whom it was learnt. */
function introduce(card) {
  const simulated = card.training_cohort.provenance === "simulated";
  const name = title(card.endpoint.name);
  document.title = `${name} – Sequela`;
  at("title").textContent = `${name}: predicted risk`;
  const who = `${card.training_cohort.n_patients.toLocaleString("en")} ${simulated ? "simulated " : ""}patients`;
  at("lead").textContent = `The risk of ${ruleText(card.endpoint.event)} within ${days(card.horizons_days.at(-1))}, with ${card.causes.slice(1).map(words).join(" and ") || "nothing"} competing, as the model ${card.name} learnt it from ${who}.`;
  if (simulated) {
    at("banner").classList.add("simulated");
    at("banner").textContent = "Trained on simulated patients: these numbers are about nobody. A research instrument, not a medical device.";
  }
  at("card").replaceChildren(...cardNodes(card));
  at("about").hidden = false;
}

/** The form, the examples, and an empty place for the answer. */
function ready(card, schema) {
  const answer = answerOf(card);
  const form = patientForm(card, schema, () => predict(form.record()), answer.outdate);
  let newest = null;

  async function predict(record) {
    newest?.abort();
    const mine = (newest = new AbortController());
    form.node.setAttribute("aria-busy", "true");
    answer.outdate();
    try {
      const [predicted, states] = await Promise.all([asked("v1/predict", requestOf(record, card), mine.signal), statesOf(record, mine.signal)]);
      form.clear();
      answer.show(record, predicted, states);
      form.node.removeAttribute("aria-busy");
      await explain(record, mine.signal);
    } catch (refusal) {
      if (refusal.name === "AbortError") return;
      form.node.removeAttribute("aria-busy");
      if (!(refusal instanceof Refused)) throw refusal;
      if (refusal.status === 401) start();
      else form.refuse(refusal);
    }
  }

  /** The states the patient goes through, where the model knows them from this day; or why it does not say. */
  async function statesOf({ patient_id: _, ...nobody }, signal) {
    if (!card.states || nobody.landmark_day !== card.states.landmark_day) return {};
    try {
      const { patients } = await asked("v1/states", { patients: [nobody] }, signal);
      return { followed: patients[0] };
    } catch (refusal) {
      if (!(refusal instanceof Refused)) throw refusal;
      return { refusedStates: refusal };
    }
  }

  async function explain(record, signal) {
    try {
      const explained = await asked("v1/explain", { patients: [record] }, signal);
      answer.explain(explained.explanations[0], null);
    } catch (refusal) {
      if (!(refusal instanceof Refused)) throw refusal;
      answer.explain(null, refusal);
    }
  }

  const examples = examplesOf(card).map(({ name, text, record }) =>
    element("li", {}, element("button", { type: "button", class: "example", click: () => (form.fill(record), predict(form.record())) }, element("b", {}, name), element("span", {}, text))),
  );
  at("patient").replaceChildren(
    element("h3", { id: "examples-title" }, "Examples"),
    element("ul", { class: "examples", "aria-labelledby": "examples-title" }, examples),
    paste((record) => (form.fill(record), predict(form.record()))),
    form.node,
  );
  form.fill({});
  at("answer").replaceChildren(invitation(card), answer.node);
}

function invitation(card) {
  const shown = [
    "The risk of each event over time, with what competes",
    card.states ? "Days in each state: free of all events, after each, and how often each is met" : "Days free of all events, and days lost to each",
    "How the risk changed, and what drives it",
    "What is missing or unusual about the patient",
    "How well the model is calibrated for such patients",
  ];
  return element(
    "div",
    { id: "invitation", class: "invitation" },
    element("p", {}, element("b", {}, "Choose an example, or enter what is known of a patient and press Predict.")),
    element("ul", {}, shown.map((text) => element("li", {}, text))),
  );
}

/** One request: the patient from the day asked for, then from the model's landmarks before it.
 *  Those go without the id: looking back is no prediction that outcomes could be compared with. */
function requestOf(record, card) {
  const day = record.landmark_day;
  const before = typeof day === "number" ? card.landmark_days.filter((landmark) => landmark < day) : [];
  const { patient_id: _, ...nobody } = record;
  const patients = [record, ...before.map((landmark) => ({ ...nobody, landmark_day: landmark }))];
  return { patients, horizons_days: gridDays(card.horizons_days) };
}

/** What is shown of an answer; all parts speak of the same horizon. */
function answerOf(card) {
  const why = drivers();
  const parts = [headline(), tiers(), curves(), benefit(), landmarks(), why, noted(), calibration()];
  let state = { card, horizon: card.horizons_days.at(-1) };
  const choices = card.horizons_days.map((day) => {
    const input = element("input", { type: "radio", name: "horizon", value: day, id: `h-${day}`, change: () => update({ horizon: day }) });
    input.checked = day === state.horizon;
    return element("label", { for: input.id }, input, element("span", {}, days(day)));
  });
  const horizons = element("fieldset", { class: "horizons" }, element("legend", {}, "Within"), element("div", {}, choices));
  const outdated = element("p", { class: "outdated", role: "status" });
  const node = element("div", { class: "answer", hidden: true }, horizons, outdated, parts.map((one) => one.node));

  function update(changed) {
    state = { ...state, ...changed };
    for (const one of parts) one.show(state);
  }

  function show(record, { predictions }, { followed = null, refusedStates = null }) {
    const [prediction, ...earlier] = predictions;
    at("invitation").hidden = true;
    node.hidden = false;
    node.classList.remove("old");
    outdated.textContent = "";
    update({ record, prediction, seen: [...earlier, prediction], explanation: null, refusal: null, followed, refusedStates });
    const risk = prediction.incidence[card.causes[0]][prediction.horizons_days.indexOf(state.horizon)];
    at("said").textContent = `Predicted, seen from day ${plainNumber(prediction.landmark_day)}: ${words(card.causes[0])} within ${days(state.horizon)} ${percent(risk)}.`;
    if (matchMedia("(max-width: 67.4rem)").matches) at("results").scrollIntoView();
  }

  function explain(explanation, refusal) {
    state = { ...state, explanation, refusal };
    why.show(state);
  }
  /** What is shown is not of what the form now holds. */
  function outdate() {
    if (node.hidden || node.classList.contains("old")) return;
    node.classList.add("old");
    outdated.textContent = "These numbers are of what was entered before. Press Predict for what is entered now.";
  }
  return { node, show, explain, outdate };
}
