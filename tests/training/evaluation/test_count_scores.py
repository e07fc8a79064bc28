"""Scores of expected numbers: against plain averages where all is known, and against the truth where it is not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from counted import simulated_counts, true_mean

from features.recurrence import Recurrences
from training.evaluation.count_scores import Foretold, count_accuracy, count_calibration, known_weights


def foretold(effect: np.ndarray, events: Recurrences, time: float, *, by: float = 1.0, factor: float = 1.0) -> Foretold:
    """Expected numbers of the truth, or of `by` times the effect; the marginal mean is that of all."""
    expected = factor * true_mean(time) * np.exp(by * effect)
    marginal = np.full(len(effect), true_mean(time) * np.exp(effect).mean())
    ids = np.array([f"p{i}" for i in range(len(effect))], dtype=object)
    return Foretold(events, time, expected[None], marginal[None], ids)


def test_with_everyone_followed_the_scores_are_plain_averages() -> None:
    rng = np.random.default_rng(0)
    effect = rng.normal(size=80)
    events = replace(simulated_counts(effect, 0), terminal=np.ones(80, dtype=np.int64))
    one = foretold(effect, events, 120.0)
    np.testing.assert_array_equal(known_weights(events, 120.0), np.ones(80))
    happened, expected = one.happened, one.expected[0]
    found = count_accuracy(one, rng=rng, n_bootstrap=20)
    explained = 1 - ((happened - expected) ** 2).sum() / ((happened - one.marginal[0]) ** 2).sum()
    assert found.explained.point == pytest.approx(explained, rel=1e-12)
    assert found.observed_over_expected.point == pytest.approx(happened.sum() / expected.sum(), rel=1e-12)
    groups = count_calibration(one, 5, rng=rng, n_bootstrap=20)
    assert [len(group.rows) for group in groups] == [16] * 5
    for group in groups:
        assert group.expected == pytest.approx(expected[group.rows].mean())
        assert group.observed.point == pytest.approx(happened[group.rows].mean())
        assert group.observed.low <= group.observed.point <= group.observed.high
    assert sorted(np.concatenate([group.rows for group in groups]).tolist()) == list(range(80))
    assert (np.diff([group.expected for group in groups]) > 0).all()


def test_weights_by_hand() -> None:
    """Censored on day 2 of 4 and on day 5: G(2−) = 1, then 3/4; who died on day 3 had G(3−) = 3/4, as the followed."""
    events = Recurrences(
        np.array([1.0, 2.0, 3.0, 5.0, 6.0]),
        np.array([1, 0, 1, 0, 0]),
        np.array([0, 3]),
        np.array([0.5, 2.0]),
        "infection",
        ("death",),
    )
    np.testing.assert_allclose(known_weights(events, 4.0), [1, 0, 4 / 3, 4 / 3, 4 / 3])
    np.testing.assert_allclose(known_weights(events, 5.0), [1, 0, 4 / 3, 4 / 3, 4 / 3])  # followed to the day itself
    np.testing.assert_allclose(known_weights(events, 5.5), [1, 0, 4 / 3, 0, 8 / 3])
    assert np.isnan(known_weights(events, 6.5)).all()  # nobody is followed to it
    often = np.array([[1.0, 1, 1, 1, 1], [2, 0, 1, 3, 0]])
    repeated = known_weights(events.take(np.repeat(np.arange(5), often[1].astype(int))), 4.0)
    weights = known_weights(events, 4.0, often)
    np.testing.assert_allclose(weights[0], known_weights(events, 4.0))
    assert weights[1].sum() == pytest.approx(repeated.sum())


def test_weights_stand_for_those_who_were_not_followed() -> None:
    """With half of the patients censored by then, the weighted mean is the true one; that of the known is not."""
    events = simulated_counts(np.zeros(20_000), 1)
    weights, happened = known_weights(events, 300.0), events.count_by(np.array([300.0]))[:, 0]
    assert weights.sum() == pytest.approx(20_000, rel=0.03)
    assert weights @ happened / weights.sum() == pytest.approx(true_mean(300.0), rel=0.03)
    known = weights > 0
    assert happened[known].mean() < 0.9 * true_mean(300.0)


def test_what_is_planted_is_found_and_what_is_not_is_not() -> None:
    """The true numbers explain a share whose interval is above 0; effects of chance explain none that can be shown."""
    rng = np.random.default_rng(2)
    effect = rng.normal(size=600) * 0.8
    planted = count_accuracy(
        foretold(effect, simulated_counts(effect, 3), 300.0), rng=np.random.default_rng(0), n_bootstrap=200
    )
    assert planted.explained.low > 0
    assert planted.observed_over_expected.low < 1 < planted.observed_over_expected.high
    half = foretold(effect, simulated_counts(effect, 3), 300.0, factor=0.5)
    assert count_accuracy(half, rng=np.random.default_rng(0), n_bootstrap=200).observed_over_expected.low > 1.5


def test_intervals_cover_0_where_covariates_say_nothing() -> None:
    """Of 60 cohorts whose expected numbers are the true mean for everyone, nearly moved, hardly any shows a gain."""
    shown = 0
    for seed in range(60):
        noise = np.random.default_rng(seed).normal(size=150) * 0.1
        events = simulated_counts(np.zeros(150), 100 + seed)
        marginal = np.full((1, 150), true_mean(180.0))
        ids = np.arange(150).astype(object)
        one = Foretold(events, 180.0, true_mean(180.0) * np.exp(noise)[None], marginal, ids)
        shown += count_accuracy(one, rng=np.random.default_rng(seed), n_bootstrap=100).explained.low > 0
    assert shown <= 5  # of 60 at 2.5 %: 6 or more with a probability of 0.4 %


def test_repeats_are_averaged_and_patients_are_drawn_whole() -> None:
    effect = np.random.default_rng(4).normal(size=60)
    one = foretold(effect, simulated_counts(effect, 4), 100.0)
    other = foretold(effect, one.recurrences, 100.0, by=-1.0)
    both = replace(
        one, expected=np.concatenate([one.expected, other.expected]), marginal=np.repeat(one.marginal, 2, axis=0)
    )
    singles = [count_accuracy(part, rng=np.random.default_rng(0), n_bootstrap=20) for part in (one, other)]
    found = count_accuracy(both, rng=np.random.default_rng(0), n_bootstrap=20)
    assert found.explained.point == pytest.approx(np.mean([part.explained.point for part in singles]))
    twice = Foretold(
        one.recurrences.take(np.repeat(np.arange(60), 2)),
        100.0,
        np.repeat(one.expected, 2, axis=1),
        np.repeat(one.marginal, 2, axis=1),
        np.repeat(one.patient_id, 2),
    )
    same = count_accuracy(twice, rng=np.random.default_rng(0), n_bootstrap=20)
    assert same.explained.low == pytest.approx(singles[0].explained.low)  # copies make no interval narrower
    assert same.explained.high == pytest.approx(singles[0].explained.high)


def test_nobody_known_is_not_scored() -> None:
    effect = np.zeros(30)
    found = count_accuracy(
        foretold(effect, simulated_counts(effect, 5), 600.0), rng=np.random.default_rng(0), n_bootstrap=20
    )
    assert np.isnan([found.explained.point, found.explained.low, found.observed_over_expected.point]).all()
