"""Networks that look at cells, inside other models."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import TypeAdapter

from features.errors import SequelaError
from features.patients import Patients
from training.artifact.folder import read_artifact, write_artifact
from training.config import ModelConfig, sees_cells
from training.models.conformal import Uncertainty, WithIntervals
from training.models.explanation import CELLS, explain_patients
from training.models.mixture import Mixture
from training.models.predictor import KnownSamples
from training.models.risk_model import FittedRiskModel
from training.models.seeing import attention_of, materials_of, seeing

Fitted = Callable[[str], FittedRiskModel]
HORIZONS = np.array([90.0, 365.0])


@pytest.fixture
def patients(ward: Callable[..., Any]) -> Patients:
    found: Patients = ward(13, 8).patients()
    return found


@pytest.fixture
def pooled(fitted: Fitted) -> FittedRiskModel:
    """Attention, which counts for a quarter, and Cox, on the encoder of attention."""
    model = fitted("attention")
    cox = fitted("cox").predictor
    return FittedRiskModel(model.encoder, Mixture([cox, model.predictor], [3.0, 1.0]), model.causes)


def test_a_mixture_is_the_mean_of_members_that_see_the_cells(
    pooled: FittedRiskModel, fitted: Fitted, patients: Patients
) -> None:
    parts = [fitted(kind).predict_incidence(patients, HORIZONS).values for kind in ("cox", "attention")]
    mean = 0.75 * parts[0] + 0.25 * parts[1]
    np.testing.assert_allclose(pooled.predict_incidence(patients, HORIZONS).values, mean, atol=1e-12)
    blind = pooled.predictor.incidence(pooled.encoder.transform(patients), patients.landmark_day, HORIZONS)
    assert np.abs(blind - mean).max() > 1e-4, "the cells count"


def test_intervals_are_those_of_the_patient_with_his_cells(fitted: Fitted, patients: Patients) -> None:
    model = fitted("attention")
    unsure = Uncertainty(np.full(2, 0.04), HORIZONS, np.array([0.9]), np.array([0.5]))
    predictor = seeing(WithIntervals(model.predictor, (), unsure), patients)
    assert isinstance(predictor, WithIntervals)
    x, days = model.encoder.transform(patients), patients.landmark_day
    risk = model.predict_incidence(patients, HORIZONS).values
    low, high = predictor.interval(x, days, HORIZONS)
    assert (low < risk).all()
    assert (risk < high).all()
    outlasted = predictor.event_free_days(x, days)
    early, late = risk.sum(axis=1).T
    np.testing.assert_array_equal(outlasted, np.where(late <= 0.5, 365.0, np.where(early <= 0.5, 90.0, 0.0)))


def test_attention_of_a_mixture_is_that_of_its_members_that_pay_any(
    pooled: FittedRiskModel, fitted: Fitted, patients: Patients
) -> None:
    mixed, own = pooled.attention(patients), fitted("attention").attention(patients)
    np.testing.assert_allclose(mixed.sample, own.sample, atol=1e-15)
    for one, other in zip(mixed.cells, own.cells, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-15)
    member = fitted("set_transformer").predictor
    both = Mixture([fitted("attention").predictor, member], [1.0, 3.0])
    samples = KnownSamples.of(patients)
    mean = 0.25 * own.sample + 0.75 * attention_of(member, samples).sample
    np.testing.assert_allclose(attention_of(both, samples).sample, mean, atol=1e-12)
    assert np.abs(mean - own.sample).max() > 0


def test_what_the_cells_add_is_a_source_of_a_mixture(pooled: FittedRiskModel, patients: Patients) -> None:
    found = explain_patients(pooled, patients, HORIZONS, rng=np.random.default_rng(0))
    np.testing.assert_allclose(found.values.sum(axis=-1), found.risk - found.reference, atol=1e-6)
    assert np.abs(found.values[..., found.sources.index(CELLS)]).max() > 0


def test_a_network_of_cells_within_three_others_is_fitted_stored_and_read(
    fitted: Fitted, patients: Patients, manifest_of: Callable[..., Any], tmp_path: Path
) -> None:
    """Attention in a mixture, recalibrated, with intervals."""
    model = fitted("cells_within")
    assert materials_of(model.predictor) == materials_of(fitted("attention").predictor)
    answer = model.predict_incidence(patients, HORIZONS).values
    alone = [model.predict_incidence(patients.take(np.array([row])), HORIZONS).values[0] for row in range(8)]
    np.testing.assert_allclose(answer, alone, atol=1e-9)
    write_artifact(tmp_path / "artifact", *manifest_of(model))
    again = read_artifact(tmp_path / "artifact").model
    np.testing.assert_array_equal(again.predict_incidence(patients, HORIZONS).values, answer)
    seen = seeing(again.predictor, patients)
    assert isinstance(seen, WithIntervals)
    low, high = seen.interval(again.encoder.transform(patients), patients.landmark_day, HORIZONS)
    assert (low <= answer).all()
    assert (answer <= high).all()


def test_models_without_cells_are_not_asked_for_any(fitted: Fitted, patients: Patients) -> None:
    cox = fitted("cox").predictor
    assert seeing(cox, patients) is cox
    assert materials_of(fitted("with_intervals").predictor) == ()
    with pytest.raises(SequelaError, match="recalibrated pays no attention"):
        fitted("recalibrated").attention(patients)


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ({"kind": "mixture", "members": [{"kind": "cox"}, {"kind": "attention"}]}, True),
        ({"kind": "with_intervals", "model": {"kind": "recalibrated", "model": {"kind": "set_transformer"}}}, True),
        ({"kind": "mixture", "members": [{"kind": "cox"}, {"kind": "network"}]}, False),
    ],
)
def test_cells_are_read_for_a_member(model: dict[str, Any], *, expected: bool) -> None:
    assert sees_cells(TypeAdapter(ModelConfig).validate_python(model)) == expected
