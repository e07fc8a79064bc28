"""Columns that know the outcome are found, and honest ones are not."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from features.outcomes import Outcomes
from training.evaluation.discrimination import auc
from training.evaluation.leaks import ANY, auc_lower_bound, leak_suspects, share_lower_bound

HORIZONS = (180.0, 365.0)


def draw(seed: int, n: int = 400, strength: float = 1.0) -> tuple[Outcomes, NDArray[np.float64]]:
    """Outcomes of three causes with censoring, and the honest predictor of the first: its log hazard."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=n)
    hazard = np.column_stack([0.0012 * np.exp(strength * x), np.full(n, 0.0004), np.full(n, 0.001)])
    latent = np.column_stack([rng.uniform(200, 900, n), rng.exponential(1 / hazard)])
    return Outcomes(latent.min(axis=1), latent.argmin(axis=1), ("infection", "death", "relapse")), x


def with_event(outcomes: Outcomes, cause: int, by_days: float = 365.0) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = (outcomes.cause == cause) & (outcomes.duration_days <= by_days)
    return found


def planted(outcomes: Outcomes, rng: np.random.Generator) -> dict[str, NDArray[np.float64]]:
    """Columns that know what came after the landmark, each in its own way."""
    n = len(outcomes)
    infected, lab = with_event(outcomes, 1), rng.normal(size=n)
    return {
        "indicator": infected + rng.normal(scale=0.3, size=n),
        "upside_down": -1.0 * infected + rng.normal(scale=0.3, size=n),
        "measured_in_cases": np.where(infected, lab, np.nan),
        "measured_in_half_of_the_cases": np.where(infected & (rng.random(n) < 0.5), lab, np.nan),
        "ticked_in_half_of_the_cases": (infected & (rng.random(n) < 0.5)).astype(float),
        "last_visit": outcomes.duration_days + rng.normal(scale=20, size=n),
        "died": with_event(outcomes, 2, np.inf) + rng.normal(scale=0.2, size=n),
    }


@pytest.mark.parametrize("seed", range(3))
def test_every_planted_leak_is_found_in_its_own_way(seed: int) -> None:
    outcomes, x = draw(seed)
    rng = np.random.default_rng(seed)
    leaks = planted(outcomes, rng)
    found = {one.column: one for one in leak_suspects({"honest": x} | leaks, outcomes, 0.0, HORIZONS)}
    assert set(found) == set(leaks)
    assert found["indicator"].event == found["upside_down"].event == "infection"
    assert found["measured_in_cases"].missingness
    half = found["measured_in_half_of_the_cases"]
    assert (half.missingness, half.measure) == (True, "share")
    assert found["ticked_in_half_of_the_cases"].measure == "share"
    assert found["last_visit"].event == ANY
    assert found["died"].event == "death"


def test_the_auc_is_that_of_evaluation() -> None:
    """Same weights, ties and all: a column as the risk of every cause at every time."""
    outcomes, _ = draw(4, n=150)
    column = np.round(with_event(outcomes, 1, 180.0) + np.random.default_rng(0).normal(scale=0.2, size=150), 1)
    (found,) = leak_suspects({"column": column}, outcomes, 0.0, HORIZONS)
    expected = auc(np.tile(column[:, None, None], (1, 3, 2)), np.array(HORIZONS), outcomes)
    assert (found.event, found.horizon_days, found.measure) == ("infection", 180.0, "auc")
    assert found.point == pytest.approx(expected[0, 0], abs=1e-12)
    binary = with_event(outcomes, 1, 180.0).astype(float)
    binary[:5] = 1 - binary[:5]
    (found,) = leak_suspects({"binary": binary}, outcomes, 0.0, HORIZONS)
    expected = auc(np.tile(binary[:, None, None], (1, 3, 2)), np.array(HORIZONS), outcomes)
    assert (found.event, found.horizon_days, found.measure) == ("infection", 180.0, "auc")
    assert found.point == pytest.approx(expected[0, 0], abs=1e-12)


@pytest.mark.parametrize("strength", [1.0, 1.5])
def test_honest_predictors_are_not_flagged_however_strong(strength: float) -> None:
    """A hazard ratio of 4.5 per standard deviation is more than any single variable has."""
    for seed in range(10):
        outcomes, x = draw(seed, strength=strength)
        columns = {"x": x, "rounded": np.round(x), "high": (x > 1).astype(float), "gone": np.where(x > 0, x, np.nan)}
        assert leak_suspects(columns, outcomes, 0.0, HORIZONS) == []


def test_few_patients_flag_nothing_by_luck() -> None:
    """Twenty patients parted perfectly by one of a thousand columns say nothing about that column."""
    for seed in range(5):
        outcomes, _ = draw(seed, n=20)
        rng = np.random.default_rng(seed)
        noise = {f"x{i}": rng.normal(size=20) for i in range(1000)}
        perfect = {"perfect": with_event(outcomes, 1).astype(float)}
        assert leak_suspects(noise | perfect, outcomes, 0.0, HORIZONS) == []


def test_the_time_of_recruitment_is_no_leak() -> None:
    """All are censored on one calendar day: those recruited late are followed briefly, and that is honest."""
    for seed in range(10):
        rng = np.random.default_rng(seed)
        outcomes, _ = draw(seed)
        year = rng.uniform(0, 3, len(outcomes))
        end = 1100 - 365 * year
        seen = outcomes.duration_days <= end
        cut = Outcomes(np.minimum(outcomes.duration_days, end), outcomes.cause * seen, outcomes.causes)
        assert leak_suspects({"year": np.floor(year), "date": year}, cut, 0.0, HORIZONS) == []


def test_the_lower_bounds_are_those_of_their_papers() -> None:
    """Each bound solves its own equation, and one exists where everything is on one side."""
    for value, m, n in [(0.8, 20.0, 40.0), (0.95, 12.0, 300.0), (1.0, 10.0, 10.0)]:
        a = auc_lower_bound(value, m, n)
        both = (m + n) / 2 - 1
        variance = a * (1 - a) * (1 + both * (1 - a) / (2 - a) + both * a / (1 + a)) / (m * n)
        assert value - a == pytest.approx(1.959964 * variance**0.5, abs=1e-6)
    share = share_lower_bound(np.array([1.0, 0.9]), np.array([22.0, 50.0]))
    assert share[0] == pytest.approx(22 / (22 + 1.959964**2), abs=1e-6)
    assert share[1] == pytest.approx(0.786396, abs=1e-5)  # R: prop.test(45, 50, correct = FALSE)


def test_columns_without_values_or_variation_are_passed_over() -> None:
    outcomes, _ = draw(0)
    columns = {"constant": np.ones(400), "empty": np.full(400, np.nan)}
    assert leak_suspects(columns, outcomes, 0.0, HORIZONS) == []
    assert leak_suspects({}, outcomes, 0.0, HORIZONS) == []
    assert leak_suspects(columns, outcomes, 0.0, (5000.0,)) == []
