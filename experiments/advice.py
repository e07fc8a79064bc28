"""What a cohort can carry, said before anything is trained."""

from __future__ import annotations

from collections.abc import Iterator

from features.cohort import Cohort, outcomes_at
from features.schema import Endpoint
from training.sample_size import CauseAdvice, advise


def sample_size_advice(cohort: Cohort, endpoint: Endpoint) -> Iterator[str]:
    """One line for each landmark and cause: how many parameters its events carry (Riley et al., BMJ 2020;368:m441)."""
    horizon = endpoint.horizons_days[-1]
    for day in endpoint.landmark_days:
        _, outcomes = outcomes_at(cohort, endpoint, day)
        for advice in advise(outcomes, horizon, 1):
            yield f"sample size, landmark {day:g}: {_sentence(advice)}"


def _sentence(advice: CauseAdvice) -> str:
    seen = f"{advice.n_events} events of {advice.cause} in {advice.n_patients} patients"
    if advice.n_parameters == 0:
        return f"{seen} carry not one parameter: predict the same for everyone, or find more patients"
    parameters = "1 parameter" if advice.n_parameters == 1 else f"{advice.n_parameters} parameters"
    return f"{seen} carry {parameters}; with more features, only penalised or published models"
