"""The target trial, and how the cohort emulates it (Hernán & Robins, Am J Epidemiol 2016;183:758)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from experiments.strategies.question import Question


@dataclass(frozen=True, slots=True)
class Element:
    """One line of the protocol."""

    name: str
    trial: str
    """In the trial that would answer the question."""
    emulation: str
    """With these patients."""


def protocol(question: Question, n_resamples: int) -> Iterator[Element]:
    """All elements, in the usual order."""
    asked, endpoint = question.asked, question.endpoint
    zero = f"day {question.landmark_day:g} since infusion"
    causes = ", ".join(question.outcomes.causes)
    horizon = f"{question.horizons_days[-1]:g}"
    known = ", ".join((*asked.adjust, *question.changing.names)) or "nothing"
    events = ", ".join(endpoint.causes)
    yield Element(
        "Eligibility",
        f"Free of {events}, under observation, and never given {asked.treatment} before time zero.",
        f"The same, by what is recorded; who had {asked.treatment} before it is left out.",
    )
    yield Element(
        "Strategies", "; ".join(_said(question)), "The same; once started, treatment counts as going on, as assigned."
    )
    yield Element(
        "Assignment",
        "By chance at time zero, open label.",
        "Every patient is cloned into every strategy; clones are censored when they deviate; chance is replaced by "
        f"weights from what is known before each day: {known}.",
    )
    yield Element(
        "Time zero", zero[0].upper() + zero[1:] + ".", "The same for every clone, so that no time is immortal."
    )
    yield Element(
        "Follow-up",
        f"From time zero to the first of {events}, loss, or {horizon} days.",
        "The same, and until a clone deviates.",
    )
    yield Element("Outcome", f"The first of {causes}, each competing with the others.", "The same.")
    yield Element(
        "Contrast",
        "Per protocol: differences and ratios of risks and of times lost, all patients following their strategy; "
        "competing events are left to happen.",
        "The same.",
    )
    truncated = "not truncated" if asked.percentile >= 100 else f"truncated at the {asked.percentile:g}th percentile"
    modelled = question.trial.losses is not None
    lost, and_losses = (", and of not being lost", " and of losses") if modelled else ("", "")
    yield Element(
        "Analysis",
        "Aalen–Johansen estimates of those who adhere, adjusted for what makes patients deviate, and be lost.",
        f"Aalen–Johansen estimates of clones by inverse probability of not having deviated{lost}, from pooled logistic "
        f"regressions of starts{and_losses}; weights stabilised, {truncated}; intervals from {n_resamples} resamples "
        "of patients, everything fitted again.",
    )


def _said(question: Question) -> Iterator[str]:
    """Each strategy in words."""
    asked = question.asked
    for name in question.names:
        if name == "never":
            yield f"{name}: no {asked.treatment} within {question.horizons_days[-1]:g} days"
        elif name.startswith("start by"):
            yield f"{name}: {asked.treatment} from a day up to then, each as likely as another"
        else:
            yield (
                f"{name}: {asked.treatment} from a day within {asked.grace_days} days of the value being seen to be "
                "so, each as likely as another, and not before"
            )
