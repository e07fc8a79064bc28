"""What was found and what it assumes, in plain words; nothing found is said as such."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from experiments.benefit_risk.analysis import BenefitRisk, Contrast, Group
from experiments.benefit_risk.patient import PatientStates
from experiments.benefit_risk.question import COMPLICATION, Question
from experiments.benefit_risk.withheld import withheld
from experiments.effects.adjustable import LEAST_EFFECTIVE, OUT_OF_BALANCE
from experiments.page.privacy import OPEN, Disclosure
from experiments.page.tables import number, p_value
from features.cohort_states import TIE_DAYS
from training.effects.estimates import Estimate
from training.evaluation.intervals import Interval
from training.states.markov import FEWEST_MOVES, PER_DAYS

LEVEL = 0.05


def findings(found: BenefitRisk, shown: Disclosure = OPEN) -> Iterator[str]:
    """One sentence a group, one a contrast, and one on the weights; without what is withheld."""
    question, hidden = found.question, withheld(found, shown)
    for group in found.shown:
        if group.name not in hidden:
            yield _of_group(group, question)
    for contrast in found.contrasts:
        if hidden.isdisjoint((contrast.name, found.groups[0].name)):
            yield _of_contrast(contrast, found)
    if found.best and not hidden:
        yield _of_weights(found)
    if hidden:
        yield f"Withheld, since few patients met a state: {', '.join(sorted(hidden))}."


def _of_group(group: Group, question: Question) -> str:
    complication = question.states[COMPLICATION]
    return (
        f"{group.name}: of {question.horizon_days:g} days, {_days(group.benefit)} "
        f"{before(question)}; {complication} in {_per_cent(group.harm)} by then; weighted, "
        f"{_days(group.days(question.worth))}."
    )


def before(question: Question) -> str:
    """What the days of benefit are."""
    ends = question.ends_benefit
    return f"before {' or '.join(ends)}" if ends else "observed"


def _of_contrast(one: Contrast, found: BenefitRisk) -> str:
    complication = found.question.states[COMPLICATION]
    parts = [
        f"benefit {_signed_days(one.benefit)}",
        f"{complication} {_points(one.harm)}",
        f"weighted {_signed_days(one.weighted)}",
    ]
    differs = [name for name, each in _named(one, complication) if each.excludes_no_effect]
    said = f"a difference was shown in {' and '.join(differs)}" if differs else "no difference was shown"
    return f"{one.name} less {found.groups[0].name}: {', '.join(parts)}; {said}."


def _named(one: Contrast, complication: str) -> tuple[tuple[str, Estimate], ...]:
    return (("benefit", one.benefit), (complication, one.harm), ("weighted days", one.weighted))


def _of_weights(found: BenefitRisk) -> str:
    complication = found.question.states[COMPLICATION]
    if len(found.best) == 1:
        return (
            f"{found.best[0].name} has the most weighted days whatever a day with {complication} is worth, the other "
            "weights being as they are; whether by more than chance, the intervals say."
        )
    pieces = ", ".join(f"{one.name} from {one.low:.2f} to {one.high:.2f}" for one in found.best)
    return f"Who has the most weighted days depends on what a day with {complication} is worth: {pieces}."


def patient_findings(patient: PatientStates, question: Question) -> Iterator[str]:
    """What is predicted of a patient."""
    yield (
        f"Patient {patient.patient_id}: of {question.horizon_days:g} days, {_days(patient.benefit_days)} expected "
        f"{before(question)}; {question.states[COMPLICATION]} in {_per_cent(patient.harm)} by then; weighted, "
        f"{_days(patient.weighted_days)}."
    )


def assumptions(found: BenefitRisk, patient: PatientStates | None = None, shown: Disclosure = OPEN) -> Iterator[str]:
    """What the numbers rest on, and where they do not hold."""
    question = found.question
    if question.cohort.card.provenance == "simulated":
        yield "The patients are simulated: nothing here says anything about a treatment."
    yield _weights(question)
    yield _states(question)
    yield (
        "Censoring is taken to be independent of the states; probabilities then hold whether the way into a state "
        "matters for the way out of it or not (Datta & Satten 2001)."
    )
    if (question.histories.start_days > question.histories.entered_days).any():
        yield "Some patients are observed late: probabilities then do take the way into a state not to matter (Markov)."
    yield from _markov(found)
    yield from _not_followed(found, withheld(found, shown))
    if question.by is not None:
        yield from _groups(found)
    if question.n_left_out:
        yield f"Of some patients at risk {question.by} is not known; they are left out of the groups."
    if patient is not None:
        yield from _of_patient(patient, found)


def _groups(found: BenefitRisk) -> Iterator[str]:
    question, adjustment = found.question, found.adjustment
    if question.adjusted is None or adjustment is None:
        yield (
            f"Nobody was put into a group of {question.by} by chance, and nothing is adjusted for: differences may be "
            "those of the patients. Name with --adjust what the groups are to be alike in."
        )
        return
    names = ", ".join(question.adjusted.covariates.names)
    yield (
        f"Groups are weighted by inverse probabilities (logistic regression) to be alike in {names}: differences are "
        f"those of {question.by} if that is all that decides both who is in which group and what happens, and if "
        "everyone could have been in each. Intervals take the weights as known; with few patients they are approximate."
    )
    worst = max((abs(one.after) for one in adjustment.balance), default=0.0)
    worth = ", ".join(f"{one.arm} {one.effective:.0f} of {one.n_rows:,}" for one in adjustment.overlap)
    yield (
        f"Largest standardised difference between groups once weighted: {number(worst)} (above {OUT_OF_BALANCE:g} an "
        f"adjustment is commonly not trusted). Patients that groups are worth: {worth}."
    )
    thin = [one.arm for one in adjustment.overlap if one.effective < LEAST_EFFECTIVE]
    if thin:
        few = " and ".join(thin)
        yield f"Few patients stand for {few} once weighted (below {LEAST_EFFECTIVE}): intervals are rough."


def _weights(question: Question) -> str:
    worth = ", ".join(f"{name} {value:g}" for name, value in zip(question.states, question.worth, strict=True))
    whose = "chosen by the user" if question.worth_is_own else "arbitrary; --weights sets others"
    return f"Weights of a day ({whose}): {worth}. They are judgements, not measurements."


def _states(question: Question) -> str:
    order = " → ".join(question.states)
    return (
        f"A patient's state is that of the furthest event so far ({order}), from day {question.landmark_day:g} on; "
        "states may be left out, none is returned to. Events of a patient on one day are taken to be "
        f"{TIE_DAYS:g} days apart, in this order."
    )


def _markov(found: BenefitRisk) -> Iterator[str]:
    states = found.question.states
    for one in found.markov:
        move = f"{states[one.origin]} → {states[one.target]}"
        if np.isfinite(one.later_entry.p):
            ratio = one.later_entry
            differs = "matters" if ratio.p < LEVEL else "was not shown to matter"
            yield (
                f"{move}: when the state was entered {differs} (hazard ratio for each {PER_DAYS:g} days later "
                f"{number(ratio.point)}, 95 % interval {number(ratio.low)} to {number(ratio.high)}, "
                f"p {p_value(ratio.p)})."
            )
        else:
            yield f"{move}: with fewer than {FEWEST_MOVES} moves nothing is said of when the state was entered."


def _not_followed(found: BenefitRisk, hidden: frozenset[str]) -> Iterator[str]:
    question = found.question
    passed = [question.states[state] for state in question.last_states[:-1]]
    if passed:
        yield (
            f"Nobody is followed beyond {' or '.join(passed)}: days in it count on to the horizon, whatever came after."
        )
    for group in found.shown:
        if group.name in hidden:
            continue
        for state, day in group.unfollowed:
            yield (
                f"{group.name}: after day {day:g} nobody in the state {question.states[state]} is followed, so that "
                "its patients are taken to stay in it."
            )


def _of_patient(patient: PatientStates, found: BenefitRisk) -> Iterator[str]:
    yield (
        "The patient's states come from a Cox model of each transition (ridge, time from the landmark), fitted to this "
        "cohort and not validated here: hazards are taken to be proportional and the process Markov. Intervals are "
        f"percentiles of {patient.n_resamples} refits to patients drawn with replacement: how sure the probabilities "
        "are, not what will happen."
    )
    later = [found.question.states[one.origin] for one in found.markov if one.later_entry.p < LEVEL]
    if later:
        yield (
            f"The way out of {' and '.join(dict.fromkeys(later))} depends on when it was entered, which the patient's "
            "models leave out: what they say of the time after it is off; what they say of first events is not."
        )
    if patient.not_given:
        yield f"Not given, and imputed: {', '.join(patient.not_given)}."


def _per_cent(one: Estimate | Interval) -> str:
    if not np.isfinite(one.low):
        return f"{100 * one.point:.1f} %"
    return f"{100 * one.point:.1f} % (95 % interval {100 * one.low:.1f} to {100 * one.high:.1f})"


def _days(one: Estimate | Interval) -> str:
    if not np.isfinite(one.low):
        return f"{one.point:.1f}"
    return f"{one.point:.1f} (95 % interval {one.low:.1f} to {one.high:.1f})"


def _signed_days(one: Estimate) -> str:
    return _signed(one, 1.0, "days")


def _points(one: Estimate) -> str:
    return _signed(one, 100.0, "percentage points")


def _signed(one: Estimate, scale: float, unit: str) -> str:
    point, low, high = (f"{scale * value:+.1f}".replace("-", "−") for value in (one.point, one.low, one.high))
    return f"{point} {unit} (95 % interval {low} to {high})" if np.isfinite(one.low) else f"{point} {unit}"
