"""The checks of a gate in groups of patients."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise
from math import isfinite
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from experiments.promotion.candidate import Candidate
from experiments.promotion.gate import Subgroups
from experiments.promotion.limits import threshold_checks
from experiments.promotion.paired import Paired
from experiments.promotion.verdict import Check
from features.errors import SequelaError
from training.evaluation.arrays import at_horizons
from training.evaluation.calibration import calibration_in_the_large
from training.evaluation.intervals import Interval, percentile_interval, resample_patients
from training.evaluation.measures import Subject

Row = dict[str, Any]
"""Of a table of scores: landmark_day, horizon_days (None: over all times), metric, point, low, high."""


def subgroup_checks(rule: Subgroups, candidate: Candidate, resamples: int) -> Iterator[Check]:
    """Every limit in every group; groups that are too small to be judged are named as not applicable."""
    try:
        predicted = candidate.predictions()
    except SequelaError as error:
        yield Check("subgroups", "subgroups", "failed", "can be looked at", remark=str(error))
        return
    table = predicted.rows.cohort.patients.set_index("patient_id").loc[list(predicted.rows.patients.patient_id)]
    for column, cuts in rule.by.items():
        if column not in table.columns:
            yield Check("subgroups", column, "not applicable", "is a column of patients", remark="the cohort has none")
            continue
        try:
            groups = _groups(table[column], column, cuts)
        except SequelaError as error:
            yield Check("subgroups", column, "failed", "can be parted into groups", remark=str(error))
            continue
        for name, members in groups.items():
            yield from _of_group(rule, predicted, name, members, resamples)


def _groups(values: pd.Series[Any], column: str, cuts: tuple[float, ...]) -> dict[str, NDArray[np.bool_]]:
    """(rows,) for each group whether a row belongs to it; rows without a value belong to none."""
    if not cuts:
        if pd.api.types.is_float_dtype(values):
            msg = f"{column} is a number; say where to part it, e.g. {column}: [65]"
            raise SequelaError(msg)
        levels = sorted(values.dropna().unique(), key=str)
        return {f"{column}={level}": (values == level).to_numpy(dtype=bool) for level in levels}
    if not pd.api.types.is_numeric_dtype(values):
        msg = f"{column} is no number; ask for its levels with {column}: []"
        raise SequelaError(msg)
    groups = {}
    for low, high in pairwise([-np.inf, *cuts, np.inf]):
        words = [f"≥ {low:g}"] if isfinite(low) else []
        words += [f"< {high:g}"] if isfinite(high) else []
        groups[f"{column} {' '.join(words)}"] = ((values >= low) & (values < high)).to_numpy(dtype=bool)
    return groups


def _of_group(
    rule: Subgroups, predicted: Paired, name: str, members: NDArray[np.bool_], resamples: int
) -> Iterator[Check]:
    endpoint, smallest = predicted.rows.endpoint, rule.smallest
    found: list[Row] = []
    for day in endpoint.landmark_days:
        rows = predicted.tested_from(day)
        rows = rows[members[rows]]
        outcomes = predicted.rows.outcomes.take(rows)
        events = int(((outcomes.cause == 1) & (outcomes.duration_days <= endpoint.horizons_days[-1])).sum())
        if len(rows) < smallest.patients or events < smallest.events:
            text = f"{smallest.patients} patients and {smallest.events} events, or more"
            yield Check(
                "subgroups", f"{name} from day {day:g}", "not applicable", text, remark="too small to be judged"
            )
        else:
            found += [{"landmark_day": day} | row for row in _scores(rule, predicted, rows, resamples)]
    if found:
        yield from threshold_checks("subgroups", rule.thresholds, pd.DataFrame(found), f"{name}: ")


def _scores(rule: Subgroups, predicted: Paired, rows: NDArray[np.int64], resamples: int) -> Iterator[Row]:
    """The scores that the limits ask for, each the mean over repeats of the cross-validation."""
    asked = {threshold.metric for threshold in rule.thresholds}
    repeats: list[dict[tuple[str, float | None], Interval]] = []
    for incidence, fold in zip(predicted.incidence[0][:, rows], predicted.fold[:, rows], strict=True):
        of_repeat: dict[tuple[str, float | None], Interval] = {}
        if "o_e" in asked:
            of_repeat |= _calibration(predicted, rows, incidence)
        if asked - {"o_e"}:
            of_repeat |= _accuracy(predicted, rows, incidence, fold, resamples)
        repeats.append(of_repeat)
    for metric, horizon in repeats[0]:
        values = np.array([[getattr(one[metric, horizon], part) for part in PARTS] for one in repeats]).mean(axis=0)
        yield {"metric": metric, "horizon_days": horizon} | dict(zip(PARTS, map(float, values), strict=True))


PARTS = ("point", "low", "high")


def _calibration(
    predicted: Paired, rows: NDArray[np.int64], incidence: NDArray[np.float64]
) -> Mapping[tuple[str, float | None], Interval]:
    horizons, outcomes = predicted.rows.endpoint.horizons_days, predicted.rows.outcomes.take(rows)
    risk = at_horizons(incidence[:, 0], predicted.times_days, np.array(horizons))
    last = outcomes.duration_days.max()
    nothing = Interval(np.nan, np.nan, np.nan)
    return {
        ("o_e", day): calibration_in_the_large(risk[:, j], outcomes, 1, day) if day <= last else nothing
        for j, day in enumerate(horizons)
    }


def _accuracy(
    predicted: Paired,
    rows: NDArray[np.int64],
    incidence: NDArray[np.float64],
    fold: NDArray[np.int64],
    resamples: int,
) -> Mapping[tuple[str, float | None], Interval]:
    horizons, outcomes = predicted.rows.endpoint.horizons_days, predicted.rows.outcomes.take(rows)
    subject = Subject(incidence, predicted.times_days, outcomes, np.array(horizons), fold=fold)
    ids = predicted.rows.patients.patient_id[rows]
    blocks = [subject.accuracy(block) for block in resample_patients(ids, resamples, np.random.default_rng(0))]
    draws = {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}
    found: dict[tuple[str, float | None], Interval] = {}
    for name, value in subject.accuracy(None).items():
        if not name.endswith("_at"):
            found[name, None] = percentile_interval(float(value[0]), draws[name][:, 0])
            continue
        for j, day in enumerate(horizons):
            found[name.removesuffix("_at"), day] = percentile_interval(float(value[0, j]), draws[name][:, 0, j])
    return found
