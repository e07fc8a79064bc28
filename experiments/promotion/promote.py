"""Promotion: a run's model through the gate to the alias ``champion``, and back again."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.entities.model_registry import ModelVersion

from experiments.home import Home
from experiments.promotion import history
from experiments.promotion.candidate import Candidate
from experiments.promotion.checks import Progress, evaluate_gate
from experiments.promotion.gate import Gate
from experiments.promotion.history import CHALLENGER, Entry
from experiments.promotion.registry import (
    Champion,
    champion_version,
    export_champion,
    publish_version,
    registered_version,
    run_artifact,
)
from experiments.promotion.verdict import Verdict
from features.errors import SequelaError

LONGEST_REASON = 1000
GATE, VERDICT, VERDICT_AT, OVERRIDE = "sequela.gate", "sequela.verdict", "sequela.verdict_at", "sequela.override"
"""Tags of a version: the gate's name, its verdict as JSON, when it was given, and why it was overridden."""
GATE_FILE = "gate.json"
"""Artifact of a run: the latest verdict with every check."""


class RefusedError(SequelaError):
    """The gate refuses a model; nothing was moved."""

    def __init__(self, run: Run, verdict: Verdict) -> None:
        self.verdict = verdict
        remedy = 'see the verdict, or promote it all the same with --override "reason"; nothing was moved'
        super().__init__(f"run {run.info.run_name}: gate {verdict.gate} refuses it: {verdict.complaint()}; {remedy}")


@dataclass(frozen=True, slots=True)
class Promotion:
    """What came of a promotion."""

    champion: Champion
    verdict: Verdict
    moved: bool
    """False where it was the champion already, or became the challenger."""


def promote(
    candidate: Candidate, gate: Gate, *, override: str | None = None, progress: Progress | None = None
) -> Promotion:
    """Make a run's model the champion of its endpoint, if the gate lets it.

    The verdict is recorded on the model's version (tags) and on the run (gate.json) in any case. Aliases move only
    after the model was read, verified and copied to the serving store. One promotion at a time goes on in one
    SEQUELA_HOME; where several share a tracking server, one that was overtaken by another says so and moves nothing.

    Args:
        candidate: The run.
        gate: What it has to show.
        override: Why it shall serve though it fails; recorded. Not used where it passes.
        progress: Told how many parts of the gate are done.

    Raises:
        RefusedError: The gate was failed, and there is no `override`.
        SequelaError: The run is unfinished or has no model, the reason is empty or too long, or another promotion came
            between.
    """
    _require_reason(override)
    client, home, run = candidate.client, candidate.home, candidate.run
    with _one_at_a_time(home):
        endpoint, version, verdict = _judge(candidate, gate, progress)
        reason = None if verdict.passed else override
        if not verdict.passed and reason is None:
            raise RefusedError(run, verdict)
        tag = publish_version(client, home, endpoint, version, run_artifact(client, run))
        if reason is not None:
            client.set_model_version_tag(endpoint, version.version, OVERRIDE, reason)
        before = champion_version(client, endpoint)
        _require_same_champion(before, verdict)
        champion = Champion(endpoint, str(version.version), run.info.run_id, tag)
        if before is not None and str(before.version) == champion.version:
            export_champion(home, champion)
            return Promotion(champion, verdict, moved=False)
        entry = Entry(
            champion.version,
            verdict.compared_with,
            "promoted",
            run_id=champion.run_id,
            gate=gate.name,
            passed=verdict.passed,
            override=reason,
        )
        history.move(client, endpoint, entry)
        export_champion(home, champion)
        return Promotion(champion, verdict, moved=True)


def challenge(candidate: Candidate, gate: Gate, *, progress: Progress | None = None) -> Promotion:
    """Make a run's model the challenger: judged and recorded, refused by nothing, since it serves nobody.

    Raises:
        SequelaError: The run is unfinished or has no model, or its artifact is refused.
    """
    client, home, run = candidate.client, candidate.home, candidate.run
    with _one_at_a_time(home):
        endpoint, version, verdict = _judge(candidate, gate, progress)
        tag = publish_version(client, home, endpoint, version, run_artifact(client, run))
        client.set_registered_model_alias(endpoint, CHALLENGER, version.version)
        return Promotion(Champion(endpoint, str(version.version), run.info.run_id, tag), verdict, moved=False)


def rollback(client: MlflowClient, home: Home, endpoint: str) -> Champion:
    """Put back the champion before; once more goes back once more. No gate is asked: it was in service.

    Raises:
        SequelaError: There is none before, or it was deleted.
    """
    with _one_at_a_time(home):
        known = history.settle(client, endpoint)
        stack = history.standing(known)
        if len(stack) < 2:
            msg = f"endpoint {endpoint}: no previous champion to go back to; promote another run first"
            raise SequelaError(msg)
        present, target = stack[-1], stack[-2]
        version = history.by_number(client, endpoint, target)
        if version is None:
            msg = f"endpoint {endpoint}: version {target}, the champion before, was deleted; promote another run"
            raise SequelaError(msg)
        run = client.get_run(str(version.run_id))
        tag = publish_version(client, home, endpoint, version, run_artifact(client, run))
        history.move(client, endpoint, Entry(target, present, "rolled back", run_id=run.info.run_id))
        champion = Champion(endpoint, target, run.info.run_id, tag)
        export_champion(home, champion)
        return champion


def _judge(candidate: Candidate, gate: Gate, progress: Progress | None) -> tuple[str, ModelVersion, Verdict]:
    """The run's version in the registry and what the gate says of it, recorded on both."""
    client, run = candidate.client, candidate.run
    if run.info.status != "FINISHED":
        msg = f"run {run.info.run_name} is {run.info.status}; only a finished run can be promoted (train --resume?)"
        raise SequelaError(msg)
    endpoint, version = run.data.tags["sequela.endpoint"], registered_version(client, run)
    history.settle(client, endpoint)
    serves = champion_version(client, endpoint)
    champion = None if serves is None else client.get_run(str(serves.run_id))
    verdict = evaluate_gate(gate, candidate, champion, None if serves is None else str(serves.version), progress)
    tags = {GATE: gate.name, VERDICT: verdict.summary(), VERDICT_AT: history.now()}
    for key, value in tags.items():
        client.set_model_version_tag(endpoint, version.version, key, value)
    if OVERRIDE in version.tags and verdict.passed:
        client.delete_model_version_tag(endpoint, version.version, OVERRIDE)
    client.log_dict(run.info.run_id, verdict.as_dict() | {"at": tags[VERDICT_AT], "by": history.user()}, GATE_FILE)
    return endpoint, version, verdict


def _require_reason(override: str | None) -> None:
    if override is not None and not 0 < len(override.strip()) <= LONGEST_REASON:
        msg = f"--override: says why, in 1 to {LONGEST_REASON} letters, without anything about a patient"
        raise SequelaError(msg)


def _require_same_champion(before: ModelVersion | None, verdict: Verdict) -> None:
    """The champion is still the one that the model was compared with."""
    present = None if before is None else str(before.version)
    if present != verdict.compared_with:
        msg = f"version {present} became the champion meanwhile; promote again, to be compared with it"
        raise SequelaError(msg)


@contextmanager
def _one_at_a_time(home: Home) -> Iterator[None]:
    """Whoever comes second waits, and is compared with the champion that the first one left."""
    with (home.folder / ".promote.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
