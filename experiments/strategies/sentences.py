"""What a comparison of strategies found and what it assumes, in plain words; nothing found is said as such."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from experiments.effects.adjustable import LEAST_EFFECTIVE
from experiments.page.privacy import OPEN, Disclosure
from experiments.page.tables import number
from experiments.strategies.analysis import Strategies
from experiments.strategies.withheld import Withheld
from training.effects.estimates import Estimate


def findings(found: Strategies, shown: Disclosure = OPEN) -> Iterator[str]:
    """One sentence a cause and strategy, by the last horizon; without what is withheld."""
    question, withheld = found.question, Withheld.of(found, shown)
    names, day = question.names, question.horizons_days[-1]
    for k, cause in enumerate(question.outcomes.causes):
        for name, table in zip(names[1:], found.risk.differences, strict=True):
            one = table[k][-1]
            if {(cause, name), (cause, names[0])} & withheld.causes:
                yield f"{cause}, {name} against {names[0]}: withheld, since few who followed one of them met it."
            elif not np.isfinite(one.low):
                yield f"{cause}, {name} against {names[0]}: the risk by day {day:g} cannot be compared."
            else:
                null = "" if one.excludes_no_effect else "; no difference was shown"
                yield f"{cause}, {name} against {names[0]}: risk by day {day:g} {_points(one)}{null}."
    yield from _weighed(found, withheld)


def _weighed(found: Strategies, withheld: Withheld) -> Iterator[str]:
    """Of the weighted days of each strategy, and of what they turn on."""
    question, own = found.question, found.benefit_risk
    event, first = question.outcomes.causes[0], question.names[0]
    for name, one, equal in zip(question.names[1:], own.less, own.equal_at, strict=True):
        if withheld.strategies.isdisjoint((name, first)) and np.isfinite(one.weighted.low):
            point, low, high = _signed(one.weighted, 1.0)
            null = "" if one.weighted.excludes_no_effect else "; no difference was shown"
            turns = f"; it would be 0 if a day after {event} were worth {equal:.2f}" if np.isfinite(equal) else ""
            yield (
                f"Weighted days by day {question.horizons_days[-1]:g}, {name} against {first}: {point} (95 % interval "
                f"{low} to {high}){null}{turns}."
            )


def _points(one: Estimate) -> str:
    point, low, high = _signed(one, 100.0)
    return f"{point} percentage points (95 % interval {low} to {high})"


def _signed(one: Estimate, scale: float) -> tuple[str, ...]:
    """The estimate and its bounds, with a sign and one digit."""
    return tuple(f"{scale * value:+z.1f}".replace("-", "−") for value in (one.point, one.low, one.high))


def assumptions(found: Strategies, shown: Disclosure = OPEN) -> Iterator[str]:
    """What must hold for the numbers to mean what they seem to."""
    question = found.question
    asked = question.asked
    if question.cohort.card.provenance == "simulated":
        yield "The patients are simulated: nothing here says anything about a treatment."
    known = ", ".join((*asked.adjust, *question.changing.names))
    on = "on the day or before" if asked.same_day else "before the day"
    if known:
        yield (
            f"The strategies differ by what they do, if all that decides both who starts {asked.treatment} when and "
            f"what happens is in: {known} (the last value {on}). Nothing measured can show that."
        )
    else:
        yield (
            f"Nothing is adjusted for: a difference is one of the strategies only if {asked.treatment} was started "
            "without regard to how patients were. Name what decided about it with --adjust and --over-time."
        )
    yield (
        "It also takes positivity (on every day of a grace period, patients like any other start, and do not), a right "
        f"model of starts, and consistency (a start of {asked.treatment} is one thing, whenever it comes). Once "
        "started, treatment counts as going on; whether it was stopped is not looked at."
    )
    alike = (
        "Losses to follow-up are weighted for by a model of them with the same variables, and whether somebody is "
        "treated: those lost are taken to be like those who stay and are alike in these. "
        if question.trial.losses is not None
        else "Those lost to follow-up are taken to be like those who follow the same strategy and stay, since "
        f"{'few were' if known else 'nothing is named that could tell them apart'}. "
    )
    yield (f"{alike}Competing events are left to happen: a strategy that prevents one may raise the risk of another.")
    worth = ", ".join(f"{name} {value:g}" for name, value in zip(question.states, question.worth, strict=True))
    whose = "chosen by the user" if asked.worth else "arbitrary; --weights sets others"
    yield f"Worth of a day before any event, and after a first one ({whose}): {worth}. These are judgements."
    yield from _weights(found)
    if question.n_treated_before:
        n = shown.count(question.n_treated_before)
        yield f"Treated before time zero, and left out: {n} of the patients at risk."
    if len(question.too_late_days):
        days = ", ".join(f"{day:g}" for day in question.too_late_days)
        yield f"Not every strategy is followed to day {days} of the endpoint; nothing is said about it."


def _weights(found: Strategies) -> Iterator[str]:
    question, percentile = found.question, found.question.asked.percentile
    if percentile < 100:
        yield (
            f"Weights above the {percentile:g}th percentile of a strategy are lowered to it, which makes estimates "
            "steadier, and draws them towards those without weights."
        )
    thin = [
        f"{name} {number(one.effective[-1])}"
        for name, one in zip(question.names, found.clones, strict=True)
        if one.effective[-1] < LEAST_EFFECTIVE
    ]
    if thin:
        yield (
            f"By day {question.horizons_days[-1]:g} few patients stand for a strategy (worth, once weighted: "
            f"{', '.join(thin)}); its late estimates, and their intervals, are rough."
        )
    empty = [one for one in found.positivity if not one.n_starts and one.expected >= 1]
    if empty:
        said = ", ".join(f"days {one.first_day} to {one.last_day} in the {one.likely} likely third" for one in empty)
        yield f"Nobody started, though the model expected one or more to: {said}."


def seen_sentences(found: Strategies, shown: Disclosure = OPEN) -> Iterator[str]:
    """What followed a start, as it was seen, over all follow-up."""
    withheld = Withheld.of(found, shown)
    treatment = found.question.asked.treatment
    for cause, one in zip(found.question.outcomes.causes, found.seen.hazard_ratios, strict=True):
        if cause in withheld.seen:
            yield f"{cause}: withheld, since few had it before {treatment}, or after."
        elif np.isfinite(one.low):
            null = "" if one.excludes_no_effect else "; no difference was shown"
            yield (
                f"{cause}: its rate after the start of {treatment} is {number(one.point)} times that before (95 % "
                f"interval {number(one.low)} to {number(one.high)}){null}."
            )
    yield (
        f"This describes who is treated as much as what {treatment} does: those with and without it on a day differ in "
        "what decided about it."
    )
