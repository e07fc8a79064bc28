"""A cohort: the patients of one study, with everything known about them, as typed tables.

`features.check.read_cohort` reads and checks a cohort folder; `write_cohort` writes one whole or not at all.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp

import numpy as np
import pandas as pd
import yaml

from features.cells.summary import MeasuredCells
from features.errors import SequelaError
from features.outcomes import Outcomes
from features.patients import Clones, Events, FloatArray, IntArray, Measurements, Patients, Samples, TextArray
from features.schema import CohortCard, Endpoint, EventRule, Variable

TABLES: Mapping[str, tuple[str, ...]] = {
    "patients": ("patient_id", "follow_up_days"),
    "events": ("patient_id", "day", "event"),
    "measurements": ("patient_id", "day", "variable", "value"),
    "samples": ("sample_id", "patient_id", "day", "material"),
    "clones": ("sample_id", "locus", "clone", "abundance"),
}
"""Required columns of each table of a cohort folder."""
OPTIONAL_COLUMNS: Mapping[str, tuple[str, ...]] = {
    "patients": ("entry_day", "site"),
    "events": ("grade", "detail", "after_day"),
    "measurements": ("unit",),
    "samples": ("assay",),
    "clones": ("near_oncogene",),
}


@dataclass(frozen=True, slots=True)
class Cohort:
    """Checked tables of one study. Values are in the units that `card` declares; identifiers are str."""

    folder: Path
    card: CohortCard
    patients: pd.DataFrame
    """patient_id, follow_up_days, [entry_day], [site], and the declared baseline variables; one row a patient."""
    events: pd.DataFrame
    """patient_id, day, event, grade (float, NaN where not graded), [after_day] (float, NaN where known to the day)."""
    measurements: pd.DataFrame
    """patient_id, day, variable, value in the declared unit."""
    samples: pd.DataFrame
    """sample_id, patient_id, day, material."""
    clones: pd.DataFrame
    """sample_id, locus (``tcr`` or ``integration``), clone, abundance, near_oncogene (1, 0, or NaN for unknown)."""
    cells: Path | None
    """cells.h5ad or cells.zarr."""
    fingerprint: str
    """sha256 over the files of the folder: the identity of the data set."""

    @property
    def baseline_variables(self) -> dict[str, Variable]:
        """The declared variables that are columns of the patients table."""
        return {name: variable for name, variable in self.card.variables.items() if name in self.patients.columns}


def to_patients(cohort: Cohort, cells: MeasuredCells | None = None) -> Patients:
    """All patients of a cohort, one row each, seen from day 0.

    Args:
        cohort: The cohort.
        cells: The cells of its samples (`features.cells.store`); samples with neither cells nor clones are left out.
    """
    ids = cohort.patients["patient_id"].to_numpy(dtype=object)
    row_of = pd.Series(np.arange(len(ids)), index=ids)
    baseline = {name: _column(cohort.patients[name], variable) for name, variable in cohort.baseline_variables.items()}
    samples = _samples(cohort, row_of, cells or MeasuredCells.of({}, counts=True))
    return Patients(ids, np.zeros(len(ids)), baseline, _measurements(cohort, row_of), samples, _events(cohort, row_of))


def _column(values: pd.Series, variable: Variable) -> FloatArray | TextArray:
    if variable.kind == "numeric":
        return values.to_numpy(dtype=float)
    return values.astype(object).where(values.notna(), None).to_numpy(dtype=object)


def _measurements(cohort: Cohort, row_of: pd.Series) -> Measurements:
    table = cohort.measurements
    names, code = np.unique(table["variable"].to_numpy(dtype=str), return_inverse=True)
    return Measurements.from_columns(
        len(row_of),
        row_of[table["patient_id"]].to_numpy(dtype=np.int64),
        [str(name) for name in names],
        code.astype(np.int64),
        table["day"].to_numpy(dtype=float),
        table["value"].to_numpy(dtype=float),
    )


def _events(cohort: Cohort, row_of: pd.Series) -> Events:
    table = cohort.events
    names, code = np.unique(table["event"].to_numpy(dtype=str), return_inverse=True)
    return Events.from_columns(
        len(row_of),
        row_of[table["patient_id"]].to_numpy(dtype=np.int64),
        [str(name) for name in names],
        code.astype(np.int64),
        table["day"].to_numpy(dtype=float),
        table["grade"].to_numpy(dtype=float),
    )


def _samples(cohort: Cohort, row_of: pd.Series, cells: MeasuredCells) -> Samples | None:
    """The samples that have cells or clones, ordered by patient and day; None when there is none."""
    table = cohort.samples
    table = table[table["sample_id"].isin({*cells.sample_id, *cohort.clones["sample_id"]})]
    if table.empty:
        return None
    row = row_of[table["patient_id"]].to_numpy(dtype=np.int64)
    name = table["sample_id"].to_numpy(dtype=str)
    table = table.iloc[np.lexsort((name, table["day"].to_numpy(dtype=float), row))]
    ids = list(table["sample_id"])
    place = {sample: i for i, sample in enumerate(cells.sample_id)}
    with_cells = np.array([place.get(sample, -1) for sample in ids], dtype=np.int64)
    return Samples(
        np.concatenate([[0], np.cumsum(np.bincount(row, minlength=len(row_of)))]).astype(np.int64),
        table["sample_id"].to_numpy(dtype=object),
        table["day"].to_numpy(dtype=float),
        table["material"].to_numpy(dtype=object),
        cells.summary.take(with_cells),
        _clones(cohort.clones, ids),
        cells.bags.take(with_cells),
    )


def _clones(table: pd.DataFrame, sample_ids: Sequence[str]) -> Clones | None:
    """The clones of the given samples, in that order; None when the cohort has none."""
    if table.empty:
        return None
    place = pd.Series(np.arange(len(sample_ids)), index=list(sample_ids))
    table = table[table["sample_id"].isin(place.index)]
    sample = place[table["sample_id"]].to_numpy(dtype=np.int64)
    order = np.lexsort((table["clone"].to_numpy(dtype=str), table["locus"].to_numpy(dtype=str), sample))
    table = table.iloc[order]
    return Clones(
        np.concatenate([[0], np.cumsum(np.bincount(sample, minlength=len(sample_ids)))]).astype(np.int64),
        table["locus"].to_numpy(dtype=object),
        table["clone"].to_numpy(dtype=object),
        table["abundance"].to_numpy(dtype=float),
        table["near_oncogene"].to_numpy(dtype=float),
    )


def outcomes_at(cohort: Cohort, endpoint: Endpoint, landmark_day: float) -> tuple[IntArray, Outcomes]:
    """Apply an endpoint from one landmark.

    A patient is at risk when none of the endpoint's events has happened by the landmark day and follow-up goes beyond
    it. Events on one day count as the one named first in the endpoint; events after follow-up are not observed.
    Patients who enter observation after the landmark (`entry_day`) are left-truncated; they are left out when their
    first event, or the end of follow-up, comes no later than their entry.

    Of an event known to lie between two days (`after_day`), the later one, on which it was seen, says which event is
    first and who is at risk. A patient whose interval holds the landmark, or his entry, is at risk and counts as free
    of the event by then: nobody has seen it before. His interval begins there.

    Returns:
        Positions of the patients at risk in ``cohort.patients``, and their outcomes.

    Raises:
        SequelaError: Nobody is at risk at the landmark.
    """
    ids = pd.Index(cohort.patients["patient_id"])
    follow_up = cohort.patients["follow_up_days"].to_numpy(dtype=float)
    first_day, cause = first_event(cohort.events, endpoint, ids)
    cause = np.where(first_day <= follow_up, cause, 0)
    last_day = np.minimum(first_day, follow_up)
    duration, entry = last_day - landmark_day, None
    observed = last_day > landmark_day
    if "entry_day" in cohort.patients:
        from_landmark = cohort.patients["entry_day"].fillna(0.0).to_numpy(dtype=float) - landmark_day
        entry = np.clip(from_landmark, 0.0, None)
        observed &= duration > entry
    at_risk = np.flatnonzero(observed)
    if not len(at_risk):
        msg = (
            f"endpoint {endpoint.name}: no patient is at risk at landmark day {landmark_day:g}; "
            "choose an earlier landmark_days"
        )
        raise SequelaError(msg)
    after = None
    if "after_day" in cohort.events:
        begins = landmark_day if entry is None else landmark_day + entry
        last_free = _last_free_day(cohort.events, endpoint, ids, first_day, cause)
        after = (np.maximum(last_free, begins) - landmark_day)[at_risk]
        after = None if np.isnan(after).all() else after
    if entry is not None:
        entry = entry[at_risk] if entry[at_risk].any() else None
    return at_risk, Outcomes(duration[at_risk], cause[at_risk], endpoint.causes, entry, after)


def _last_free_day(
    events: pd.DataFrame, endpoint: Endpoint, patient_ids: pd.Index, day: FloatArray, cause: IntArray
) -> FloatArray:
    """(patients,): `after_day` of first events of these days and causes; NaN where known to the day, or without one.

    Of several rows that tell of one event, that which is known best counts.
    """
    found = np.full(len(patient_ids), np.nan)
    for number, rule in enumerate((endpoint.event, *endpoint.competing), start=1):
        own = qualifying(events, rule)
        place = patient_ids.get_indexer(pd.Index(own["patient_id"]))
        is_first = (place >= 0) & (day[place] == own["day"].to_numpy(dtype=float)) & (cause[place] == number)
        latest = own["after_day"].fillna(np.inf)[is_first].groupby(place[is_first]).max()
        found[latest.index] = latest
    return np.where(np.isinf(found), np.nan, found)


def first_event(events: pd.DataFrame, endpoint: Endpoint, patient_ids: pd.Index) -> tuple[FloatArray, IntArray]:
    """Day and cause of each patient's first event of the endpoint; infinity and 0 where there is none."""
    day = np.full(len(patient_ids), np.inf)
    cause = np.zeros(len(patient_ids), dtype=np.int64)
    for number, rule in enumerate((endpoint.event, *endpoint.competing), start=1):
        first = qualifying(events, rule).groupby("patient_id")["day"].min().reindex(patient_ids).to_numpy(dtype=float)
        earlier = first < day  # False for NaN, and on a tie the cause named first stays
        day[earlier] = first[earlier]
        cause[earlier] = number
    return day, cause


def qualifying(events: pd.DataFrame, rule: EventRule) -> pd.DataFrame:
    """The events that a rule means."""
    of_name = events[events["event"] == rule.name]
    return of_name if rule.min_grade is None else of_name[of_name["grade"] >= rule.min_grade]


def ends_follow_up(cohort: Cohort, rule: EventRule) -> bool:
    """Whether nobody who has an event is followed beyond it, as beyond death."""
    events = qualifying(cohort.events, rule)
    followed = cohort.patients.set_index("patient_id")["follow_up_days"].reindex(events["patient_id"])
    return bool((events["day"].to_numpy(dtype=float) >= followed.to_numpy(dtype=float)).all())


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `folder` that takes its place when the block ends well, and vanishes when not.

    Raises:
        SequelaError: `folder` exists and is not empty.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        msg = f"{folder}: exists and is not empty; choose another folder or remove it first"
        raise SequelaError(msg)
    folder.parent.mkdir(parents=True, exist_ok=True)
    beside = Path(mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        yield beside
        if folder.exists():
            folder.rmdir()
        beside.chmod(0o755)
        beside.rename(folder)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def write_cohort(
    folder: Path,
    card: CohortCard,
    tables: Mapping[str, pd.DataFrame],
    *,
    write_cells: Callable[[Path], None] | None = None,
    endpoints: Mapping[str, Endpoint] | None = None,
) -> None:
    """Write a cohort folder, whole or not at all.

    Args:
        folder: Where; must be absent or empty.
        card: The content of cohort.yaml.
        tables: ``patients`` and any of ``events``, ``measurements``, ``samples``, ``clones``.
        write_cells: Called with the unfinished folder to write cells.h5ad or cells.zarr in it.
        endpoints: Written to ``endpoints/<name>.yaml``.

    Raises:
        SequelaError: `folder` exists and is not empty.
    """
    with new_folder(folder) as beside:
        write_yaml(
            beside / "cohort.yaml", card.model_dump(mode="json", exclude_defaults=True) | {"format": card.format}
        )
        for name, table in tables.items():
            table.to_csv(beside / f"{name}.csv", index=False, lineterminator="\n")
        for name, endpoint in (endpoints or {}).items():
            (beside / "endpoints").mkdir(exist_ok=True)
            write_yaml(beside / "endpoints" / f"{name}.yaml", endpoint.model_dump(mode="json", exclude_defaults=True))
        if write_cells is not None:
            write_cells(beside)


def write_yaml(path: Path, content: object) -> None:
    """Write plain values as YAML in the order given."""
    path.write_text(yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=120), encoding="utf-8")


__all__ = ["TABLES", "Cohort", "first_event", "new_folder", "outcomes_at", "to_patients", "write_cohort", "write_yaml"]
