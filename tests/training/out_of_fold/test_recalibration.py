"""Recalibration: invariants, that planted miscalibration is undone, and that what is right stays."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hazard_cohorts import INFECTION, Distorted, draw, hazards, nobodys_names, true_incidence
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from features.config import FeatureConfig
from features.schema import CohortCard, Variable
from training.config import AalenJohansenConfig, CoxConfig, MixtureConfig, RecalibratedConfig, TrainerConfig
from training.evaluation.calibration_curve import smoothed_observed
from training.evaluation.pseudo import pseudo_values
from training.fit import fit_risk_model
from training.models.mixture import Mixture
from training.models.predictor import Predictor
from training.models.recalibration import Calibration, Recalibrated, cause_hazards, gained_incidence, steadied
from training.out_of_fold.recalibration import calibration_edges, fit_calibration, no_calibration

EDGES = np.array([0.0, 20.0, 60.0, 150.0, 400.0])
AT = np.array([180.0])
CPU = TrainerConfig(accelerator="cpu")
CLINIC = FeatureConfig(baseline=("age",), measurements=(), cells=())
CARD = CohortCard(
    title="Ages",
    citation="none",
    licence="CC0-1.0",
    provenance="simulated",
    variables={"age": Variable(kind="numeric")},
)


def calibration(level: list[float], spread: list[float]) -> Calibration:
    typical = true_incidence(hazards(np.zeros((1, 3))), EDGES)
    mean = np.log(steadied(cause_hazards(typical)[0]))
    return replace(no_calibration(EDGES, 2), mean_log_hazard=mean, level=np.array(level), spread=np.array(spread))


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    level=st.lists(st.floats(-3, 3), min_size=2, max_size=2),
    spread=st.lists(st.floats(-1, 4), min_size=2, max_size=2),
)
def test_it_stays_an_incidence_whatever_is_learnt(seed: int, level: list[float], spread: list[float]) -> None:
    x = np.random.default_rng(seed).normal(size=(5, 3)) * 2
    times = np.unique(np.append(np.random.default_rng(seed).uniform(0, 500, 40), [0.0, *EDGES, 1e5]))
    values = Recalibrated(Distorted(), calibration(level, spread)).incidence(x, np.zeros(5), times)
    assert (values[:, :, 0] == 0).all()
    assert (np.diff(values, axis=2) >= -1e-12).all()
    assert (values.sum(axis=1) <= 1 + 1e-12).all()


def test_an_answer_does_not_depend_on_what_else_is_asked() -> None:
    model = Recalibrated(Distorted(), calibration([0.4, -0.2], [1.5, 0.7]))
    x = np.random.default_rng(0).normal(size=(4, 3))
    times = np.array([5.0, 20.0, 33.0, 390.0])
    alone = np.concatenate([model.incidence(x, np.zeros(4), times[[i]]) for i in range(4)], axis=2)
    np.testing.assert_allclose(model.incidence(x, np.zeros(4), times), alone, atol=1e-12)


def test_identity_changes_nothing_up_to_the_last_edge() -> None:
    x = np.random.default_rng(0).normal(size=(6, 3))
    times = np.array([0.0, 7.0, 20.0, 100.0, 400.0])
    same = Recalibrated(Distorted(), no_calibration(EDGES, 2)).incidence(x, np.zeros(6), times)
    np.testing.assert_allclose(same, Distorted().incidence(x, np.zeros(6), times), atol=1e-12)


def test_hazards_and_incidences_are_inverse_to_one_another() -> None:
    incidence = true_incidence(hazards(np.random.default_rng(0).normal(size=(6, 3))), EDGES)
    np.testing.assert_allclose(np.cumsum(gained_incidence(cause_hazards(incidence)), axis=-1), incidence[..., 1:])


def test_proportional_hazards_get_the_planted_level_and_spread() -> None:
    """Closed form: Λ_new = Λ̄ exp(α) ρ^β, at every edge."""
    x = np.random.default_rng(1).normal(size=(5, 3))
    model = Recalibrated(Distorted(), calibration([0.3, 0.0], [1.4, 1.0]))
    found = np.cumsum(cause_hazards(model.incidence(x, np.zeros(5), EDGES)), axis=-1)[:, 0]
    expected = 0.004 * EDGES[1:] * np.exp(0.3 + 1.4 * (x @ INFECTION))[:, None]
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def ici(model: Predictor, x: NDArray[np.float64], pseudo: NDArray[np.float64]) -> float:
    risk = model.incidence(x, np.zeros(len(x)), AT)[:, 0, 0]
    return float(np.abs(smoothed_observed(risk, pseudo) - risk).mean())


@pytest.mark.parametrize(
    ("spread", "level"),
    [
        pytest.param(2.0, 0.0, id="patients too far apart"),
        pytest.param(0.3, 0.0, id="patients too close together"),
        pytest.param(1.0, 0.7, id="all too high"),
        pytest.param(1.7, -0.6, id="too low and too far apart"),
    ],
)
def test_what_was_planted_is_undone(spread: float, level: float) -> None:
    """ICI in 4,000 new patients, and distance to the true risk, after 800 patients to learn from."""
    rng = np.random.default_rng(0)
    x, outcomes, _ = draw(rng, 800)
    new, later, _ = draw(rng, 4000)
    wrong = Distorted(spread, level)
    edges = calibration_edges(outcomes)
    learnt = fit_calibration(wrong.incidence(x, np.zeros(800), edges), edges, outcomes, nobodys_names(len(outcomes)))
    right = Recalibrated(wrong, learnt)
    pseudo = pseudo_values(later, AT)[:, 0, 0]
    assert ici(wrong, new, pseudo) > 0.05
    assert ici(right, new, pseudo) < min(0.03, ici(wrong, new, pseudo) / 2)
    assert learnt.spread[0] == pytest.approx(1 / spread, rel=0.3)
    truth = true_incidence(hazards(new), AT)[:, 0, 0]
    error, before = (np.abs(m.incidence(new, np.zeros(4000), AT)[:, 0, 0] - truth).mean() for m in (right, wrong))
    assert error < before / 3
    untouched = right.incidence(new, np.zeros(4000), AT)[:, 1] - true_incidence(hazards(new), AT)[:, 1]
    assert np.abs(untouched).mean() < 0.03


def test_what_is_right_is_hardly_changed() -> None:
    rng = np.random.default_rng(1)
    new = rng.normal(size=(1000, 3))
    truth = true_incidence(hazards(new), AT)
    for n, most in ((60, 0.05), (300, 0.04), (3000, 0.015)):
        change = []
        for _ in range(5):
            x, outcomes, _ = draw(rng, n)
            edges = calibration_edges(outcomes)
            learnt = fit_calibration(
                Distorted().incidence(x, np.zeros(n), edges), edges, outcomes, nobodys_names(len(outcomes))
            )
            change.append(np.abs(Recalibrated(Distorted(), learnt).incidence(new, np.zeros(1000), AT) - truth).mean())
        assert np.mean(change) < most


def test_parameters_scatter_as_their_covariance_says() -> None:
    rng = np.random.default_rng(2)
    found = []
    for _ in range(150):
        x, outcomes, _ = draw(rng, 300)
        edges = calibration_edges(outcomes)
        found.append(
            fit_calibration(
                Distorted().incidence(x, np.zeros(300), edges), edges, outcomes, nobodys_names(len(outcomes))
            )
        )
    for k in range(2):
        pairs = np.array([(one.level[k], one.spread[k] - 1) for one in found])
        z = [pair @ np.linalg.solve(one.covariance[k], pair) for pair, one in zip(pairs, found, strict=True)]
        assert 1.4 < np.mean(z) < 2.5, "the mean of χ² with two degrees of freedom is 2"
    drawn = [found[0].drawn(rng).level for _ in range(500)]
    np.testing.assert_allclose(np.std(drawn, axis=0), np.sqrt(found[0].covariance[:, 0, 0]), rtol=0.15)


def test_late_entry_is_not_read_as_low_risk() -> None:
    """Half the patients are seen only if they last 100 days; the truth needs no recalibration for that."""
    rng = np.random.default_rng(3)
    x, outcomes, _ = draw(rng, 3000)
    entry = np.where(np.arange(3000) % 2, 100.0, 0.0)
    seen = np.flatnonzero(outcomes.duration_days > entry)
    late = replace(outcomes.take(seen), entry_days=entry[seen])
    edges, names = calibration_edges(late), nobodys_names(len(late))
    told = Distorted().incidence(x[seen], np.zeros(len(seen)), edges)
    assert np.abs(fit_calibration(told, edges, late, names).level).max() < 0.1
    assert fit_calibration(told, edges, replace(late, entry_days=None), names).level[0] < -0.1


def test_the_order_of_patients_is_never_turned_round() -> None:
    """A model that is wrong about who is at risk gets the same risk for everyone."""
    rng = np.random.default_rng(4)
    x, outcomes, _ = draw(rng, 1500)
    edges = calibration_edges(outcomes)
    learnt = fit_calibration(
        Distorted(spread=-1.0).incidence(x, np.zeros(1500), edges), edges, outcomes, nobodys_names(len(outcomes))
    )
    assert learnt.spread[0] == 0
    risk = Recalibrated(Distorted(spread=-1.0), learnt).incidence(x, np.zeros(1500), AT)[:, 0, 0]
    pseudo = pseudo_values(outcomes, AT)[:, 0, 0]
    assert risk.mean() == pytest.approx(pseudo.mean(), abs=0.04)


def test_no_event_is_refused() -> None:
    _, outcomes, _ = draw(np.random.default_rng(0), 20)
    with pytest.raises(ValueError, match="no event"):
        calibration_edges(replace(outcomes, cause=np.zeros(20, dtype=np.int64)))


@pytest.fixture(scope="module")
def study(ward: Callable[..., Any], outcomes_for: Callable[..., Any]) -> tuple[Any, Any]:
    patients = replace(ward(0, 150, 0.0).patients(), samples=None)
    return patients, outcomes_for(patients, 1)


def test_a_shrunken_cox_model_is_spread_out_again(study: tuple[Any, Any]) -> None:
    """Through the whole of fit_risk_model: a penalty far too strong hides age, which out-of-fold predictions show."""
    config = RecalibratedConfig(model=CoxConfig(penalty=300.0))
    model = fit_risk_model(*study, CARD, CLINIC, config, CPU, seed=0).predictor
    assert isinstance(model, Recalibrated)
    assert model.calibration.spread[0] > 1.3


def test_a_stacked_mixture_below_keeps_its_weights(study: tuple[Any, Any]) -> None:
    members = (CoxConfig(penalty=5.0), AalenJohansenConfig())
    stacked = MixtureConfig(members=members, weights="stacked")
    below = fit_risk_model(*study, CARD, CLINIC, stacked, CPU, seed=0).predictor
    model = fit_risk_model(*study, CARD, CLINIC, RecalibratedConfig(model=stacked), CPU, seed=0).predictor
    assert isinstance(below, Mixture)
    assert isinstance(model, Recalibrated)
    assert isinstance(model.model, Mixture)
    np.testing.assert_allclose(model.model.weights, below.weights)


@pytest.mark.parametrize("n_events", [0, 5], ids=["no event", "five events"])
def test_with_few_events_nothing_is_changed(n_events: int, study: tuple[Any, Any]) -> None:
    patients, outcomes = study
    few = replace(outcomes, cause=np.where(np.cumsum(outcomes.cause > 0) <= n_events, outcomes.cause, 0))
    plain = fit_risk_model(patients, few, CARD, CLINIC, CoxConfig(penalty=5.0), CPU, seed=0)
    config = RecalibratedConfig(model=CoxConfig(penalty=5.0))
    model = fit_risk_model(patients, few, CARD, CLINIC, config, CPU, seed=0)
    times = np.array([10.0, 50.0])
    expected = plain.predict_incidence(patients, times).values
    np.testing.assert_allclose(model.predict_incidence(patients, times).values, expected, atol=1e-12)
