/* Patients that are pasted or uploaded as JSON: one, or a whole request. */

import { element, folded } from "./dom.js";
import { recordsOf } from "./records.js";
import { listed } from "./words.js";

/** @param onRecord called with the patient to show
 *  @returns {{node, refuse}}; `refuse` says what was refused that is no field of the form */
export function paste(onRecord) {
  const box = element("textarea", { id: "pasted", rows: 7, spellcheck: "false", autocomplete: "off", "aria-describedby": "pasted-fault pasted-note", input: clear });
  const fault = element("p", { class: "fault", id: "pasted-fault", role: "alert" });
  const note = element("p", { class: "hint", id: "pasted-note" });
  const file = element("input", { type: "file", id: "uploaded", accept: ".json,application/json", change: upload });
  const several = element("div", { class: "choice", hidden: true });
  const use = element("button", { type: "button", class: "plain", click: take }, "Take this patient");

  async function upload() {
    if (!file.files.length) return;
    box.value = await file.files[0].text();
    file.value = ""; // the same file, changed, can be chosen again
    take();
  }

  function take() {
    clear();
    try {
      const { records, unused } = recordsOf(box.value);
      if (unused.length) note.textContent = `Of the request ${listed(unused)} ${unused.length > 1 ? "are" : "is"} not used: the page asks for horizons of its own.`;
      choose(records);
      onRecord(records[0]);
    } catch (error) {
      refuse(error.message);
    }
  }

  function clear() {
    fault.textContent = note.textContent = "";
    box.removeAttribute("aria-invalid");
  }

  function refuse(text) {
    fault.textContent = text;
    box.setAttribute("aria-invalid", "true");
    node.open = true;
    box.focus();
  }

  function choose(records) {
    several.hidden = records.length < 2;
    const names = records.map((record, i) => element("option", { value: i }, `${i + 1}: ${record.patient_id ?? "patient"}`));
    const choice = element("select", { id: "which", change: () => onRecord(records[Number(choice.value)]) }, names);
    several.replaceChildren(element("label", { for: "which" }, `One of ${records.length} patients`), choice);
  }

  const node = folded(
    "Paste or upload a patient",
    element("label", { for: "pasted" }, "JSON of a patient, or of a request to /v1/predict"),
    box,
    fault,
    note,
    element("div", { class: "choice" }, use, element("label", { for: "uploaded" }, "or a file"), file),
    several,
  );
  return { node, refuse };
}
