"""Tuning: what it may see, what it chooses, what it refuses."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import ValidationError

from features.config import FeatureConfig
from features.errors import SequelaError
from features.outcomes import Outcomes
from features.patients import Measurements, Patients
from features.schema import CohortCard, Variable
from training.config import (
    AttentionConfig,
    CoxConfig,
    MixtureConfig,
    NetworkConfig,
    SearchRange,
    TrainerConfig,
    TuningConfig,
)
from training.search_space import check_space, with_settings
from training.tuning import Tuned, tune

CPU = TrainerConfig(accelerator="cpu")
CARD = CohortCard(
    title="Made up",
    citation="none",
    licence="none",
    provenance="simulated",
    variables={name: Variable(kind="numeric") for name in ("a", "b", "c")},
)
FEATURES = FeatureConfig(measurements=(), cells=())
SPACE = TuningConfig(space={"penalty": SearchRange(low=0.1, high=1e5, log=True)}, trials=6, folds=3)


def study(seed: int, n: int, effect: float) -> tuple[Patients, Outcomes]:
    """Hazards 0.004 exp(effect · a) and 0.003; b and c mean nothing."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 3))
    latent = np.column_stack(
        [rng.exponential(250 * np.exp(-effect * x[:, 0])), rng.exponential(330, n), np.full(n, 400.0)]
    )
    ids: NDArray[np.object_] = np.array([f"p{i:03d}" for i in range(n)], dtype=object)
    baseline = {name: x[:, i] for i, name in enumerate(("a", "b", "c"))}
    patients = Patients(ids, np.zeros(n), baseline, Measurements.empty(n))
    return patients, Outcomes(latent.min(axis=1), np.array([1, 2, 0])[latent.argmin(axis=1)], ("infection", "death"))


def tuned(patients: Patients, outcomes: Outcomes, penalty: float = 3e4) -> Tuned:
    return tune(patients, outcomes, CARD, FEATURES, CoxConfig(penalty=penalty), CPU, SPACE, seed=1)


def test_a_penalty_that_hides_a_strong_effect_is_given_up() -> None:
    found = tuned(*study(0, 200, 1.2))
    assert isinstance(found.model, CoxConfig)
    assert found.model.penalty is not None
    assert found.model.penalty < 300
    assert [trial.number for trial in found.trials] == list(range(7))
    assert found.trials[found.best].score == min(trial.score for trial in found.trials)
    assert found.trials[found.best].score < found.trials[0].score - 0.02
    assert all(0.3 < trial.score < 1.1 for trial in found.trials), "1 is to know nothing"


def test_where_nothing_is_to_be_learnt_the_model_stays_or_is_shrunk() -> None:
    found = tuned(*study(3, 150, 0.0))
    assert isinstance(found.model, CoxConfig)
    assert found.model.penalty is not None
    assert found.model.penalty > 100


def test_the_same_seed_gives_the_same_trials() -> None:
    patients, outcomes = study(1, 80, 0.8)
    assert tuned(patients, outcomes) == tuned(patients, outcomes)


def test_too_few_events_leave_the_model_as_it_is() -> None:
    patients, outcomes = study(2, 12, 1.0)
    few = Outcomes(outcomes.duration_days, np.where(np.arange(12) < 5, outcomes.cause, 0), outcomes.causes)
    assert tuned(patients, few) == Tuned(CoxConfig(penalty=3e4), ())


def test_settings_that_do_not_go_together_are_the_worst_of_all_trials() -> None:
    """Each choice by itself is allowed: the combination is found out in its trial, and tuning goes on."""
    space = {"penalty_rule": ("marginal_likelihood", "minimum"), "l1_ratio": (0.0, 0.5)}
    tuning = TuningConfig(space=space, trials=8, folds=2)
    model = CoxConfig(penalty_rule="minimum")
    check_space(model, tuning)
    found = tune(*study(0, 80, 1.2), CARD, FEATURES, model, CPU, tuning, seed=1)
    refused = [t.settings == {"penalty_rule": "marginal_likelihood", "l1_ratio": 0.5} for t in found.trials]
    assert any(refused)
    assert [np.isinf(trial.score) for trial in found.trials] == refused
    assert not refused[found.best]


def test_a_fit_that_fails_is_a_failed_trial_and_all_failed_trials_end_the_run() -> None:
    """Networks of cells need cells, which these patients have not."""
    patients, outcomes = study(0, 60, 1.0)
    cells = AttentionConfig()
    tuning = TuningConfig(space={"width": (8, 16)}, trials=2, folds=2)
    with pytest.raises(
        SequelaError, match=r"tuning.space: not one of 3 trials could be fitted; .*kind: attention looks at"
    ):
        tune(patients, outcomes, CARD, FEATURES, cells, CPU, tuning, seed=1)


def test_settings_reach_the_members_of_a_mixture() -> None:
    mixture = MixtureConfig(members=(CoxConfig(), NetworkConfig()))
    changed = with_settings(mixture, {"members.1.hidden": 8, "members.0.penalty": 3.0})
    assert changed == MixtureConfig(members=(CoxConfig(penalty=3.0), NetworkConfig(hidden=8)))


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ({"depth": (1, 2)}, r"tuning.space.depth: model cox has no such setting"),
        ({"penalty.low": (1, 2)}, r"tuning.space.penalty.low: model cox has no such setting"),
        ({"penalty": (1.0, -2.0)}, r"penalty=-2.0 is not allowed: .*; narrow the space"),
        ({"l1_ratio": SearchRange(low=0.5, high=1.5)}, r"l1_ratio=1.5 is not allowed"),
    ],
    ids=["unknown", "inside a number", "a choice", "an end"],
)
def test_a_space_that_the_model_does_not_have_is_refused(
    space: dict[str, SearchRange | tuple[float, ...]], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        check_space(CoxConfig(), TuningConfig(space=space))


@pytest.mark.parametrize(
    "ends", [{"low": 2, "high": 1}, {"low": 0.0, "high": 1.0, "log": True}], ids=["order", "log of 0"]
)
def test_ranges_have_ends_in_order(ends: dict[str, float]) -> None:
    with pytest.raises(ValidationError, match="must lie below high"):
        SearchRange.model_validate(ends)
