"""What a comparison found and what it assumes, in plain words; nothing found is said as such."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from experiments.effects.analysis import CauseEffects, Effects, GroupEffects
from experiments.page.tables import number, p_value
from training.effects.estimates import Estimate
from training.effects.propensity import LEAST

LEVEL = 0.05
OUT_OF_BALANCE = 0.1


def findings(effects: Effects) -> Iterator[str]:
    """One sentence a cause, and one on the events that come back."""
    for k, one in enumerate(effects.causes):
        as_they_are = "" if effects.adjustment is None else "as they are, "
        yield f"{one.cause}: {as_they_are}{_tested(one)} {_difference(effects, k)}"
    if effects.counted is not None:
        yield _rates(effects)
    if effects.groups is not None:
        yield _groups(effects, effects.groups)


def _tested(one: CauseEffects) -> str:
    test, name = (one.log_rank, "log-rank test") if one.gray is None else (one.gray, "Gray's test")
    if not np.isfinite(test.p):
        return "the arms cannot be tested."
    found = "the arms differ" if test.p < LEVEL else "no difference between the arms was shown"
    return f"{found} ({name}, p {_p(test.p)})."


def _difference(effects: Effects, cause: int) -> str:
    """Of the last method, by the last horizon."""
    question, compared = effects.question, effects.compared[-1]
    names = question.arms.names
    parts = [
        f"{arm} {_points(table[cause][-1])}"
        for arm, table in zip(names[1:], compared.risk.differences, strict=True)
        if np.isfinite(table[cause][-1].low)
    ]
    if not parts:
        return f"By day {question.horizons_days[-1]:g} its risk cannot be compared."
    adjusted = "" if compared.method == "unadjusted" else f", {compared.method}"
    sure = all(not table[cause][-1].excludes_no_effect for table in compared.risk.differences)
    also = "; no difference is among what the data allow" if sure else ""
    return f"Risk by day {question.horizons_days[-1]:g} less that of {names[0]}{adjusted}: {', '.join(parts)}{also}."


def _points(one: Estimate) -> str:
    low, high = (f"{100 * value:+.1f}".replace("-", "−") for value in (one.low, one.high))
    return f"{100 * one.point:+.1f}".replace("-", "−") + f" percentage points (95 % interval {low} to {high})"


def _rates(effects: Effects) -> str:
    of, names = effects.counted, effects.question.arms.names
    assert of is not None  # noqa: S101 - for the type checker
    parts = [
        f"{arm} {number(one.point)} times (95 % interval {number(one.low)} to {number(one.high)}, p {_p(one.p)})"
        for arm, one in zip(names[1:], of.rates.lwyy, strict=True)
    ]
    null = all(not one.excludes_no_effect for one in of.rates.lwyy)
    also = "; no difference was shown" if null else ""
    return f"Rate of all events {of.counted.recurrences.name} against {names[0]}: {', '.join(parts)}{also}."


def _groups(effects: Effects, of: GroupEffects) -> str:
    """By the last horizon."""
    names, day = effects.question.arms.names, effects.question.horizons_days[-1]
    parts = [f"{arm} p {_p(tests[-1].p)}" for arm, tests in zip(names[1:], of.tests, strict=True)]
    shown = any(tests[-1].p < LEVEL for tests in of.tests)
    said = "differs" if shown else "was not shown to differ"
    cause = effects.causes[0].cause
    return (
        f"The difference of risks of {cause} by day {day:g} {said} between groups ({', '.join(parts)}). "
        "A group's own interval is no test of this, and few trials are large enough for one."
    )


def _p(value: float) -> str:
    text = p_value(value)
    return text if text.startswith("<") else f"= {text}"


def assumptions(effects: Effects) -> Iterator[str]:
    """What must hold for the numbers to mean what they seem to."""
    question = effects.question
    if question.cohort.card.provenance == "simulated":
        yield "The patients are simulated: nothing here says anything about a treatment."
    if question.covariates is None:
        yield (
            f"The arms are compared as they are: a difference is an effect of {question.by} only if chance decided who "
            "was in which arm, as in a randomised trial. Otherwise name what they differ in with --adjust."
        )
    else:
        yield from _adjusted(effects)
    within = f" Tests and hazard ratios compare patients of the same {question.centre}." if question.centre else ""
    yield (
        "Within an arm, those no longer followed are taken to be like those who still are. P-values are not corrected "
        f"for the number of causes.{within}"
    )
    if len(question.too_late_days):
        days = ", ".join(f"{day:g}" for day in question.too_late_days)
        yield f"Not every arm is followed to day {days} of the endpoint; nothing is said about it."
    if effects.counted is not None and effects.counted.counted.recurrences.terminals:
        yield (
            "Rates of events are of those alive and free of competing events; mean numbers are of everyone, who has no "
            "more events after one of these."
        )


def _adjusted(effects: Effects) -> Iterator[str]:
    question, adjustment = effects.question, effects.adjustment
    assert question.covariates is not None and adjustment is not None  # noqa: S101, PT018 - for the type checker
    names = ", ".join(question.covariates.names)
    yield (
        f"Weighted and doubly robust risks are those had everyone been in each arm, if {names} hold all that decides "
        "both who is in which arm and what happens. Nothing measured can show that; the E-value says how strong "
        "something left out would have to be. Tests and hazard ratios are not adjusted."
    )
    worst = max((abs(one.after) for one in adjustment.balance), default=0.0)
    if worst > OUT_OF_BALANCE:
        yield (
            f"After weighting the arms still differ by up to {worst:.2f} standard deviations in a covariate; above "
            f"{OUT_OF_BALANCE:g} an adjustment is commonly not trusted."
        )
    hardly = [one for one in adjustment.overlap if one.hardly > 0]
    if hardly:
        arms = ", ".join(f"{one.arm} {100 * one.hardly:.1f} %" for one in hardly)
        yield (
            f"Share of patients who could hardly have been in an arm (probability below {LEAST:g}): {arms}. What it "
            "would have done to them, the data cannot tell."
        )
