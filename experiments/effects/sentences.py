"""What a comparison found and what it assumes, in plain words; nothing found is said as such."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from experiments.effects.adjustable import OUT_OF_BALANCE
from experiments.effects.analysis import CauseEffects, CountedEffects, Effects, GroupEffects
from experiments.effects.individual import individually
from experiments.effects.withheld import Withheld
from experiments.page.privacy import OPEN, Disclosure
from experiments.page.tables import number, p_value
from training.effects.estimates import ChiSquared, Estimate
from training.effects.propensity import LEAST

LEVEL = 0.05
INCLUDED = ("the interval includes", "the intervals include")


def findings(effects: Effects, shown: Disclosure = OPEN) -> Iterator[str]:
    """One sentence a cause, and one on the events that come back; without what is withheld."""
    withheld = Withheld.of(effects, shown)
    for k, one in enumerate(effects.causes):
        as_they_are = "" if effects.adjustment is None else "as they are, "
        yield f"{one.cause}: {as_they_are}{_tested(one)} {_difference(effects, k, withheld)}"
    if effects.counted is not None:
        yield _rates(effects, withheld)
    if effects.groups is not None:
        yield _groups(effects, effects.groups)
    yield from individually(effects, withheld)


def _test(one: CauseEffects) -> tuple[ChiSquared, str]:
    return (one.log_rank, "log-rank test") if one.gray is None else (one.gray, "Gray's test")


def _tested(one: CauseEffects) -> str:
    test, name = _test(one)
    if not np.isfinite(test.p):
        return "the arms cannot be tested."
    found = "the arms differ" if test.p < LEVEL else "no difference between the arms was shown"
    return f"{found} ({name}, p {_p(test.p)})."


def _difference(effects: Effects, cause: int, withheld: Withheld) -> str:
    """Of the last method, by the last horizon."""
    question, compared = effects.question, effects.compared[-1]
    names = question.arms.names
    name = effects.causes[cause].cause
    if any((name, arm) in withheld.causes for arm in names):
        return f"By day {question.horizons_days[-1]:g} its risk is withheld, since few patients met it in an arm."
    parts = [
        f"{arm} {_points(table[cause][-1])}"
        for arm, table in zip(names[1:], compared.risk.differences, strict=True)
        if np.isfinite(table[cause][-1].low)
    ]
    if not parts:
        return f"By day {question.horizons_days[-1]:g} its risk cannot be compared."
    adjusted = "" if compared.method == "unadjusted" else f", {compared.method}"
    null = all(not table[cause][-1].excludes_no_effect for table in compared.risk.differences)
    also = (
        f"; {INCLUDED[len(parts) > 1]} no difference" if null and np.isfinite(_test(effects.causes[cause])[0].p) else ""
    )
    return f"Risk by day {question.horizons_days[-1]:g} less that of {names[0]}{adjusted}: {', '.join(parts)}{also}."


def _points(one: Estimate) -> str:
    low, high = (f"{100 * value:+.1f}".replace("-", "−") for value in (one.low, one.high))
    return f"{100 * one.point:+.1f}".replace("-", "−") + f" percentage points (95 % interval {low} to {high})"


def _rates(effects: Effects, withheld: Withheld) -> str:
    of, names = effects.counted, effects.question.arms.names
    assert of is not None  # noqa: S101 - for the type checker
    if withheld.counted:
        return f"Rate of all events {of.counted.recurrences.name}: withheld, since few patients had one in an arm."
    parts = [
        f"{arm} {number(one.point)} times (95 % interval {number(one.low)} to {number(one.high)}, p {_p(one.p)})"
        for arm, one in zip(names[1:], of.rates.lwyy, strict=True)
    ]
    null = all(not one.excludes_no_effect for one in of.rates.lwyy)
    also = "; no difference was shown" if null else ""
    as_they_are = "" if effects.adjustment is None else "as they are, "
    said = (
        f"Rate of all events {of.counted.recurrences.name} against {names[0]}: {as_they_are}{', '.join(parts)}{also}."
    )
    return said if len(of.at_horizons) == 1 else f"{said} {_mean_numbers(effects, of)}"


def _mean_numbers(effects: Effects, of: CountedEffects) -> str:
    """By the last horizon, weighted."""
    names, day = effects.question.arms.names, effects.question.horizons_days[-1]
    last = [row[-1] for row in of.at_horizons[-1].differences]
    parts = [
        f"{arm} {one.point:+.2f} (95 % interval {one.low:+.2f} to {one.high:+.2f})"
        for arm, one in zip(names[1:], last, strict=True)
        if np.isfinite(one.low)
    ]
    if not parts:
        return f"Mean numbers by day {day:g} cannot be compared, weighted."
    null = all(not one.excludes_no_effect for one in last)
    also = f"; {INCLUDED[len(parts) > 1]} no difference" if null else ""
    said = ", ".join(parts).replace(" -", " −")
    return f"Mean number by day {day:g} less that of {names[0]}, weighted: {said}{also}."


def _groups(effects: Effects, of: GroupEffects) -> str:
    """By the last horizon."""
    names, day = effects.question.arms.names, effects.question.horizons_days[-1]
    tested = [
        (tests[-1].p, f"{arm} p {_p(tests[-1].p)}{_of(used[-1], of)}")
        for arm, tests, used in zip(names[1:], of.tests, of.used, strict=True)
        if np.isfinite(tests[-1].p)
    ]
    cause = effects.causes[0].cause
    if not tested:
        return f"Whether the difference of risks of {cause} by day {day:g} differs between groups could not be tested."
    said = "differs" if min(p for p, _ in tested) < LEVEL else "was not shown to differ"
    return (
        f"The difference of risks of {cause} by day {day:g} {said} between groups ({', '.join(t for _, t in tested)}). "
        "A group's own interval is no test of this, and few trials are large enough for one."
    )


def _of(used: Sequence[str], of: GroupEffects) -> str:
    """Which groups were tested, unless all."""
    return "" if len(used) == len(of.groups) else f", of {' and '.join(used)}"


def _p(value: float) -> str:
    text = p_value(value)
    return text if text.startswith("<") else f"= {text}"


def assumptions(effects: Effects, shown: Disclosure = OPEN) -> Iterator[str]:
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
        yield from _adjusted(effects, shown)
    within = f" Tests and hazard ratios compare patients of the same {question.centre}." if question.centre else ""
    yield (
        "Within an arm, those no longer followed are taken to be like those who still are. P-values are not corrected "
        f"for the number of causes.{within}"
    )
    if len(question.too_late_days):
        days = ", ".join(f"{day:g}" for day in question.too_late_days)
        yield f"Not every arm is followed to day {days} of the endpoint; nothing is said about it."
    free = sorted(_free_of_events(effects))
    if free:
        yield (
            f"No event: {'; '.join(free)}. Comparisons with these have no interval and no p-value: an estimate of 0 "
            "tells nothing of its own error."
        )
    if effects.counted is not None and effects.counted.counted.recurrences.terminals:
        yield (
            "Rates of events are of those alive and free of competing events; mean numbers are of everyone, who has no "
            "more events after one of these."
        )


def _free_of_events(effects: Effects) -> Iterator[str]:
    """Arms in which nobody had an event by a horizon, with its latest one."""
    question = effects.question
    for arm, table in zip(question.arms.names, effects.compared[0].risk.tables, strict=True):
        for one, row in zip(effects.causes, table, strict=True):
            days = [day for day, risk in zip(question.horizons_days, row, strict=True) if risk.point == 0]
            if days:
                yield f"{one.cause} in {arm} by day {max(days):g}"
    if effects.counted is not None:
        for arm, means in zip(question.arms.names, effects.counted.at_horizons[0].means, strict=True):
            days = [day for day, one in zip(question.horizons_days, means, strict=True) if one.point == 0]
            if days:
                yield f"all events {effects.counted.counted.recurrences.name} in {arm} by day {max(days):g}"


def _adjusted(effects: Effects, shown: Disclosure) -> Iterator[str]:
    question, adjustment = effects.question, effects.adjustment
    assert question.covariates is not None and adjustment is not None  # noqa: S101, PT018 - for the type checker
    names = ", ".join(question.covariates.names)
    counts = "" if effects.counted is None else ", rate ratios"
    also = "" if effects.counted is None else " and mean numbers"
    yield (
        f"Adjusted risks{also} are those had everyone been in each arm, if all that decides both who is in which arm "
        f"and what happens is in: {names}. Nothing measured can show that; the E-value says how strong something left "
        f"out would have to be. Not adjusted: tests, hazard ratios{counts}."
    )
    yield (
        "The targeted estimate, the one to go by, and the doubly robust one need one of two models to be right: of who "
        "is in which arm (targeted: and of who is followed how long), or of what happens; consistency (an arm is one "
        "treatment, whoever gets it); no unmeasured confounding; and positivity (everyone could have been in each arm)."
    )
    yield (
        "Only the targeted estimate lets the end of follow-up depend on these variables; if it does, others are off."
    )
    if _none_possible(effects):
        yield (
            "An adjusted value that cannot be estimated is not shown: a doubly robust one that is impossible, such as "
            "a risk below 0, or a targeted one whose models could not be brought into line with the data."
        )
    worst = max((abs(one.after) for one in adjustment.balance), default=0.0)
    if worst > OUT_OF_BALANCE:
        yield (
            f"After weighting the arms still differ by up to {worst:.2f} standard deviations in a covariate; above "
            f"{OUT_OF_BALANCE:g} an adjustment is commonly not trusted."
        )
    hardly = [
        max(pair, key=lambda one: one.hardly) for pair in zip(adjustment.overlap, adjustment.cross_fitted, strict=True)
    ]
    hardly = [one for one in hardly if one.hardly > 0]
    if hardly:
        arms = ", ".join(f"{one.arm} {_share(one.hardly, len(question.arms), shown)}" for one in hardly)
        yield (
            f"Share of patients who could hardly have been in an arm (probability below {LEAST:g}): {arms}. What it "
            "would have done to them, the data cannot tell."
        )
    unseen = [(arm, part) for arm, part in zip(question.arms.names, adjustment.hardly_seen, strict=True) if part > 0]
    if unseen:
        arms = ", ".join(f"{arm} {_share(part, len(question.arms), shown)}" for arm, part in unseen)
        yield (
            f"Share of patients who could hardly have been seen in an arm to day {question.horizons_days[-1]:g} "
            f"(probability of being in it and still followed below {LEAST:g}): {arms}. For them, targeted estimates "
            "rest on the models of what happens alone."
        )


def _share(share: float, n: int, shown: Disclosure) -> str:
    count = round(share * n)
    return f"of {shown.count(count)} patients" if shown.small(count) else f"{100 * share:.1f} %"


def _none_possible(effects: Effects) -> bool:
    """Whether an adjusted value is not shown."""
    parts = [part for one in effects.compared[1:] for part in (one.risk, one.time_lost)]
    return any(np.isnan(one.point) for part in parts for table in part.tables for row in table for one in row)
