"""The model in use: what came and what was answered, counted by day in the bins of the training reference.

Counts of a worker's day are written to a file of its own, ``FOLDER/MODEL/DAY-WORKER.json``, once a minute and at the
end, beside and renamed: no value of any patient. A day with one patient holds that patient's tenths, so files are ours
alone. `sequela drift` adds the files up and judges them.
"""

from __future__ import annotations

import atexit
import logging
import re
import threading
import time
from datetime import date, timedelta
from pathlib import Path

from features.drift import Counting, Reference, Spread
from features.files import written_beside
from features.patients import FloatArray
from features.schema import Frozen
from serving.day_files import today, worker_name

logger = logging.getLogger("bentoml.sequela")

WRITE_SECONDS = 60.0


class DayCounts(Frozen):
    """What one worker counted on one day."""

    model: str
    """Tag in the model store."""
    day: date
    """UTC."""
    n_rows: int
    inputs: dict[str, Spread]
    risks: dict[str, Spread]


class _Day:
    """Of one model and day."""

    def __init__(self, model: str, day: date, reference: Reference) -> None:
        self.model, self.day, self.reference = model, day, reference
        self.inputs, self.risks = Counting(reference.inputs), Counting(reference.risks)

    def counts(self) -> DayCounts:
        return DayCounts(
            model=self.model,
            day=self.day,
            n_rows=self.inputs.n_rows,
            inputs=self.inputs.spreads(self.reference.inputs),
            risks=self.risks.spreads(self.reference.risks),
        )


class Use:
    """Counts of this process.

    Args:
        folder: Where they are written.
        write_seconds: How often.
    """

    def __init__(self, folder: Path, write_seconds: float = WRITE_SECONDS) -> None:
        self.folder, self.write_seconds = folder, write_seconds
        self._worker = worker_name()
        self._lock, self._writing = threading.Lock(), threading.Lock()
        self._days: dict[tuple[str, date], _Day] = {}
        self._changed: set[tuple[str, date]] = set()

    def start(self) -> None:
        """Write from now on, in a thread of its own, and at the end."""
        threading.Thread(target=self._write_for_ever, name="count-use", daemon=True).start()
        atexit.register(self.write)

    def add(self, model: str, reference: Reference, inputs: FloatArray, risks: FloatArray | None) -> None:
        """Count rows that were answered.

        Args:
            model: Tag in the model store.
            reference: Of the model.
            inputs: (rows, columns), as the reference's inputs; NaN where not known.
            risks: (rows, causes), by the last horizon; None where it was not asked for.
        """
        with self._lock:
            key = (model, today())
            if key not in self._days:
                self._days[key] = _Day(model, key[1], reference)
            self._days[key].inputs.add(inputs)
            if risks is not None:
                self._days[key].risks.add(risks)
            self._changed.add(key)

    def write(self) -> None:
        """Write what has changed; days that are over and written are then forgotten here."""
        with self._writing:  # one at a time: what another counted earlier must not take the place of what is written
            self._write_changed()
        with self._lock:
            yesterday = today() - timedelta(days=1)  # a clock may be put back over midnight
            self._days = {key: day for key, day in self._days.items() if key[1] >= yesterday or key in self._changed}

    def _write_changed(self) -> None:
        with self._lock:
            changed = {key: self._days[key].counts() for key in self._changed}
            self._changed.clear()
        for key, day in changed.items():
            path = self.folder / re.sub(r"[^a-z0-9.]+", "-", day.model) / f"{day.day}-{self._worker}.json"
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                with written_beside(path) as beside:
                    beside.touch(mode=0o600)
                    beside.write_text(day.model_dump_json(), encoding="utf-8")
            except OSError as error:
                logger.error("%s: the counts of use cannot be written (%s)", self.folder, error.strerror or error)
                with self._lock:
                    self._changed.add(key)

    def _write_for_ever(self) -> None:
        while True:
            time.sleep(self.write_seconds)
            self.write()
