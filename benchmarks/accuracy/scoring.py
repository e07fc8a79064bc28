"""From out-of-fold predictions to scores: each with what a paired bootstrap over patients needs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.accuracy.tables import BenchmarkTable
from training.evaluation.brier import brier_score, integrate
from training.evaluation.comparison import simultaneous_intervals
from training.evaluation.discrimination import concordance
from training.evaluation.ipcw import scoring_weights
from training.splits import fold_of_rows

RESAMPLES = 2000
FEWEST_EVENTS = 25
"""Causes with fewer events are shown, but do not enter means and ranks."""
C_AT = (0.25, 0.50, 0.75)
"""Quantiles of event times at which the concordance of the risk is taken, and averaged."""


@dataclass(frozen=True, slots=True)
class Scored:
    """One model on one table."""

    table: str
    model: str
    loss: NDArray[np.float64]
    """(rows, causes): each row's share of the IBS, mean over repeats; the mean over rows is the IBS."""
    c: NDArray[np.float64]
    """(causes,)."""
    seconds: float
    """Of one fit."""


def score(subject: BenchmarkTable, model: str, incidence: NDArray[np.float64], seconds: float) -> Scored:
    """Score predictions (repeats, rows, causes, times); G is the reverse Kaplan–Meier curve of all scored rows."""
    loss = np.mean([row_losses(subject, repeat) for repeat in incidence], axis=0)
    outcomes = subject.rows.outcomes
    events = outcomes.duration_days[outcomes.cause > 0]
    folds = fold_of_rows(subject.folds(len(incidence)), len(outcomes))
    found = []
    for tau in np.quantile(events, C_AT):
        at = int(np.searchsorted(subject.times_days, tau).clip(max=len(subject.times_days) - 1))
        repeats = zip(incidence, folds, strict=True)
        found += [concordance(repeat[:, :, at], outcomes, float(tau), fold=fold) for repeat, fold in repeats]
    return Scored(subject.name, model, loss, np.nanmean(found, axis=0), seconds)


def row_losses(subject: BenchmarkTable, incidence: NDArray[np.float64]) -> NDArray[np.float64]:
    """(rows, causes): each row's IPCW-weighted squared error, integrated over the scored range."""
    outcomes, times = subject.rows.outcomes, subject.times_days
    weights = scoring_weights(outcomes, times)
    duration, cause = outcomes.duration_days[:, None], outcomes.cause[:, None]
    after = np.where(duration > times, weights.after, np.where((duration == times) & (cause == 0), weights.tied, 0.0))
    happened = np.where((duration <= times) & (cause > 0), weights.event[:, None], 0.0)
    width = times[-1] - times[0]
    losses = []
    for k in range(len(outcomes.causes)):
        risk = incidence[:, k]
        squared = happened * ((cause == k + 1) - risk) ** 2 + after * risk**2
        losses.append(np.trapezoid(squared, times, axis=1) / width)
    return np.stack(losses, axis=1)


def check_against_library(subject: BenchmarkTable, incidence: NDArray[np.float64]) -> float:
    """Largest difference of the mean row loss to the project's own IBS: the two must be one."""
    own = row_losses(subject, incidence).mean(axis=0)
    times = subject.times_days
    library = integrate(brier_score(incidence, times, subject.rows.outcomes), times, (times[0], times[-1]))
    return float(np.abs(own - library).max())


def long_table(scored: list[Scored], subjects: dict[str, BenchmarkTable]) -> pd.DataFrame:
    """One line a table, cause and model: IBS, IPA, C, and the difference to ridge Cox with its interval."""
    by = {(s.table, s.model): s for s in scored}
    lines = []
    for s in scored:
        outcomes = subjects[s.table].rows.outcomes
        null, cox = by[s.table, "aalen_johansen"].loss, by[s.table, "cox"].loss
        draws = _draws(len(outcomes))
        for k, cause in enumerate(outcomes.causes):
            difference = s.loss[:, k] - cox[:, k]
            low, high = np.quantile(draws @ difference / len(outcomes), (0.025, 0.975))
            lines.append(
                {
                    "table": s.table,
                    "cause": cause,
                    "events": int((outcomes.cause == k + 1).sum()),
                    "model": s.model,
                    "ibs": s.loss[:, k].mean(),
                    "ipa": 1 - s.loss[:, k].mean() / null[:, k].mean(),
                    "c": s.c[k],
                    "minus_cox": difference.mean(),
                    "minus_cox_low": low,
                    "minus_cox_high": high,
                    "seconds": s.seconds,
                }
            )
    return pd.DataFrame(lines)


def summary(lines: pd.DataFrame) -> pd.DataFrame:
    """One line a model: mean IPA and C, ranks, worst difference to Cox; means are over endpoints that others have too.

    Whoever has all endpoints gets means over them; everyone gets the mean IPA over the endpoints that all models have.
    """
    enough = lines[lines["events"] >= FEWEST_EVENTS]
    enough = enough.assign(endpoint=enough["table"] + " / " + enough["cause"])
    wide = enough.pivot_table(index="endpoint", columns="model", values=["ibs", "ipa", "c", "minus_cox"], dropna=False)
    has = wide["ibs"].notna()
    everywhere, common = has.columns[has.all()], has.all(axis=1)
    ranks = wide["ibs"][everywhere].rank(axis=1).mean()
    c_ranks = wide["c"][everywhere].rank(axis=1, ascending=False).mean()
    frame = pd.DataFrame(
        {
            f"mean IPA %, {len(has)} endpoints": 100 * wide["ipa"][everywhere].mean(),
            "mean IBS rank": ranks,
            "mean C": wide["c"][everywhere].mean(),
            "mean C rank": c_ranks,
            f"mean IPA %, the {common.sum()} of all models": 100 * wide["ipa"][common].mean(),
            "worst IBS − cox": wide["minus_cox"].max(),
            "endpoints": has.sum(),
            "seconds a fit": lines.groupby("model")["seconds"].mean(),
        }
    )
    return frame.sort_values("mean IBS rank")


def mean_ipa_differences(
    scored: list[Scored], subjects: dict[str, BenchmarkTable], first: str, others: Sequence[str]
) -> pd.DataFrame:
    """Differences of `first` to other models in mean IPA over the endpoints both have, in points of per cent.

    Patients of each table are drawn with replacement, independently of the other tables, the same for all models:
    `low` and `high` hold one difference with 95 %, `low_all` and `high_all` hold all of them at once.
    """
    losses: dict[str, dict[str, NDArray[np.float64]]] = {}
    for s in scored:
        losses.setdefault(s.table, {})[s.model] = s.loss
    gains: dict[str, list[NDArray[np.float64]]] = {other: [] for other in others}
    for table, own in losses.items():
        outcomes = subjects[table].rows.outcomes
        resample = np.concatenate([np.ones((1, len(outcomes))), _draws(len(outcomes))])
        enough = np.bincount(outcomes.cause, minlength=len(outcomes.causes) + 1)[1:] >= FEWEST_EVENTS
        sums = {model: resample @ loss[:, enough] for model, loss in own.items()}
        for other in [one for one in others if one in sums]:
            gains[other].append(100 * (sums[other] - sums[first]) / sums["aalen_johansen"])
    drawn = np.column_stack([np.concatenate(gains[other], axis=1).mean(axis=1) for other in others])
    one = np.quantile(drawn[1:], (0.025, 0.975), axis=0)
    together = simultaneous_intervals(drawn[0], drawn[1:])
    return pd.DataFrame(
        {
            "champion": first,
            "model": others,
            "points": drawn[0],
            "low": one[0],
            "high": one[1],
            "low_all": together[:, 0],
            "high_all": together[:, 1],
        }
    )


def _draws(n_rows: int) -> NDArray[np.float64]:
    """(resamples, rows): how often each row is drawn; the same for every model of a table."""
    return np.random.default_rng(0).multinomial(n_rows, np.full(n_rows, 1 / n_rows), size=RESAMPLES).astype(float)
