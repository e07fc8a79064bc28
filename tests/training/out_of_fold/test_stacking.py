"""Stacked weights: the quadratic programme, the score, the shrinkage, and that nothing is learnt outside the folds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hazard_cohorts import draw, hazards, nobodys_names, true_incidence
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from features.config import FeatureConfig
from features.outcomes import Outcomes
from features.schema import CohortCard, Variable
from training.config import AalenJohansenConfig, CoxConfig, MixtureConfig, TrainerConfig
from training.evaluation.brier import brier_score, integrate, null_brier_score
from training.fit import fit_risk_model
from training.models.aalen_johansen import AalenJohansen
from training.models.cox import CauseSpecificCox
from training.models.mixture import Mixture
from training.models.predictor import Predictor
from training.out_of_fold import stacking
from training.out_of_fold.stack_weights import StackEvidence, simplex_minimum, stack_evidence
from training.out_of_fold.stacking import Stacked, held_out_like, like, scoring_grid, with_drawn_weights
from training.splits import patient_folds

CPU = TrainerConfig(accelerator="cpu")
CLINIC = FeatureConfig(baseline=("age",), measurements=(), cells=())
CARD = CohortCard(
    title="Ages",
    citation="none",
    licence="CC0-1.0",
    provenance="simulated",
    variables={"age": Variable(kind="numeric")},
)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**31), size=st.integers(1, 7), rank=st.integers(1, 7))
def test_simplex_minimum_satisfies_its_optimality_conditions(seed: int, size: int, rank: int) -> None:
    """w is on the simplex, and no move towards any corner lowers wᵀHw."""
    root = np.random.default_rng(seed).normal(size=(size, rank))
    matrix = root @ root.T
    w = simplex_minimum(matrix)
    assert (w >= 0).all()
    assert w.sum() == pytest.approx(1)
    gradient = matrix @ w
    assert (gradient - gradient @ w).min() >= -1e-6 * np.trace(matrix)


def test_simplex_minimum_holds_a_bad_corner_at_zero() -> None:
    """Members with residual variances 1, 1 and 9, correlated 0.5: the third would get a negative weight."""
    matrix = np.array([[1.0, 0.5, 1.5], [0.5, 1.0, 1.5], [1.5, 1.5, 9.0]])
    np.testing.assert_allclose(simplex_minimum(matrix), [0.5, 0.5, 0.0], atol=1e-8)


def members_out_of_fold(
    x: NDArray[np.float64], outcomes: Outcomes, fits: list[Callable[..., Predictor]], times: NDArray[np.float64]
) -> NDArray[np.float64]:
    values = np.empty((len(fits), len(x), 2, len(times)))
    for fold in patient_folds(nobodys_names(len(x)), outcomes.cause, n_folds=5, n_repeats=1, seed=0):
        for i, fit in enumerate(fits):
            member = fit(x[fold.train], outcomes.take(fold.train))
            values[i, fold.test] = member.incidence(x[fold.test], np.zeros(len(fold.test)), times)
    return values


def evidence_of(
    incidence: NDArray[np.float64], times: NDArray[np.float64], outcomes: Outcomes, prior_sd: float = 0.5
) -> StackEvidence:
    """One landmark, one row a patient."""
    n = len(outcomes)
    return replace(stack_evidence(incidence, times, outcomes, np.zeros(n), nobodys_names(n)), prior_sd=prior_sd)


def cox(penalty: float) -> Callable[..., Predictor]:
    return lambda x, outcomes: CauseSpecificCox.fit(
        x, outcomes, penalty=penalty, patient_id=nobodys_names(len(x)), seed=0
    )


def population(x: NDArray[np.float64], outcomes: Outcomes) -> Predictor:
    return AalenJohansen.fit(np.zeros(len(x)), outcomes)


def test_the_quadratic_form_is_the_relative_integrated_brier_score() -> None:
    """Written out with the metrics' own functions; times are tied, and who remains is censored on the last of them."""
    x, outcomes, _ = draw(np.random.default_rng(0), 120)
    outcomes = replace(outcomes, duration_days=np.ceil(outcomes.duration_days / 20) * 20)
    after = outcomes.duration_days >= 240
    outcomes = replace(
        outcomes, duration_days=np.minimum(outcomes.duration_days, 240), cause=np.where(after, 0, outcomes.cause)
    )
    times = np.linspace(24, 240, 10)
    incidence = members_out_of_fold(x, outcomes, [cox(3.0), population], times)
    evidence = evidence_of(incidence, times, outcomes)
    w = np.array([0.3, 0.7])
    score = integrate(brier_score(np.tensordot(w, incidence, axes=1), times, outcomes), times)
    null = integrate(null_brier_score(times, outcomes), times)
    assert w @ evidence.total @ w == pytest.approx((score / null).mean(), rel=1e-9)
    by_cause = [((outcomes.cause == k) & (outcomes.duration_days <= times[-1])).sum() for k in (1, 2)]
    assert evidence.n_events == pytest.approx(4 / (1 / by_cause[0] + 1 / by_cause[1]))


def test_two_landmarks_are_scored_each_by_its_own_censoring() -> None:
    x, outcomes, _ = draw(np.random.default_rng(1), 100)
    times = scoring_grid(outcomes)
    incidence = members_out_of_fold(x, outcomes, [cox(3.0), population], times)
    once = evidence_of(incidence, times, outcomes)
    twice = np.concatenate([incidence, incidence], axis=1)
    both, days = Outcomes.concatenate([outcomes, outcomes]), np.repeat([0.0, 30.0], 100)
    same = stack_evidence(twice, times, both, days, np.tile(nobodys_names(100), 2))
    np.testing.assert_allclose(same.products, once.products, atol=1e-12)
    assert same.n_events == once.n_events, "a patient's event is one event"
    others = stack_evidence(twice, times, both, days, nobodys_names(200))
    np.testing.assert_allclose(others.total, once.total, atol=1e-12)
    assert others.n_events == pytest.approx(2 * once.n_events)


def test_late_rows_are_not_scored() -> None:
    x, outcomes, _ = draw(np.random.default_rng(2), 100)
    times = scoring_grid(outcomes)
    incidence = members_out_of_fold(x, outcomes, [cox(3.0), population], times)
    late = replace(outcomes, entry_days=np.where(np.arange(100) < 40, outcomes.duration_days / 2, 0.0))
    seen = np.arange(40, 100)
    expected = evidence_of(incidence[:, seen], times, outcomes.take(seen)).weights()
    np.testing.assert_allclose(evidence_of(incidence, times, late).weights(), expected, atol=1e-9)


def test_few_events_keep_equal_weights_and_many_do_not() -> None:
    x, outcomes, _ = draw(np.random.default_rng(3), 400)
    times = scoring_grid(outcomes)
    incidence = members_out_of_fold(x, outcomes, [cox(3.0), population], times)
    shrunk = [evidence_of(incidence[:, :n], times, outcomes.take(np.arange(n))).weights()[0] for n in (8, 60, 400)]
    assert shrunk[0] == 0.5, "fewer than ten events"
    assert 0.5 < shrunk[1] < shrunk[2]
    free = evidence_of(incidence, times, outcomes, prior_sd=100.0).weights()[0]
    assert shrunk[2] < free <= 1


def made_up(seed: int, n_events: int, members: int = 3) -> StackEvidence:
    """Each member's residuals of 2,000 patients have a variance of 1/2,000 and correlations of 0.5."""
    rng = np.random.default_rng(seed)
    shared, own = rng.normal(size=(2000, 1)), rng.normal(size=(2000, members))
    residual = (shared + own) / np.sqrt(2 * 2000)
    event = np.repeat([True, False], [n_events, 2000 - n_events])[:, None]
    return StackEvidence(nobodys_names(2000).astype(str), residual[:, :, None] * residual[:, None], event)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**31), n_events=st.sampled_from([5, 12, 100, 2000]), members=st.integers(1, 5))
def test_drawn_weights_are_weights(seed: int, n_events: int, members: int) -> None:
    drawn = made_up(seed, n_events, members).drawn(np.random.default_rng(seed))
    assert (drawn >= 0).all()
    assert drawn.sum() == pytest.approx(1)
    assert n_events > 10 or (drawn == 1 / members).all(), "with few events nothing is drawn"


def test_drawn_weights_scatter_as_the_posterior_says() -> None:
    """Far from the borders: around the optimum, with (E H)⁻¹ on Σ w = 1, written out by a Lagrange multiplier."""
    evidence = made_up(0, 1000)
    drawn = np.stack([evidence.drawn(np.random.default_rng(i)) for i in range(3000)])
    bordered = np.ones((4, 4))
    bordered[:3, :3] = 1000 * evidence.total + 4 * (np.eye(3) - 1 / 3)  # the prior's precision is 1 / 0.5²
    bordered[3, 3] = 0
    expected = np.linalg.inv(bordered)[:3, :3]
    assert evidence.weights().min() > 5 * np.sqrt(expected.diagonal().max())
    np.testing.assert_allclose(drawn.mean(axis=0), evidence.weights(), atol=4 * np.sqrt(expected.max() / 3000))
    np.testing.assert_allclose(np.cov(drawn.T), expected, atol=0.1 * expected.max())


def test_weights_are_known_the_worse_the_fewer_the_events() -> None:
    spread = [np.std([made_up(1, n).drawn(np.random.default_rng(i)) for i in range(200)]) for n in (20, 200, 2000)]
    assert spread[0] > 1.5 * spread[1] > 2.25 * spread[2]


def error(weights: NDArray[np.float64], answers: NDArray[np.float64], truth: NDArray[np.float64]) -> float:
    return float(np.sqrt(((np.tensordot(weights, answers, axes=1) - truth) ** 2).mean()))


@pytest.mark.parametrize(
    ("fits", "n", "n_cohorts", "least", "most"),
    [
        pytest.param([cox(5.0), cox(30.0), cox(100.0)], 60, 12, 0.97, 1.03, id="alike, few patients"),
        pytest.param([cox(5.0), cox(10.0), population], 200, 6, 0.5, 0.85, id="one is bad"),
    ],
)
def test_distance_to_the_truth_against_equal_weights(
    fits: list[Callable[..., Predictor]], n: int, n_cohorts: int, least: float, most: float
) -> None:
    """Few patients: stacking costs next to nothing; a bad member: it gains."""
    rng = np.random.default_rng(4)
    times = np.linspace(30, 400, 8)
    stacked, equal = [], []
    for _ in range(n_cohorts):
        x, outcomes, _ = draw(rng, n)
        new = rng.normal(size=(500, 3))
        truth = true_incidence(hazards(new), times)
        answers = np.stack([fit(x, outcomes).incidence(new, np.zeros(500), times) for fit in fits])
        grid = scoring_grid(outcomes)
        weights = evidence_of(members_out_of_fold(x, outcomes, fits, grid), grid, outcomes).weights()
        stacked.append(error(weights, answers, truth))
        equal.append(error(np.full(len(fits), 1 / len(fits)), answers, truth))
    assert least < np.mean(stacked) / np.mean(equal) < most


STACKED = MixtureConfig(members=(CoxConfig(penalty=5.0), AalenJohansenConfig()), weights="stacked")


@pytest.fixture(scope="module")
def study(ward: Callable[..., Any], outcomes_for: Callable[..., Any]) -> tuple[Any, Outcomes]:
    patients = replace(ward(0, 150, 0.0).patients(), samples=None)
    return patients, outcomes_for(patients, 1)


def test_a_fitted_mixture_prefers_the_member_that_knows_age(study: tuple[Any, Outcomes]) -> None:
    mixture = fit_risk_model(*study, CARD, CLINIC, STACKED, CPU, seed=0).predictor
    assert isinstance(mixture, Mixture)
    assert mixture.weights[0] > 0.55
    assert mixture.weights.sum() == pytest.approx(1)


def test_every_inner_fold_refits_the_encoder_without_the_held_out_patients(
    study: tuple[Any, Outcomes], monkeypatch: pytest.MonkeyPatch
) -> None:
    patients, outcomes = study
    twice = patients.take(np.tile(np.arange(150), 2)), outcomes.take(np.tile(np.arange(150), 2))
    asked: list[Any] = []
    whole = stacking.out_of_fold

    def spied(refit: Callable[..., Any], *rest: Any, **named: Any) -> Any:
        def noted(rows: NDArray[np.int64]) -> Any:
            asked.append((rows, refit(rows)))
            return asked[-1][1]

        return whole(noted, *rest, **named)

    monkeypatch.setattr(stacking, "out_of_fold", spied)
    final = fit_risk_model(*twice, CARD, CLINIC, STACKED, CPU, seed=0)
    assert len(asked) == 5
    ids = patients.patient_id
    for rows, model in asked:
        inside = set(rows % 150)
        assert len(inside) == 120, "a patient's two rows stay together"
        assert len(rows) == 240
        assert model.encoder.state()[1].keys() == final.encoder.state()[1].keys()
        same = fit_risk_model(twice[0].take(rows), twice[1].take(rows), CARD, CLINIC, STACKED.members[0], CPU, seed=0)
        fresh = twice[0].take(np.arange(5))
        np.testing.assert_array_equal(model.encoder.transform(fresh), same.encoder.transform(fresh))
        assert np.abs(model.encoder.transform(fresh) - final.encoder.transform(fresh)).max() > 1e-6
    assert len(set(ids)) == 150


def test_no_event_at_all_keeps_equal_weights(study: tuple[Any, Outcomes]) -> None:
    patients, outcomes = study
    nothing = replace(outcomes, cause=np.zeros(len(outcomes), dtype=np.int64))
    mixture = fit_risk_model(patients, nothing, CARD, CLINIC, STACKED, CPU, seed=0).predictor
    assert isinstance(mixture, Mixture)
    np.testing.assert_allclose(mixture.weights, [0.5, 0.5])


def test_predictions_out_of_fold_have_weights_that_their_patients_did_not_teach(study: tuple[Any, Outcomes]) -> None:
    """Evidence of one fold's patients turned round changes the answers of all folds but theirs."""
    patients, outcomes = study
    final = fit_risk_model(*study, CARD, CLINIC, STACKED, CPU, seed=0).predictor
    assert isinstance(final, Stacked)
    assert final.evidence is not None
    fold = patient_folds(patients.patient_id, outcomes.cause, n_folds=5, n_repeats=1, seed=0)[0]
    turned = np.isin(final.evidence.patient_id, patients.patient_id[fold.test].astype(str))
    products = np.where(turned[:, None, None], final.evidence.products[:, ::-1, ::-1] * 9, final.evidence.products)
    other = Stacked(final.members, final.weights.tolist(), replace(final.evidence, products=products))
    times = np.array([30.0, 90.0])

    def refit(rows: NDArray[np.int64], model: Any) -> Any:
        return fit_risk_model(patients.take(rows), outcomes.take(rows), CARD, CLINIC, model, CPU, seed=0)

    first, second = (held_out_like(one, STACKED, *study, refit, times, seed=0) for one in (final, other))
    same = (first == second).all(axis=(1, 2))
    assert same[fold.test].all()
    assert not same[fold.train].any()


def test_evidence_of_some_patients_is_that_of_their_rows() -> None:
    """Nobody is censored, and the null score is that of all: what the others did is forgotten but for the scale."""
    x, outcomes, _ = draw(np.random.default_rng(5), 200, longest_days=1e9)
    times = scoring_grid(outcomes)
    incidence = members_out_of_fold(x, outcomes, [cox(3.0), population], times)
    some = np.arange(0, 200, 2)
    part = evidence_of(incidence, times, outcomes).of(nobodys_names(200)[some])
    alone = stack_evidence(incidence[:, some], times, outcomes.take(some), np.zeros(100), nobodys_names(200)[some])
    np.testing.assert_array_equal(part.patient_id, alone.patient_id)
    np.testing.assert_array_equal(part.event, alone.event)
    np.testing.assert_allclose(part.total / part.total[1, 1], alone.total / alone.total[1, 1], rtol=0.02)


def test_a_refit_takes_the_weights_of_the_truth_that_it_came_from(study: tuple[Any, Outcomes]) -> None:
    final = fit_risk_model(*study, CARD, CLINIC, STACKED, CPU, seed=0).predictor
    assert isinstance(final, Stacked)
    refitted = Mixture(final.members[::-1], [1.0, 1.0])
    truths = [with_drawn_weights(final, np.random.default_rng(i)) for i in range(2)]
    for one in (final, *truths):
        taken = like(refitted, one)
        assert isinstance(one, Mixture)
        assert isinstance(taken, Mixture)
        assert taken.members == refitted.members
        np.testing.assert_allclose(taken.weights, one.weights)
    assert len({round(one.shares[0], 3) for one in (final, *truths) if isinstance(one, Mixture)}) == 3
    assert with_drawn_weights(final.members[0], np.random.default_rng(0)) is final.members[0]
    stored = Stacked.from_state(*final.state())
    np.testing.assert_array_equal(stored.weights, final.weights)
    assert stored.evidence is None
    assert with_drawn_weights(stored, np.random.default_rng(0)) is stored
