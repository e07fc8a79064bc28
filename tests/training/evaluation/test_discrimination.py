"""AUC and concordance: slow definitions, symmetry, resamples, blocks, what is not defined."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from features.outcomes import Outcomes
from training.evaluation.discrimination import auc, concordance
from training.evaluation.ipcw import scoring_weights
from training.models.nonparametric import censoring_survival

Draw = Callable[..., Any]


def rounded(incidence: NDArray[np.float64]) -> NDArray[np.float64]:
    """Risks with ties."""
    return np.round(incidence, 1)


def slow_auc(
    risk: NDArray[np.float64], time: float, outcomes: Outcomes, cause: int, fold: NDArray[np.int64] | None = None
) -> float:
    """The definition, one pair at a time."""
    fold = np.zeros(len(outcomes), dtype=np.int64) if fold is None else fold
    survival = censoring_survival(outcomes)
    now = survival.at(np.array([time]))[0]
    weight = 1 / survival.before(outcomes.duration_days)
    concordant = pairs = 0.0
    for i in range(len(outcomes)):
        if outcomes.duration_days[i] > time or outcomes.cause[i] != cause:
            continue
        for j in np.flatnonzero(fold == fold[i]):
            if outcomes.duration_days[j] > time:
                pair = weight[i] / now
            elif outcomes.cause[j] not in (0, cause):
                pair = weight[i] * weight[j]
            else:
                continue
            pairs += pair
            concordant += pair * ((risk[i] > risk[j]) + 0.5 * (risk[i] == risk[j]))
    return concordant / pairs if pairs else np.nan


def slow_concordance(
    risk: NDArray[np.float64], tau: float, outcomes: Outcomes, cause: int, fold: NDArray[np.int64] | None = None
) -> float:
    """The definition, one pair at a time."""
    fold = np.zeros(len(outcomes), dtype=np.int64) if fold is None else fold
    survival, duration = censoring_survival(outcomes), outcomes.duration_days
    before, now = survival.before(duration), survival.at(duration)
    concordant = pairs = 0.0
    for i in range(len(outcomes)):
        if duration[i] > tau or outcomes.cause[i] != cause:
            continue
        for j in np.flatnonzero(fold == fold[i]):
            if duration[j] > duration[i] or (duration[j] == duration[i] and outcomes.cause[j] == 0):
                pair = 1 / (before[i] * (now[i] if now[i] > 0 else before[i]))
            elif outcomes.cause[j] not in (0, cause):
                pair = 1 / (before[i] * before[j])
            else:
                continue
            pairs += pair
            concordant += pair * ((risk[i] > risk[j]) + 0.5 * (risk[i] == risk[j]))
    return concordant / pairs if pairs else np.nan


@settings(max_examples=30)
@given(seed=st.integers(0, 10_000), n=st.integers(20, 40))
def test_auc_equals_the_definition_with_ties(draw: Draw, seed: int, n: int) -> None:
    outcomes, times, incidence = draw(seed, n)
    times, incidence = times[:2], rounded(incidence[..., :2])
    assume(censoring_survival(outcomes).at(times)[-1] > 0)
    slow = [[slow_auc(incidence[:, k, j], t, outcomes, k + 1) for j, t in enumerate(times)] for k in range(2)]
    np.testing.assert_allclose(auc(incidence, times, outcomes), slow, atol=1e-12)


@settings(max_examples=30)
@given(seed=st.integers(0, 10_000), n=st.integers(2, 30))
def test_concordance_equals_the_definition_with_ties(draw: Draw, seed: int, n: int) -> None:
    outcomes, times, incidence = draw(seed, n)
    risk = rounded(incidence[..., -1])
    slow = [slow_concordance(risk[:, k], times[-1], outcomes, k + 1) for k in range(2)]
    np.testing.assert_allclose(concordance(risk, outcomes, times[-1]), slow, atol=1e-12)


@settings(max_examples=30)
@given(seed=st.integers(0, 10_000), n=st.integers(20, 40), n_folds=st.integers(1, 5))
def test_only_rows_of_one_fold_are_compared(draw: Draw, seed: int, n: int, n_folds: int) -> None:
    outcomes, times, incidence = draw(seed, n)
    times, incidence = times[:2], rounded(incidence[..., :2])
    assume(censoring_survival(outcomes).at(times)[-1] > 0)
    rng = np.random.default_rng(seed)
    fold = rng.integers(0, n_folds, n) * 7 - 1
    slow = [[slow_auc(incidence[:, k, j], t, outcomes, k + 1, fold) for j, t in enumerate(times)] for k in range(2)]
    np.testing.assert_allclose(auc(incidence, times, outcomes, fold=fold), slow, atol=1e-12)
    last = [slow_concordance(incidence[:, k, 1], times[1], outcomes, k + 1, fold) for k in range(2)]
    np.testing.assert_allclose(concordance(incidence[..., 1], outcomes, times[1], fold=fold), last, atol=1e-12)
    # Each model on a scale of its own: what differs between folds alone says nothing of order.
    other = incidence * rng.uniform(0.5, 2, 40)[fold][:, None, None] + rng.integers(0, 9, 40)[fold][:, None, None]
    np.testing.assert_allclose(auc(other, times, outcomes, fold=fold), slow, atol=1e-12)
    np.testing.assert_allclose(concordance(other[..., 1], outcomes, times[1], fold=fold), last, atol=1e-12)


def test_folds_are_kept_in_resamples(draw: Draw) -> None:
    outcomes, times, incidence = draw(7, 60)
    fold = np.arange(60) % 4
    counts = np.random.default_rng(7).integers(0, 3, size=(3, 60))
    weights = scoring_weights(outcomes, times, resamples=counts.astype(float))
    aucs = auc(incidence, times, outcomes, weights, fold)
    indices = concordance(incidence[..., -1], outcomes, times[-1], weights, fold)
    for one, count in enumerate(counts):
        rows = np.repeat(np.arange(60), count)
        alone = outcomes.take(rows)
        np.testing.assert_allclose(aucs[one], auc(incidence[rows], times, alone, fold=fold[rows]), atol=1e-10)
        of_one = concordance(incidence[rows, :, -1], alone, times[-1], fold=fold[rows])
        np.testing.assert_allclose(indices[one], of_one, atol=1e-10)


@given(seed=st.integers(0, 10_000))
def test_who_was_left_out_of_training_does_not_order_patients(draw: Draw, seed: int) -> None:
    # The share of events among the others: what a model that knows nothing predicts, fold by fold. Folds of one patient
    # show it best: whoever meets the event is told the lower risk.
    outcomes, _, _ = draw(seed, 30, tied=False)
    met = outcomes.cause == 1
    tau = float(np.quantile(outcomes.duration_days, 0.6))
    assume((met & (outcomes.duration_days <= tau)).any())
    for n_folds, known in ((30, np.nan), (5, 0.5)):
        fold = np.arange(30) % n_folds
        risk = np.array([met[fold != one].mean() for one in range(n_folds)])[fold]
        risks = np.stack([risk, risk], axis=1)
        np.testing.assert_allclose(concordance(risks, outcomes, tau, fold=fold)[0], known, atol=1e-12)
        found = auc(risks[..., None], np.array([tau]), outcomes, fold=fold)[0, 0]
        np.testing.assert_allclose(found, known, atol=1e-12)
        if n_folds == len(outcomes):
            assert concordance(risks, outcomes, tau)[0] < 0.5


@given(seed=st.integers(0, 10_000), n=st.integers(5, 40))
def test_reversed_marker_and_order_of_rows(draw: Draw, seed: int, n: int) -> None:
    outcomes, times, incidence = draw(seed, n)
    incidence = rounded(incidence)
    forward = auc(incidence, times, outcomes), concordance(incidence[..., -1], outcomes, times[-1])
    np.testing.assert_allclose(auc(-incidence, times, outcomes), 1 - forward[0], atol=1e-12)
    np.testing.assert_allclose(concordance(-incidence[..., -1], outcomes, times[-1]), 1 - forward[1], atol=1e-12)
    order = np.random.default_rng(seed).permutation(n)
    shuffled = outcomes.take(order)
    np.testing.assert_allclose(auc(incidence[order], times, shuffled), forward[0], atol=1e-12)
    found = concordance(incidence[order, :, -1], shuffled, times[-1])
    np.testing.assert_allclose(found, forward[1], atol=1e-12)


@given(seed=st.integers(0, 10_000))
def test_resamples_are_repeated_rows(draw: Draw, seed: int) -> None:
    outcomes, times, incidence = draw(seed, 30)
    counts = np.random.default_rng(seed).integers(0, 3, size=(3, 30))
    weights = scoring_weights(outcomes, times, resamples=counts.astype(float))
    aucs = auc(incidence, times, outcomes, weights)
    indices = concordance(incidence[..., -1], outcomes, times[-1], weights)
    for one, count in enumerate(counts):
        rows = np.repeat(np.arange(30), count)
        alone = outcomes.take(rows)
        np.testing.assert_allclose(aucs[one], auc(incidence[rows], times, alone), atol=1e-10)
        np.testing.assert_allclose(indices[one], concordance(incidence[rows, :, -1], alone, times[-1]), atol=1e-10)


@settings(max_examples=60)
@given(data=st.data(), n=st.integers(1, 25), n_causes=st.integers(1, 3))
def test_concordance_equals_the_definition_on_any_sample(data: st.DataObject, n: int, n_causes: int) -> None:
    def rows(values: st.SearchStrategy[int]) -> NDArray[np.int64]:
        return np.array(data.draw(st.lists(values, min_size=n, max_size=n)), dtype=np.int64)

    outcomes = Outcomes(
        rows(st.integers(1, 8)).astype(float), rows(st.integers(0, n_causes)), ("a", "b", "c")[:n_causes]
    )
    risk = np.column_stack([rows(st.integers(0, 4)) / 4 for _ in range(n_causes)])
    tau = float(data.draw(st.integers(1, 9)))
    slow = [slow_concordance(risk[:, k], tau, outcomes, k + 1) for k in range(n_causes)]
    np.testing.assert_allclose(concordance(risk, outcomes, tau), slow, atol=1e-12)


def test_concordance_of_a_larger_sample_without_ties(draw: Draw) -> None:
    outcomes, times, incidence = draw(3, 300, tied=False)
    risk = incidence[..., -1] + np.random.default_rng(0).normal(0, 1e-6, (300, 2))
    slow = [slow_concordance(risk[:, k], times[-1], outcomes, k + 1) for k in range(2)]
    np.testing.assert_allclose(concordance(risk, outcomes, times[-1]), slow, atol=1e-12)


def test_cost_grows_as_n_log_n(draw: Draw) -> None:
    # Ten times the rows: a quadratic count would compare 100 times the pairs, and could not hold 10 ** 10 of them.
    outcomes, times, incidence = draw(3, 100_000, tied=False)
    found = concordance(incidence[..., -1], outcomes, times[-1])
    few = concordance(incidence[:3000, :, -1], outcomes.take(np.arange(3000)), times[-1])
    np.testing.assert_allclose(found, few, atol=0.03)


def test_other_causes_are_controls() -> None:
    outcomes = Outcomes(np.array([1.0, 2.0, 9.0]), np.array([1, 2, 0]), ("infection", "death"))
    risk = np.array([0.5, 0.9, 0.1])
    found = auc(np.stack([risk, risk], axis=1)[:, :, None], np.array([5.0]), outcomes)
    # Infection: above the one event-free, below the one who died. Death: above both.
    np.testing.assert_allclose(found[:, 0], [0.5, 1.0])


def test_event_on_the_last_day_of_follow_up_has_pairs() -> None:
    # On day 2 one has the event and the two others end: G becomes 0, but they were followed longer than the event.
    outcomes = Outcomes(np.array([1.0, 2.0, 2.0, 2.0]), np.array([0, 1, 0, 0]), ("infection",))
    found = concordance(np.array([0.9, 0.5, 0.5, 0.1])[:, None], outcomes, 2.0)
    np.testing.assert_allclose(found, [0.75])


def test_without_cases_or_controls_it_is_not_defined() -> None:
    outcomes = Outcomes(np.array([1.0, 2.0]), np.array([1, 1]), ("infection", "death"))
    found = auc(np.full((2, 2, 2), 0.5), np.array([0.5, 3.0]), outcomes)
    assert np.isnan(found).all()
    assert np.isnan(concordance(np.full((2, 2), 0.5), outcomes, 3.0)[1])


def test_after_all_follow_up_it_is_not_defined() -> None:
    outcomes = Outcomes(np.array([1.0, 2.0, 3.0]), np.array([1, 2, 0]), ("infection", "death"))
    found = auc(np.full((3, 2, 2), 0.5), np.array([3.0, 4.0]), outcomes)
    np.testing.assert_allclose(found, [[0.5, np.nan], [0.5, np.nan]])
