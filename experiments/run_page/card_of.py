"""From the analysis of a run to its model card."""

from __future__ import annotations

import numpy as np
import pandas as pd

from experiments.run_page import facts, said_of_selection
from experiments.run_page.analysis import Analysis
from experiments.run_page.card import (
    BY_A_PERSON,
    Block,
    Estimate,
    RunCard,
    Score,
    Statement,
    Status,
    Subgroup,
    TrainedOn,
)
from experiments.run_page.card_of_selection import selection_of, tiers_of
from experiments.run_page.checklist import checklist
from experiments.run_page.said_of_alerts import said_of_alerts
from experiments.run_page.sections_counts import said_of_findings
from experiments.run_page.subgroups import SubgroupScores
from training.evaluation.intervals import Interval


def card_of(a: Analysis) -> RunCard:
    """Fill the card."""
    config, rows = a.record.config, a.record.rows
    card = rows.cohort.card
    return RunCard(
        name=config.name,
        run_id=a.record.facts.run_id,
        date=facts.date(a),
        warning=facts.warning(a),
        endpoint=rows.endpoint,
        model=config.model.kind,
        cohort=TrainedOn(
            title=card.title,
            citation=card.citation,
            licence=card.licence,
            provenance=card.provenance,
            fingerprint=rows.cohort.fingerprint,
            patients=len(rows.cohort.patients),
        ),
        intended_use=intended_use(a),
        scores=_scores(a),
        subgroup_horizon_days=a.record.horizon_days,
        subgroups=_subgroups(a),
        relative_risk_reduction=a.relative_risk_reduction,
        tiers=tiers_of(a),
        selection=selection_of(a),
        alerts=a.record.alerts,
        counts=a.record.counts,
        tripod_ai=checklist(a),
        chai=_chai(a),
        reproduce=reproduce(a),
    )


def _said(name: str, text: str, status: Status = "filled") -> Statement:
    return Statement(name=name, status=status, text=text)


def _left(name: str) -> Statement:
    return Statement(name=name, status="person", text=BY_A_PERSON)


def intended_use(a: Analysis) -> tuple[Statement, ...]:
    """What the model answers, from when on and for whom there was anything to learn from; the use is a person's."""
    endpoint = a.record.rows.endpoint
    return (
        _said("Question", facts.question(a)),
        _said("Answers", f"From {endpoint.landmark_range} on, {endpoint.horizons_days[-1]:g} days ahead."),
        _said("Inputs", facts.inputs(a)),
        _said("Trained on", facts.population(a)),
        _said("Central 80 % of values, and levels, of the cohort", facts.trained_range(a)),
        _said("Rows of the cohort in the model", facts.rows_held(a)),
        *alert_rule(a),
        *expected_numbers(a),
        _said("Limits", f"{facts.warning(a)} {facts.beats_null(a)}"),
        _left("Intended users, and the decision it is meant for"),
        _left("Uses it is not meant for"),
    )  # fmt: skip


def alert_rule(a: Analysis) -> tuple[Statement, ...]:
    """By which rule patients who are watched are alerted, where the run asked for one."""
    rule = a.record.alerts
    return () if rule is None else (_said("Alerts", said_of_alerts(rule, a.cause)),)


def expected_numbers(a: Analysis) -> tuple[Statement, ...]:
    """How well numbers of events are foretold, where the run asked for them."""
    found = a.record.counts
    return () if found is None else (_said("Expected numbers of events", said_of_findings(found)),)


def reproduce(a: Analysis) -> tuple[Statement, ...]:
    """How to make the run again."""
    return (
        _said("Run", a.record.facts.run_id),
        _said("Command", "sequela train run.yaml, with run.yaml from the report folder of the run"),
        _said("Cohort", f"{a.record.rows.cohort.card.title}, sha256 {a.record.rows.cohort.fingerprint}"),
        _said("Configuration", f"sha256 {a.record.config.digest()}, seed {a.record.config.seed}"),
        _said("Code", f"commit {facts.commit(a)}"),
        _said("Software", facts.software(a)),
    )


def _scores(a: Analysis) -> tuple[Score, ...]:
    """All of scores.csv; numbers of events of real patients are left out where they are small."""
    found = []
    for row in a.record.scores.to_dict("records"):
        if row["metric"] == "n_events" and a.shown.small(int(row["point"])):
            continue
        horizon = None if pd.isna(row["horizon_days"]) else float(row["horizon_days"])
        value = Interval(*(float(row[name]) for name in ("point", "low", "high")))
        found.append(
            Score(
                landmark_day=float(row["landmark_day"]),
                cause=str(row["cause"]),
                horizon_days=horizon,
                metric=str(row["metric"]),
                estimate=Estimate.of(value),
            )
        )
    return tuple(found)


def _subgroups(a: Analysis) -> tuple[Subgroup, ...]:
    counts = subgroup_counts(a)
    return tuple(
        Subgroup(
            variable=one.variable,
            level=one.level,
            patients=patients,
            events=events,
            scores=None if one.scores is None else {name: Estimate.of(value) for name, value in one.scores.items()},
        )
        for one, (patients, events) in zip(a.subgroups, counts, strict=True)
    )


def subgroup_counts(a: Analysis) -> list[tuple[str, str]]:
    """Patients and events of each subgroup in words; both are known in sum for each variable."""
    found: list[tuple[str, str]] = []
    for variable in dict.fromkeys(one.variable for one in a.subgroups):
        groups: list[SubgroupScores] = [one for one in a.subgroups if one.variable == variable]
        counts = np.array([[one.n_events, one.n_patients - one.n_events] for one in groups], dtype=np.int64)
        events = [row[0] for row in a.shown.table(counts)]
        patients = a.shown.parts([one.n_patients for one in groups])
        found += list(zip(patients, events, strict=True))
    return found


def _chai(a: Analysis) -> tuple[Block, ...]:
    """The parts of the CHAI applied model card."""
    card = a.record.rows.cohort.card
    metrics = (("Usefulness", facts.usefulness(a)), ("Fairness", facts.fairness(a)), ("Safety", facts.calibration(a)))
    key = [_said(f"{name}: result", result) for name, result in metrics]
    key += [_said("Selection of patients: result", said_of_selection.summary(a))]
    key += [_said("How these were tested", f"{facts.validation(a)} {facts.population(a)}")]
    key += [_left(f"{name}: goal and interpretation") for name, _ in metrics]
    return (
        Block(
            title="Basic information",
            statements=(
                _said("Name", a.record.config.name),
                _said("Release", f"run {a.record.facts.run_id} of {facts.date(a)}"),
                _left("Developer"),
                _left("Contact and regulatory status"),
            ),
        ),
        Block(title="Uses and directions", statements=intended_use(a)),
        Block(
            title="Warnings",
            statements=(
                _said("Known limits", f"{facts.warning(a)} {facts.sample_size(a)}"),
                _left("Known risks, and settings in which it may fail"),
                _left("How clinical oversight is ensured"),
            ),
        ),
        Block(
            title="Trust ingredients",
            statements=(
                _said("Outcome and output", facts.question(a)),
                _said("Type of model", facts.model(a)),
                _said("Data it was developed on", f"{facts.population(a)} {card.provenance.capitalize()} patients."),
                _said("Missing values", facts.MISSING),
                _said("How bias was looked for", facts.fairness(a), "partly"),
                _left("How the model is maintained and watched"),
                _left("Funding and conflicts of interest"),
                _left("Consent, and who owns the data"),
            ),
        ),
        Block(title="Key metrics", statements=tuple(key)),
        Block(title="Resources", statements=(_said("Citation of the cohort", card.citation), _left("Publications"))),
    )
