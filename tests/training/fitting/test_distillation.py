"""Distillation: the student answers nearly as its teacher does, and nothing that anybody lived through is in it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hazard_cohorts import draw, nobodys_names
from numpy.typing import NDArray
from pydantic import ValidationError

from features.errors import SequelaError
from features.outcomes import Outcomes
from features.patients import Measurements, Patients
from training.config import (
    AttentionConfig,
    CoxConfig,
    DistilledConfig,
    InContextConfig,
    MixtureConfig,
    NetworkConfig,
    RecalibratedConfig,
    TrainerConfig,
    WithIntervalsConfig,
    most_rows_held,
    single_models,
)
from training.fitting.distillation import distil
from training.fitting.in_context import fit_in_context
from training.models.cox import CauseSpecificCox
from training.models.in_context_predictor import InContext, rows_held
from training.models.mixture import Mixture
from training.models.network import HazardNetwork
from training.models.predictor import Predictor
from training.models.risk_model import FittedRiskModel

CPU = TrainerConfig(accelerator="cpu")
TIMES = np.array([30.0, 90.0, 365.0])


def study(n: int, seed: int = 0) -> tuple[NDArray[np.float64], Patients, Outcomes]:
    x, outcomes, _ = draw(np.random.default_rng(seed), n)
    return x, Patients(nobodys_names(n), np.zeros(n), {}, Measurements.empty(n)), outcomes


def cox(x: NDArray[np.float64], patients: Patients, outcomes: Outcomes) -> Predictor:
    return CauseSpecificCox.fit(x, outcomes, penalty=1.0, patient_id=patients.patient_id, seed=0)


def distance(student: Predictor, teacher: Predictor) -> float:
    """Root mean square, and that of the teacher's answers among patients is 1."""
    new = np.random.default_rng(9).normal(size=(300, 3))
    answers = [one.incidence(new, np.zeros(300), TIMES) for one in (student, teacher)]
    return float(np.sqrt(np.square(answers[0] - answers[1]).mean() / answers[1].var(axis=0).mean()))


def test_the_more_is_drawn_the_nearer_the_student_comes_to_its_teacher() -> None:
    x, patients, outcomes = study(120)
    teacher = cox(x, patients, outcomes)
    few, many = (distance(distil(teacher, x, patients, outcomes, n, cox, seed=1), teacher) for n in (2, 60))
    assert many < 0.4 * few
    assert many < 0.1


def test_a_student_of_another_kind_learns_most_of_what_tells_patients_apart() -> None:
    x, patients, outcomes = study(120)
    teacher = fit_in_context(x, outcomes, patients.patient_id, InContextConfig(), CPU, seed=0)
    left = distance(distil(teacher, x, patients, outcomes, 20, cox, seed=1), teacher)
    assert left < 0.4, "a proportional-hazards model cannot follow all of it, however much is drawn"


def test_no_outcome_of_anybody_reaches_the_student() -> None:
    """The same teacher, and the same outcomes of other patients: the same student."""
    x, patients, outcomes = study(80)
    teacher = cox(x, patients, outcomes)
    exchanged = outcomes.take(np.random.default_rng(2).permutation(80))
    students = [distil(teacher, x, patients, one, 3, cox, seed=4) for one in (outcomes, exchanged)]
    answers = [student.incidence(x, np.zeros(80), TIMES) for student in students]
    np.testing.assert_array_equal(*answers)
    other = distil(teacher, x, patients, outcomes, 3, cox, seed=5).incidence(x, np.zeros(80), TIMES)
    assert np.abs(other - answers[0]).max() > 1e-4


class Unlikely:
    """A predictor whose risks are a billionth of another's."""

    kind = "unlikely"

    def __init__(self, model: Predictor) -> None:
        self.model = model

    def incidence(self, *asked: Any) -> NDArray[np.float64]:
        return 1e-9 * self.model.incidence(*asked)


def test_a_teacher_of_almost_no_events_is_refused_in_its_own_words() -> None:
    x, patients, outcomes = study(30)
    with pytest.raises(SequelaError, match=r"distilled: no event in 1 draws from the teacher; set model\.draws higher"):
        distil(Unlikely(cox(x, patients, outcomes)), x, patients, outcomes, 1, cox, seed=0)


def test_a_distilled_model_is_its_student(fitted: Callable[[str], FittedRiskModel]) -> None:
    assert isinstance(fitted("distilled").predictor, HazardNetwork)
    assert rows_held(fitted("distilled").predictor) == 0


def test_rows_held_are_found_wherever_they_are(fitted: Callable[[str], FittedRiskModel]) -> None:
    holder, cox_model = fitted("in_context").predictor, fitted("cox").predictor
    assert isinstance(holder, InContext)
    assert rows_held(Mixture([cox_model, holder], [1.0, 1.0])) == rows_held(holder) == len(holder.cohort.x) > 0
    assert rows_held(cox_model) == 0


def test_what_a_configuration_holds_and_is_made_of() -> None:
    holder = InContextConfig(context_rows=500)
    mixture = MixtureConfig(members=(CoxConfig(), holder))
    assert most_rows_held(WithIntervalsConfig(model=RecalibratedConfig(model=mixture))) == 500
    assert most_rows_held(CoxConfig()) == 0
    distilled = DistilledConfig(model=mixture)
    assert most_rows_held(RecalibratedConfig(model=distilled)) == 0
    assert single_models(distilled) == (CoxConfig(), holder, NetworkConfig())


def test_a_teacher_that_sees_more_than_its_student_is_refused() -> None:
    with pytest.raises(ValidationError, match="attention looks at single cells, which no student does"):
        DistilledConfig(model=AttentionConfig())
