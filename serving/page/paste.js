/* Patients that are pasted or uploaded as JSON: one, or a whole request. */

import { element, folded } from "./dom.js";
import { recordsOf } from "./records.js";

/** @param onRecord called with the patient to show
 *  @returns {Node} */
export function paste(onRecord) {
  const box = element("textarea", { id: "pasted", rows: 7, spellcheck: "false", autocomplete: "off", "aria-describedby": "pasted-fault" });
  const fault = element("p", { class: "fault", id: "pasted-fault", role: "alert" });
  const file = element("input", { type: "file", id: "uploaded", accept: ".json,application/json", change: upload });
  const several = element("div", { class: "choice", hidden: true });
  const use = element("button", { type: "button", class: "plain", click: take }, "Take this patient");

  async function upload() {
    if (!file.files.length) return;
    box.value = await file.files[0].text();
    take();
  }

  function take() {
    fault.textContent = "";
    box.removeAttribute("aria-invalid");
    try {
      const records = recordsOf(box.value);
      choose(records);
      onRecord(records[0]);
    } catch (error) {
      fault.textContent = error.message;
      box.setAttribute("aria-invalid", "true");
      box.focus();
    }
  }

  function choose(records) {
    several.hidden = records.length < 2;
    const names = records.map((record, i) => element("option", { value: i }, `${i + 1}: ${record.patient_id ?? "patient"}`));
    const choice = element("select", { id: "which", change: () => onRecord(records[Number(choice.value)]) }, names);
    several.replaceChildren(element("label", { for: "which" }, `One of ${records.length} patients`), choice);
  }

  return folded(
    "Paste or upload a patient",
    element("label", { for: "pasted" }, "JSON of a patient, or of a request to /v1/predict"),
    box,
    fault,
    element("div", { class: "choice" }, use, element("label", { for: "uploaded" }, "or a file"), file),
    several,
  );
}
