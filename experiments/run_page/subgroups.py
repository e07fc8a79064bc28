"""Is the model as good for the old as for the young? Scores within groups of patients, and whom it predicts worst."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from experiments.run_page.record import AtLandmark
from features.cohort import Cohort
from features.patients import FloatArray, IntArray
from features.schema import Variable
from training.evaluation.arrays import at_horizons
from training.evaluation.brier import brier_score
from training.evaluation.calibration import calibration_in_the_large
from training.evaluation.discrimination import auc
from training.evaluation.intervals import Interval, percentile_interval, resample_patients
from training.evaluation.ipcw import ScoringWeights, identified_days, scoring_weights

VARIABLES: Mapping[str, tuple[str, ...]] = {
    "age": ("age", "age_years"),
    "sex": ("sex", "gender"),
    "race": ("race", "ethnicity"),
    "product": ("product", "car_product", "construct"),
    "disease": ("disease", "diagnosis", "histology"),
    "centre": ("site", "centre", "center"),
}
"""What is looked at, and the names that columns of patients.csv have for it."""
AGE_EDGES = (50.0, 65.0, 75.0)
AGE_BANDS = ("under 50", "50 to 64", "65 to 74", "75 and over")
UNKNOWN = "not known"
RARE = "other, each rare"
LEAST_PATIENTS, LEAST_EVENTS = 20, 5
"""Groups with fewer tell nothing that could be told from chance."""
WORST_SHARE, MOST_SHARE = 0.2, 1 / 3
"""Who counts as predicted worst; more only where a fifth would be too few to be described, and never beyond a third."""


@dataclass(frozen=True, slots=True)
class SubgroupScores:
    """How well one group of patients is predicted."""

    variable: str
    level: str
    n_patients: int
    n_events: int
    """Of the event of interest by the horizon."""
    scores: Mapping[str, Interval] | None
    """``o_e``, ``auc``, ``brier``; None of a group too small to be scored."""


def group_labels(cohort: Cohort, patient_id: NDArray[np.object_], least: int) -> dict[str, NDArray[np.object_]]:
    """For each variable of `VARIABLES` that the cohort has, the group of each patient (rows,).

    Levels of fewer than `least` patients are put together, so that a rare one names nobody.
    """
    table = cohort.patients.set_index("patient_id").loc[list(patient_id)]
    found = {}
    for name, columns in VARIABLES.items():
        column = next((column for column in columns if column in table), None)
        if column is None:
            continue
        numeric = cohort.card.variables.get(column, Variable(kind="categorical")).kind == "numeric"
        if name == "age" and numeric:
            found[name] = _age_bands(table[column].to_numpy(dtype=float))
        elif not numeric:
            found[name] = _levels(table[column], least)
    return {name: labels for name, labels in found.items() if len(set(labels)) > 1}


def _age_bands(years: FloatArray) -> NDArray[np.object_]:
    bands = np.array(AGE_BANDS, dtype=object)[np.searchsorted(AGE_EDGES, np.nan_to_num(years), side="right")]
    return np.where(np.isnan(years), UNKNOWN, bands)


def _levels(values: pd.Series, least: int) -> NDArray[np.object_]:
    known = values.astype(object).where(values.notna(), UNKNOWN).astype(str)
    rare = known.map(known.value_counts()) < least
    return known.where(~rare | (known == UNKNOWN), RARE).to_numpy(dtype=object)


def subgroup_scores(
    at: AtLandmark, labels: Mapping[str, NDArray[np.object_]], horizon_days: float, n_bootstrap: int, seed: int
) -> list[SubgroupScores]:
    """O/E, AUC and Brier score of the event of interest at a horizon within each group, with 95 % intervals.

    Weights for censoring are estimated within the group. Groups of fewer than `LEAST_PATIENTS` patients, of fewer than
    `LEAST_EVENTS` events, or patients known to be without, or not followed to the horizon, have no scores.
    """
    found = []
    for variable, of_row in labels.items():
        for level in levels_in_order(of_row):
            rows = np.flatnonzero(of_row == level)
            own = at.outcomes.take(rows)
            events = int(((own.cause == 1) & (own.duration_days <= horizon_days)).sum())
            without = int(((own.duration_days > horizon_days) | (own.cause > 1)).sum())
            enough = len(rows) >= LEAST_PATIENTS and min(events, without) >= LEAST_EVENTS
            enough = enough and identified_days(own) >= horizon_days
            rng = np.random.default_rng(seed)
            scores = _scores(at, rows, horizon_days, n_bootstrap, rng) if enough else None
            found.append(SubgroupScores(variable, level, len(rows), events, scores))
    return found


def levels_in_order(labels: NDArray[np.object_]) -> list[str]:
    """Age bands from young to old, other levels most frequent first, what is not known last."""
    levels, counts = np.unique(labels.astype(str), return_counts=True)
    size = dict(zip(levels.tolist(), counts.tolist(), strict=True))
    order = {name: i for i, name in enumerate(AGE_BANDS)} | {RARE: 98, UNKNOWN: 99}
    return sorted(size, key=lambda level: (order.get(level, 50), -size[level], level))


def _scores(
    at: AtLandmark, rows: IntArray, horizon_days: float, n_bootstrap: int, rng: np.random.Generator
) -> dict[str, Interval]:
    horizon, own = np.array([horizon_days]), at.outcomes.take(rows)
    risk = at_horizons(at.incidence[rows], at.times_days, horizon)

    def measured(weights: ScoringWeights) -> FloatArray:
        """Shape (..., 2)."""
        both = auc(risk, horizon, own, weights, at.fold[rows]), brier_score(risk, horizon, own, weights)
        return np.stack([of[..., 0, 0] for of in both], axis=-1)

    point = measured(scoring_weights(own, horizon))
    blocks = resample_patients(at.patient_id[rows], n_bootstrap, rng)
    draws = np.concatenate([measured(scoring_weights(own, horizon, resamples=block)) for block in blocks])
    scored = {name: percentile_interval(float(point[i]), draws[:, i]) for i, name in enumerate(("auc", "brier"))}
    return {"o_e": calibration_in_the_large(risk[:, 0, 0], own, 1, horizon_days)} | scored


@dataclass(frozen=True, slots=True)
class Failures:
    """Who is predicted worst at a horizon, in counts."""

    horizon_days: float
    n_patients: int
    n_worst: int
    kinds: Mapping[str, int]
    """Of the worst: how many of each kind of failure."""
    share_of_loss: float
    """Share of the Brier score that the worst make up."""
    by_group: tuple[tuple[str, str, int, int], ...]
    """variable, level, patients among the worst, and among the others."""


MISSED, ALARM, CONFUSED = (
    "met the event though its predicted risk was low",
    "stayed free of any event though the risk was high",
    "met a competing event though the risk of this one was high",
)


def failures(
    at: AtLandmark, labels: Mapping[str, NDArray[np.object_]], horizon_days: float, least: int
) -> Failures | None:
    """The patients who add most to the Brier score of the event of interest at a horizon, a fifth or a little more.

    A patient adds w_i (1{D_i = 1} − F_1(t|i))², with the weights for censoring of `training.evaluation.ipcw`; those
    censored by then add nothing and are left out. None where twice `least` would be more than a third.
    """
    horizon, outcomes = np.array([horizon_days]), at.outcomes
    if identified_days(outcomes) < horizon_days:
        return None
    weights = scoring_weights(outcomes, horizon)
    risk = at_horizons(at.incidence[:, 0], at.times_days, horizon)[:, 0]
    happened = (outcomes.duration_days <= horizon_days) & (outcomes.cause > 0)
    free = outcomes.duration_days > horizon_days
    weight = np.where(happened, weights.event, np.where(free, weights.after[0], 0.0))
    loss = weight * (np.where(happened & (outcomes.cause == 1), 1.0, 0.0) - risk) ** 2
    known = np.flatnonzero(weight > 0)
    n_worst = max(int(len(known) * WORST_SHARE), 2 * least)
    if n_worst > len(known) * MOST_SHARE:
        return None
    worst = known[np.argsort(-loss[known], kind="stable")[:n_worst]]
    others = np.setdiff1d(known, worst)
    kind = np.where(outcomes.cause == 1, MISSED, CONFUSED)
    kind = np.where(happened, kind, ALARM)
    counted = {name: int((kind[worst] == name).sum()) for name in (MISSED, ALARM, CONFUSED)}
    by_group = tuple(
        (variable, level, int((of_row[worst] == level).sum()), int((of_row[others] == level).sum()))
        for variable, of_row in labels.items()
        for level in levels_in_order(of_row)
    )
    return Failures(horizon_days, len(known), n_worst, counted, float(loss[worst].sum() / loss.sum()), by_group)
