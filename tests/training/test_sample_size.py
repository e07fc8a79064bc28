"""Sample size: the values of pmsampsize, each criterion from its other end, and advice for a cohort."""

from __future__ import annotations

from math import ceil, exp, sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.outcomes import Outcomes
from training.sample_size import advise, largest_r2, sample_size


@pytest.mark.parametrize(
    ("r2", "n_parameters", "rate", "n", "events_per_parameter"),
    [
        pytest.param(0.051, 25, 0.065, (4286, 866), (23.07, 4.66), id="3.1"),
        pytest.param(0.065, 25, 0.065, (3335, 859), (17.95, 4.62), id="3.2"),
        pytest.param(0.051, 50, 0.065, (8572, 1731), (23.07, 4.66), id="3.3"),
        pytest.param(0.051, 25, 0.1, (4286, 731), (35.49, 6.05), id="3.4"),
    ],
)
def test_values_of_pmsampsize(
    r2: float, n_parameters: int, rate: float, n: tuple[int, int], events_per_parameter: tuple[float, float]
) -> None:
    # From the package's own tests (tests/testthat/test_surv.R, recurrent venous thromboembolism, follow-up of 2.07
    # years, horizon of 2); for max R² it rounds up the events of 10,000 patients.
    rounded = ceil(rate * 2.07 * 10_000) / 10_000 / 2.07
    found = sample_size(
        r2_cox_snell=r2, n_parameters=n_parameters, event_rate=rounded, mean_follow_up=2.07, horizon=2.0
    )
    assert (found.by_shrinkage, found.by_optimism) == n
    per_parameter = [round(needed * rate * 2.07 / n_parameters, 2) for needed in n]
    assert per_parameter == list(events_per_parameter)
    assert found.n_patients == n[0]


@given(
    share=st.floats(0.05, 0.8),
    n_parameters=st.integers(1, 100),
    rate=st.floats(0.01, 0.4),
    follow_up=st.floats(0.5, 2.0),
    horizon=st.floats(0.2, 3.0),
)
def test_each_criterion_just_holds(
    share: float, n_parameters: int, rate: float, follow_up: float, horizon: float
) -> None:
    r2_max = largest_r2(rate * follow_up)
    r2 = share * r2_max
    found = sample_size(
        r2_cox_snell=r2, n_parameters=n_parameters, event_rate=rate, mean_follow_up=follow_up, horizon=horizon
    )

    def shrinkage(n: int) -> float:
        """Riley et al. 2019, equation 8, for an R² that is adjusted already, by bisection."""
        low, high = r2 + 1e-12, 1.0
        for _ in range(200):
            middle = (low + high) / 2
            # Needed patients grow with the shrinkage asked for.
            needed = n_parameters / ((middle - 1) * np.log(1 - r2 / middle))
            low, high = (middle, high) if needed < n else (low, middle)
        return low

    def error(n: int) -> float:
        return exp(-rate * horizon) - exp(-(rate + 1.96 * sqrt(rate / (n * follow_up))) * horizon)

    assert shrinkage(found.by_shrinkage) >= 0.9 - 1e-9
    assert shrinkage(found.by_shrinkage - 1) < 0.9 + 1e-9
    # Optimism of Nagelkerke's R²: apparent R² = adjusted / S.
    assert r2 / shrinkage(found.by_optimism) / r2_max - share <= 0.05 + 1e-9
    assert error(found.by_overall_risk) <= 0.05 + 1e-12
    assert found.by_overall_risk == 1 or error(found.by_overall_risk - 1) > 0.05 - 1e-12


def test_largest_r2_is_that_of_the_exponential_likelihood() -> None:
    # 200 patients, 50 events in 200 patient-years: ln L₀ = E ln(E / T) − E with T = n.
    log_likelihood = 50 * np.log(50 / 200) - 50
    assert largest_r2(0.25) == pytest.approx(1 - np.exp(2 * log_likelihood / 200))


def test_advice_by_cause() -> None:
    rng = np.random.default_rng(0)
    cause = rng.choice(3, size=400, p=[0.4, 0.45, 0.15])
    outcomes = Outcomes(rng.exponential(200, 400) + 1, cause, ("infection", "death", "relapse"))
    infection, death, relapse = advise(outcomes, 180.0, 10)
    assert (infection.cause, infection.n_events) == ("infection", int((cause == 1).sum()))
    days = outcomes.duration_days.sum()
    assert infection.needed == sample_size(
        r2_cox_snell=0.15 * largest_r2(infection.n_events / 400),
        n_parameters=10,
        event_rate=infection.n_events / days,
        mean_follow_up=days / 400,
        horizon=180.0,
    )
    assert infection.n_parameters > death.n_parameters > relapse.n_parameters == 0
    assert relapse.needed is None
    assert not relapse.is_enough


def test_advised_parameters_are_the_most_that_are_enough() -> None:
    outcomes = Outcomes(np.full(2000, 100.0), np.arange(2000) % 2, ("infection",))
    (advice,) = advise(outcomes, 50.0, 5)
    assert advice.n_parameters > 5
    assert advice.is_enough
    (most,) = advise(outcomes, 50.0, advice.n_parameters)
    (too_many,) = advise(outcomes, 50.0, advice.n_parameters + 1)
    assert (most.is_enough, too_many.is_enough) == (True, False)


def test_advice_counts_follow_up_from_entry() -> None:
    late = Outcomes(np.full(100, 100.0), np.arange(100) % 2, ("infection",), np.full(100, 50.0))
    short = Outcomes(np.full(100, 50.0), np.arange(100) % 2, ("infection",))
    assert advise(late, 30.0, 5) == advise(short, 30.0, 5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param({"r2_cox_snell": 0.6}, "below its maximum 0.555", id="impossible R²"),
        pytest.param({"shrinkage": 1.0}, "below 1", id="no shrinkage"),
        pytest.param({"n_parameters": 0}, "one parameter or more", id="no parameters"),
        pytest.param({"event_rate": 0.0}, "must be positive", id="no events"),
    ],
)
def test_refuses(change: dict[str, float], message: str) -> None:
    given = {"r2_cox_snell": 0.05, "n_parameters": 5, "event_rate": 0.065, "mean_follow_up": 2.07, "horizon": 2.0}
    with pytest.raises(ValueError, match=message):
        sample_size(**(given | change))


def test_advice_refuses_no_rows() -> None:
    with pytest.raises(ValueError, match="at least one row"):
        advise(Outcomes(np.array([]), np.array([], dtype=np.int64), ("infection",)), 30.0, 5)
