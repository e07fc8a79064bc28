"""What was predicted for whom, and what happened then, where a ledger is wanted: so that the two can be compared.

Lines of JSON in ``FOLDER/predictions`` and ``FOLDER/outcomes``, a file for each worker and day. Patients are named by
pseudonyms under the key in ``FOLDER/key``; their risks and events stand there all the same, so files are ours alone,
and those of past days are deleted where a number of days was said. `sequela follow-up` reads them.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime
from pathlib import Path

from pydantic import AwareDatetime

from features.errors import SequelaError
from features.records import EventRecord, PatientRecord
from features.schema import Frozen
from serving.day_files import delete_older, today, worker_name
from serving.messages import PatientOutcome, PredictAnswer
from serving.pseudonyms import Pseudonyms

PREDICTIONS, OUTCOMES, KEY = "predictions", "outcomes", "key"
_FILES = r"(?P<day>\d{4}-\d\d-\d\d)-.+\.jsonl"
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
        self.folder, self.keep_days = folder, keep_days
        try:
            for name in (PREDICTIONS, OUTCOMES):
                (folder / name).mkdir(parents=True, exist_ok=True, mode=0o700)
            self.pseudonyms = Pseudonyms(folder / KEY, make=True)
        except OSError as error:
            msg = f"{folder}: cannot be written ({error.strerror}); name a folder that is ours"
            raise SequelaError(msg) from error
        self._worker = worker_name()
        self._lock = threading.Lock()
        self._looked: date | None = None
        """The day on which files of past days were last looked for."""
        self._forget()

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
        self._append(PREDICTIONS, now, lines)

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
        self._append(OUTCOMES, now, lines)

    def _append(self, kind: str, now: datetime, lines: Sequence[Frozen]) -> None:
        """All lines in one write: others read while we append."""
        content = "".join(f"{line.model_dump_json()}\n" for line in lines).encode()
        path = self.folder / kind / f"{now:%Y-%m-%d}-{self._worker}.jsonl"
        with self._lock:
            self._forget()
            file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            before = os.fstat(file).st_size
            try:
                if os.write(file, content) != len(content):
                    msg = "no space left"
                    raise OSError(msg)
            except OSError:
                os.ftruncate(file, before)  # no part of a line stays: nobody else writes to this file
                raise
            finally:
                os.close(file)

    def _forget(self) -> None:
        """Delete what is older than it is kept, once a day."""
        if self.keep_days is not None and self._looked != (now := today()):
            self._looked = now
            for kind in (PREDICTIONS, OUTCOMES):
                delete_older(self.folder / kind, _FILES, self.keep_days)
