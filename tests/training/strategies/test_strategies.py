"""Clones, weights and incidences: by hand, by other ways, and in what must hold of any patients."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression  # type: ignore[import-untyped]

from features.outcomes import Outcomes
from training.effects.risks import RISK
from training.effects.time_lost import TIME_LOST, time_lost
from training.models.nonparametric import aalen_johansen
from training.strategies.contrasts import contrasts
from training.strategies.emulation import Trial, emulate, resampled
from training.strategies.followed import FloatArray, Followed
from training.strategies.incidence import incidence_at, time_lost_to, weighted_incidence
from training.strategies.leaving import days_of_losses, log_probability_of_staying, losses
from training.strategies.plans import natural, never, start_by, start_when
from training.strategies.positivity import stretches
from training.strategies.starting import days_of_starts, log_probability_of_what_was_done
from training.strategies.weighted_days import days_in_states, equal_at
from training.strategies.weights import clone_weights

N_DAYS = 30
HORIZONS = np.array([4.5, 10.0, 30.0])


def drawn(seed: int, n: int = 60, share: float = 0.6) -> tuple[Outcomes, Followed, FloatArray, FloatArray]:
    """Patients without rhyme or reason, a covariate of each, and one that changes now and then."""
    rng = np.random.default_rng(seed)
    outcomes = Outcomes(rng.integers(1, 45, n).astype(float), rng.integers(0, 3, n), ("a", "b"))
    start = np.where(rng.random(n) < share, rng.integers(0, 40, n), np.inf).astype(float)
    changing = np.repeat(rng.normal(size=(n, N_DAYS // 10, 1)), 10, axis=1)
    return outcomes, Followed.of(outcomes, start, N_DAYS), rng.normal(size=(n, 1)), changing


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_the_natural_course_is_the_plain_estimate(seed: int) -> None:
    outcomes, followed, x, z = drawn(seed)
    found = emulate(Trial.of(followed, (natural(),), x, z)).incidence[0]
    np.testing.assert_allclose(incidence_at(found, HORIZONS), aalen_johansen(outcomes).at(HORIZONS), atol=1e-12)
    np.testing.assert_allclose(time_lost_to(found, HORIZONS), time_lost(outcomes, HORIZONS), atol=1e-10)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_where_nobody_starts_never_starting_is_the_plain_estimate(seed: int) -> None:
    outcomes, followed, x, z = drawn(seed, share=0.0)
    found = emulate(Trial.of(followed, (never(N_DAYS),), x, z))
    np.testing.assert_allclose(found.weights[0].values[followed.observed], 1.0, rtol=1e-3)
    np.testing.assert_allclose(
        incidence_at(found.incidence[0], HORIZONS), aalen_johansen(outcomes).at(HORIZONS), atol=1e-4
    )


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_without_covariates_weights_of_a_day_are_equal_and_incidences_are_those_of_censored_clones(seed: int) -> None:
    """Never starting, if nothing decides about starts: the start censors, as any other end of observation does."""
    outcomes, followed, _, _ = drawn(seed)
    none = np.zeros((len(followed), 0)), np.zeros((len(followed), N_DAYS, 0))
    found = emulate(Trial.of(followed, (never(N_DAYS),), *none, 100.0))
    weights = found.weights[0].values
    np.testing.assert_allclose(weights[weights > 0], 1.0)
    starts = followed.start_day < followed.n_days
    day0 = starts & (followed.start_day == 0)
    kept = np.flatnonzero(~day0)
    censored = Outcomes(
        np.where(starts, followed.start_day, outcomes.duration_days)[kept].astype(float),
        np.where(starts, 0, outcomes.cause)[kept],
        outcomes.causes,
    )
    expected = aalen_johansen(censored).at(HORIZONS)
    np.testing.assert_allclose(incidence_at(found.incidence[0], HORIZONS), expected, atol=1e-12)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), grace=st.integers(0, 20))
def test_incidences_are_probabilities_and_weights_of_a_day_have_mean_one(seed: int, grace: int) -> None:
    _, followed, x, z = drawn(seed)
    low = np.random.default_rng(seed).integers(0, 2 * N_DAYS, len(followed))
    strategies = (never(N_DAYS), start_by(grace, N_DAYS), start_when("low", low, grace, N_DAYS))
    found = emulate(Trial.of(followed, strategies, x, z, 100.0))
    assert (np.diff(found.incidence, axis=2) >= -1e-12).all()
    assert (found.incidence.sum(axis=1) <= 1 + 1e-12).all()
    for weights, strategy in zip(found.weights, strategies, strict=True):
        positive = weights.values > 0
        np.testing.assert_array_equal(positive, np.isfinite(strategy.follows(followed)) & followed.observed)
        n = positive.sum(axis=0)
        np.testing.assert_allclose(weights.values.sum(axis=0), n, rtol=1e-9)
        assert all(weights.effective(day) <= n[day] + 1e-9 for day in range(N_DAYS))
    again = emulate(Trial.of(followed, strategies, x, z, 90.0))
    for one in again.weights:
        assert one.values.max(initial=0.0) <= one.limit


@pytest.mark.parametrize("grace", [0, 1, 7])
def test_an_early_start_is_on_every_day_of_the_grace_period_alike(grace: int) -> None:
    """What a strategy makes of a start on each day sums to one, and each has its part."""
    end = np.full(N_DAYS + 1, N_DAYS + 5)
    followed = Followed(end, np.zeros(N_DAYS + 1, dtype=np.int64), ("a",), np.arange(N_DAYS + 1), N_DAYS)
    found = np.exp(start_by(grace, N_DAYS).follows(followed)[:, -1])
    np.testing.assert_allclose(found[: grace + 1], 1 / (grace + 1))
    np.testing.assert_allclose(found[grace + 1 :], 0.0)
    since = np.full(N_DAYS + 1, 10)
    found = np.exp(start_when("low", since, grace, N_DAYS).follows(followed)[:, -1])
    np.testing.assert_allclose(found[10 : 11 + grace], 1 / (grace + 1))
    assert found.sum() == pytest.approx(1.0)


def test_five_patients_by_hand() -> None:
    """A start has probability 0.2 on a day for patients 0 to 2, and 0.5 for 3 and 4; three days are looked at.

    Patient 0 starts on day 0, 1 on day 1, 2 never and has the event on day 3, 3 starts on day 0 and has it on day 2, 4
    never starts and is censored on day 2.
    """
    outcomes = Outcomes(np.array([5.0, 5.0, 3.0, 2.0, 2.0]), np.array([0, 0, 1, 1, 0]), ("a",))
    followed = Followed.of(outcomes, np.array([0.0, 1.0, np.inf, 0.0, np.inf]), 3)
    group = np.array([0.0, 0.0, 0.0, 1.0, 1.0])
    days = days_of_starts(followed, group[:, None], np.zeros((5, 3, 0)))
    done = log_probability_of_what_was_done(days, followed, np.where(days.design[:, -1] > 0, 0.5, 0.2))
    np.testing.assert_allclose(np.exp(done[0]), [0.2, 0.2, 0.2])
    np.testing.assert_allclose(np.exp(done[1]), [0.8, 0.8 * 0.2, 0.8 * 0.2])
    np.testing.assert_allclose(np.exp(done[2]), [0.8, 0.64, 0.512])
    np.testing.assert_allclose(np.exp(done[4, :2]), [0.5, 0.25])

    waits = clone_weights(never(3).follows(followed), done, followed.observed, 100.0).values
    # Day 0: patients 1, 2 (1/0.8 each) and 4 (1/0.5) follow, mean 4.5/3. Day 1: 2 and 4, 1/0.64 and 1/0.25. Day 2: 2.
    np.testing.assert_allclose(waits[:, 0], [0, 1.25 / 1.5, 1.25 / 1.5, 0, 2 / 1.5])
    np.testing.assert_allclose(waits[:, 1], np.array([0, 0, 1 / 0.64, 0, 4]) * 2 / (1 / 0.64 + 4))
    np.testing.assert_allclose(waits[:, 2], [0, 0, 1, 0, 0])
    np.testing.assert_allclose(weighted_incidence(waits, followed.end_day, followed.cause, 1), [[0, 0, 1]])

    early = clone_weights(start_by(1, 3).follows(followed), done, followed.observed, 100.0).values
    # By day 1: 0 and 3 started on day 0, 0.5/0.2 and 0.5/0.5; 1 on day 1, 0.5/(0.8·0.2); 2 and 4 have deviated by then.
    raw = np.array([2.5, 3.125, 0, 1.0, 0])
    np.testing.assert_allclose(early[:, 1], raw * 3 / raw.sum())
    np.testing.assert_allclose(early[:, 2], np.array([2.5, 3.125, 0, 0, 0]) * 2 / 5.625)
    found = weighted_incidence(early, followed.end_day, followed.cause, 1)
    np.testing.assert_allclose(found, [[0, 1 / 6.625, 1 / 6.625]])
    np.testing.assert_allclose(time_lost_to(found, np.array([3.0])), [[1 / 6.625]])


def test_the_model_of_starts_is_a_logistic_regression_of_days() -> None:
    """Against scikit-learn on one row a patient and day; counts of resamples are weights."""
    outcomes, _, x, z = drawn(3, n=150)
    longer = Outcomes(4 * outcomes.duration_days, outcomes.cause, outcomes.causes)
    start = np.random.default_rng(1).exponential(80, 150)
    followed = Followed.of(longer, start, 4 * N_DAYS)
    days = days_of_starts(followed, x, np.repeat(z, 4, axis=1))
    assert len(days.patient) < followed.deciding.sum() / 2
    counts = np.random.default_rng(0).integers(0, 4, len(followed)).astype(float)
    patient, day = np.nonzero(followed.deciding)
    rows = days.row_of[patient, day]
    started = followed.starts[patient, day]
    for weights in (None, counts):
        model = LogisticRegression(C=1e4, solver="newton-cholesky", tol=1e-12, max_iter=500)
        model.fit(days.design[rows, 1:], started, None if weights is None else weights[patient])
        expected = np.concatenate([model.intercept_, model.coef_[0]])
        np.testing.assert_allclose(days.fit(weights), expected, rtol=1e-4, atol=1e-5)


def test_the_model_of_losses_is_one_too_and_who_stays_stands_for_who_left() -> None:
    """Treatment by the day is a covariate; who is lost on the last day looked at counts for nobody."""
    outcomes, followed, x, z = drawn(3, n=400)
    days = days_of_losses(followed, x, z)
    lost = losses(followed)
    assert not lost[:, -1].any()
    assert lost.sum() == days.n_happened.sum() == ((outcomes.cause == 0) & (outcomes.duration_days < N_DAYS)).sum()
    patient, day = np.nonzero(days.at_risk)
    rows = days.row_of[patient, day]
    np.testing.assert_array_equal(days.design[rows, -1], followed.start_day[patient] <= day)
    model = LogisticRegression(C=1e4, solver="newton-cholesky", tol=1e-12, max_iter=500)
    model.fit(days.design[rows, 1:], lost[patient, day])
    beta = days.fit()
    np.testing.assert_allclose(beta, [*model.intercept_, *model.coef_[0]], rtol=1e-4, atol=1e-5)
    stayed = np.exp(log_probability_of_staying(days, days.probabilities(beta)))
    np.testing.assert_array_equal(stayed[:, 0], 1.0)
    one = int(np.argmax(followed.end_day))
    hazard = days.probabilities(beta)[days.row_of[one, :3]]
    np.testing.assert_allclose(stayed[one, 1:4], np.cumprod(1 - hazard))
    # Those observed, each over the probability of it, are on any day about as many as nobody lost would be.
    kept = np.where(outcomes.cause == 0, followed.end_day, N_DAYS + 1)
    at_20 = (kept > 20)[followed.end_day > 20] / stayed[followed.end_day > 20, 20]
    free = 1.0 - incidence_at(emulate(Trial.of(followed, (natural(),), x, z)).incidence[0], np.array([20.0])).sum()
    assert at_20.sum() / len(followed) == pytest.approx(free, abs=0.02)


def test_losses_are_modelled_where_there_are_enough_and_something_is_known() -> None:
    _, followed, x, z = drawn(3, n=400)
    assert Trial.of(followed, (never(N_DAYS),), x, z).losses is not None
    assert Trial.of(followed, (never(N_DAYS),), x[:, :0], z[:, :, :0]).losses is None
    few = Followed(followed.end_day[:40], followed.cause[:40], ("a", "b"), followed.start_day[:40], N_DAYS)
    assert Trial.of(few, (never(N_DAYS),), x[:40], z[:40]).losses is None


def test_starts_by_stretch_add_up_to_all_that_was_seen_and_expected() -> None:
    _, followed, x, z = drawn(5, n=200)
    trial = Trial.of(followed, (never(N_DAYS),), x, z)
    found = list(stretches(trial.starts, emulate(trial).probability, (8, 20, N_DAYS)))
    assert sum(one.n_starts for one in found) == (followed.start_day < N_DAYS).sum()
    assert sum(one.n_patient_days for one in found) == followed.deciding.sum()
    assert sum(one.expected for one in found) == pytest.approx(sum(one.n_starts for one in found), rel=1e-4)


def test_contrasts_of_resamples() -> None:
    """Differences and ratios against the first strategy; a ratio with a resample of 0 has no interval."""
    points = np.array([[[0.2]], [[0.1]]])
    draws = np.random.default_rng(0).uniform(0.05, 0.3, (100, 2, 1, 1))
    many = np.full((2, 1), 1e9)
    tables, (less,), (over,) = contrasts(points, draws, RISK, many)
    assert tables[1][0][0].standard_error == pytest.approx(draws[:, 1].std(ddof=1))
    assert less[0][0].point == pytest.approx(-0.1)
    assert less[0][0].standard_error == pytest.approx((draws[:, 1] - draws[:, 0]).std(ddof=1))
    assert over[0][0].point == pytest.approx(0.5)
    few = np.array([[1e9], [11.0]])  # Student's quantile of 10 degrees of freedom is 2.228
    _, (wide,), _ = contrasts(points, draws, RISK, few)
    assert wide[0][0].standard_error == less[0][0].standard_error
    assert wide[0][0].high - wide[0][0].low == pytest.approx(2 * 2.2281 * less[0][0].standard_error, rel=1e-4)
    assert less[0][0].high - less[0][0].low == pytest.approx(2 * 1.95996 * less[0][0].standard_error, rel=1e-5)
    draws[3, 1] = 0.0
    _, _, (over,) = contrasts(points, draws, TIME_LOST, many)
    assert np.isnan(over[0][0].low)


@settings(max_examples=50, deadline=None)
@given(lost=st.lists(st.floats(0, 30), min_size=3, max_size=3), worth=st.lists(st.floats(0, 1), min_size=4, max_size=4))
def test_days_in_states_are_all_days_and_a_worth_that_makes_strategies_equal_does(
    lost: list[float], worth: list[float]
) -> None:
    days = days_in_states(np.array([lost, [5.0, 10.0, 20.0]]), 90.0)
    np.testing.assert_allclose(days.sum(axis=-1), 90.0)
    np.testing.assert_allclose(days[:, 1:], [lost, [5.0, 10.0, 20.0]])
    weights = np.array(worth)
    equal = equal_at(days[0], days[1], weights, 1)
    if np.isfinite(equal):
        weights[1] = equal
        assert days[0] @ weights == pytest.approx(days[1] @ weights, abs=1e-9)
    else:
        ends = [(days[0] - days[1]) @ np.where(np.arange(4) == 1, one, weights) for one in (0.0, 1.0)]
        assert ends[0] * ends[1] >= 0


def test_the_same_seed_draws_the_same_patients() -> None:
    _, followed, x, z = drawn(7, n=80)
    trial = Trial.of(followed, (never(N_DAYS), start_by(10, N_DAYS)), x, z)
    found = emulate(trial)
    told: list[tuple[int, int]] = []
    one = resampled(trial, found, 5, np.random.default_rng(1), lambda done, of: told.append((done, of)))
    np.testing.assert_array_equal(one, resampled(trial, found, 5, np.random.default_rng(1)))
    assert told == [(i, 5) for i in range(1, 6)]


def test_late_entry_and_earlier_treatment_are_refused() -> None:
    outcomes = Outcomes(np.array([5.0]), np.array([1]), ("a",), np.array([2.0]))
    with pytest.raises(ValueError, match="from time zero"):
        Followed.of(outcomes, np.array([1.0]), 5)
    with pytest.raises(ValueError, match="untreated before it"):
        Followed.of(Outcomes(np.array([5.0]), np.array([1]), ("a",)), np.array([-1.0]), 5)


def test_a_start_on_the_day_of_the_event_was_not_seen() -> None:
    outcomes = Outcomes(np.array([5.0, 5.0, 4.5]), np.array([1, 1, 0]), ("a",))
    found = Followed.of(outcomes, np.array([5.0, 4.0, 4.2]), 10)
    np.testing.assert_array_equal(found.start_day, [10, 4, 4])
    np.testing.assert_array_equal(found.end_day, [5, 5, 5])
