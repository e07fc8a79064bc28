"""The checks of a gate, each giving a line of the verdict."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from mlflow.entities import Run

from experiments.leaks import LEAKS
from experiments.promotion.candidate import Candidate
from experiments.promotion.champion_check import champion_checks
from experiments.promotion.gate import CohortRule, ExampleRule, Gate, LeakRule
from experiments.promotion.limits import threshold_checks
from experiments.promotion.subgroup_checks import subgroup_checks
from experiments.promotion.verdict import Check, Status, Verdict
from features.errors import SequelaError
from training.artifact.folder import Artifact, example_error
from training.evaluation.intervals import Interval

TRAIN_AGAIN = "train it again with this version"


Progress = Callable[[int, int], None]


def evaluate_gate(
    gate: Gate, candidate: Candidate, champion: Run | None, version: str | None, progress: Progress | None = None
) -> Verdict:
    """Carry out every check of a gate.

    Args:
        gate: The gate.
        candidate: The run that would serve.
        champion: The run whose model serves; None where there is none.
        version: Its version in the registry.
        progress: Told how many parts of how many are done.

    Raises:
        SequelaError: The run's scores cannot be read.
    """
    parts = _parts(gate, candidate, champion)
    checks: list[Check] = []
    for number, part in enumerate(parts):
        checks += part()
        if progress is not None:
            progress(number + 1, len(parts))
    return Verdict(gate.name, tuple(checks), version)


def _parts(gate: Gate, candidate: Candidate, champion: Run | None) -> list[Callable[[], Iterator[Check]]]:
    """The parts that the gate has, in its order; without a sound artifact there is nothing else to look at."""
    try:
        artifact = candidate.artifact
    except SequelaError as error:
        refused = Check("example", "artifact", "failed", "can be read and is sound", remark=str(error))
        return [lambda: iter([refused])]
    parts: list[Callable[[], Iterator[Check]]] = [
        lambda: threshold_checks("metrics", gate.metrics, candidate.scores),
        lambda: threshold_checks("calibration", gate.calibration, candidate.scores),
    ]
    if (example := gate.example) is not None:
        parts.append(lambda: _example_check(example, artifact))
    if (leaks := gate.leaks) is not None:
        parts.append(lambda: _leak_check(leaks, candidate.run))
    if (cohort := gate.cohort) is not None:
        parts.append(lambda: _cohort_checks(cohort, artifact))
    if (subgroups := gate.subgroups) is not None:
        parts.append(lambda: subgroup_checks(subgroups, candidate, gate.resamples))
    if (rule := gate.champion) is not None:
        parts.append(lambda: champion_checks(rule, candidate, champion, gate.resamples))
    return parts


def _example_check(rule: ExampleRule, artifact: Artifact) -> Iterator[Check]:
    error = example_error(artifact.model, artifact.manifest.example)
    value = Interval(error, float("nan"), float("nan"))
    text = f"the artifact answers its own example to {rule.tolerance:g}"
    remark = (
        "" if error <= rule.tolerance else "this code computes otherwise than the code that trained; " + TRAIN_AGAIN
    )
    yield Check("example", "own example", "failed" if remark else "passed", text, value, remark)


def _leak_check(rule: LeakRule, run: Run) -> Iterator[Check]:
    text, suspects = "no feature knows the outcome", run.data.tags.get(LEAKS)
    status: Status = "failed" if rule.suspects == "refuse" else "not applicable"
    remark = f"suspected: {suspects}; leave out what was written down after the outcome, see leak_suspects.json"
    if suspects is None:
        remark = f"the run was not examined; {TRAIN_AGAIN}"
    elif suspects == "none":
        status, remark = "passed", ""
    yield Check("leaks", "leak suspects", status, text, remark=remark)


def _cohort_checks(rule: CohortRule, artifact: Artifact) -> Iterator[Check]:
    cohort, endpoint = artifact.manifest.training_cohort, artifact.manifest.endpoint
    first = cohort.events[f"{endpoint.landmark_days[0]:g}"]
    known = cohort.provenance in rule.provenance
    remark = "" if known else f"they are {cohort.provenance}; train it on patients of the kind that it is to serve"
    text = f"{' or '.join(rule.provenance)} patients"
    yield Check("cohort", "provenance", "passed" if known else "failed", text, remark=remark)
    numbers = ("patients", cohort.n_patients, rule.patients), ("events", first[endpoint.event.name], rule.events)
    for what, number, least in numbers:
        value = Interval(float(number), float("nan"), float("nan"))
        remark = "" if number >= least else "train it on more patients"
        yield Check("cohort", f"training {what}", "failed" if remark else "passed", f"at least {least}", value, remark)
