"""The permutation test keeps its level, has power, and moves whole patients only."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from features.errors import SequelaError
from features.outcomes import Outcomes
from training.evaluation.permutation import permutation_test, proportion_interval


def simulate(seed: int, effect: float, n: int = 40) -> tuple[NDArray[np.float64], Outcomes]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 5))
    event, censored = rng.exponential(np.exp(-effect * x[:, 0])), rng.exponential(2.0, n)
    return x, Outcomes(np.minimum(event, censored), (event <= censored).astype(np.int64), ("infection",))


def best_of_five(x: NDArray[np.float64]) -> Any:
    """A pipeline that selects: of five variables the one that goes best with early events, in the other half each."""

    def pipeline(outcomes: Outcomes) -> NDArray[np.float64]:
        early = np.where(outcomes.cause == 1, -outcomes.duration_days, -2.0)
        half = np.arange(len(x)) % 2
        found = np.empty(len(x))
        for part in (0, 1):
            train, test = half != part, half == part
            slopes = (x[train] - x[train].mean(axis=0)).T @ (early[train] - early[train].mean())
            chosen = np.abs(slopes).argmax()
            found[test] = np.sign(slopes[chosen]) * x[test, chosen]
        return found[:, None, None]

    return pipeline


def agreement(incidence: NDArray[np.float64], outcomes: Outcomes) -> float:
    early = np.where(outcomes.cause == 1, -outcomes.duration_days, -2.0)
    return float(incidence[:, 0, 0] @ (early - early.mean()))


def p_values(effect: float, n_simulated: int) -> NDArray[np.float64]:
    found = []
    for seed in range(1_000_000, 1_000_000 + n_simulated):
        x, outcomes = simulate(seed, effect)
        rng = np.random.default_rng([seed, 1])  # not the stream that drew the data
        test = permutation_test(best_of_five(x), agreement, outcomes, np.arange(40), rng=rng, n_permutations=39)
        found.append(test.p)
    return np.array(found)


def test_nominal_rate() -> None:
    p = p_values(0.0, 1200)
    # Exactly 2 of 40 ranks give p ≤ 0.05. Binomial(1200, 0.05): the 0.0005 and 0.9995 quantiles are 37 and 86.
    assert 37 <= (p <= 0.05).sum() <= 86
    # Binomial(1200, 0.5): 543 and 657.
    assert 543 <= (p <= 0.5).sum() <= 657


def test_power() -> None:
    assert (p_values(2.0, 60) <= 0.05).mean() > 0.8


def test_p_by_hand_and_progress() -> None:
    x, outcomes = simulate(0, 0.0)
    values = iter([3.0, 1.0, 3.0, np.nan, 4.0, 2.0])
    seen: list[tuple[int, int]] = []
    found = permutation_test(
        best_of_five(x),
        lambda _, __: next(values),
        outcomes,
        np.arange(40),
        rng=np.random.default_rng(0),
        n_permutations=5,
        progress=lambda done, total: seen.append((done, total)),
    )
    assert (found.observed, found.p) == (3.0, (1 + 3) / (1 + 5))
    assert found.p_low < 3 / 5 < found.p_high
    assert seen == [(done, 6) for done in range(1, 7)]


def moved(outcomes: Outcomes, patient_id: Any, **given: Any) -> list[Outcomes]:
    """The outcomes that the pipeline was shown, the true ones first."""
    shown = []

    def pipeline(permuted: Outcomes) -> NDArray[np.float64]:
        shown.append(permuted)
        return np.zeros((len(permuted), 1, 1))

    rng = np.random.default_rng(0)
    permutation_test(pipeline, lambda *_: 0.0, outcomes, patient_id, rng=rng, n_permutations=50, **given)
    return shown


def test_duration_cause_and_entry_move_together() -> None:
    outcomes = Outcomes(np.arange(10.0, 20.0), np.arange(10) % 3, ("a", "b"), np.arange(10.0))
    first, *others = moved(outcomes, np.arange(10))
    np.testing.assert_array_equal(first.duration_days, outcomes.duration_days)
    np.testing.assert_array_equal(first.cause, outcomes.cause)
    for other in others:
        assert other.entry_days is not None
        assert sorted(other.duration_days) == sorted(outcomes.duration_days)
        np.testing.assert_array_equal(other.entry_days, other.duration_days - 10)
        np.testing.assert_array_equal(other.cause, (other.duration_days - 10) % 3)
    assert len({tuple(other.duration_days) for other in others}) == 50


def test_blocks_of_a_patient_move_as_one_between_the_same_landmarks() -> None:
    patient = np.array(["a", "b", "a", "c", "b", "d", "c", "e"])
    landmark = np.array([0, 30, 30, 0, 0, 0, 30, 60.0])
    # Tens name the patient, units the landmark.
    name = {"a": 10, "b": 20, "c": 30, "d": 40, "e": 50}
    duration = np.array([name[p] for p in patient]) + landmark / 30
    outcomes = Outcomes(duration, np.zeros(8, dtype=np.int64), ("infection",))
    sources = set()
    for other in moved(outcomes, patient, landmark_days=landmark):
        np.testing.assert_array_equal(other.duration_days % 10, landmark / 30)
        source = {p: {int(d) // 10 * 10 for d in other.duration_days[patient == p]} for p in name}
        assert all(len(found) == 1 for found in source.values())
        assert (source["d"], source["e"]) == ({40}, {50})  # nobody else has these landmarks
        sources.add(tuple(min(source[p]) for p in "abc"))
    assert len(sources) == 6  # all orders of the three that may be exchanged


def test_strata_are_kept() -> None:
    outcomes = Outcomes(np.arange(1.0, 9.0), np.zeros(8, dtype=np.int64), ("infection",))
    centre = np.array(["x"] * 4 + ["y"] * 4)
    for other in moved(outcomes, np.arange(8), strata=centre):
        np.testing.assert_array_equal(other.duration_days <= 4, centre == "x")


def test_monte_carlo_interval_of_a_proportion() -> None:
    # Rule of three, and symmetry.
    assert proportion_interval(0, 100) == pytest.approx((0.0, 1 - 0.025 ** (1 / 100)))
    assert proportion_interval(100, 100) == pytest.approx((0.025 ** (1 / 100), 1.0))
    low, high = proportion_interval(30, 100)
    assert proportion_interval(70, 100) == pytest.approx((1 - high, 1 - low))


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        pytest.param({"patient_id": np.zeros(40)}, SequelaError, "no outcomes can be exchanged", id="one patient"),
        pytest.param({"strata": np.arange(40)}, SequelaError, "use wider strata", id="strata of one"),
        pytest.param({"statistic": lambda *_: np.nan}, SequelaError, "not defined", id="NaN"),
        pytest.param({"n_permutations": 0}, ValueError, "one or more", id="none"),
        pytest.param({"landmark_days": np.zeros(3)}, ValueError, "3 values for 40 rows", id="rows"),
    ],
)
def test_refuses(change: dict[str, Any], error: type[Exception], message: str) -> None:
    x, outcomes = simulate(0, 0.0)
    given = {
        "pipeline": best_of_five(x),
        "statistic": agreement,
        "outcomes": outcomes,
        "patient_id": np.arange(40),
        "rng": np.random.default_rng(0),
    }
    with pytest.raises(error, match=message):
        permutation_test(**(given | change))
