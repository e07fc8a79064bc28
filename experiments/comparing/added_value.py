"""Do the cells add anything over the clinic? One question about two runs, and one answer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from experiments.comparing.compared_runs import ComparedRuns
from experiments.comparing.comparison import SIGNIFICANT, Progress, draw_scores
from experiments.config import RunConfig
from experiments.scoring import scored_rows
from experiments.usefulness import THRESHOLDS
from features.errors import SequelaError
from training.config import sees_cells
from training.evaluation.arrays import at_horizons
from training.evaluation.comparison import Difference, difference_of
from training.evaluation.paired import repeated_net_benefit, sample_and_resamples
from training.evaluation.permutation import PermutationTest
from training.models.nonparametric import aalen_johansen

CLINIC, CELLS = 0, 1
"""Places of the two runs."""
Verdict = Literal["add", "take away", "chance"]


@dataclass(frozen=True, slots=True)
class Gain:
    """What the cells change of one score: cells run less clinic run, on the same patients."""

    metric: str
    landmark_day: float | None
    """None: the mean over landmarks."""
    horizon_days: float | None
    """None: over all times."""
    threshold: float | None
    """Of a net benefit: the risk from which on one would treat."""
    clinic: float
    cells: float
    gain: Difference


@dataclass(frozen=True, slots=True)
class AddedValue:
    """The answer."""

    endpoint: str
    cause: str
    provenance: str
    n_patients: int
    n_events: int
    clinic_run: str
    cells_run: str
    overall: Gain
    """IPA over all times, the mean over landmarks: it decides."""
    gains: tuple[Gain, ...]
    """At each landmark and horizon: IPA, AUC, and net benefit at thresholds near the observed risk."""
    test: PermutationTest | None
    """Of exchanging the cells between patients; None where it was not asked for."""

    @property
    def verdict(self) -> Verdict:
        """The interval of the overall gain excludes 0, and cells of other patients hardly ever do as well."""
        gain = self.overall.gain
        if gain.high < 0:
            return "take away"
        told = gain.low > 0 and (self.test is None or self.test.p <= SIGNIFICANT)
        return "add" if told else "chance"

    @property
    def sentence(self) -> str:
        """The answer in words."""
        gain = self.overall.gain
        said = {
            "add": "The cells add to the clinic",
            "take away": "The cells make predictions worse than the clinic alone",
            "chance": "The cells add nothing that could be told from chance",
        }[self.verdict]
        tested = "" if self.test is None else f", p = {self.test.p:.2g} of exchanging cells between patients"
        return (
            f"{said}: the IPA of {self.cause} goes from {self.overall.clinic:.1%} to {self.overall.cells:.1%}, "
            f"{100 * gain.point:+.1f} points [{100 * gain.low:+.1f}, {100 * gain.high:+.1f}]{tested}; "
            f"{self.n_patients} {self.provenance} patients, {self.n_events} events."
        )


def added_value(
    compared: ComparedRuns,
    test: PermutationTest | None,
    *,
    n_bootstrap: int = 1000,
    seed: int = 0,
    progress: Progress | None = None,
) -> AddedValue:
    """Gains of the second run over the first, on the same resamples of patients.

    Args:
        compared: The clinic's run, and that with the cells; see `require_clinic_and_cells`.
        test: From `cell_test`, or None.
        n_bootstrap: Resamples of patients.
        seed: Of the resamples.
        progress: Told how many predictions of how many are scored.
    """
    rows, endpoint = compared.rows, compared.rows.endpoint
    scores = draw_scores(compared, n_bootstrap=n_bootstrap, seed=seed, progress=progress)
    by_run = [np.mean([scores[day][which]["ipa"][:, 0] for day in endpoint.landmark_days], axis=0) for which in (0, 1)]
    gains: list[Gain] = []
    for day, measured in scores.items():
        for name in ("ipa", "auc"):
            for j, horizon in enumerate(endpoint.horizons_days):
                pair = [one[f"{name}_at"][:, 0, j] for one in measured]
                gains.append(_gain(name, pair, day, horizon))
    draws = sample_and_resamples(rows.patients.patient_id, n_bootstrap, np.random.default_rng(seed))
    gains += _net_benefit(compared, draws)
    first = scored_rows(rows, compared.runs[CLINIC].predictions, endpoint.landmark_days[0])
    return AddedValue(
        endpoint.name,
        endpoint.event.name,
        rows.cohort.card.provenance,
        len(first),
        int((rows.outcomes.cause[first] == 1).sum()),
        compared.runs[CLINIC].name,
        compared.runs[CELLS].name,
        _gain("ipa", by_run),
        tuple(gains),
        test,
    )


def require_clinic_and_cells(clinic: RunConfig, cells: RunConfig) -> None:
    """Refuse two runs of which not the first sees the clinic alone, and the second cells as well.

    Raises:
        SequelaError: They are not.
    """
    if uses_cells(clinic) and not uses_cells(cells):
        msg = f"added-value {clinic.name} {cells.name}: the first run sees cells and the second none; swap them"
        raise SequelaError(msg)
    if uses_cells(clinic):
        msg = f"run {clinic.name}: sees cells; the first run has to be of the clinic alone (features.cells: [])"
        raise SequelaError(msg)
    if not uses_cells(cells):
        msg = f"run {cells.name}: sees no cells; the second run has to see them (features.cells, or a model of cells)"
        raise SequelaError(msg)


def uses_cells(config: RunConfig) -> bool:
    """Whether a run sees samples: features made of them, or single cells."""
    return bool(config.features.cells) or sees_cells(config.model)


def clinic_twin(config: RunConfig) -> RunConfig:
    """The same run without its cells.

    Raises:
        SequelaError: It sees none, or its model cannot do without.
    """
    if not uses_cells(config):
        msg = f"run {config.name}: sees no cells; name some in features.cells, e.g. [composition, programs]"
        raise SequelaError(msg)
    if sees_cells(config.model):
        msg = (
            f"run {config.name}: a {config.model.kind} model cannot do without cells, so it has no twin of the clinic "
            "alone; train two runs and ask with their names: sequela added-value CLINIC_RUN CELLS_RUN"
        )
        raise SequelaError(msg)
    features = config.features.model_copy(update={"cells": ()})
    return config.model_copy(update={"name": f"{config.name}_clinic", "features": features})


def _gain(
    metric: str,
    pair: list[NDArray[np.float64]],
    day: float | None = None,
    horizon: float | None = None,
    threshold: float | None = None,
) -> Gain:
    """From the draws (1 + resamples,) of both runs, the sample itself first."""
    difference = pair[CELLS] - pair[CLINIC]
    gain = difference_of(float(difference[0]), difference[1:])
    return Gain(metric, day, horizon, threshold, float(pair[CLINIC][0]), float(pair[CELLS][0]), gain)


def _net_benefit(compared: ComparedRuns, draws: NDArray[np.float64]) -> Iterator[Gain]:
    rows = compared.rows
    for day in rows.endpoint.landmark_days:
        at = scored_rows(rows, compared.runs[CLINIC].predictions, day)
        outcomes = rows.outcomes.take(at)
        for horizon in rows.endpoint.horizons_days:
            thresholds = sensible_thresholds(float(aalen_johansen(outcomes).at(np.array([horizon]))[0, 0]))
            by_run = [
                repeated_net_benefit(
                    at_horizons(run.predictions.incidence[:, at], run.predictions.times_days, np.array([horizon]))[
                        :, :, 0, 0
                    ],
                    outcomes,
                    horizon,
                    thresholds,
                    draws[:, at],
                )
                for run in compared.runs
            ]
            for j, threshold in enumerate(thresholds):
                yield _gain("net_benefit", [one[:, j] for one in by_run], day, horizon, threshold)


def sensible_thresholds(risk: float) -> tuple[float, ...]:
    """Those of `THRESHOLDS` between half and twice the observed risk: elsewhere all or nobody would be treated."""
    near = tuple(one for one in THRESHOLDS if risk / 2 <= one <= 2 * risk)
    return near or (min(THRESHOLDS, key=lambda one: abs(one - risk)),)
