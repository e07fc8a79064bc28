/* Patients to begin with, all made of what the model card says: nobody's values. */

import { days, plainNumber, title, unitText, words } from "./words.js";

/** Examples as {name, text, record}. */
export function examplesOf(card) {
  const own = withoutNulls(card.example.request.patients[0]);
  const [first, last] = [card.landmark_days[0], card.landmark_days.at(-1)];
  const found = [{ name: "Example of the model", text: "Made of training medians: nobody’s values.", record: own }];
  const other = last > (own.landmark_day ?? 0) ? last : first;
  if (first !== last) {
    const later = "The same patient without an event by then; nothing new was measured.";
    const text = other === last ? later : "The same patient, with what was known by then.";
    found.push({ name: `The same, seen from day ${plainNumber(other)}`, text, record: { ...own, landmark_day: other } });
  }
  const unknown = { landmark_day: own.landmark_day ?? first };
  found.push({ name: "Nothing known", text: "No value at all: everything is imputed.", record: unknown });
  const extreme = card.variables.find((one) => one.given_as.includes("baseline") && one.kind === "numeric" && one.range);
  if (extreme) found.push(atItsLimit(extreme, own));
  return found;
}

function atItsLimit(variable, own) {
  const value = variable.range[1];
  const unit = variable.unit === "d" ? days(value) : `${plainNumber(value)} ${unitText(variable.unit)}`.trim();
  return {
    name: `${title(variable.name)} at its limit`,
    text: `The first example with ${words(variable.name)} ${unit}, the most that is taken: shows how the unusual is told.`,
    record: { ...own, baseline: { ...own.baseline, [variable.name]: value } },
  };
}

/* The id is left out as well: examples are nobody of whom outcomes could be told later. */
function withoutNulls(record) {
  const { patient_id: _, ...kept } = Object.fromEntries(Object.entries(record).filter(([, value]) => value !== null));
  return kept;
}
