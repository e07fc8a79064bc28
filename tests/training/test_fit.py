"""fit_risk_model: the configured predictor, from training rows alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError

from features.config import FeatureConfig
from features.errors import SequelaError
from features.outcomes import Outcomes
from features.schema import CohortCard, Variable
from training.config import (
    AalenJohansenConfig,
    BoostingConfig,
    CoxConfig,
    DeepHitConfig,
    DistilledConfig,
    FineGrayConfig,
    ForestConfig,
    MixtureConfig,
    ModelConfig,
    NetworkConfig,
    RecalibratedConfig,
    TrainerConfig,
    WithIntervalsConfig,
)
from training.fit import fit_risk_model
from training.models.cox import CauseSpecificCox
from training.models.mixture import Mixture
from training.models.nonparametric import aalen_johansen
from training.models.penalised_fit import FINE_PENALTIES

CPU = TrainerConfig(accelerator="cpu")
TINY = NetworkConfig(members=4, hidden=4, max_epochs=5, bins=6)
CLINIC = FeatureConfig(baseline=("age",), measurements=(), cells=())
CARD = CohortCard(
    title="Ages",
    citation="none",
    licence="CC0-1.0",
    provenance="simulated",
    variables={"age": Variable(kind="numeric")},
)
AT = np.array([30.0, 180.0, 365.0])
OF_NETWORKS: list[ModelConfig] = [TINY, MixtureConfig(members=(CoxConfig(), TINY))]
CONFIGS: list[ModelConfig] = [
    AalenJohansenConfig(),
    CoxConfig(),
    FineGrayConfig(),
    ForestConfig(trees=20),
    BoostingConfig(members=2, rounds=20),
    *OF_NETWORKS,
    RecalibratedConfig(model=FineGrayConfig(penalty=10.0)),
    WithIntervalsConfig(model=CoxConfig(penalty=10.0), refits=3),
]
every_config = pytest.mark.parametrize("config", CONFIGS, ids=[config.kind for config in CONFIGS])


@pytest.fixture(scope="session")
def study(ward: Callable[..., Any], outcomes_for: Callable[..., Any]) -> tuple[Any, Outcomes]:
    patients = replace(ward(0, 150, 0.0).patients(), samples=None)
    return patients, outcomes_for(patients, 1)


@every_config
def test_the_configured_kind_is_fitted(config: ModelConfig, study: tuple[Any, Outcomes]) -> None:
    model = fit_risk_model(*study, CARD, CLINIC, config, CPU, seed=0)
    assert model.predictor.kind == config.kind
    assert model.causes == ("infection", "death")


def test_mixture_holds_what_was_configured(study: tuple[Any, Outcomes]) -> None:
    config = MixtureConfig(members=(AalenJohansenConfig(), CoxConfig(penalty=7.0), TINY), weights=(1, 1, 2))
    mixture = fit_risk_model(*study, CARD, CLINIC, config, CPU, seed=0).predictor
    assert isinstance(mixture, Mixture)
    assert [member.kind for member in mixture.members] == ["aalen_johansen", "cox", "network"]
    np.testing.assert_allclose(mixture.weights, [0.25, 0.25, 0.5])
    cox = mixture.members[1]
    assert isinstance(cox, CauseSpecificCox)
    assert cox.penalties == (7.0, 7.0)


def test_absent_penalty_is_chosen_and_age_is_found(study: tuple[Any, Outcomes]) -> None:
    model = fit_risk_model(*study, CARD, CLINIC, CoxConfig(), CPU, seed=0)
    assert isinstance(model.predictor, CauseSpecificCox)
    assert set(model.predictor.penalties) <= set(FINE_PENALTIES)
    older = replace(study[0], baseline={"age": np.sort(study[0].baseline["age"])}).at_landmark(0.0)
    incidence = model.predict_incidence(older, AT).values[:, 0, 1]
    assert (np.diff(incidence) >= 0).all()
    assert incidence[-1] > incidence[0] + 0.2


@every_config
def test_late_entry_reaches_every_predictor(config: ModelConfig, study: tuple[Any, Outcomes]) -> None:
    """Half of the patients seen from half their time on: ignoring that gives another model."""
    patients, outcomes = study
    entry = np.where(np.arange(len(outcomes)) % 2, outcomes.duration_days / 2, 0.0)
    late = fit_risk_model(patients, replace(outcomes, entry_days=entry), CARD, CLINIC, config, CPU, seed=0)
    plain = fit_risk_model(patients, outcomes, CARD, CLINIC, config, CPU, seed=0)
    difference = late.predict_incidence(patients, AT).values - plain.predict_incidence(patients, AT).values
    assert difference[:, :, :2].mean() > 0.01, "the risk sets were smaller than they seemed"


def test_aalen_johansen_is_fitted_by_landmark(study: tuple[Any, Outcomes]) -> None:
    patients, outcomes = study
    model = fit_risk_model(patients, outcomes, CARD, CLINIC, AalenJohansenConfig(), CPU, seed=0)
    values = model.predict_incidence(patients, AT).values
    for day in (0.0, 30.0):
        rows = np.flatnonzero(patients.landmark_day == day)
        expected = aalen_johansen(outcomes.take(rows)).at(AT)
        np.testing.assert_allclose(values[rows], np.broadcast_to(expected, (len(rows), 2, 3)), atol=1e-12)


@pytest.mark.parametrize("config", [AalenJohansenConfig(), CoxConfig()], ids=["aalen_johansen", "cox"])
def test_no_event_is_no_risk(config: ModelConfig, study: tuple[Any, Outcomes]) -> None:
    patients, outcomes = study
    nothing = replace(outcomes, cause=np.zeros(len(outcomes), dtype=np.int64))
    model = fit_risk_model(patients, nothing, CARD, CLINIC, config, CPU, seed=0)
    assert (model.predict_incidence(patients, AT).values == 0).all()


@pytest.mark.parametrize(
    ("config", "kind"),
    [
        (TINY, "network"),
        (MixtureConfig(members=(CoxConfig(), TINY)), "network"),
        (DeepHitConfig(), "deephit"),
        (DistilledConfig(model=CoxConfig(), student=CoxConfig()), "distilled"),
    ],
    ids=["network", "mixture", "deephit", "distilled"],
)
def test_a_model_that_learns_from_events_alone_is_refused_without_any(
    config: ModelConfig, kind: str, study: tuple[Any, Outcomes]
) -> None:
    patients, outcomes = study
    nothing = replace(outcomes, cause=np.zeros(len(outcomes), dtype=np.int64))
    with pytest.raises(SequelaError, match=f"^{kind}: no event of any cause .*; choose kind: aalen_johansen"):
        fit_risk_model(patients, nothing, CARD, CLINIC, config, CPU, seed=0)


def test_listener_hears_every_epoch(study: tuple[Any, Outcomes]) -> None:
    heard: list[int] = []
    mixture = MixtureConfig(members=(CoxConfig(), TINY))
    fit_risk_model(*study, CARD, CLINIC, mixture, CPU, seed=0, listener=lambda epoch, *_: heard.append(epoch))
    assert heard == [0, 1, 2, 3, 4]


def test_a_weight_too_few_is_refused(study: tuple[Any, Outcomes]) -> None:
    config = MixtureConfig(members=(CoxConfig(), TINY), weights=(1.0,))
    with pytest.raises(SequelaError, match=r"model\.weights: 1 for 2 members"):
        fit_risk_model(*study, CARD, CLINIC, config, CPU, seed=0)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        pytest.param({"kind": "oracle"}, "no model has the kind oracle", id="unknown kind"),
        pytest.param({"kind": "cox", "penalty": 0}, "greater than 0", id="no penalty"),
        pytest.param({"kind": "network", "members": 1}, "greater than or equal to 2", id="one member"),
        pytest.param({"kind": "network", "layers": 3}, "Extra inputs", id="unknown key"),
        pytest.param({"kind": "mixture", "members": [{"kind": "cox"}]}, "at least 2", id="mixture of one"),
    ],
)
def test_configurations_that_mean_nothing_are_refused(config: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        TypeAdapter(ModelConfig).validate_python(config)
