"""Who was studied: the way from the cohort to the rows that are scored, and what patients were like at infusion."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from experiments.page.privacy import SMALLEST, Disclosure
from experiments.page.tables import MOST_LEVELS, count_and_share, levels_of, median_iqr, with_unit
from experiments.run_page.record import RunRecord
from features.cohort import Cohort, first_event
from features.patients import IntArray
from features.schema import Variable

FLOW = (
    "patients in the cohort",
    "  an event of the endpoint by the landmark",
    "  not followed beyond the landmark",
    "  came under observation too late",
    "at risk at the landmark: these train",
    "  came under observation after the landmark, not scored",
    "  tested in no fold, not scored",
    "scored",
)
RARE_LEVELS = "other levels, each rare"
MISSING = "missing"


def flow_counts(record: RunRecord) -> IntArray:
    """(steps of `FLOW`, landmarks): how many patients."""
    endpoint, cohort = record.rows.endpoint, record.rows.cohort
    ids = pd.Index(cohort.patients["patient_id"])
    follow_up = cohort.patients["follow_up_days"].to_numpy(dtype=float)
    first_day, _ = first_event(cohort.events, endpoint, ids)
    columns = []
    for day in endpoint.landmark_days:
        had_event = (first_day <= follow_up) & (first_day <= day)
        short = ~had_event & (follow_up <= day)
        here = record.rows.patients.landmark_day == day
        entry = record.rows.outcomes.entry_days
        late = np.zeros(len(here), dtype=bool) if entry is None else entry > 0
        at_risk, scored = int(here.sum()), int((here & record.scored).sum())
        out = int(had_event.sum()), int(short.sum())
        n_late = int((here & late).sum())
        untested = at_risk - scored - n_late
        columns.append([len(ids), *out, len(ids) - sum(out) - at_risk, at_risk, n_late, untested, scored])
    return np.array(columns, dtype=np.int64).T


def flow_rows(record: RunRecord, shown: Disclosure) -> list[list[str]]:
    """The steps of `FLOW` that concern anyone, with the numbers at each landmark in words."""
    counts = flow_counts(record)
    words = np.array([[shown.count(int(n)) for n in step] for step in counts], dtype=object)
    for part in (slice(1, 5), slice(5, 8)):  # whose sums are known
        words[part] = np.array([shown.parts(column.tolist()) for column in counts[part].T], dtype=object).T
    kept = [i for i, step in enumerate(counts) if step.any()]
    return [[FLOW[i], *map(str, words[i])] for i in kept]


def table_one(record: RunRecord, shown: Disclosure) -> tuple[list[str], list[list[str]]]:
    """Baseline of the patients at risk at the first landmark, by what happened to them: headings, and rows of cells."""
    rows, day = record.rows, record.rows.endpoint.landmark_days[0]
    here = np.flatnonzero(rows.patients.landmark_day == day)
    cause = rows.outcomes.cause[here]
    names = ["no event seen", *rows.outcomes.causes]
    groups = [k for k in range(len(names)) if (cause == k).any()]
    sizes = shown.parts([int((cause == k).sum()) for k in groups], kept=groups.index(1))
    table = rows.cohort.patients.set_index("patient_id").loc[list(rows.patients.patient_id[here])]
    found: list[list[str]] = []
    for name, variable in _columns(rows.cohort).items():
        column, kind = _as_levels(table[name], variable)
        parts = [column[cause == k] for k in groups]
        if kind.kind == "numeric":
            found += _numeric(name, variable, parts, shown)
        else:
            found += _levels(name, kind, column, parts, shown)
    return [f"{names[k]} (n = {size})" for k, size in zip(groups, sizes, strict=True)], found


def _columns(cohort: Cohort) -> dict[str, Variable]:
    columns = dict(cohort.baseline_variables)
    if "site" in cohort.patients and "site" not in columns:
        columns["site"] = Variable(kind="categorical")
    return columns


def _as_levels(values: pd.Series[Any], variable: Variable) -> tuple[pd.Series[Any], Variable]:
    """Numbers that are only 0 and 1 are levels, of which a median says nothing."""
    if variable.kind != "numeric" or not values.dropna().isin((0.0, 1.0)).all():
        return values, variable
    named = values.map({0.0: "0", 1.0: "1"})
    return named, Variable(kind="categorical", levels=("1", "0"))


def _numeric(name: str, variable: Variable, parts: list[pd.Series[Any]], shown: Disclosure) -> list[list[str]]:
    values = [part.to_numpy(dtype=float) for part in parts]
    n_missing = [int(np.isnan(one).sum()) for one in values]
    cells = [f"<{SMALLEST} values" if shown.small(int(np.isfinite(one).sum())) else median_iqr(one) for one in values]
    row = [with_unit(name, variable), *cells]
    if not any(n_missing):
        return [row]
    missing = zip(shown.parts(n_missing), n_missing, values, strict=True)
    return [row, [f"  {MISSING}", *(count_and_share(text, n, len(one)) for text, n, one in missing)]]


def _levels(
    name: str, variable: Variable, everyone: pd.Series[Any], parts: list[pd.Series[Any]], shown: Disclosure
) -> list[list[str]]:
    """One row a level; rare levels of real patients are put together, since they would name somebody."""
    counts = everyone.value_counts()
    levels = [level for level in levels_of(variable, everyone) if not shown.small(int(counts[level]))][:MOST_LEVELS]
    rows = {f"  {level}": [int((part == level).sum()) for part in parts] for level in levels}
    rows[f"  {RARE_LEVELS}"] = [int((part.notna() & ~part.isin(levels)).sum()) for part in parts]
    rows[f"  {MISSING}"] = [int(part.isna().sum()) for part in parts]
    rows = {label: row for label, row in rows.items() if any(row)}
    texts = shown.table(np.array(list(rows.values()), dtype=np.int64))
    sizes = [len(part) for part in parts]
    filled = [
        [label, *(count_and_share(*cell) for cell in zip(text, row, sizes, strict=True))]
        for (label, row), text in zip(rows.items(), texts, strict=True)
    ]
    return [[name, *[""] * len(parts)], *filled]
