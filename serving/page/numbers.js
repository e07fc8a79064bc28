/* Numbers as people enter them. */

const NUMBER = /^[−-]?\d+([.,]\d+)?$/;
const GROUPS = /(?<=\d)[\u0020\u00a0\u202f](?=\d{3}(?!\d))/g;
const AMBIGUOUS = /^[−-]?[1-9]\d{0,2}(,\d{3})+$/;

/** What the text says: a number, also with a decimal comma or with spaces between groups of three; else the text as it
 *  stands, for the service to refuse. */
export function numberOrText(text) {
  const plain = text.trim().replace(GROUPS, "");
  return NUMBER.test(plain) && !AMBIGUOUS.test(plain) ? Number(plain.replace("−", "-").replace(",", ".")) : text;
}

/** Why a text with commas is not taken: what is meant may be 1,000 times as much; null where there is no doubt. */
export function ambiguity(text) {
  const plain = text.trim();
  if (!AMBIGUOUS.test(plain)) return null;
  const without = plain.replaceAll(",", "");
  const decimal = plain.split(",").length === 2 ? ` or as ${plain.replace(",", ".")}` : "";
  return `can be read as ${without}${decimal}: write it without a comma`;
}

/** A number as it is entered: all digits, so that what is shown is what is sent. */
export function entered(number) {
  return String(number).replace(/^-(?=\d)/, "−");
}
