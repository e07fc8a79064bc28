"""`Patients`: the columnar form in which training and serving hold patients.

One row is one patient seen from one landmark day. Everything here is plain numpy, so that a served request and a
cohort of ten thousand take the same way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from features.cells.bag import Bags
from features.cells.summary import CellSummary

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
TextArray = NDArray[np.object_]


@dataclass(frozen=True, slots=True)
class Measurements:
    """Repeated measurements, stored contiguously by patient and by day within a patient."""

    offsets: IntArray
    """(rows + 1,): measurements of row i are ``offsets[i]:offsets[i + 1]``."""
    variable: IntArray
    """(measurements,): index into `names`."""
    day: FloatArray
    """(measurements,): days since infusion, ascending within a row."""
    value: FloatArray
    """(measurements,): in the variable's unit."""
    names: tuple[str, ...]

    @classmethod
    def empty(cls, n_rows: int) -> Measurements:
        """No measurement for `n_rows` patients."""
        zero = np.zeros(0)
        return cls(np.zeros(n_rows + 1, dtype=np.int64), np.zeros(0, dtype=np.int64), zero, zero, ())

    @classmethod
    def from_columns(
        cls, n_rows: int, row: IntArray, names: Sequence[str], variable: IntArray, day: FloatArray, value: FloatArray
    ) -> Measurements:
        """Sort columns of measurements, each with the patient's row, into the contiguous form.

        Values of one day are put in ascending order, so that nothing depends on the order in which they came.
        """
        order = np.lexsort((value, day, row))
        offsets = np.concatenate([[0], np.cumsum(np.bincount(row, minlength=n_rows))]).astype(np.int64)
        return cls(offsets, variable[order], day[order], value[order], tuple(names))

    @property
    def row(self) -> IntArray:
        """(measurements,): the row each measurement belongs to."""
        return np.repeat(np.arange(len(self.offsets) - 1), np.diff(self.offsets))

    def take(self, rows: IntArray) -> Measurements:
        """The measurements of `rows`, which may repeat."""
        picked, offsets = gather(self.offsets, rows)
        return Measurements(offsets, self.variable[picked], self.day[picked], self.value[picked], self.names)


@dataclass(frozen=True, slots=True)
class Events:
    """What has happened to each patient, stored contiguously by patient and by day within a patient."""

    offsets: IntArray
    """(rows + 1,): events of row i are ``offsets[i]:offsets[i + 1]``."""
    event: IntArray
    """(events,): index into `names`."""
    day: FloatArray
    """(events,): days since infusion, ascending within a row."""
    grade: FloatArray
    """(events,): NaN where not graded."""
    names: tuple[str, ...]

    @classmethod
    def empty(cls, n_rows: int) -> Events:
        """No event for `n_rows` patients."""
        zero = np.zeros(0)
        return cls(np.zeros(n_rows + 1, dtype=np.int64), np.zeros(0, dtype=np.int64), zero, zero, ())

    @classmethod
    def from_columns(
        cls, n_rows: int, row: IntArray, names: Sequence[str], event: IntArray, day: FloatArray, grade: FloatArray
    ) -> Events:
        """Sort columns of events, each with the patient's row, into the contiguous form."""
        order = np.lexsort((grade, event, day, row))
        offsets = np.concatenate([[0], np.cumsum(np.bincount(row, minlength=n_rows))]).astype(np.int64)
        return cls(offsets, event[order], day[order], grade[order], tuple(names))

    @property
    def row(self) -> IntArray:
        """(events,): the row each event belongs to."""
        return np.repeat(np.arange(len(self.offsets) - 1), np.diff(self.offsets))

    def take(self, rows: IntArray) -> Events:
        """The events of `rows`, which may repeat."""
        picked, offsets = gather(self.offsets, rows)
        return Events(offsets, self.event[picked], self.day[picked], self.grade[picked], self.names)


@dataclass(frozen=True, slots=True)
class Clones:
    """Clones found in each sample, stored contiguously by sample: T-cell receptors or sites of vector integration."""

    offsets: IntArray
    """(samples + 1,): clones of sample i are ``offsets[i]:offsets[i + 1]``."""
    locus: TextArray
    """(clones,): ``tcr`` or ``integration``."""
    clone: TextArray
    """(clones,): identity within a patient, e.g. a clonotype or ``chr17+7669662``."""
    abundance: FloatArray
    """(clones,): cells, or distinct fragments, of the clone in the sample; above 0."""
    near_oncogene: FloatArray
    """(clones,): 1 where an integration site lies near an oncogene, 0 where not, NaN where it was not looked at."""

    @classmethod
    def empty(cls, n_samples: int) -> Clones:
        """No clone in `n_samples` samples."""
        none = np.zeros(0, dtype=object)
        return cls(np.zeros(n_samples + 1, dtype=np.int64), none, none, np.zeros(0), np.zeros(0))

    def take(self, samples: IntArray) -> Clones:
        """The clones of `samples`, which may repeat."""
        picked, offsets = gather(self.offsets, samples)
        return Clones(
            offsets, self.locus[picked], self.clone[picked], self.abundance[picked], self.near_oncogene[picked]
        )


@dataclass(frozen=True, slots=True)
class Samples:
    """Samples with the summaries of their cells, stored contiguously by patient and by day within a patient."""

    offsets: IntArray
    """(rows + 1,): samples of row i are ``offsets[i]:offsets[i + 1]``."""
    sample_id: TextArray
    day: FloatArray
    material: TextArray
    summary: CellSummary
    """Summaries of all cells, one a sample, in the same order; a sample without cells has no group."""
    clones: Clones | None = field(default=None)
    bags: Bags | None = field(default=None)
    """The cells themselves, for features that look at single cells."""

    @property
    def row(self) -> IntArray:
        """(samples,): the row each sample belongs to."""
        return np.repeat(np.arange(len(self.offsets) - 1), np.diff(self.offsets))

    def take(self, rows: IntArray) -> Samples:
        """The samples of `rows`, which may repeat."""
        picked, offsets = gather(self.offsets, rows)
        return Samples(
            offsets,
            self.sample_id[picked],
            self.day[picked],
            self.material[picked],
            self.summary.take(picked),
            None if self.clones is None else self.clones.take(picked),
            None if self.bags is None else self.bags.take(picked),
        )


def gather(offsets: IntArray, rows: IntArray) -> tuple[IntArray, IntArray]:
    """Indices of the contiguous blocks of `rows`, and the offsets of the blocks once gathered."""
    lengths = np.diff(offsets)[rows]
    new_offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    within = np.arange(new_offsets[-1]) - np.repeat(new_offsets[:-1], lengths)
    return np.repeat(offsets[rows], lengths) + within, new_offsets


@dataclass(frozen=True, slots=True)
class Patients:
    """Patients as the models see them: one row is one patient from one landmark day.

    Numeric baseline variables are float64 with NaN for missing; ordinal and categorical ones are objects, str or None.
    Values after `landmark_day` may be present: the encoder never lets them in.
    """

    patient_id: TextArray
    """(rows,): str. A patient may stand in several rows, once for each landmark day."""
    landmark_day: FloatArray
    """(rows,): days since infusion."""
    baseline: Mapping[str, FloatArray | TextArray]
    measurements: Measurements
    samples: Samples | None = field(default=None)
    events: Events = field(default_factory=lambda: Events.empty(0))
    """What has happened to them; empty for no row in particular where nothing is known."""

    def __post_init__(self) -> None:
        if len(self.events.offsets) == 1 and len(self):
            object.__setattr__(self, "events", Events.empty(len(self)))

    def __len__(self) -> int:
        return len(self.patient_id)

    def take(self, rows: IntArray) -> Patients:
        """The given rows, in that order; rows may repeat."""
        return Patients(
            self.patient_id[rows],
            self.landmark_day[rows],
            {name: values[rows] for name, values in self.baseline.items()},
            self.measurements.take(rows),
            None if self.samples is None else self.samples.take(rows),
            self.events.take(rows),
        )

    def with_samples_of(self, rows: IntArray) -> Patients:
        """The same rows, each with the samples (cells, clones and all) of another: (rows,), whose."""
        return replace(self, samples=None if self.samples is None else self.samples.take(rows))

    def at_landmark(self, day: float | FloatArray) -> Patients:
        """The same rows seen from another landmark day: one for all, or (rows,)."""
        return replace(self, landmark_day=np.broadcast_to(np.asarray(day, dtype=float), len(self)).copy())
