/* The model card: what the model is, what it takes, on whom it was trained, and how good it was. */

import { element, definitions, folded, table } from "./dom.js";
import { count, exactDays, listed, plainNumber, ruleText, title, unitText, words } from "./words.js";

/** What is shown of a card, as nodes. */
export function cardNodes(card) {
  return [
    element("div", { class: "card-columns" }, about(card), cohort(card)),
    scores(card),
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
      ["Up to", listed(card.horizons_days.map(exactDays))],
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
      ["Patients", `${count(own.n_patients)}, ${own.provenance === "simulated" ? "simulated: nobody real" : "real"}`],
      ["Source", own.citation],
      ["Rows in the files", card.training_rows_held ? count(card.training_rows_held) : "none"],
    ]),
    table("What happened to them first, by the day seen from", ["Seen from", ...causes.map(title)], rows),
  );
}

/** Cross-validated metrics, a row for each score and landmark, a column for each cause; others as they are called. */
function scores(card) {
  const rows = new Map();
  for (const [key, value] of Object.entries(card.metrics)) {
    const [, name, end, landmark, cause] = key.match(/^(.*?)(_lo|_hi)?(?:_from([\d.]+))?\/(.*)$/) ?? [null, key, undefined, undefined, ""];
    const row = `${metricName(name)}, from day ${landmark ?? plainNumber(card.landmark_days[0])}`;
    const cells = rows.get(row) ?? rows.set(row, {}).get(row);
    cells[cause] = { ...cells[cause], [end ?? "point"]: value };
  }
  const causes = [...new Set([...rows.values()].flatMap(Object.keys))];
  const body = [...rows].map(([row, cells]) => [row, ...causes.map((cause) => scoreCell(cells[cause] ?? {}))]);
  const caption = "95 % intervals; 0.5 is chance for AUC and C; IPA is the gain over one risk for everyone";
  const shown = table(caption, ["Score", ...causes.map((cause) => title(cause) || "Value")], body, { name: "scores" });
  return folded("Cross-validated scores, on patients not trained on", shown);
}

function scoreCell({ point, _lo: low, _hi: high }) {
  if (point === null || point === undefined) return "–";
  const ends = typeof low === "number" && typeof high === "number" ? element("small", {}, `${low.toFixed(3)} to ${high.toFixed(3)}`) : null;
  return [point.toFixed(3), ends];
}

function metricName(metric) {
  const [, name, day] = metric.match(/^(.*?)(?:_([\d.]+)d)?$/);
  const known = { auc: "AUC", c: "C", ibs: "Integrated Brier score", ipa: "IPA" };
  return `${known[name] ?? words(name)}${day ? ` by day ${day}` : ""}`;
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
