"""Effects patient by patient: their tables, what other programs read, and what was found, in words."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.effects.withheld import Withheld
from experiments.interval_text import interval_text
from experiments.page.tables import p_value
from training.effects.estimates import Estimate
from training.effects.individual import IndividualEffects

if TYPE_CHECKING:
    from experiments.effects.analysis import Effects

LEVEL = 0.05


def by_arm(effects: Effects) -> Iterator[tuple[str, IndividualEffects]]:
    """Each arm but the first, with its effects; none if they were not asked for."""
    if effects.individual is not None:
        yield from zip(effects.question.arms.names[1:], effects.individual, strict=True)


def tables(effects: Effects) -> Iterator[tuple[str, tuple[str, ...], list[tuple[str, ...]]]]:
    """By arm: caption, columns and rows of how the effect changes with each covariate."""
    question = effects.question
    for arm, one in by_arm(effects):
        caption = (
            f"Difference of risks of {effects.causes[0].cause} by day {question.horizons_days[-1]:g}, {arm} / "
            f"{question.arms.names[0]}, as a line in the covariates: percentage points"
        )
        names = ("mean over all patients", *_columns(effects))
        rows: list[tuple[str, ...]] = [
            (name, interval_text(e.point, e.low, e.high, percent=True), p_value(e.p))
            for name, e in zip(names, (one.mean, *one.slopes), strict=True)
        ]
        rows.append(("no slope at all", "", p_value(one.test.p)))
        yield caption, ("covariate", "per standard deviation [95 % interval]", "p"), rows


def _columns(effects: Effects) -> tuple[str, ...]:
    covariates = effects.question.covariates
    return () if covariates is None else covariates.columns


def flat(effects: Effects) -> Iterator[dict[str, Any]]:
    """By arm, as other programs read it: the line, its test, and every patient."""
    question = effects.question
    for arm, one in by_arm(effects):
        of_patients = zip(question.patient_id, one.expected, one.low, one.high, one.standard_error, strict=True)
        yield {
            "cause": effects.causes[0].cause,
            "arm": arm,
            "reference": question.arms.names[0],
            "horizon_days": float(question.horizons_days[-1]),
            "mean": asdict(one.mean),
            "slopes": [{"covariate": name} | asdict(e) for name, e in zip(_columns(effects), one.slopes, strict=True)],
            "test": asdict(one.test),
            "patients": [
                {
                    "patient_id": name,
                    "point": float(p),
                    "low": float(low),
                    "high": float(high),
                    "standard_error": float(e),
                }
                for name, p, low, high, e in of_patients
            ],
        }


def individually(effects: Effects, withheld: Withheld) -> Iterator[str]:
    """Whether the effect was shown to differ between patients, one sentence an arm."""
    question, cause = effects.question, effects.causes[0].cause
    first, day = question.arms.names[0], question.horizons_days[-1]
    for arm, one in by_arm(effects):
        if not withheld.causes.isdisjoint(((cause, arm), (cause, first))):
            yield f"Effects on {cause} patient by patient, {arm}: withheld, since few patients met it in an arm."
        elif not np.isfinite(one.test.p):
            yield f"Whether the effect of {arm} on {cause} by day {day:g} differs between patients could not be tested."
        else:
            p = p_value(one.test.p)
            tested = f"by day {day:g}, {arm} against {first} (Wald test, p {p if p.startswith('<') else f'= {p}'})"
            yield (
                f"The difference of risks of {cause} changes with the covariates {tested}: half of the patients are "
                f"expected between {_middle(one)}."
                if one.test.p < LEVEL
                else f"The difference of risks of {cause} was not shown to change with the covariates {tested}: "
                f"individual effects do not differ beyond chance, and the mean, {_points(one.mean)}, stands for all."
            )


def _middle(one: IndividualEffects) -> str:
    low, high = (f"{100 * v:+.1f}".replace("-", "−") for v in np.quantile(one.expected, (0.25, 0.75)))
    return f"{low} and {high} percentage points"


def _points(one: Estimate) -> str:
    return f"{100 * one.point:+.1f} percentage points".replace("-", "−")
