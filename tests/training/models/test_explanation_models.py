"""Explanations of fitted models: they add up for every kind, and are of the record's parts."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Self

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from training.models.attribution import TOLERANCE, network_risk
from training.models.conformal import Uncertainty, WithIntervals
from training.models.explanation import explain, explain_patients
from training.models.mixture import PREDICTORS
from training.models.network import HazardNetwork
from training.models.predictor import CellPredictor, KnownSamples
from training.models.recalibration import Calibration, Recalibrated
from training.models.risk_model import FittedRiskModel

HORIZONS = np.array([30.0, 180.0, 365.0])
Fitted = Callable[[str], FittedRiskModel]
Matrix = NDArray[np.float64]


class InDouble:
    """A network in double precision, of which only the answers are known."""

    kind: ClassVar[str] = "in_double"

    def __init__(self, network: HazardNetwork) -> None:
        self.network = HazardNetwork(copy.deepcopy(network.module).double(), network.edges_days)

    def incidence(self, x: Matrix, landmark_day: Matrix, times_days: Matrix) -> Matrix:
        with torch.inference_mode():
            risk: Matrix = network_risk(self.network, torch.as_tensor(x), torch.as_tensor(times_days)).numpy()
        return risk

    def state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        return self.network.state()

    @classmethod
    def from_state(cls, sizes: dict[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Self:
        return cls(HazardNetwork.from_state(sizes, arrays))


@pytest.mark.parametrize("kind", sorted(set(PREDICTORS) - {"recalibrated", "with_intervals"}))
def test_contributions_of_every_predictor_add_up(kind: str, fitted: Fitted, ward: Callable[..., Any]) -> None:
    model = fitted(kind)
    patients = ward(11, 5).patients()
    found = explain_patients(model, patients, HORIZONS, rng=np.random.default_rng(0))
    np.testing.assert_allclose(found.risk, model.predict_incidence(patients, HORIZONS).values, atol=1e-9)
    np.testing.assert_allclose(found.values.sum(axis=-1), found.risk - found.reference, atol=TOLERANCE)
    assert found.values.shape == (5, 2, 3, len(found.sources))
    assert {"baseline.age", "baseline.product", "measurements.ferritin"} <= set(found.sources)
    assert np.isfinite(found.values).all()
    assert found.values.any() == (kind != "aalen_johansen")
    if kind == "cox":
        moved = dict(found.ranked(0))
        assert "baseline.age" in moved


def test_reference_is_the_average_patient_at_the_same_landmark(fitted: Fitted, ward: Callable[..., Any]) -> None:
    model, patients = fitted("aalen_johansen"), ward(11, 20).patients()
    found = explain_patients(model, patients, HORIZONS, rng=np.random.default_rng(0))
    np.testing.assert_array_equal(found.reference, found.risk)
    assert len(np.unique(found.reference[:, 0, -1])) == len(np.unique(patients.landmark_day)) == 2


def test_gradients_of_the_network_are_those_of_its_answers(fitted: Fitted, ward: Callable[..., Any]) -> None:
    model = fitted("network")
    network, x = model.predictor, model.encoder.transform(ward(12, 9).patients())
    assert isinstance(network, HazardNetwork)
    times = np.array([0.0, 3.3, 45.0, 365.0, 1e6])
    answers = network_risk(network, torch.as_tensor(x, dtype=torch.float32), torch.as_tensor(times)).numpy()
    np.testing.assert_allclose(answers, network.incidence(x, np.zeros(9), times), atol=1e-6)
    names = list(model.encoder.column_sources)
    by_gradient = explain(network, x, np.zeros(9), HORIZONS, names, rng=np.random.default_rng(0))
    by_difference = explain(InDouble(network), x, np.zeros(9), HORIZONS, names, rng=np.random.default_rng(0))
    np.testing.assert_allclose(by_gradient.values, by_difference.values, atol=2e-6)
    assert np.abs(by_gradient.values).max() > 0.01


@pytest.mark.parametrize("kind", ["cox", "network", "forest", "mixture"])
def test_recalibrated_predictors_add_up(kind: str, fitted: Fitted, ward: Callable[..., Any]) -> None:
    model = fitted(kind)
    learnt = Calibration(
        np.array([0.0, 60.0, 200.0, 400.0]),
        np.log([[0.2, 0.5, 0.8], [0.1, 0.3, 0.5]]),
        np.array([0.2, -0.1]),
        np.array([0.6, 1.3]),
        np.zeros((2, 2, 2)),
    )
    patients = ward(14, 3).patients()
    changed = FittedRiskModel(model.encoder, Recalibrated(model.predictor, learnt), model.causes)
    found = explain_patients(changed, patients, HORIZONS, rng=np.random.default_rng(0))
    np.testing.assert_allclose(found.values.sum(axis=-1), found.risk - found.reference, atol=TOLERANCE)
    assert np.abs(found.values).max() > 0.005
    assert (found.standard_error == 0).all() == (kind == "cox"), "the smooth one in double precision needs no orders"


def test_intervals_change_no_contribution(fitted: Fitted, ward: Callable[..., Any]) -> None:
    model, patients = fitted("network"), ward(14, 3).patients()
    uncertainty = Uncertainty(np.zeros(2), np.array([365.0]), np.zeros(0), np.zeros(0))
    wrapped = FittedRiskModel(model.encoder, WithIntervals(model.predictor, (), uncertainty), model.causes)
    plain, same = (explain_patients(m, patients, HORIZONS, rng=np.random.default_rng(0)) for m in (model, wrapped))
    np.testing.assert_array_equal(same.values, plain.values)


@pytest.mark.parametrize("kind", ["attention"])
def test_cells_are_a_source_of_their_own(kind: str, fitted: Fitted, ward: Callable[..., Any]) -> None:
    model, patients = fitted(kind), ward(13, 8).patients()
    found = explain_patients(model, patients, HORIZONS, rng=np.random.default_rng(0))
    assert isinstance(model.predictor, CellPredictor)
    has_cells = np.isin(np.arange(8), KnownSamples.of(patients).row)
    moved = np.abs(found.values[..., found.sources.index("cells")]).max(axis=(1, 2)) > 0
    assert not moved[~has_cells].any()
    assert moved[has_cells].any()


def test_column_sources_name_every_column(fitted: Fitted) -> None:
    encoder = fitted("cox").encoder
    source = dict(zip(encoder.feature_names, encoder.column_sources, strict=True))
    assert source["age"] == "baseline.age"
    assert source["product=axi-cel"] == source["product=tisa-cel"] == "baseline.product"
    assert source["ferritin:last"] == "measurements.ferritin"
    assert source["landmark_day"] == "landmark_day"
    indicators = {name: place for name, place in source.items() if name.endswith(" missing")}
    assert indicators
    assert all(place == source[name.removesuffix(" missing")] for name, place in indicators.items())
    assert {place for name, place in source.items() if name.startswith("blood:")} == {"samples.blood"}
    assert {place for name, place in source.items() if name.startswith("pseudobulk:")} == {"samples.pseudobulk"}
