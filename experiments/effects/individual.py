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
from training.effects.individual import FEWEST, IndividualEffects

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
        rows: list[tuple[str, ...]] = [
            (name, interval_text(e.point, e.low, e.high, percent=True), p_value(e.p))
            for name, e in (("mean over all patients", one.mean), *_slopes(effects, one))
        ]
        rows.append(("no slope at all", "", p_value(one.test.p)))
        yield caption, ("covariate", "per standard deviation [95 % interval]", "p"), rows


def _columns(effects: Effects) -> tuple[str, ...]:
    covariates = effects.question.covariates
    return () if covariates is None else covariates.columns


def _slopes(effects: Effects, one: IndividualEffects) -> Iterator[tuple[str, Estimate]]:
    """Columns of the line, with what they change; a column of few patients would tell what these had."""
    for j, (name, slope) in enumerate(zip(_columns(effects), one.slopes, strict=True)):
        if j not in one.left_out:
            yield name, slope


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
            "slopes": [{"covariate": name} | asdict(e) for name, e in _slopes(effects, one)],
            "left_out": _left_out(effects, one),
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
                else f"The difference of risks of {cause} was not shown to change with the covariates {tested}. A "
                "cohort of this size could hardly show it, unless effects differ much; the mean, "
                f"{_points(one.mean)}, is the best single number."
            )
    yield from _few(effects)


def _few(effects: Effects) -> Iterator[str]:
    """Which columns are not in a line; one sentence, as these are the same in all arms."""
    left_out = [_left_out(effects, one) for _, one in by_arm(effects)]
    names = next((own for own in left_out if own), [])
    if names:
        yield (
            f"Not in the line of effects patient by patient: {', '.join(names)}; fewer than {FEWEST} patients differ "
            "in what they say from the other columns, too few to tell how an effect changes with them."
        )


def _left_out(effects: Effects, one: IndividualEffects) -> list[str]:
    return [_columns(effects)[j] for j in one.left_out]


def _middle(one: IndividualEffects) -> str:
    low, high = (f"{100 * v:+.1f}".replace("-", "−") for v in np.quantile(one.expected, (0.25, 0.75)))
    return f"{low} and {high} percentage points"


def _points(one: Estimate) -> str:
    return f"{100 * one.point:+.1f} percentage points".replace("-", "−")
