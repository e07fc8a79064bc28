/* Patients as the service takes them. */

const LISTS = { measurements: '{"variable": "crp", "day": -1, "value": 12}', events: '{"event": "icans", "day": 3}', samples: '{"material": "blood", "day": 0, …}' };
const SUCH = 'a patient is an object such as {"baseline": {"age": 63}}';

/** The patients of a pasted text: of a whole request, of a list, or the one; and what of the text is not used.
 *  @returns {{records, unused}}
 *  @throws {Error} that says what the text should have been */
export function recordsOf(text) {
  const content = parsed(text);
  if (content?.resourceType) throw new Error(`This is FHIR (${content.resourceType}). Send a Bundle to /fhir/$predict-risk of this service; here ${SUCH}.`);
  const records = Array.isArray(content) ? content : (content?.patients ?? [content]);
  if (!Array.isArray(records) || !records.length || !records.every(isRecord)) throw new Error(`This is JSON, but no patient: ${SUCH}.`);
  records.forEach((record, i) => checkParts(record, records.length > 1 ? `patient ${i + 1}: ` : ""));
  const unused = content.patients ? Object.keys(content).filter((name) => name !== "patients") : [];
  return { records, unused };
}

function parsed(text) {
  if (!text.trim()) throw new Error("This is empty: paste the JSON of a patient, or choose a file.");
  try {
    return JSON.parse(text);
  } catch (error) {
    const [head, ...rest] = text.trim().split("\n");
    if (rest.length && /[,;\t]/.test(head) && !/^[[{"]/.test(head)) {
      throw new Error(`This is a table, as it seems. The command sequela request asks for a whole cohort of such files; here ${SUCH}.`);
    }
    const [, line, column] = error.message.match(/line (\d+) column (\d+)/) ?? [];
    const place = line ? `: it cannot be read from line ${line}, character ${column} on` : "";
    throw new Error(`This is not JSON${place}. Here ${SUCH}.`);
  }
}

function checkParts(record, of) {
  if (!isRecord(record.baseline ?? {})) throw new Error(`This is no patient: ${of}baseline must be an object, such as {"age": 63}.`);
  for (const [name, such] of Object.entries(LISTS)) {
    const list = record[name] ?? [];
    if (!Array.isArray(list) || !list.every(isRecord)) throw new Error(`This is no patient: ${of}${name} must be a list of objects such as ${such}.`);
  }
}

function isRecord(value) {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Times of the curves: an even grid, and the endpoint's horizons. */
export function gridDays(horizons, points = 60) {
  const last = horizons.at(-1);
  const even = Array.from({ length: points }, (_, i) => (last * (i + 1)) / points);
  const rounded = last >= points ? even.map(Math.round) : even;
  return [...new Set([...rounded, ...horizons])].sort((a, b) => a - b);
}

/** The value of a source of risk in a record, e.g. of `baseline.age`, as {value, unit}; null where there is none. */
export function valueOf(record, source) {
  const [place, name] = source.split(/\.(.*)/s);
  if (place === "baseline") return quantity(record.baseline?.[name]);
  if (place !== "measurements") return null;
  const own = (record.measurements ?? []).filter((one) => one.variable === name && one.day <= (record.landmark_day ?? 0));
  return own.length ? quantity(own.reduce((best, one) => (one.day >= best.day ? one : best))) : null;
}

function quantity(value) {
  if (value === null || value === undefined) return null;
  return isRecord(value) ? { value: value.value, unit: value.unit ?? null } : { value, unit: null };
}
