"""Alert rules: what they catch and cost, against counting by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from training.evaluation.alerts import (
    DAYS_PER_MONTH,
    DIGITS,
    MOST_CANDIDATES,
    SHARED,
    Visits,
    alert_performance,
    alert_sums,
    candidates,
    threshold_for,
)


def visits_of(days: list[list[float]], end: list[float], event: list[bool], last: float, horizon: float) -> Visits:
    return Visits(
        np.repeat(np.arange(len(days)), [len(one) for one in days]),
        np.concatenate([np.asarray(one, dtype=float) for one in days]),
        np.array(end, dtype=float),
        np.array(event),
        last,
        horizon,
    )


THREE = visits_of([[0, 7, 14, 21], [0, 10], [0]], [40, 60, 12], [True, True, False], last=30, horizon=30)


def test_an_alert_is_raised_where_it_comes_to_be_and_is_good_for_its_horizon() -> None:
    sums = alert_sums(np.array([False, True, True, False, True, False, True]), THREE)
    assert sums.alerts.tolist() == [1, 1, 1]
    assert sums.events.tolist() == [
        1,
        0,
        0,
    ]  # 60 and 50 days before are too early; of the third none is known
    assert sums.caught.tolist() == [0, 0, 0]  # 33 days before is too early
    again = alert_sums(np.array([True, False, True, True, True, True, False]), THREE)
    assert again.alerts.tolist() == [2, 1, 0]
    assert again.caught.tolist() == [1, 0, 0]
    assert again.lead_days[0] == 26  # from day 14 to day 40; the alert of day 0 was too early
    np.testing.assert_allclose(again.months, np.array([30, 30, 12]) / DAYS_PER_MONTH)


def test_rates_are_of_the_sums() -> None:
    sums = alert_sums(np.array([True, False, True, True, True, True, False]), THREE)
    found = alert_performance(sums, rng=np.random.default_rng(0), n_bootstrap=50)
    assert found.per_patient_month.point == pytest.approx(3 / (72 / DAYS_PER_MONTH))
    assert found.caught.point == 1
    assert found.lead_days.point == 26
    assert found.n_events == 1


def test_without_alerts_there_is_no_lead() -> None:
    found = alert_performance(alert_sums(np.zeros(7, dtype=bool), THREE), rng=np.random.default_rng(0))
    assert found.per_patient_month.point == 0
    assert found.caught.point == 0
    assert np.isnan(found.lead_days.point)


@st.composite
def watched(draw: st.DrawFn, fewest: int = 1, most: int = 8) -> tuple[Visits, np.ndarray]:
    n_patients = draw(st.integers(fewest, most))
    days = [sorted(draw(st.sets(st.integers(0, 30), min_size=1, max_size=5))) for _ in range(n_patients)]
    end = [one[-1] + draw(st.integers(1, 60)) for one in days]
    event = [draw(st.booleans()) for _ in days]
    visits = visits_of(
        [list(map(float, one)) for one in days], list(map(float, end)), event, 30.0, draw(st.integers(1, 60))
    )
    marker = [draw(st.sampled_from([0.0, 1.0, 2.0, 3.0, np.nan])) for _ in range(len(visits.day))]
    return visits, np.array(marker)


@given(case=watched(), threshold=st.sampled_from([0.5, 1.0, 2.5, 9.0]))
def test_sums_are_those_counted_one_by_one(case: tuple[Visits, np.ndarray], threshold: float) -> None:
    visits, marker = case
    sums = alert_sums(marker >= threshold, visits)
    for patient in range(visits.n_patients):
        own = np.flatnonzero(visits.patient == patient)
        raised = [
            i for k, i in enumerate(own) if marker[i] >= threshold and not (k and marker[own[k - 1]] >= threshold)
        ]
        end, horizon = visits.end_day[patient], visits.horizon_days
        catchable = visits.event[patient] and any(0 < end - visits.day[i] <= horizon for i in own)
        leads = [end - visits.day[i] for i in raised if catchable and 0 < end - visits.day[i] <= horizon]
        assert sums.alerts[patient] == len(raised)
        assert sums.events[patient] == catchable
        assert sums.caught[patient] == bool(leads)
        assert np.array_equal(sums.lead_days[patient], max(leads, default=np.nan), equal_nan=True)


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(case=watched(fewest=10, most=25), borne=st.sampled_from([0.01, 0.5, 1.0, 3.0]))
def test_the_threshold_keeps_to_what_is_borne(case: tuple[Visits, np.ndarray], borne: float) -> None:
    visits, marker = case
    chosen = threshold_for(marker, visits, borne)

    def rate(threshold: float) -> float:
        return float(alert_sums(marker >= threshold, visits).alerts.sum() / visits.months.sum())

    assert rate(chosen) <= borne + 1e-12
    tried = candidates(marker, visits.patient)
    lower = tried[tried < chosen]
    if len(lower):  # the next lower one raises too many
        assert rate(float(lower[-1])) > borne


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(
    case=watched(fewest=8, most=25),
    scale=st.floats(0.01, 1000.0),
    shift=st.floats(0.0, 3.0),
    sign=st.sampled_from([1, -1]),
)
def test_a_threshold_is_rounded_or_shared_and_tells_of_no_few(
    case: tuple[Visits, np.ndarray], scale: float, shift: float, sign: int
) -> None:
    visits, marker = case
    values = sign * (scale * marker + shift)
    known = np.isfinite(values)
    pairs = list(zip(visits.patient[known], values[known], strict=True))
    highest = [max(value for who, value in pairs if who == one) for one in np.unique(visits.patient[known])]
    for tried in candidates(values, visits.patient):
        sharing = [len({who for who, value in pairs if float(f"{value:.{digits}g}") == tried}) for digits in DIGITS]
        assert tried in {float(f"{value:.2g}") for _, value in pairs} or max(sharing) >= SHARED
        n_reach = sum(value >= tried for value in highest)
        assert SHARED <= n_reach <= len(highest) - SHARED


def test_thresholds_are_as_fine_as_patients_share_them() -> None:
    """Tenths of a second that five patients have; one that four have, and the value of the highest, are not tried."""
    marker = np.array([9.5] * 6 + [10.6] * 5 + [11.4] * 4 + [523.4] + [np.nan])
    np.testing.assert_array_equal(candidates(marker, np.arange(len(marker))), [10.6, 11.0])
    tiny = np.concatenate([np.full(6, 5e-324), np.zeros(6), np.full(6, 1e-310), np.full(6, -2.0), np.full(6, 7.25)])
    np.testing.assert_array_equal(candidates(tiny, np.arange(30)), [0.0, 7.2, 7.25])
    np.testing.assert_array_equal(candidates(np.array([1.2, 3.4, 5.6, 61.0]), np.arange(4)), [])
    top = np.concatenate([np.full(58, 100.0), [830.0, 990.0]])
    assert threshold_for(top, visits_of([[0.0]] * 60, [30.0] * 60, [True] * 60, 30.0, 30.0), 0.02) == np.inf
    many = np.round(np.random.default_rng(0).uniform(0, 1, 5_000), 3)
    found = candidates(many, np.arange(5_000))
    assert len(found) == MOST_CANDIDATES
    assert SHARED <= (many >= found[-1]).sum() <= 20
