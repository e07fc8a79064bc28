/* The page: reads the model, asks for predictions, and hands the answers to the parts that show them. */

import { answerOf } from "./answer.js";
import { Refused, asked } from "./api.js";
import { cardNodes } from "./card.js";
import { element } from "./dom.js";
import { examplesOf } from "./examples.js";
import { patientForm } from "./form.js";
import { askForKey } from "./key.js";
import { paste } from "./paste.js";
import { gridDays } from "./records.js";
import { count, days, ruleText, title, words } from "./words.js";

const at = (id) => document.getElementById(id);

start();

/** Read what the service says of its model; ask for a key where it wants one. */
async function start() {
  const keyed = at("key") !== null;
  try {
    const [card, schema] = await Promise.all([asked("v1/model"), asked("v1/schema")]);
    at("gate").replaceChildren();
    at("answer").replaceChildren();
    introduce(card);
    ready(card, schema);
    if (keyed) at("examples-title").focus();
  } catch (refusal) {
    if (!(refusal instanceof Refused)) throw refusal;
    if (refusal.status === 401) gate(keyed ? "unknown" : "first");
    else unavailable(refusal);
  } finally {
    document.body.classList.remove("reading");
    at("key")?.focus();
  }
}

function gate(why) {
  at("lead").textContent = "A key is needed.";
  at("answer").replaceChildren();
  askForKey(at("gate"), why, start);
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
  const who = `${count(card.training_cohort.n_patients)} ${simulated ? "simulated " : ""}patients`;
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
  const pasted = paste((record) => show(record, pasted));
  let asking = null;
  let telling = null;

  function show(record, from = null) {
    form.fill(record);
    predict(form.record(), from);
  }

  /** @param from where the record was pasted, which is told what is refused of no field */
  async function predict(record, from = null) {
    asking?.abort();
    const mine = (asking = new AbortController());
    form.node.setAttribute("aria-busy", "true");
    answer.outdate();
    try {
      const predicted = await asked("v1/predict", requestOf(record, card), mine.signal);
      form.clear();
      closeGate();
      telling?.abort(); // what drives the answer before is told until there is another one
      telling = new AbortController();
      answer.show(record, predicted);
      tellMore(record, predicted.predictions[0], telling.signal);
    } catch (refusal) {
      if (refusal.name === "AbortError") return;
      if (!(refusal instanceof Refused)) throw refusal;
      if (refusal.status === 401) askForKey(at("gate"), at("key") ? "unknown" : "ended", () => predict(record, from));
      else refuse(refusal, from);
    } finally {
      if (asking === mine) form.node.removeAttribute("aria-busy");
    }
  }

  function closeGate() {
    if (!at("key")) return;
    at("gate").replaceChildren();
    at("results").focus({ preventScroll: true });
  }

  function refuse(refusal, from) {
    closeGate();
    const placed = form.refuse(refusal);
    if (!placed && from) from.refuse(`${refusal.field ? `${refusal.field}: ` : ""}${refusal.rule}`);
  }

  /** What comes after the risk: the states the patient goes through, and why. */
  function tellMore(record, prediction, signal) {
    const { patient_id: _, ...nobody } = record;
    if (answer.awaitsStates(prediction)) {
      tell(asked("v1/states", { patients: [nobody] }, signal), (found, refusal) => answer.follow(found?.patients[0] ?? null, refusal));
    }
    tell(asked("v1/explain", { patients: [record] }, signal), (found, refusal) => answer.explain(found?.explanations[0] ?? null, refusal));
  }

  const examples = examplesOf(card).map(({ name, text, record }) =>
    element("li", {}, element("button", { type: "button", class: "example", click: () => show(record) }, element("b", {}, name), element("span", {}, text))),
  );
  at("patient").replaceChildren(
    element("h3", { id: "examples-title", tabindex: "-1" }, "Examples"),
    element("ul", { class: "examples", "aria-labelledby": "examples-title" }, examples),
    pasted.node,
    form.node,
  );
  form.fill({});
  at("answer").replaceChildren(answer.node);
}

/** Tell what was asked, or why it was refused; nothing where it is no longer wanted. */
async function tell(question, told) {
  try {
    told(await question, null);
  } catch (refusal) {
    if (refusal.name === "AbortError") return;
    if (!(refusal instanceof Refused)) throw refusal;
    told(null, refusal);
  }
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
