"""Is one run better than another on the same patients? Paired differences, corrected for how many are looked at."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from experiments.comparing.compared_runs import ComparedRuns
from experiments.scoring import scored_rows
from training.evaluation.comparison import difference_of, holm, simultaneous_intervals
from training.evaluation.measures import Measured
from training.evaluation.paired import repeated_accuracy, sample_and_resamples

METRICS = {"ibs": "IBS", "ipa": "IPA", "c": "C", "brier_at": "Brier", "ipa_at": "IPA", "auc_at": "AUC"}
"""As `training.evaluation.measures` calls them, and as people do; those at horizons end in ``_at``."""
OVERALL = ("ibs", "ipa", "c")
SMALLER_IS_BETTER = ("ibs", "brier_at")
SIGNIFICANT = 0.05

Progress = Callable[[int, int], None]
ByLandmark = dict[float, list[Measured]]
"""By landmark day, for each run: (1 + resamples, causes[, horizons]), the sample itself first."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """Paired differences of runs against one of them."""

    baseline: str
    endpoint: str
    provenance: str
    n_patients: int
    n_events: int
    """Patients with the event of interest after the first landmark."""
    cause: str
    """The event of interest."""
    table: pd.DataFrame
    """run, landmark_day, cause, metric, horizon_days (NaN: over all times), score, baseline_score, difference, low,
    high, simultaneous_low, simultaneous_high, p, p_adjusted, comparisons (how many it is adjusted for), better
    (``run``, ``baseline`` or ``neither``)."""


def compare(
    compared: ComparedRuns,
    *,
    baseline: int = 0,
    all_causes: bool = False,
    n_bootstrap: int = 1000,
    seed: int = 0,
    progress: Progress | None = None,
) -> Comparison:
    """Differences of every run less the baseline, at every landmark, with 95 % intervals over patients.

    The same resamples of patients score all runs, landmarks and metrics; over repeats of the cross-validation scores
    are averaged within each resample. P-values are adjusted by Holm's method over all differences of one metric: all
    runs, landmarks, causes and horizons in the table. `simultaneous` bounds hold for these all at once. Predictions are
    held fixed: intervals speak of these predictions on other patients, not of fitting again.

    Args:
        compared: The runs.
        baseline: Number of the run that the others are compared with.
        all_causes: Also the competing events.
        n_bootstrap: Resamples of patients.
        seed: Of the resamples.
        progress: Told how many predictions of how many are scored.

    Raises:
        SequelaError: Nothing is known about any time from a landmark on.
    """
    rows, runs = compared.rows, compared.runs
    draws = draw_scores(compared, n_bootstrap=n_bootstrap, seed=seed, progress=progress)
    causes = rows.outcomes.causes if all_causes else rows.outcomes.causes[:1]
    table = pd.concat(
        [_of_metric(name, draws, compared, baseline, causes) for name in METRICS], ignore_index=True
    ).reset_index(drop=True)
    first = scored_rows(rows, runs[0].predictions, rows.endpoint.landmark_days[0])
    return Comparison(
        runs[baseline].name,
        rows.endpoint.name,
        rows.cohort.card.provenance,
        len(first),
        int((rows.outcomes.cause[first] == 1).sum()),
        causes[0],
        table,
    )


def draw_scores(compared: ComparedRuns, *, n_bootstrap: int, seed: int, progress: Progress | None = None) -> ByLandmark:
    """Scores of all runs at all landmarks, on the same resamples of patients."""
    rows = compared.rows
    draws = sample_and_resamples(rows.patients.patient_id, n_bootstrap, np.random.default_rng(seed))
    days, total = rows.endpoint.landmark_days, len(rows.endpoint.landmark_days) * len(compared.runs)
    scores: ByLandmark = {day: [] for day in days}
    for day in days:
        for run in compared.runs:
            at = scored_rows(rows, run.predictions, day)
            scores[day].append(
                repeated_accuracy(
                    run.predictions.incidence[:, at],
                    run.predictions.times_days,
                    rows.outcomes.take(at),
                    rows.endpoint.horizons_days,
                    draws[:, at],
                    run.predictions.fold[:, at],
                )
            )
            if progress is not None:
                progress(sum(map(len, scores.values())), total)
    return scores


@dataclass(frozen=True, slots=True)
class _Line:
    """One difference before it is corrected: of a run, a landmark, a cause and a horizon."""

    about: dict[str, object]
    run: NDArray[np.float64]
    """(1 + resamples,)"""
    baseline: NDArray[np.float64]


def _of_metric(
    name: str, scores: ByLandmark, compared: ComparedRuns, baseline: int, causes: Sequence[str]
) -> pd.DataFrame:
    """All differences of one metric: one family of comparisons."""
    lines = []
    horizons = compared.rows.endpoint.horizons_days if name.endswith("_at") else (np.nan,)
    for number, run in enumerate(compared.runs):
        if number == baseline:
            continue
        for day, measured in scores.items():
            ours, theirs = (
                one[name].reshape(len(one[name]), -1, len(horizons)) for one in (measured[number], measured[baseline])
            )
            for k, cause in enumerate(causes):
                for j, horizon in enumerate(horizons):
                    about = {
                        "run": run.name,
                        "landmark_day": day,
                        "cause": cause,
                        "metric": name.removesuffix("_at"),
                        "horizon_days": horizon,
                    }
                    lines.append(_Line(about, ours[:, k, j], theirs[:, k, j]))
    return _corrected(lines, sign=-1 if name in SMALLER_IS_BETTER else 1)


def _corrected(lines: Sequence[_Line], *, sign: int) -> pd.DataFrame:
    draws = np.column_stack([line.run - line.baseline for line in lines])
    found = [difference_of(float(column[0]), column[1:]) for column in draws.T]
    adjusted = holm([one.p for one in found])
    together = simultaneous_intervals(draws[0], draws[1:])
    n_tests = int(np.isfinite(adjusted).sum())
    table = []
    for line, one, p, (low, high) in zip(lines, found, adjusted, together, strict=True):
        better = ("run" if sign * one.point > 0 else "baseline") if p < SIGNIFICANT else "neither"
        scores = {"score": float(line.run[0]), "baseline_score": float(line.baseline[0])}
        differs = {"difference": one.point, "low": one.low, "high": one.high}
        all_at_once = {"simultaneous_low": low, "simultaneous_high": high}
        tested = {"p": one.p, "p_adjusted": p, "comparisons": n_tests, "better": better}
        table.append(line.about | scores | differs | all_at_once | tested)
    return pd.DataFrame(table)


def verdicts(comparison: Comparison, metric: str = "ibs") -> list[str]:
    """One sentence for each run and landmark, on an overall metric of the event of interest."""
    table = comparison.table
    chosen = table[(table["metric"] == metric) & table["horizon_days"].isna() & (table["cause"] == comparison.cause)]
    return [_verdict(comparison.baseline, METRICS[metric], row) for row in chosen.to_dict("records")]


def _verdict(baseline: str, metric: str, row: dict[Any, Any]) -> str:
    numbers = (
        f"{metric} of {row['cause']} {row['score']:.4f} against {row['baseline_score']:.4f}, difference "
        f"{row['difference']:+.4f} [{row['low']:+.4f}, {row['high']:+.4f}]"
    )
    corrected = f"p = {row['p_adjusted']:.2g} corrected for {row['comparisons']} comparisons"
    one, other, day = row["run"], baseline, f"from day {row['landmark_day']:g}"
    if not np.isfinite(row["p"]):
        return f"{one} and {other}, {day}: {metric} cannot be compared, too little is known of {row['cause']}"
    if row["better"] == "run":
        return f"{one} is better than {other} {day}: {numbers}, {corrected}"
    if row["better"] == "baseline":
        return f"{other} is better than {one} {day}: {numbers}, {corrected}"
    if row["low"] <= 0 <= row["high"]:
        return f"{one} and {other} are tied {day}: {numbers}; the interval includes 0"
    return f"{one} and {other} are not told apart {day}: {numbers}, but {corrected}"


def write_comparison(comparison: Comparison, path: Path) -> None:
    """The whole table as CSV."""
    beside = path.with_name(path.name + ".part")
    comparison.table.assign(baseline=comparison.baseline, provenance=comparison.provenance).to_csv(beside, index=False)
    beside.rename(path)
