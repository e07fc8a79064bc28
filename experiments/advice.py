"""What a cohort can carry, said before anything is trained."""

from __future__ import annotations

from collections.abc import Iterator

from features.cohort import Cohort, outcomes_at
from features.schema import Endpoint
from training.sample_size import MARGIN, OPTIMISM, SHRINKAGE, CauseAdvice, SampleSize, advise


def sample_size_advice(cohort: Cohort, endpoint: Endpoint) -> Iterator[str]:
    """What is said of each landmark and cause (Riley et al., BMJ 2020;368:m441).

    One line: how many parameters the events carry; and where there are any, one more: how many patients each criterion
    asks for with so many parameters, or with one where not one is carried, and whether the cohort has them.
    """
    horizon = endpoint.horizons_days[-1]
    for day in endpoint.landmark_days:
        _, outcomes = outcomes_at(cohort, endpoint, day)
        for number, advice in enumerate(advise(outcomes, horizon, 1)):
            yield f"sample size, landmark {day:g}: {_sentence(advice)}"
            n_parameters = max(1, advice.n_parameters)
            asked = advise(outcomes, horizon, n_parameters)[number]
            if asked.needed is not None:
                criteria = _criteria(asked, asked.needed, n_parameters, horizon)
                yield f"sample size, landmark {day:g}: {criteria}"


def _criteria(advice: CauseAdvice, needed: SampleSize, n_parameters: int, horizon_days: float) -> str:
    """Patients needed by each criterion, and how well the cohort knows the overall risk."""
    enough = "enough" if advice.is_enough else "not enough"
    return (
        f"{advice.cause} with {_parameters(n_parameters)} needs {needed.by_shrinkage} patients to be overfitted by "
        f"{1 - SHRINKAGE:.0%} at most, {needed.by_optimism} for an optimism of R² of {OPTIMISM:g} at most, "
        f"{needed.by_overall_risk} for an overall risk by day {horizon_days:g} known to {MARGIN:.0%}: "
        f"{advice.n_patients} are {enough}, and know it to {advice.overall_risk_error:.1%}"
    )


def _sentence(advice: CauseAdvice) -> str:
    seen = f"{advice.n_events} events of {advice.cause} in {advice.n_patients} patients"
    if advice.n_parameters == 0:
        return f"{seen} carry not one parameter: predict the same for everyone, or find more patients"
    parameters = _parameters(advice.n_parameters)
    return f"{seen} carry {parameters}; with more features, only penalised or published models"


def _parameters(number: int) -> str:
    return "1 parameter" if number == 1 else f"{number} parameters"
