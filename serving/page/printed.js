/* What paper needs beside the numbers: what was entered, which model answered, and when. */

import { element, definitions } from "./dom.js";
import { plainNumber, title, unitText } from "./words.js";

/** Seen on paper alone.
 *  @returns {{node, show}} */
export function printed(card) {
  const node = element("section", { class: "printed", "aria-hidden": "true" });
  function show({ record, prediction }, model) {
    const pairs = [
      ["Patient", record.patient_id || "without an id"],
      ["Seen from", `day ${plainNumber(prediction.landmark_day)} since infusion`],
      ...Object.entries(record.baseline ?? {}).map(([name, value]) => [title(name), valueText(card, name, value)]),
      ...(record.measurements ?? []).map((one) => [title(one.variable), `${valueText(card, one.variable, one)}, day ${plainNumber(one.day)}`]),
      ...(record.events ?? []).map((one) => [title(one.event), `${one.grade ? `grade ${one.grade}, ` : ""}day ${plainNumber(one.day)}`]),
      ["Samples", String(record.samples?.length ?? 0)],
      ["Model", `${model.name}, version ${model.version}, run ${model.run_id}`],
      ["Predicted", new Date().toLocaleString("en-GB", { dateStyle: "long", timeStyle: "short" })],
    ];
    node.replaceChildren(element("h3", {}, "What was entered"), definitions(pairs));
  }
  return { node, show };
}

function valueText(card, name, given) {
  const { value, unit } = typeof given === "object" && given !== null ? given : { value: given, unit: null };
  if (value === null || value === undefined || value === "") return "not known";
  if (typeof value !== "number") return String(value);
  const own = card.variables.find((one) => one.name === name)?.unit ?? "1";
  return `${plainNumber(value)} ${unitText(unit ?? own)}`.trim();
}
