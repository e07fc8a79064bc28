/* Numbers and names as people read them. */

const THIN = "\u202f";
const YEAR = 365.25;
const ABBREVIATIONS = ["ALC", "ANC", "CAR", "CD19", "CD4", "CD8", "CRP", "CRS", "ECOG", "ICANS", "IgA", "IgG", "IgM", "IL6", "LDH"];
const PLACES = { baseline: "", measurements: ", over time", samples: ", cells", events: ", events", scores: ", score" };
const STATISTICS = { age: "days since measured", last: "last value", max: "highest", mean: "mean", min: "lowest", slope: "trend" };
const UNITS = { a: "years", "1": "", "{score}": "" };

/** "34 %"; below ten with one decimal. */
export function percent(share) {
  return `${points(share)}${THIN}%`;
}

/** A share in hundredths, without the sign; what is not quite none or all is never written as 0 or 100. */
export function points(share) {
  const hundredths = Number((100 * share).toFixed(9));
  if (hundredths > 0 && hundredths < 0.05) return "<0.1";
  if (hundredths >= 99.95 && hundredths < 100) return ">99.9";
  const whole = (hundredths >= 9.95 && hundredths < 99.5) || hundredths === 100;
  return hundredths.toFixed(whole ? 0 : 1);
}

/** "28–41 %". */
export function span([low, high]) {
  return `${points(low)}–${points(high)}${THIN}%`;
}

/** Signed percentage points: "+4.1". */
export function signed(share) {
  const text = (100 * Math.abs(share)).toFixed(1);
  if (text === "0.0") return "0.0";
  return `${share < 0 ? "−" : "+"}${text}`;
}

/** "1 day", "90 days"; from two years on, what is a number of whole years is said in years. */
export function days(number) {
  const years = Math.round(number / YEAR);
  if (years >= 2 && Math.abs(number - YEAR * years) <= years) return `${years} years`;
  return exactDays(number);
}

/** The same in days alone, with no more decimals than there are. */
export function exactDays(number) {
  return `${plainNumber(number)} ${number === 1 ? "day" : "days"}`;
}

/** A number as short as it is exact; large ones in groups of three, apart by a thin space: a comma could be a decimal one. */
export function plainNumber(number) {
  if (Number.isInteger(number) && Math.abs(number) >= 10_000) return number.toLocaleString("en").replaceAll(",", THIN).replace("-", "−");
  return String(Number(number.toPrecision(12))).replace("-", "−");
}

/** How many there are: as `plainNumber`, and in groups from a thousand on. */
export function count(number) {
  return number.toLocaleString("en").replaceAll(",", THIN);
}

/** "severe_infection" as words, with the field's abbreviations as it writes them. */
export function words(name) {
  return name
    .split("_")
    .map((word) => ABBREVIATIONS.find((one) => one.toLowerCase() === word) ?? word)
    .join(" ");
}

/** The same at the beginning of a sentence. */
export function title(name) {
  const text = words(name);
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** A UCUM unit as it is written at the bedside. */
export function unitText(unit) {
  if (unit in UNITS) return UNITS[unit];
  const powers = { 3: "³", 6: "⁶", 9: "⁹", 12: "¹²" };
  return unit
    .replace(/10\*(\d+)/g, (whole, power) => (power in powers ? `10${powers[power]}` : whole))
    .replace(/\bu(?=[gLlm]|mol)/g, "µ")
    .replace(/[{}[\]]/g, "");
}

/** A place in the record as people call it: "measurements.crp:slope" is "CRP, over time: trend". */
export function placeName(place) {
  const [first, name] = place.split(/\.(.*)/s);
  if (!name || !(first in PLACES)) return title(place);
  const [variable, statistic] = name.split(/:(.*)/s);
  return `${title(variable)}${PLACES[first]}${statistic ? `: ${STATISTICS[statistic] ?? words(statistic)}` : ""}`;
}

/** What counts as an event of an endpoint: "infection of grade 3 or worse". */
export function ruleText(rule) {
  return rule.min_grade ? `${words(rule.name)} of grade ${rule.min_grade} or worse` : words(rule.name);
}

/** "a, b and c". */
export function listed(texts) {
  return texts.length < 2 ? texts.join("") : `${texts.slice(0, -1).join(", ")} and ${texts.at(-1)}`;
}
