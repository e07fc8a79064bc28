/* Patients as the service takes them. */

/** The patients of a pasted text: of a whole request, of a list, or the one.
 *  @throws {Error} that says what the text should have been */
export function recordsOf(text) {
  let content;
  try {
    content = JSON.parse(text);
  } catch (error) {
    throw new Error(`This is not JSON (${error.message}). Paste a patient, or a whole request to /v1/predict.`);
  }
  const records = Array.isArray(content) ? content : (content?.patients ?? [content]);
  const sound = Array.isArray(records) && records.length && records.every(isRecord);
  if (!sound) throw new Error('This is JSON, but no patient: an object such as {"baseline": {"age": 63}} is needed.');
  return records;
}

function isRecord(value) {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** A number where the text is one; else the text, for the service to refuse. */
export function numberOrText(text) {
  const number = Number(text.trim().replace("−", "-").replace(",", "."));
  return Number.isFinite(number) ? number : text;
}

/** Times of the curves: an even grid, and the endpoint's horizons. */
export function gridDays(horizons, points = 60) {
  const last = horizons.at(-1);
  const even = Array.from({ length: points }, (_, i) => (last * (i + 1)) / points);
  const rounded = last >= points ? even.map(Math.round) : even;
  return [...new Set([...rounded, ...horizons])].sort((a, b) => a - b);
}

/** The value of a source of risk in a record, e.g. of `baseline.age`, as text; empty where there is none. */
export function valueOf(record, source) {
  const [place, name] = source.split(/\.(.*)/s);
  if (place === "baseline") return shown(record.baseline?.[name]);
  if (place !== "measurements") return "";
  const own = (record.measurements ?? []).filter((one) => one.variable === name && one.day <= (record.landmark_day ?? 0));
  if (!own.length) return "";
  const latest = own.reduce((best, one) => (one.day >= best.day ? one : best));
  return shown({ value: latest.value, unit: latest.unit });
}

function shown(value) {
  if (value === null || value === undefined) return "";
  if (typeof value !== "object") return String(value);
  return [value.value, value.unit].filter((text) => text !== null && text !== undefined).join(" ");
}
