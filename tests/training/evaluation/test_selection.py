"""The best of many configurations looks too good; corrected for the choice, it does not."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from features.outcomes import Outcomes
from training.evaluation.brier import brier_score, integrate, prediction_accuracy
from training.evaluation.ipcw import scoring_weights
from training.evaluation.selection import Score, select
from training.models.nonparametric import aalen_johansen

TIMES = np.linspace(0.2, 1.0, 5)
N_MODELS, N_PATIENTS, N_STUDIES = 30, 120, 20


def simulate(rng: np.random.Generator, n: int) -> Outcomes:
    """Two causes at constant hazards, and censoring; no patient differs from another."""
    event, censored = rng.exponential(1.0, n), rng.exponential(3.0, n)
    cause = np.where(event <= censored, 1 + (rng.random(n) < 0.4), 0)
    return Outcomes(np.minimum(event, censored), cause.astype(np.int64), ("infection", "death"))


def noise(rng: np.random.Generator, outcomes: Outcomes) -> NDArray[np.float64]:
    """Predictions that know the mean incidence and, beyond it, nothing: (rows, causes, times)."""
    scale = np.exp(0.5 * rng.normal(size=(len(outcomes), 1, 1)))
    return np.minimum(scale * aalen_johansen(outcomes).at(TIMES), 0.5)


def ipa(incidence: NDArray[np.float64], outcomes: Outcomes) -> Score:
    null = np.broadcast_to(aalen_johansen(outcomes).at(TIMES), incidence.shape)

    def score(counts: NDArray[np.float64]) -> NDArray[np.float64]:
        weights = scoring_weights(outcomes, TIMES, resamples=counts)
        ibs, ibs_null = (integrate(brier_score(one, TIMES, outcomes, weights), TIMES) for one in (incidence, null))
        return prediction_accuracy(ibs, ibs_null)[:, 0]

    return score


def test_among_models_of_noise_the_best_is_optimistic_and_its_corrected_score_is_not() -> None:
    large = simulate(np.random.default_rng(99), 20_000)
    truth = float(ipa(noise(np.random.default_rng(98), large), large)(np.ones((1, len(large))))[0])
    naive, corrected, covered = [], [], []
    for study in range(N_STUDIES):
        rng = np.random.default_rng([7, study])
        outcomes = simulate(rng, N_PATIENTS)
        scores = [ipa(noise(rng, outcomes), outcomes) for _ in range(N_MODELS)]
        found = select(scores, N_PATIENTS, higher_is_better=True, rng=rng, n_bootstrap=40)
        naive.append(found.scores[found.best].point - truth)
        corrected.append(found.corrected.point - truth)
        covered.append(found.corrected.low <= truth <= found.corrected.high)
    error_naive, error = (float(np.std(values) / np.sqrt(N_STUDIES)) for values in (naive, corrected))
    assert np.mean(naive) > 10 * error_naive
    assert abs(np.mean(corrected)) < 3 * error
    assert abs(np.mean(corrected)) < 0.25 * np.mean(naive)
    assert np.mean(covered) > 0.8


def fixed(values: NDArray[np.float64]) -> Score:
    """The mean of values of patients, by how often each is drawn."""

    def score(counts: NDArray[np.float64]) -> NDArray[np.float64]:
        n = counts.sum(axis=1)
        return np.where(n > 0, counts @ values / np.maximum(n, 1), np.nan)

    return score


@pytest.mark.parametrize(("higher_is_better", "best"), [(True, 1), (False, 0)])
def test_a_configuration_that_is_better_for_everyone_needs_no_correction(higher_is_better: bool, best: int) -> None:
    values = np.random.default_rng(0).normal(size=80)
    found = select(
        [fixed(values), fixed(values + 1)],
        80,
        higher_is_better=higher_is_better,
        rng=np.random.default_rng(1),
        n_bootstrap=4000,
    )
    assert found.best == best
    point = found.scores[best].point
    assert point == pytest.approx(values.mean() + best)
    assert found.corrected.point == pytest.approx(point, abs=0.02)
    assert found.corrected.low < found.scores[best].low < point < found.scores[best].high < found.corrected.high


def test_by_hand_those_who_choose_do_not_score() -> None:
    seen: list[NDArray[np.float64]] = []

    def watched(score: Score) -> Callable[[NDArray[np.float64]], NDArray[np.float64]]:
        def call(counts: NDArray[np.float64]) -> NDArray[np.float64]:
            seen.append(counts)
            return score(counts)

        return call

    first, second = np.array([0.0, 3.0, 1.0, 5.0]), np.array([2.0, 1.0, 4.0, 0.0])
    scores = [watched(fixed(first)), fixed(second)]
    found = select(scores, 4, higher_is_better=False, rng=np.random.default_rng(3), n_bootstrap=50)
    _, drawn, left_out = seen
    assert np.array_equal(left_out, drawn == 0)
    expected = []
    for counts in drawn:
        chosen = first if counts @ first <= counts @ second else second
        if (counts == 0).any():
            expected.append(chosen[counts == 0].mean())
    assert found.corrected.point == pytest.approx(np.mean(expected))


def test_what_has_no_score_is_not_chosen() -> None:
    nothing: Score = lambda counts: np.full(len(counts), np.nan)  # noqa: E731
    found = select(
        [nothing, fixed(np.arange(9.0))], 9, higher_is_better=True, rng=np.random.default_rng(0), n_bootstrap=20
    )
    assert found.best == 1
    assert np.isfinite(found.corrected.point)
    with pytest.raises(ValueError, match="no configuration has a score"):
        select([nothing], 9, higher_is_better=True, rng=np.random.default_rng(0))
