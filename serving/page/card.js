/* The model card: what the model is, what it takes, on whom it was trained, and how good it was. */

import { element, definitions, folded, table } from "./dom.js";
import { days, listed, plainNumber, ruleText, title, unitText, words } from "./words.js";

/** What is shown of a card, as nodes. */
export function cardNodes(card) {
  return [
    element("div", { class: "card-columns" }, about(card), cohort(card)),
    scores(card.metrics),
    variables(card),
    definitionsOf(card),
  ].flat();
}

function about(card) {
  const { endpoint } = card;
  return element(
    "section",
    {},
    element("h3", {}, "What it predicts"),
    definitions([
      ["Event", ruleText(endpoint.event)],
      ["Competing", listed(endpoint.competing.map(ruleText)) || "nothing"],
      ["Seen from", listed(card.landmark_days.map((day) => `day ${plainNumber(day)}`))],
      ["Up to", listed(card.horizons_days.map(days))],
      ["Kind of model", words(card.kind)],
      ["Name", card.name],
      ["Version", element("code", {}, card.version)],
      ["Run", element("code", {}, card.run_id)],
      ["Made from", element("code", {}, card.git_commit.slice(0, 12))],
    ]),
  );
}

function cohort(card) {
  const { training_cohort: own } = card;
  const causes = ["censored", ...card.causes];
  const rows = Object.entries(own.events).map(([day, counts]) => [
    `Day ${day}`,
    ...causes.map((cause) => (cause in counts ? String(counts[cause]) : "–")),
  ]);
  return element(
    "section",
    {},
    element("h3", {}, "On whom it was trained"),
    definitions([
      ["Cohort", own.title],
      ["Patients", `${own.n_patients.toLocaleString("en")}, ${own.provenance === "simulated" ? "simulated: nobody real" : "real"}`],
      ["Source", own.citation],
      ["Rows in the files", card.training_rows_held ? card.training_rows_held.toLocaleString("en") : "none"],
    ]),
    table("What happened to them first, by the day seen from", ["Seen from", ...causes.map(title)], rows),
  );
}

/** Metrics as "name/cause", with "name_lo" and "name_hi" beside those that have an interval. */
function scores(metrics) {
  const names = Object.keys(metrics).filter((name) => !/_(lo|hi)\//.test(name));
  const rows = names.map((name) => {
    const [metric, cause = ""] = name.split("/");
    const ends = ["lo", "hi"].map((end) => metrics[`${metric}_${end}/${cause}`]);
    const interval = ends.every((end) => typeof end === "number") ? `${ends[0].toFixed(3)} to ${ends[1].toFixed(3)}` : "–";
    const value = metrics[name];
    return [metricName(metric), words(cause), value === null ? "undefined" : value.toFixed(3), interval];
  });
  return folded("Cross-validated scores, on patients not trained on", table("0.5 is chance for AUC and C; IPA is the gain over one risk for everyone", ["Score", "Cause", "Value", "95 % interval"], rows));
}

function metricName(metric) {
  const [name, horizon] = metric.split("_");
  const known = { auc: "AUC", c: "C", ibs: "Integrated Brier score", ipa: "IPA", brier: "Brier score" };
  return `${known[name] ?? words(metric)}${horizon && known[name] ? ` by day ${horizon.replace(/d$/, "")}` : ""}`;
}

function variables(card) {
  const rows = card.variables.map((one) => [
    title(one.name),
    one.kind === "numeric" ? unitText(one.unit) || "number" : (one.levels ?? []).join(", ") || "text",
    one.range ? `${plainNumber(one.range[0])} to ${plainNumber(one.range[1])}` : "–",
    listed(one.given_as),
    one.loinc ?? "–",
  ]);
  const columns = ["Variable", "Unit or levels", "Possible", "Given as", "LOINC"];
  return folded(`What it takes: ${card.variables.length} variables`, table("Clinical variables", columns, rows, { numeric: false }));
}

function definitionsOf(card) {
  const parts = [];
  if (card.events.length) parts.push(["Events counted", listed(card.events.map(words))]);
  if (card.scores.length) parts.push(["Published scores", listed(card.scores.map(words))]);
  if (card.grades.length) parts.push(["Grades", listed(card.grades.map(words))]);
  if (card.cells) parts.push(["Cells", cellsText(card.cells)]);
  return parts.length ? [definitions(parts)] : [];
}

function cellsText(cells) {
  const clones = cells.clones ? "; clones" : "";
  return `of ${listed(cells.materials.map(words))}: ${cells.genes.length} genes${clones}`;
}
