"""What was found and what it assumes, in words; also that nothing was found."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from experiments.biomarkers.analysis import LEVEL, CauseScreen, Screen
from experiments.biomarkers.question import FEWEST_EVENTS, FEWEST_PATIENTS
from experiments.page.drawing import listed
from experiments.page.tables import p_value
from features.patients import FloatArray
from training.biomarkers.effect import FEWEST_EVENTS as FEWEST_OF_ARM

MOST_NAMED = 8


def findings(screen: Screen) -> Iterator[str]:
    """By cause: how many markers pass, which, and what is said of them beyond the clinic and by arm."""
    for of in screen.causes:
        yield _found(screen, of)
        if of.subdistribution is not None:
            yield f"Subdistribution hazard (incidence) of {of.name}: {_passing(screen, of, of.subdistribution.q)}."
        if of.beyond is not None:
            yield f"Beyond {', '.join(_clinic(screen))}, {of.name}: {_passing(screen, of, of.beyond.q)}."
        if of.by_arm is not None:
            passing = _passing(screen, of, of.by_arm.q)
            yield (
                f"Predictive, acting differently by {screen.question.by}, {of.name}: {passing}, of p-values that hold "
                "in large samples."
            )
    for of in screen.causes[:1]:
        yield _stable(screen, of)


def _found(screen: Screen, of: CauseScreen) -> str:
    m, found = len(of.tested), of.found
    least = np.nanmin(of.cause_specific.permuted.p_of_largest, initial=1.0)
    if len(found):
        names = listed([screen.matrix.markers[of.tested[j]].name for j in found], MOST_NAMED)
        verb = "passes" if len(found) == 1 else "pass"
        said = f"{len(found):,} of {m:,} markers {verb} a false discovery rate of {LEVEL:g}: {names}"
    else:
        said = f"none of {m:,} markers passes a false discovery rate of {LEVEL:g}"
    return (
        f"{of.name}: {said}. By chance alone the greatest statistic of all markers would be as great as it is with "
        f"probability {p_value(least)}."
    )


def _passing(screen: Screen, of: CauseScreen, q: FloatArray) -> str:
    places = of.order[q[of.order] <= LEVEL]
    if not len(places):
        return f"no marker passes a false discovery rate of {LEVEL:g}"
    names = listed([screen.matrix.markers[of.tested[j]].name for j in places], MOST_NAMED)
    verb = "marker passes" if len(places) == 1 else "markers pass"
    return f"{len(places):,} {verb} a false discovery rate of {LEVEL:g}: {names}"


def _stable(screen: Screen, of: CauseScreen) -> str:
    one = of.stability
    names = listed([screen.matrix.markers[of.tested[j]].name for j in one.stable], MOST_NAMED)
    return (
        f"Stable, among the {one.n_chosen} best of at least {one.threshold:.0%} of half samples ({of.name}): "
        f"{names or 'none'}. At most {one.most_false:.2g} of the stable ones are expected to be chosen no more often "
        "than by chance."
    )


def _clinic(screen: Screen) -> tuple[str, ...]:
    assert screen.question.clinic is not None  # noqa: S101 - for the type checker
    return screen.question.clinic.names


def assumptions(screen: Screen) -> Iterator[str]:
    """What must hold for the numbers to mean what they seem to."""
    question = screen.question
    if question.cohort.card.provenance == "simulated":
        yield "The patients are simulated: nothing here says anything about a biomarker."
    yield (
        "A marker goes with a cause; whether it brings it about, these tests cannot say. Markers are what was known by "
        f"day {question.landmark_day:g}, and patients those still at risk then."
    )
    yield (
        "A marker is tested in the patients in whom it was measured (n). Who these are may go with the outcome without "
        "deceiving the tests, as long as it does not go with the marker; hazard ratios are of these patients. Left out "
        f"are markers measured in fewer than {FEWEST_PATIENTS} patients or with fewer than {FEWEST_EVENTS} events of "
        "the cause among these."
    )
    yield (
        "q is Benjamini and Hochberg's false discovery rate over all markers, within one cause and one test; causes "
        "and tests are not corrected for. It is of the p-values of permuted outcomes, which hold in few patients too, "
        "and of those of the score test where no permutation reached it. Censoring is taken to be independent of the "
        "event within strata, and hazard ratios to be the same over time."
    )
    if question.clinic is not None:
        yield (
            "Beyond the clinic, q is of the larger of the permuted p and that of the score test. "
            f"Log hazards are taken to rise in straight lines with {', '.join(question.clinic.names)}; where they do "
            "not, a marker that goes with these may pass beyond them."
        )
    if question.by is not None:
        yield (
            f"Whether a marker acts differently by {question.by} is tested in arms with at least {FEWEST_OF_ARM} "
            "events, by p-values that hold in large samples, not by permuted ones: with few events little can pass. "
            "Where arms fare differently, a prognostic marker may pass if log hazards do not rise with it in a "
            "straight line."
        )
    if screen.matrix.pathways is not None:
        yield screen.matrix.pathways.said
    if question.centre is not None or question.by is not None:
        within = " and ".join(name for name in (question.centre, question.by) if name)
        yield f"Patients are compared within {within} only."
    if question.n_left_out:
        yield f"Of some patients at risk {question.by} is not known; they are left out."
    left_out = [
        name
        for k, name in enumerate(question.outcomes.causes, start=1)
        if k not in {one.cause for one in screen.causes}
    ]
    if left_out:
        yield f"Too few events to screen for: {', '.join(left_out)}."
    if any(one.subdistribution is None for one in screen.causes):
        yield "Late entry leaves a gap in the follow-up, so that subdistribution hazards cannot be estimated."
    yield (
        "Estimates of markers that were picked for their p-values are too strong (the winner's curse): confirm them in "
        "other patients."
    )
