"""Several rows of a patient are one patient: in standard errors, thresholds, weights and the sizes of networks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hazard_cohorts import Distorted, draw, nobodys_names
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from features.outcomes import Outcomes
from training.config import NetworkConfig, TrainerConfig
from training.fitting.joint import Task, fit_together
from training.fitting.network import fit_network
from training.models.conformal import bound_days
from training.models.repeated_rows import event_patients, independent_share, sums_by_patient
from training.out_of_fold.conformal import outlast_threshold
from training.out_of_fold.misfit import misfit_variance
from training.out_of_fold.recalibration import calibration_edges, fit_calibration
from training.out_of_fold.simulated_outcomes import outcome_grid
from training.out_of_fold.stack_weights import StackEvidence, stack_evidence
from training.out_of_fold.stacking import enough_events, scoring_grid

AT = np.array([60.0, 150.0, 300.0])
Rows = tuple[NDArray[np.float64], Outcomes, NDArray[Any], NDArray[np.float64]]
"""Features, outcomes, patients, landmark days."""


def copied(seed: int, n: int, copies: int) -> Rows:
    """Every patient's row several times."""
    x, outcomes, _ = draw(np.random.default_rng(seed), n)
    rows = np.tile(np.arange(n), copies)
    return x[rows], outcomes.take(rows), nobodys_names(n)[rows], np.zeros(n * copies)


def landmarks(rng: np.random.Generator, n: int, later: float) -> Rows:
    """Days 0 and `later`, of constant hazards: whoever is at risk then has the same hazards ahead as at day 0."""
    x, first, _ = draw(rng, n)
    seen = np.flatnonzero(first.duration_days > later)
    second = Outcomes(first.duration_days[seen] - later, first.cause[seen], first.causes)
    rows, days = np.append(np.arange(n), seen), np.repeat([0.0, later], [n, len(seen)])
    return x[rows], Outcomes.concatenate([first, second]), nobodys_names(n)[rows], days


def misfit(rows: Rows, names: NDArray[Any]) -> float:
    """Of a model that tells the truth."""
    x, outcomes, _, days = rows
    risk = Distorted().incidence(x, days, AT)[:, 0]
    return misfit_variance(risk, np.zeros((1, len(x), 3)), outcomes, names, days, 1, AT)


def evidence(rows: Rows, names: NDArray[Any]) -> StackEvidence:
    """Of two members, of which one is bold and one knows nothing of the patients."""
    x, outcomes, _, days = rows
    grid = scoring_grid(outcomes)
    members = [Distorted(spread).incidence(x, days, grid) for spread in (1.5, 0.0)]
    return stack_evidence(np.stack(members), grid, outcomes, days, names)


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 2**31), copies=st.integers(2, 4))
def test_rows_copied_change_no_standard_error_no_threshold_and_no_weight(seed: int, copies: int) -> None:
    once, often = copied(seed, 200, 1), copied(seed, 200, copies)
    assert misfit(often, often[2]) == pytest.approx(misfit(once, once[2]), abs=1e-3)
    calibrations, thresholds, stacked = [], [], []
    for x, outcomes, names, days in (once, often):
        edges, grid = calibration_edges(once[1]), outcome_grid(once[1])
        calibrations.append(fit_calibration(Distorted(0.5).incidence(x, days, edges), edges, outcomes, names))
        told = Distorted().incidence(x, days, grid)
        thresholds.append([outlast_threshold(told, grid, outcomes, names, days, level) for level in (0.5, 0.9)])
        stacked.append(evidence((x, outcomes, names, days), names))
    for name in ("level", "spread", "covariance"):
        np.testing.assert_allclose(getattr(calibrations[1], name), getattr(calibrations[0], name), rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(thresholds[1], thresholds[0], atol=0.01)
    assert stacked[1].n_events == pytest.approx(stacked[0].n_events, rel=0.03)
    np.testing.assert_allclose(stacked[1].weights(), stacked[0].weights(), atol=0.01)
    drawn = [np.std([one.drawn(np.random.default_rng(i))[0] for i in range(40)]) for one in stacked]
    assert drawn[1] == pytest.approx(drawn[0], rel=0.05)


def test_under_names_of_their_own_the_same_rows_would_say_more() -> None:
    """The test above can fail."""
    often = copied(0, 200, 3)
    x, outcomes, names, days = often
    edges = calibration_edges(outcomes)
    told, own = Distorted().incidence(x, days, edges), nobodys_names(len(x))
    known, thought = (fit_calibration(told, edges, outcomes, ids).covariance[0, 0, 0] for ids in (names, own))
    assert thought < 0.6 * known
    assert evidence(often, own).n_events > 2.5 * evidence(often, names).n_events
    assert misfit(often, own) > misfit(often, names) + 0.01


def test_two_real_landmarks_of_patients_scatter_as_their_standard_errors_say() -> None:
    """Days 0 and 30 of 80 cohorts: calibration's χ² has its mean of 2 by patient, not by row; no misfit is found."""
    rng = np.random.default_rng(1)
    by_patient, by_row, found, found_by_row = [], [], [], []
    for _ in range(80):
        rows = landmarks(rng, 300, 30.0)
        x, outcomes, names, days = rows
        edges = calibration_edges(outcomes)
        told = Distorted().incidence(x, days, edges)
        for z, ids in ((by_patient, names), (by_row, nobodys_names(len(x)))):
            one = fit_calibration(told, edges, outcomes, ids)
            away = np.column_stack([one.level, one.spread - 1])
            z.extend(pair @ np.linalg.solve(cov, pair) for pair, cov in zip(away, one.covariance, strict=True))
        found.append(misfit(rows, names))
        found_by_row.append(misfit(rows, nobodys_names(len(x))))
    assert 1.4 < np.mean(by_patient) < 2.5
    assert np.mean(by_row) > 1.4 * np.mean(by_patient)
    assert np.mean(found) < 0.03
    assert np.mean(found_by_row) > 2 * np.mean(found)


def test_events_behind_the_weights_of_two_landmarks_are_patients() -> None:
    rows = landmarks(np.random.default_rng(2), 300, 30.0)
    _, outcomes, names, _ = rows
    known = evidence(rows, names)
    assert known.event.sum(axis=0).max() <= event_patients(names, outcomes.cause > 0) < (outcomes.cause > 0).sum()


@pytest.mark.parametrize("level", [0.75, 0.8])
def test_bounds_keep_their_promise_though_the_later_landmark_is_followed_less(level: float) -> None:
    """All events come after day 30, where follow-up is short: with one G for both days, too few would be missing.

    Everybody is told the same, so that there is one bound b, outlasted by (1 + exp(−0.02 b)) / 2.
    """
    rng = np.random.default_rng(3)
    n = 2000
    late = np.arange(2 * n) >= n
    time = np.where(late, rng.exponential(50.0, 2 * n), np.inf)
    end = np.where(late, rng.uniform(0, 60, 2 * n), 900.0)
    outcomes = Outcomes(np.minimum(time, end), (time <= end).astype(np.int64), ("any",))
    grid = outcome_grid(outcomes)
    told = np.broadcast_to(-np.expm1(-0.01 * grid), (2 * n, 1, len(grid)))
    outlasted = []
    for days in (np.where(late, 30.0, 0.0), np.zeros(2 * n)):
        threshold = outlast_threshold(told, grid, outcomes, np.tile(nobodys_names(n), 2), days, level)
        outlasted.append((1 + np.exp(-0.02 * bound_days(told[:1], grid, threshold)[0])) / 2)
    assert level - 0.01 < outlasted[0] < level + 0.03
    assert outlasted[1] < level - 0.01


def test_ten_rows_of_one_event_are_not_enough() -> None:
    _, outcomes, names, _ = copied(0, 8, 10)
    assert (outcomes.cause > 0).sum() >= 10
    assert not enough_events(outcomes, names)
    assert enough_events(outcomes, nobodys_names(80))


def test_networks_bend_no_finer_for_rows_copied() -> None:
    config, cpu = NetworkConfig(members=2, hidden=2, max_epochs=1), TrainerConfig(accelerator="cpu")
    pieces = []
    for x, outcomes, names, _ in (copied(0, 150, 1), copied(0, 150, 3)):
        alone = fit_network(x, outcomes, names, config, cpu, seed=0)
        together = fit_together([Task(x, outcomes, names)] * 2, config, cpu, seed=0)[0]
        pieces.append([one.module.sizes.n_pieces for one in (alone, together)])
    assert pieces[0] == pieces[1]
    assert pieces[0][0] > 0


def test_counts_and_sums_by_patient() -> None:
    names = np.array(["b", "a", "b", "c"], dtype=object)
    event = np.array([True, False, True, True])
    assert event_patients(names, event) == 2
    assert independent_share(names, event) == pytest.approx(2 / 3)
    np.testing.assert_array_equal(sums_by_patient(np.array([[1.0], [2.0], [4.0], [8.0]]), names), [[2], [5], [8]])
