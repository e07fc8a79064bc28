"""What was predicted for whom, and what happened then, where a ledger is wanted: so that the two can be compared.

Lines of JSON in ``FOLDER/predictions`` and ``FOLDER/outcomes``, a file for each worker and day. Patients are named by
pseudonyms under the key in ``FOLDER/key``; their risks and events stand there all the same, so files are ours alone,
and those of past days are deleted where a number of days was said. `sequela follow-up` reads them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from pydantic import AwareDatetime

from features.errors import SequelaError
from features.records import EventRecord, PatientRecord
from features.schema import Frozen
from serving.day_files import DayFiles
from serving.messages import PatientOutcome, PredictAnswer
from serving.pseudonyms import Pseudonyms

PREDICTIONS, OUTCOMES, KEY = "predictions", "outcomes", "key"
_NOBODY = PatientRecord.model_fields["patient_id"].default
"""The id of whoever was given none: nothing that happens can belong to it."""


class Predicted(Frozen):
    """One answer about one patient."""

    at: AwareDatetime
    model: str
    """Tag in the model store."""
    patient: str
    """Pseudonym."""
    landmark_day: float
    horizons_days: tuple[float, ...]
    incidence: dict[str, tuple[float, ...]]
    """By cause, at the horizons."""
    shadow: bool = False
    """Whether a challenger said it, and nobody was told."""


class Happened(Frozen):
    """All that is known of one patient's course; a later report takes the place of an earlier one."""

    at: AwareDatetime
    patient: str
    """Pseudonym."""
    follow_up_days: float
    events: tuple[EventRecord, ...]


class Ledger:
    """Of one folder, which is made when there is none.

    Args:
        folder: Of the ledger.
        keep_days: Files of more days ago are deleted; None: none is.

    Raises:
        SequelaError: It cannot be written.
    """

    def __init__(self, folder: Path, keep_days: int | None = None) -> None:
        try:
            self._files = DayFiles(folder, (PREDICTIONS, OUTCOMES), keep_days)
            self.pseudonyms = Pseudonyms(folder / KEY, make=True)
        except OSError as error:
            msg = f"{folder}: cannot be written ({error.strerror}); name a folder that is ours"
            raise SequelaError(msg) from error

    def predicted(self, answer: PredictAnswer, *, shadow: bool = False) -> None:
        """Append what was answered, or what a challenger would have.

        Raises:
            OSError: It cannot be written.
        """
        now = datetime.now(UTC)
        lines = [
            Predicted.model_construct(
                at=now,
                model=answer.model.version,
                patient=self.pseudonyms.of(one.patient_id),
                landmark_day=one.landmark_day,
                horizons_days=one.horizons_days,
                incidence=one.incidence,
                shadow=shadow,
            )
            for one in answer.predictions
            if one.patient_id != _NOBODY
        ]
        self._files.append(PREDICTIONS, now, lines)

    def happened(self, outcomes: Iterable[PatientOutcome]) -> None:
        """Append what became of patients.

        Raises:
            OSError: It cannot be written.
        """
        now = datetime.now(UTC)
        lines = [
            Happened(
                at=now,
                patient=self.pseudonyms.of(one.patient_id),
                follow_up_days=one.follow_up_days,
                events=one.events,
            )
            for one in outcomes
        ]
        self._files.append(OUTCOMES, now, lines)

    def forget(self, patient_ids: Iterable[str]) -> tuple[int, int]:
        """Delete all that was predicted for patients, and all that is known of their courses.

        Returns:
            How many lines went, and of how many of the patients.

        Raises:
            OSError: A file cannot be read or written; lines that went are gone, and the rest is as it was.
        """
        gone = {self.pseudonyms.of(one) for one in patient_ids}
        found: set[str] = set()

        def is_theirs(line: bytes) -> bool:
            with suppress(ValueError):
                entry = json.loads(line)
                patient = entry.get("patient") if isinstance(entry, dict) else None
                if patient in gone:
                    found.add(patient)
                    return True
            return False

        n_lines = sum(self._files.drop(kind, is_theirs) for kind in (PREDICTIONS, OUTCOMES))
        return n_lines, len(found)
