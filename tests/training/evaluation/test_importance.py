"""Permutation importance: what the outcome depends on costs accuracy when it is permuted, the rest does not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from features.config import FeatureConfig
from features.outcomes import Outcomes
from features.patients import Measurements, Patients
from features.schema import CohortCard, Variable
from training.config import AalenJohansenConfig, CoxConfig, ModelConfig, TrainerConfig
from training.evaluation.brier import brier_score, integrate
from training.evaluation.importance import (
    HeldOutModel,
    SourceImportance,
    _filled,
    _Part,
    _Scored,
    donors,
    permutation_importance,
)
from training.evaluation.intervals import Interval
from training.fit import fit_risk_model
from training.splits import patient_folds

TIMES = np.linspace(20.0, 300.0, 15)
CARD = CohortCard(
    title="t",
    citation="none",
    licence="CC0-1.0",
    provenance="simulated",
    variables={
        "age": Variable(kind="numeric"),
        "twin": Variable(kind="numeric"),
        "noise": Variable(kind="numeric"),
        "product": Variable(kind="categorical"),
    },
)


def study(seed: int, n: int, *, landmarks: int = 1, twin: float = 0.0) -> tuple[Patients, Outcomes]:
    """Cause 1 follows age, cause 2 the product; `twin` is what age and twin share."""
    rng = np.random.default_rng(seed)
    age = rng.normal(size=n)
    product = rng.choice(np.array(["a", "b", "c"], dtype=object), n)
    baseline: dict[str, Any] = {
        "age": age,
        "twin": twin * age + np.sqrt(1 - twin**2) * rng.normal(size=n),
        "noise": rng.normal(size=n),
        "product": product,
    }
    rate = np.column_stack([0.004 * np.exp(1.2 * age), 0.003 * np.where(product == "a", 4.0, 0.5), np.full(n, 0.002)])
    latent = rng.exponential(1 / rate)
    cause = np.array([1, 2, 0])[latent.argmin(axis=1)]
    ids = np.array([f"p{i}" for i in range(n)], dtype=object)
    row = np.repeat(np.arange(n), landmarks)
    day = np.tile(np.arange(landmarks) * 30.0, n)
    patients = Patients(
        ids[row], day, {name: values[row] for name, values in baseline.items()}, Measurements.empty(len(row))
    )
    duration = np.ceil(latent.min(axis=1))[row] - day
    at_risk = np.flatnonzero(duration > 0)
    return patients.take(at_risk), Outcomes(duration, cause[row], ("relapse", "death")).take(at_risk)


def crossvalidated(
    patients: Patients, outcomes: Outcomes, model: ModelConfig | None = None, n_folds: int = 3
) -> list[HeldOutModel]:
    folds = patient_folds(patients.patient_id, outcomes.cause, n_folds=n_folds, n_repeats=1, seed=0)
    tested = []
    for fold in folds:
        train = patients.take(fold.train), outcomes.take(fold.train)
        config = model or CoxConfig(penalty=5.0)
        fitted = fit_risk_model(*train, CARD, FeatureConfig(), config, TrainerConfig(accelerator="cpu"), seed=0)
        tested.append(HeldOutModel(fitted, fold.test))
    return tested


def importance(
    seed: int, n: int = 240, *, landmarks: int = 1, twin: float = 0.0, **options: Any
) -> dict[tuple[str, str], SourceImportance]:
    patients, outcomes = study(seed, n, landmarks=landmarks, twin=twin)
    tested = crossvalidated(patients, outcomes)
    rng = np.random.default_rng(seed)
    found = permutation_importance(tested, patients, outcomes, TIMES, rng=rng, **options)
    return {(one.source, one.cause): one for one in found}


@pytest.mark.parametrize("landmarks", [1, 2])
def test_what_decides_is_found_and_only_that(landmarks: int) -> None:
    found = importance(1, landmarks=landmarks, n_bootstrap=100)
    assert {source for source, _ in found} == {"baseline.age", "baseline.twin", "baseline.noise", "baseline.product"}
    age, product = found["baseline.age", "relapse"], found["baseline.product", "death"]
    assert age.ibs.low > 0.005
    assert age.c.low > 0.03
    assert product.ibs.low > 0.002
    assert product.c.low > 0.02
    assert max(abs(found["baseline.noise", cause].ibs.point) for cause in ("relapse", "death")) < 0.004
    # The product moves the incidence of relapse too, by way of death; age is more.
    assert age.ibs.point > 1.5 * found["baseline.product", "relapse"].ibs.point > 0


def test_what_models_of_folds_differ_by_is_no_importance() -> None:
    """Nobody is told from another by which model has not seen him: alone, the same risk for everyone has C = 0.5."""
    patients, outcomes = study(4, 90)
    tested = crossvalidated(patients, outcomes, AalenJohansenConfig(), n_folds=5)
    scored = _Scored.of(tested, patients, outcomes, TIMES)
    parts = [_Part.of(one, patients, scored, {}) for one in tested]
    alike = _filled(scored, parts, [part.incidence(part.x) for part in parts])
    assert len(np.unique(alike[:, 0, -1])) == 5
    np.testing.assert_allclose(scored.losses(alike, np.ones((1, len(scored.rows))))[..., 1], 0.5)
    for number, one in enumerate(tested):
        np.testing.assert_array_equal(np.sort(one.rows), scored.rows[scored.fold == number])


def test_intervals_of_noise_rarely_exclude_zero() -> None:
    excluded = []
    for seed in range(25):
        patients, outcomes = study(seed, 90)
        # Noise in training and test alike: what is learnt of it holds for nobody.
        tested = crossvalidated(patients, outcomes, n_folds=2)
        rng = np.random.default_rng(seed)
        found = permutation_importance(tested, patients, outcomes, TIMES, rng=rng, repeats=2, n_bootstrap=60)
        excluded += [one.ibs.low > 0 for one in found if one.source == "baseline.noise"]
    assert np.mean(excluded) < 0.15


def test_it_is_the_loss_that_the_permuted_predictions_have() -> None:
    """By hand, from the encoder's columns and the donors, with one model and one permutation."""
    patients, outcomes = study(3, 120)
    tested = crossvalidated(patients, outcomes, n_folds=2)[:1]
    rows = tested[0].rows
    options: dict[str, Any] = {"rng": np.random.default_rng(9), "repeats": 1, "n_bootstrap": 0}
    found = permutation_importance(tested, patients, outcomes, TIMES, **options)
    rows = np.sort(rows)
    test, seen = patients.take(rows), outcomes.take(rows)
    _, of_patient = np.unique(test.patient_id.astype(str), return_inverse=True)
    encoder, predictor = tested[0].model.encoder, tested[0].model.predictor
    x = encoder.transform(test)
    rng = np.random.default_rng(9)
    for source in dict.fromkeys(encoder.column_sources):
        donor = donors(of_patient, test.landmark_day, rng)
        rng.integers(1, size=(1, 0))
        columns = [i for i, name in enumerate(encoder.column_sources) if name == source]
        permuted = x.copy()
        permuted[:, columns] = x[donor][:, columns]
        loss = [
            integrate(brier_score(predictor.incidence(m, test.landmark_day, TIMES), TIMES, seen), TIMES)
            for m in (permuted, x)
        ]
        increase = loss[0] - loss[1]
        got = [one.ibs.point for one in found if one.source == source]
        np.testing.assert_allclose(got, increase, atol=1e-12)
        assert np.isnan([one.ibs.low for one in found]).all(), "no resamples, no intervals"


def test_correlated_sources_share_and_a_group_shows_what_they_hold() -> None:
    apart = importance(2, twin=0.95, n_bootstrap=0, repeats=3)
    groups = {"baseline.age": "age and twin", "baseline.twin": "age and twin"}
    together = importance(2, twin=0.95, n_bootstrap=0, repeats=3, groups=groups)
    assert ("baseline.age", "relapse") not in together
    grouped = together["age and twin", "relapse"].ibs.point
    assert grouped > apart["baseline.age", "relapse"].ibs.point
    assert grouped > apart["baseline.twin", "relapse"].ibs.point


def test_a_model_that_uses_nothing_loses_nothing() -> None:
    patients, outcomes = study(4, 100)
    tested = crossvalidated(patients, outcomes, AalenJohansenConfig())
    rng = np.random.default_rng(0)
    found = permutation_importance(tested, patients, outcomes, TIMES, rng=rng, n_bootstrap=20)
    assert all(one.ibs.point == one.ibs.high == one.c.point == 0.0 for one in found)


def test_same_generator_gives_the_same_importance() -> None:
    first, second = (importance(5, 80, repeats=2, n_bootstrap=20) for _ in range(2))
    assert first == second


def test_donors_are_other_patients_of_the_same_landmark() -> None:
    rng = np.random.default_rng(0)
    patient = np.repeat(np.arange(30), 3)
    day = np.tile([0.0, 30.0, 90.0], 30)
    donor = donors(patient, day, rng)
    assert (patient[donor] != patient).all()
    np.testing.assert_array_equal(day[donor], day)
    np.testing.assert_array_equal(np.sort(donor), np.arange(90))
    assert (np.ptp(patient[donor].reshape(30, 3), axis=1) == 0).all(), "one donor for all rows of a patient"
    assert not np.array_equal(donors(patient, day, rng), donor)
    np.testing.assert_array_equal(donors(np.array([0]), np.array([0.0]), rng), [0])


def test_rows_that_came_late_are_not_scored() -> None:
    patients, outcomes = study(6, 120)
    tested = crossvalidated(patients, outcomes)
    entry = np.zeros(len(outcomes))
    entry[::7] = 0.5
    late = replace(outcomes, entry_days=entry)
    kept = np.flatnonzero(entry == 0)
    without = [HeldOutModel(one.model, np.intersect1d(one.rows, kept)) for one in tested]
    found = [
        permutation_importance(t, patients, o, TIMES, rng=np.random.default_rng(0), repeats=2, n_bootstrap=0)
        for t, o in ((tested, late), (without, outcomes))
    ]
    assert [(one.source, one.ibs.point) for one in found[0]] == [(one.source, one.ibs.point) for one in found[1]]


@pytest.mark.parametrize("case", ["none", "twice", "no permutation"])
def test_rows_tested_twice_or_never_are_refused(case: str) -> None:
    patients, outcomes = study(7, 60)
    tested = {"none": [], "twice": crossvalidated(patients, outcomes, AalenJohansenConfig())[:1] * 2}.get(
        case, crossvalidated(patients, outcomes, AalenJohansenConfig())
    )
    repeats = 0 if case == "no permutation" else 1
    with pytest.raises(ValueError, match="tested rows"):
        permutation_importance(tested, patients, outcomes, TIMES, rng=np.random.default_rng(0), repeats=repeats)


def sources_of(kind: str, fitted: Any, ward: Any, outcomes_for: Any) -> dict[str, float]:
    patients = ward(21, 60).patients()
    held_out = [HeldOutModel(fitted(kind), np.arange(60))]
    rng = np.random.default_rng(0)
    found = permutation_importance(held_out, patients, outcomes_for(patients, 2), TIMES, rng=rng, n_bootstrap=0)
    return {one.source: one.ibs.point for one in found if one.cause == "infection"}


def test_samples_and_measurements_are_permuted_as_the_baseline_is(
    fitted: Callable[[str], Any], ward: Callable[..., Any], outcomes_for: Callable[..., Any]
) -> None:
    by_source = sources_of("network", fitted, ward, outcomes_for)
    assert {"samples.blood", "measurements.ferritin", "baseline.product"} <= set(by_source)
    assert not {"landmark_day", "cells"} & set(by_source)
    assert max(by_source, key=lambda name: by_source[name]) == "baseline.age"
    assert all(increase != 0 for name, increase in by_source.items() if name.startswith(("samples", "measurements")))


def test_single_cells_come_from_another_patient_too(
    fitted: Callable[[str], Any], ward: Callable[..., Any], outcomes_for: Callable[..., Any]
) -> None:
    by_source = sources_of("attention", fitted, ward, outcomes_for)
    assert by_source["cells"] != 0
    assert by_source["baseline.age"] != 0


def test_figure_shows_the_most_important_on_top() -> None:
    from experiments.importance_figure import importance_figure  # here, because matplotlib takes a second

    known, unknown = Interval(0.02, 0.01, 0.03), Interval(0.05, np.nan, np.nan)
    found = [
        SourceImportance("samples.blood", "relapse", known, unknown),
        SourceImportance("baseline.age", "relapse", Interval(0.04, 0.03, 0.06), known),
        SourceImportance("baseline.age", "death", unknown, known),
    ]
    axes = importance_figure(found, "relapse", "title").axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["baseline.age", "samples.blood"]
    assert axes.yaxis_inverted()
    assert [bar.get_width() for bar in axes.patches] == [0.04, 0.02]
    whiskers = axes.collections[0].get_segments()
    np.testing.assert_allclose([segment[:, 0] for segment in whiskers], [[0.03, 0.06], [0.01, 0.03]])
    by_c = importance_figure(found, "relapse", "title", loss="c", most=1).axes[0]
    assert [label.get_text() for label in by_c.get_yticklabels()] == ["samples.blood"]
    with pytest.raises(ValueError, match="no importance for the cause 'crs'"):
        importance_figure(found, "crs", "title")
