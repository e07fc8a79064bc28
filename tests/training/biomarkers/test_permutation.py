"""Permuted p-values: what they are, whose outcomes they look at, and that they err as often as they say."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import kstest

from features.outcomes import Outcomes
from training.biomarkers.effect import within_arms
from training.biomarkers.multiplicity import benjamini_hochberg
from training.biomarkers.permutation import permutation_tests
from training.biomarkers.score_test import cause_specific_scores
from training.effects.arms import Arms

Values = NDArray[np.float64]
seeds = st.integers(0, 2**32 - 1)


def drawn(seed: int, n: int, rate: tuple[float, float, float] = (0.002, 0.006, 0.004)) -> Outcomes:
    """Hazards of censoring, infection and death."""
    latent = np.random.default_rng(seed).exponential(1 / np.tile(rate, (n, 1)))
    return Outcomes(np.ceil(latent.min(axis=1)), latent.argmin(axis=1), ("infection", "death"))


def few_events(seed: int, n_events: int) -> tuple[Outcomes, Values]:
    """60 patients until so many infections, whose hazard rises with both of two covariates."""
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(60, 2))
    z[:, 1] = z[:, 1] > 0.5
    rate = np.column_stack([np.full(60, 0.003), 0.004 * np.exp(z @ np.array([0.8, 0.7])), np.full(60, 0.003)])
    while True:
        latent = rng.exponential(1 / rate)
        day, cause = latent.min(axis=1), latent.argmin(axis=1)
        if (cause == 1).sum() >= n_events:
            end = np.sort(day[cause == 1])[n_events - 1]
            return Outcomes(np.minimum(day, end), np.where(day > end, 0, cause), ("infection", "death")), z


def nelson_aalen_residuals(outcomes: Outcomes) -> Values:
    """(rows,): events of the first cause less the cumulative hazard, of days that do not tie."""
    day = outcomes.duration_days
    hazard = [(outcomes.cause[k] == 1) / (day >= day[k]).sum() for k in range(len(day))]
    return np.array([(outcomes.cause[k] == 1) - sum(np.array(hazard)[day <= day[k]]) for k in range(len(day))])


def test_p_is_that_of_all_orders_of_those_measured() -> None:
    """Seven of nine patients: 5,040 orders, counted one by one."""
    rng = np.random.default_rng(0)
    outcomes = Outcomes(rng.permutation(9) + 1.0, np.array([1, 1, 0, 1, 2, 0, 1, 2, 1]), ("infection", "death"))
    marker = rng.normal(size=9)
    marker[[3, 7]] = np.nan
    rows = np.flatnonzero(np.isfinite(marker))
    residuals, own = nelson_aalen_residuals(outcomes.take(rows)), marker[rows]
    by_chance = [abs(np.array(dealt) @ own) for dealt in permutations(residuals)]
    exact = np.mean(np.array(by_chance) >= abs(residuals @ own) - 1e-9)
    found = permutation_tests(marker[:, None], outcomes, 1, n_permutations=20_000, rng=rng)
    assert abs(found.p[0] - exact) < 3.3 * np.sqrt(exact * (1 - exact) / 20_000) + 1 / 20_000


@settings(max_examples=25, deadline=None)
@given(seed=seeds, adjusted=st.booleans(), kept=st.booleans())
def test_outcomes_of_those_not_measured_do_not_matter(seed: int, adjusted: bool, kept: bool) -> None:
    rng = np.random.default_rng(seed)
    outcomes, other, stratum = drawn(seed, 60), drawn(seed + 1, 60), rng.integers(2, size=60)
    values, z = rng.normal(size=(60, 4)), rng.normal(size=(60, 2)) if adjusted else None
    unmeasured = rng.random(60) < 0.3
    values[unmeasured] = np.nan
    values[rng.random(60) < 0.2, :2] = np.nan
    changed = Outcomes(
        np.where(unmeasured, other.duration_days, outcomes.duration_days),
        np.where(unmeasured, other.cause, outcomes.cause),
        outcomes.causes,
    )
    one, two = (
        permutation_tests(
            values, of, 1, stratum=stratum, covariates=z, kept=kept, n_permutations=99, rng=np.random.default_rng(1)
        )
        for of in (outcomes, changed)
    )
    np.testing.assert_array_equal(one.p, two.p)
    np.testing.assert_array_equal(one.p_of_largest, two.p_of_largest)
    assert np.isfinite(one.p).all()


@settings(max_examples=25, deadline=None)
@given(seed=seeds, adjusted=st.booleans())
def test_copies_in_other_units_are_one_marker(seed: int, adjusted: bool) -> None:
    """Measured in the same patients, they get one p, which is that of the largest, whatever covariates add."""
    rng = np.random.default_rng(seed)
    outcomes, marker, z = drawn(seed, 50), rng.normal(size=50), rng.normal(size=(50, 2))
    marker[rng.random(50) < 0.2] = np.nan
    copies = np.column_stack([marker, 3 - 2 * marker, marker + (z[:, 0] if adjusted else 0.0)])
    found = permutation_tests(copies, outcomes, 1, covariates=z if adjusted else None, n_permutations=199, rng=rng)
    np.testing.assert_array_equal(found.p, found.p[0])
    np.testing.assert_array_equal(found.p_of_largest, found.p)


def test_copies_measured_in_nearly_the_same_patients_are_nearly_one_marker() -> None:
    """Dealt one by one, the p of the largest of six would be up to six times that of each."""
    rng = np.random.default_rng(2)
    outcomes = drawn(2, 80)
    marker = rng.normal(size=80) + 0.25 * (outcomes.cause == 1)
    copies = np.tile(marker[:, None], (1, 6))
    copies[np.arange(6), np.arange(6)] = np.nan
    found = permutation_tests(copies, outcomes, 1, n_permutations=4000, rng=rng)
    assert 0.001 < found.p.min() < 0.1
    assert (found.p_of_largest < 2 * found.p).all()


def test_it_may_go_with_the_outcome_who_was_measured() -> None:
    """Of 150 patients those who die soon are hardly measured: dealt among all, p is below 0.05 in 12 % of markers."""
    found = []
    for seed in range(40):
        outcomes, rng = drawn(seed, 150, (0.002, 0.002, 0.01)), np.random.default_rng(seed)
        soon = (outcomes.cause == 2) & (outcomes.duration_days < 70)
        values = rng.normal(size=(150, 50))
        values[rng.random((150, 50)) > np.where(soon, 0.05, 0.9)[:, None]] = np.nan
        found.append(permutation_tests(values, outcomes, 1, n_permutations=300, rng=rng).p)
    p = np.concatenate(found)
    p = p[np.isfinite(p)]
    assert abs((p < 0.05).mean() - 0.05) < 3.3 * np.sqrt(0.05 * 0.95 / len(p))
    assert (p < 0.01).mean() < 0.01 + 3.3 * np.sqrt(0.01 * 0.99 / len(p))
    assert kstest(p, "uniform").statistic < 0.05


@pytest.mark.parametrize("kind", ["log-normal", "unequal variances", "two values"])
def test_beyond_the_clinic_few_events_do_not_deceive(kind: str) -> None:
    """Eight events; markers go with the clinic, which goes with the event. The score test is wrong where it is."""
    wrong, any_found = 0.0, np.zeros(2)
    n_cohorts, n_markers = 40, 100
    for seed in range(n_cohorts):
        outcomes, z = few_events(seed, 8)
        rng = np.random.default_rng(seed)
        noise = rng.normal(size=(60, n_markers))
        values = {
            "log-normal": z[:, :1] + np.exp(noise),
            "unequal variances": 0.7 * z[:, :1] + noise * np.exp(0.5 * z[:, :1]),
            "two values": (z[:, :1] + noise > 1).astype(float),
        }[kind]
        p = cause_specific_scores(values, outcomes, 1, covariates=z).p
        permuted = permutation_tests(values, outcomes, 1, covariates=z, n_permutations=1000, rng=rng)
        wrong += np.nanmean(permuted.p < 0.05) / n_cohorts
        for k, one in enumerate((p, permuted.calibrated(p))):
            any_found[k] += (benjamini_hochberg(one) <= 0.1).any()
    assert 0.035 < wrong < 0.065
    assert any_found[1] <= 0.1 * n_cohorts + 3.3 * np.sqrt(n_cohorts * 0.1 * 0.9)
    if kind == "log-normal":
        assert any_found[0] > n_cohorts / 2


@pytest.mark.parametrize("kept", [False, True], ids=["cause-specific", "subdistribution"])
def test_what_is_new_beyond_the_clinic_is_found_and_what_the_clinic_tells_is_not(kept: bool) -> None:
    rng = np.random.default_rng(4)
    n = 300
    z, new = rng.normal(size=(n, 1)), rng.normal(size=n)
    rate = np.column_stack([np.full(n, 0.002), 0.004 * np.exp(0.8 * z[:, 0] + 0.6 * new), np.full(n, 0.001)])
    latent = rng.exponential(1 / rate)
    outcomes = Outcomes(latent.min(axis=1), latent.argmin(axis=1), ("infection", "death"))
    values = np.column_stack([new, z[:, 0] + 0.5 * rng.normal(size=n), 3 * z[:, 0] - 1])
    stratum = rng.integers(3, size=n)
    found = permutation_tests(
        values, outcomes, 1, stratum=stratum, covariates=z, kept=kept, n_permutations=1999, rng=rng
    )
    assert found.p[0] == found.p_of_largest[0] == 1 / 2000
    assert found.p[1] > 0.01
    assert np.isnan(found.p[2])
    alone = permutation_tests(values, outcomes, 1, stratum=stratum, kept=kept, n_permutations=1999, rng=rng)
    assert alone.p[1] == 1 / 2000


@pytest.mark.parametrize("skewed", [False, True], ids=["normal", "log-normal"])
def test_interactions_in_few_events_err_on_the_safe_side(skewed: bool) -> None:
    """Five events in one arm and ten in the other; the marker goes with the event in both alike."""
    n_wrong, n_cohorts = 0, 600
    for seed in range(n_cohorts):
        rng = np.random.default_rng(seed)
        arm, marker = np.repeat([0, 1], 30), rng.normal(size=60)
        if skewed:
            marker = np.exp(marker) / 2
        latent = rng.exponential(np.exp(-0.7 * marker)) / (1 + arm)
        last = [np.sort(latent[arm == k])[4 + 5 * k] for k in range(2)]
        day = np.minimum(latent, np.array(last)[arm])
        arms = Arms(Outcomes(day, (latent <= day).astype(np.int64), ("infection",)), arm, ("one", "other"))
        n_wrong += int(within_arms(marker, arms, 1).interaction.p < 0.05)
    assert 0 < n_wrong < n_cohorts * 0.05 + 3.3 * np.sqrt(n_cohorts * 0.05 * 0.95)
