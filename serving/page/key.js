/* Asking for a key, above whatever is already entered. */

import { useKey } from "./api.js";
import { element } from "./dom.js";

const SAID = {
  first: "This service answers those who have a key.",
  unknown: "This key is not known, or has expired.",
  ended: "The key is no longer taken: it has expired, or was revoked. What you entered is kept.",
  none: "This is no key: keys are letters, digits and _ alone, without spaces.",
};

/** Ask for a key in a place of the page.
 *  @param why "first", "unknown" or "ended"
 *  @param onKey called once there is one */
export function askForKey(place, why, onKey) {
  const input = element("input", { type: "password", id: "key", autocomplete: "off", required: true, "aria-describedby": "key-hint" });
  const said = element("p", { role: why === "first" ? null : "alert" }, SAID[why]);
  const hint = "It is kept in the memory of this page alone, and forgotten when the page is closed.";
  const form = element(
    "form",
    { class: "key", autocomplete: "off", submit: take },
    said,
    element("label", { for: "key" }, "Key"),
    input,
    element("p", { class: "hint", id: "key-hint" }, hint),
    element("button", { type: "submit", class: "primary" }, "Go on"),
  );

  function take(event) {
    event.preventDefault();
    if (useKey(input.value.trim())) return onKey();
    said.textContent = SAID.none;
    said.setAttribute("role", "alert");
    input.focus();
  }

  place.replaceChildren(form);
  input.focus();
  form.scrollIntoView({ block: "nearest" });
}
