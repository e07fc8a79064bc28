"""Intervals and lower bounds: measured coverage over simulated cohorts, and the pieces they are made of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hazard_cohorts import Distorted, draw, hazards, nobodys_names, true_incidence

from features.config import FeatureConfig
from features.outcomes import Outcomes
from features.patients import Measurements, Patients
from features.schema import CohortCard, Variable
from training.config import (
    CoxConfig,
    InContextConfig,
    MixtureConfig,
    RecalibratedConfig,
    TrainerConfig,
    WithIntervalsConfig,
)
from training.fit import fit_risk_model
from training.models.conformal import WithIntervals, bound_days
from training.models.mixture import Mixture
from training.models.nonparametric import aalen_johansen, censoring_survival
from training.models.recalibration import Recalibrated
from training.models.risk_model import FittedRiskModel
from training.models.stretch import Stretch
from training.out_of_fold import conformal
from training.out_of_fold.conformal import (
    LEVELS,
    learn_uncertainty,
    outlast_threshold,
)
from training.out_of_fold.misfit import misfit_variance
from training.out_of_fold.simulated_outcomes import outcome_grid, simulate_outcomes

CPU = TrainerConfig(accelerator="cpu")
CLINIC = FeatureConfig(measurements=(), cells=())
CARD = CohortCard(
    title="Three traits",
    citation="none",
    licence="CC0-1.0",
    provenance="simulated",
    variables={name: Variable(kind="numeric") for name in "abc"},
)
HORIZONS = np.array([90.0, 365.0])
SHRUNK = CoxConfig(penalty=3.0)


def patients_of(x: np.ndarray[Any, Any]) -> Patients:
    n = len(x)
    columns = {name: x[:, i] for i, name in enumerate("abc")}
    return Patients(nobodys_names(n), np.zeros(n), columns, Measurements.empty(n))


def fitted(n: int, rng: np.random.Generator, refits: int = 10) -> FittedRiskModel:
    x, outcomes, _ = draw(rng, n)
    config = WithIntervalsConfig(model=SHRUNK, refits=refits)
    return fit_risk_model(patients_of(x), outcomes, CARD, CLINIC, config, CPU, seed=int(rng.integers(2**31)))


def test_coverage_over_two_hundred_cohorts() -> None:
    """Intervals hold the true risk, and bounds are outlasted, as often as they say; 100 patients to learn from."""
    rng = np.random.default_rng(0)
    covered, outlasted = [], []
    for _ in range(200):
        model = fitted(100, rng)
        assert isinstance(model.predictor, WithIntervals)
        new = rng.normal(size=(200, 3))
        x = model.encoder.transform(patients_of(new))
        low, high = model.predictor.interval(x, np.zeros(200), HORIZONS)
        truth = true_incidence(hazards(new), HORIZONS)
        covered.append(((low <= truth) & (truth <= high)).mean(axis=0))
        time = rng.exponential(1 / hazards(new).sum(axis=1))
        days = [model.predictor.event_free_days(x, np.zeros(200), level) for level in LEVELS]
        outlasted.append([(time > bound).mean() for bound in days])
    assert 0.87 < np.mean(covered) < 0.93
    by_cause_and_horizon = np.mean(covered, axis=0)
    assert (by_cause_and_horizon > 0.83).all()
    assert (by_cause_and_horizon < 0.96).all()
    above = np.mean(outlasted, axis=0) - LEVELS
    assert (above > -0.01).all(), "no promise is broken"
    assert (above < 0.05).all(), "and none is cheap"


def test_intervals_of_a_model_that_shrinks_far_too_much_hold_the_risk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not quite at their level, but far more often than with refits to outcomes of the model's own answers."""
    covered = covered_of_shrunk()
    assert 0.83 < covered < 0.95
    monkeypatch.setattr(conformal, "learn_stretch", lambda incidence, *_: Stretch.none(incidence.shape[1]))
    assert covered_of_shrunk() < covered - 0.05


def covered_of_shrunk() -> float:
    """Share of true risks in intervals of Cox models whose penalty is tenfold what it ought to be, in 25 cohorts."""
    rng, covered = np.random.default_rng(20), []
    for _ in range(25):
        x, outcomes, _ = draw(rng, 300)
        config = WithIntervalsConfig(model=CoxConfig(penalty=100.0), refits=12)
        model = fit_risk_model(patients_of(x), outcomes, CARD, CLINIC, config, CPU, seed=int(rng.integers(2**31)))
        assert isinstance(model.predictor, WithIntervals)
        new = rng.normal(size=(200, 3))
        low, high = model.predictor.interval(model.encoder.transform(patients_of(new)), np.zeros(200), HORIZONS)
        truth = true_incidence(hazards(new), HORIZONS)
        covered.append(((low <= truth) & (truth <= high)).mean())
    return float(np.mean(covered))


def test_a_wider_level_is_a_wider_interval_around_the_prediction() -> None:
    model = fitted(80, np.random.default_rng(1)).predictor
    assert isinstance(model, WithIntervals)
    x = np.random.default_rng(2).normal(size=(20, 3))
    risk = model.incidence(x, np.zeros(20), HORIZONS)
    narrow, wide = (model.interval(x, np.zeros(20), HORIZONS, level) for level in (0.5, 0.9))
    assert (wide[0] < narrow[0]).all()
    assert (narrow[0] < risk).all()
    assert (risk < narrow[1]).all()
    assert (narrow[1] < wide[1]).all()
    assert (wide[0] >= 0).all()
    assert (wide[1] <= 1).all()
    early, late = (model.event_free_days(x, np.zeros(20), level) for level in (0.95, 0.5))
    assert (early <= late).all()
    assert (early < late).any()


def test_a_refit_in_which_nothing_has_happened_yet_does_not_void_the_interval() -> None:
    model = fitted(60, np.random.default_rng(5)).predictor
    assert isinstance(model, WithIntervals)
    x, start = np.zeros((1, 3)), np.zeros(1)
    days = np.linspace(1, 300, 300)
    first = int(np.argmax((model.incidence(x, start, days) > 0).all(axis=1)[0]))
    early = days[first : first + 1]
    assert any((refit.incidence(x, start, early) == 0).any() for refit in model.refits)  # the seed was chosen so
    low, high = model.interval(x, start, early)
    assert (high < 0.5).all()
    assert (low > 0).all()


def test_intervals_narrow_with_the_number_of_patients() -> None:
    rng = np.random.default_rng(3)
    width = []
    for n in (80, 320, 1280):
        model = fitted(n, rng).predictor
        assert isinstance(model, WithIntervals)
        low, high = model.interval(np.zeros((1, 3)), np.zeros(1), HORIZONS)
        width.append((high - low).mean())
    assert width[0] > 1.4 * width[1] > 1.4**2 * width[2]


def test_state_keeps_intervals_and_bounds() -> None:
    x, outcomes, _ = draw(np.random.default_rng(4), 90)
    below = RecalibratedConfig(model=MixtureConfig(members=(SHRUNK, CoxConfig(penalty=30.0)), weights="stacked"))
    config = WithIntervalsConfig(model=below, refits=11)
    model = fit_risk_model(patients_of(x), outcomes, CARD, CLINIC, config, CPU, seed=0).predictor
    assert isinstance(model, WithIntervals)
    assert len(model.refits) == 11
    weights = []
    for one in (model.model, *model.refits):
        assert isinstance(one, Recalibrated)
        assert isinstance(one.model, Mixture)
        weights.append(one.model.weights[0])
    assert not np.isclose(weights[0], 0.5)
    assert np.std(weights[1:]) > 0.05, "the weights are drawn, too"
    again = WithIntervals.from_state(*model.state())
    for one, other in zip(
        model.interval(x, np.zeros(90), HORIZONS), again.interval(x, np.zeros(90), HORIZONS), strict=True
    ):
        np.testing.assert_array_equal(other, one)
    np.testing.assert_array_equal(again.event_free_days(x, np.zeros(90)), model.event_free_days(x, np.zeros(90)))


def test_what_refits_share_with_the_model_is_stored_once() -> None:
    x, outcomes, _ = draw(np.random.default_rng(4), 90)
    config = WithIntervalsConfig(model=InContextConfig(), refits=4)
    model = fit_risk_model(patients_of(x), outcomes, CARD, CLINIC, config, CPU, seed=0).predictor
    assert isinstance(model, WithIntervals)
    sizes, arrays = model.state()
    of_model = sum(a.nbytes for name, a in arrays.items() if name.startswith("model/"))
    assert sum(a.nbytes for a in arrays.values()) < 1.1 * of_model, "the weights are those of all"
    assert (model.stretch.factor > 1.0).any()
    again = WithIntervals.from_state(sizes, arrays).with_parts(model.parts)
    np.testing.assert_array_equal(again.interval(x, np.zeros(90), HORIZONS), model.interval(x, np.zeros(90), HORIZONS))


def test_a_refit_has_no_array_that_only_the_model_has() -> None:
    x, outcomes, _ = draw(np.random.default_rng(4), 90)
    of_cox, of_rows = (
        fit_risk_model(patients_of(x), outcomes, CARD, CLINIC, one, CPU, seed=0).predictor
        for one in (WithIntervalsConfig(model=SHRUNK, refits=2), InContextConfig())
    )
    assert isinstance(of_cox, WithIntervals)
    other = WithIntervals(of_cox.model, (of_rows, of_cox.refits[0]), of_cox.uncertainty, of_cox.stretch)
    again = WithIntervals.from_state(*other.state())
    for one, expected in zip(again.refits, other.refits, strict=True):
        assert one.kind == expected.kind
        np.testing.assert_array_equal(
            one.incidence(x, np.zeros(90), HORIZONS), expected.incidence(x, np.zeros(90), HORIZONS)
        )


@pytest.mark.parametrize("level", [0.0, 1.0, 1.2])
def test_a_level_outside_zero_and_one_is_refused(level: float) -> None:
    model = fitted(60, np.random.default_rng(5), refits=2).predictor
    assert isinstance(model, WithIntervals)
    with pytest.raises(ValueError, match="between 0 and 1"):
        model.interval(np.zeros((1, 3)), np.zeros(1), HORIZONS, level)
    with pytest.raises(ValueError, match=r"known are 0\.5, 0\.8, 0\.9, 0\.95"):
        model.event_free_days(np.zeros((1, 3)), np.zeros(1), level)


@pytest.mark.parametrize("n_events", [0, 5], ids=["no event", "five events"])
def test_with_few_events_no_bound_is_promised(n_events: int) -> None:
    x, outcomes, _ = draw(np.random.default_rng(6), 60)
    few = replace(outcomes, cause=np.where(np.cumsum(outcomes.cause > 0) <= n_events, outcomes.cause, 0))
    config = WithIntervalsConfig(model=SHRUNK, refits=3)
    model = fit_risk_model(patients_of(x), few, CARD, CLINIC, config, CPU, seed=0).predictor
    assert isinstance(model, WithIntervals)
    assert (model.event_free_days(x, np.zeros(60), 0.5) == 0).all()
    low, high = model.interval(x, np.zeros(60), HORIZONS)
    assert (low <= high).all()


def simulated(late: float) -> tuple[Outcomes, Outcomes, np.ndarray[Any, Any]]:
    x, outcomes, _ = draw(np.random.default_rng(7), 4000)
    entry = np.where(np.arange(4000) % 2, late, 0.0)
    seen = np.flatnonzero(outcomes.duration_days > entry)
    own = replace(outcomes.take(seen), entry_days=entry[seen] if late else None)
    grid = outcome_grid(own)
    incidence = Distorted().incidence(x[seen], np.zeros(len(seen)), grid)
    drawn = simulate_outcomes(incidence, grid, own, patients_of(x[seen]), np.random.default_rng(8))
    return own, drawn, grid


@pytest.mark.parametrize("late", [0.0, 100.0], ids=["all from day 0", "half from day 100"])
def test_simulated_outcomes_follow_the_model_and_the_censoring(late: float) -> None:
    own, drawn, grid = simulated(late)
    assert drawn.entry_days is own.entry_days
    if own.entry_days is not None:
        assert (drawn.duration_days > own.entry_days).all()
    at = np.array([30.0, 120.0, 300.0])
    np.testing.assert_allclose(aalen_johansen(drawn).at(at), aalen_johansen(own).at(at), atol=0.03)
    np.testing.assert_allclose(censoring_survival(drawn).at(at), censoring_survival(own).at(at), atol=0.03)
    assert drawn.duration_days.max() <= grid[-1]


def test_rows_of_one_patient_share_their_fate() -> None:
    x, outcomes, _ = draw(np.random.default_rng(9), 50)
    grid = outcome_grid(outcomes)
    twice = np.tile(np.arange(50), 2)
    patients = patients_of(x).take(twice)
    incidence = Distorted().incidence(x, np.zeros(50), grid)[twice]
    drawn = simulate_outcomes(incidence, grid, outcomes.take(twice), patients, np.random.default_rng(0))
    np.testing.assert_array_equal(drawn.duration_days[:50], drawn.duration_days[50:])
    np.testing.assert_array_equal(drawn.cause[:50], drawn.cause[50:])


def test_misfit_is_found_where_the_model_is_wrong_and_hardly_where_it_is_right() -> None:
    rng = np.random.default_rng(10)
    at = np.array([60.0, 150.0, 300.0])
    right, wrong = [], []
    for _ in range(20):
        x, outcomes, _ = draw(rng, 600)
        none = np.zeros((2, 600, 3))
        for found, model in ((right, Distorted()), (wrong, Distorted(level=0.7))):
            risk = model.incidence(x, np.zeros(600), at)[:, 0]
            found.append(misfit_variance(risk, none, outcomes, nobodys_names(600), np.zeros(600), 1, at))
    assert np.mean(right) < 0.03
    assert np.mean(wrong) == pytest.approx(0.7**2, rel=0.35)


def test_errors_that_refits_show_are_no_misfit() -> None:
    x, outcomes, _ = draw(np.random.default_rng(11), 600)
    at = np.array([150.0])
    risk = Distorted(level=0.7).incidence(x, np.zeros(600), at)[:, 0]
    shown = (Distorted().incidence(x, np.zeros(600), at)[:, 0] - risk)[None] * np.array([1.0, -1.0])[:, None, None]
    rows = outcomes, nobodys_names(600), np.zeros(600)
    assert misfit_variance(risk, shown, *rows, 1, at) < misfit_variance(risk, 0 * shown, *rows, 1, at) / 4


def test_the_threshold_keeps_its_promise_though_the_model_is_wrong() -> None:
    """Risks told far too low: the bounds of the model itself are broken, the calibrated ones are not."""
    rng = np.random.default_rng(12)
    x, outcomes, _ = draw(rng, 2000, longest_days=400)
    new = rng.normal(size=(4000, 3))
    time = rng.exponential(1 / hazards(new).sum(axis=1))
    wrong = Distorted(level=-1.5)
    grid = outcome_grid(outcomes)
    told = wrong.incidence(new, np.zeros(4000), grid)
    rows = outcomes, nobodys_names(2000), np.zeros(2000)
    for level in (0.6, 0.9):
        threshold = outlast_threshold(wrong.incidence(x, np.zeros(2000), grid), grid, *rows, level)
        assert (time > bound_days(told, grid, threshold)).mean() == pytest.approx(level, abs=0.03)
    assert (time > bound_days(told, grid, 0.1)).mean() < 0.86


def test_late_rows_teach_no_bounds() -> None:
    x, outcomes, _ = draw(np.random.default_rng(13), 400)
    grid = outcome_grid(outcomes)
    told = Distorted().incidence(x, np.zeros(400), grid)
    late = replace(outcomes, entry_days=np.where(np.arange(400) < 150, outcomes.duration_days / 2, 0.0))
    seen = np.arange(150, 400)
    error = np.zeros((2, 400, 2, len(grid)))
    names = nobodys_names(400)
    expected = learn_uncertainty(
        told[seen], error[:, seen], grid, outcomes.take(seen), names[seen], np.zeros(len(seen))
    )
    found = learn_uncertainty(told, error, grid, late, names, np.zeros(400))
    np.testing.assert_array_equal(found.thresholds, expected.thresholds)
    np.testing.assert_array_equal(found.misfit, expected.misfit)


def test_bounds_are_the_last_day_below_the_threshold() -> None:
    incidence = np.array([[[0.05, 0.1, 0.2]], [[0.3, 0.4, 0.5]], [[0.0, 0.0, 0.05]]])
    np.testing.assert_array_equal(bound_days(incidence, np.array([1.0, 2.0, 3.0]), 0.1), [2, 0, 3])


def test_the_wrapped_model_answers_unchanged(ward: Callable[..., Any], outcomes_for: Callable[..., Any]) -> None:
    """The first fit is not touched by what comes after it."""
    patients = replace(ward(0, 80, 0.0).patients(), samples=None)
    card = replace_age(CARD)
    outcomes = outcomes_for(patients, 1)
    features = FeatureConfig(baseline=("age",), measurements=(), cells=())
    plain = fit_risk_model(patients, outcomes, card, features, SHRUNK, CPU, seed=0)
    around = fit_risk_model(
        patients, outcomes, card, features, WithIntervalsConfig(model=SHRUNK, refits=2), CPU, seed=0
    )
    expected = plain.predict_incidence(patients, HORIZONS).values
    np.testing.assert_array_equal(around.predict_incidence(patients, HORIZONS).values, expected)


def replace_age(card: CohortCard) -> CohortCard:
    return card.model_copy(update={"variables": {"age": Variable(kind="numeric")}})
