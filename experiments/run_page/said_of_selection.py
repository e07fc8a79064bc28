"""What was found of the selection of patients, in sentences."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np

from experiments.page.drawing import listed
from experiments.run_page.analysis import Analysis
from experiments.run_page.facts import estimate
from experiments.run_page.selection import GroupSelected, Selection, TierOfRisk
from experiments.run_page.subgroups import LEAST_EVENTS, LEAST_PATIENTS
from training.evaluation.intervals import Interval
from training.evaluation.patient_selection import Selected


def percent(risk: float) -> str:
    """A threshold: ``12.5 %``."""
    return f"{100 * risk:.4g} %"


def needed(value: Interval, digits: int = 0) -> str:
    """A number of patients, e.g. ``5 (3 to 7)``; a dash where there is none, no end where it is infinite."""
    if not np.isfinite(value.point):
        return "–"
    point = f"{value.point:,.{digits}f}"
    if np.isnan(value.low):
        return point
    high = f"{value.high:,.{digits}f}" if np.isfinite(value.high) else "no end"
    return f"{point} ({value.low:,.{digits}f} to {high})"


def selected(a: Analysis, of: Selection, one: Selected) -> str:
    """What selecting from one threshold on comes to."""
    begin = f"From day {of.day:g}, at a risk of {percent(one.threshold)} or more"
    if not one.n_selected:
        return f"{begin}, none of {one.n_rows:,} patients is selected."
    who = f"{begin}, {one.n_selected:,} of {one.n_rows:,} patients are selected"
    if not np.isfinite(one.ppv.point):
        return f"{who}, and too few of them were followed for {of.horizon_days:g} days to say what becomes of them."
    text = f"{who}; {estimate(one.ppv, percent=True)} of them have {a.cause} within {of.horizon_days:g} days"
    if one.n_events < LEAST_EVENTS:
        return f"{text}, of which too few were seen to say how many must be watched for one."
    treat = needed(one.number_needed_to_treat(a.relative_risk_reduction))
    text += (
        f": {needed(one.number_needed_to_watch)} are watched for one, and {treat} treated to prevent one, if treatment "
        f"takes {percent(a.relative_risk_reduction)} of the risk away, as assumed."
    )
    if np.isfinite(one.risk_below.point) and np.isfinite(one.sensitivity.point):
        text += (
            f" Of the others {estimate(one.risk_below, percent=True)} have it; "
            f"{estimate(one.sensitivity, percent=True)} of all who meet it are selected."
        )
    return text


def summary(a: Analysis) -> str:
    """Selection at the tiers' thresholds, from the first landmark of which it can be told."""
    if not a.selections or not a.selections[0].thresholds:
        return "Whom a threshold selects cannot be told: too few events, or no threshold of use."
    of = a.selections[0]
    return " ".join(selected(a, of, of.of(threshold)) for threshold in of.thresholds)


def tiers(of: Selection) -> str:
    """Whether the observed risk of the event rises from tier to tier, and is what was predicted."""
    known = [tier for tier in of.tiers if np.isfinite(tier.observed[0].point)]
    if len(known) < 2:
        return "Fewer than two tiers hold patients of whom the observed risk can be told: they are not compared."
    risks = [tier.observed[0] for tier in known]
    series = ", ".join(f"{tier.name} {estimate(tier.observed[0], percent=True)}" for tier in known)
    if not all(a.point <= b.point for a, b in pairwise(risks)):
        order = "does not rise from tier to tier"
    elif all(a.high < b.low for a, b in pairwise(risks)):
        order = "rises from tier to tier, and no two intervals that follow one another overlap"
    else:
        order = "rises from tier to tier, but intervals overlap or are not known, so that chance may play a part"
    off = [tier.name for tier in known if _off(tier)]
    fits = (
        f"The mean predicted risk lies outside the interval of the observed one in {listed(off)}."
        if off
        else "The mean predicted risk lies in the interval of the observed one, wherever there is one."
    )
    return f"From day {of.day:g}, the observed risk {order}: {series}. {fits}"


def _off(tier: TierOfRisk) -> bool:
    observed = tier.observed[0]
    return bool(tier.predicted[0] < observed.low or tier.predicted[0] > observed.high)


def groups(of: Selection) -> Iterator[str]:
    """Of each variable, whether those selected from the lowest threshold on differ between its levels."""
    for variable in dict.fromkeys(group.variable for group in of.groups):
        yield _compared(variable, [group for group in of.groups if group.variable == variable], of.thresholds[0])


def _compared(variable: str, among: Sequence[GroupSelected], threshold: float) -> str:
    enough = {
        group.level: group.at[0].ppv
        for group in among
        if group.at[0] is not None and group.at[0].n_events >= LEAST_EVENTS and np.isfinite(group.at[0].ppv.low)
    }
    who = f"By {variable}, at a risk of {percent(threshold)} or more"
    hidden = any(group.at[0] is None and group.n_patients >= LEAST_PATIENTS for group in among)
    few = "too few events among the selected" + (", or counts too small to be shown," if hidden else "")
    if len(enough) < 2:
        return f"{who}: {few} in all groups but one, or in each, so that nothing can be said."
    left = len(among) - len(enough)
    rest = f" {left} of {len(among)} groups have {few} and are not compared." if left else ""
    apart = [
        f"{first} and {second}"
        for i, (first, a) in enumerate(enough.items())
        for second, b in list(enough.items())[i + 1 :]
        if a.high < b.low or b.high < a.low
    ]
    if apart:
        return (
            f"{who}: the intervals of observed risk among the selected are apart for {listed(apart)}. Many are looked "
            f"at, and some would be apart by chance were all groups alike.{rest}"
        )
    return (
        f"{who}: the intervals of observed risk among the selected overlap, which neither shows a difference nor that "
        f"there is none.{rest}"
    )


NO_TIERS = "The endpoint declares no tiers, so that thirds of the predicted risk of these patients stand for them."


def _where_tiers_begin(a: Analysis) -> str:
    """Whether that was known before the predictions were."""
    settled = a.record.settled
    if settled is None or all(one.how == "given" for one in settled.thresholds):
        return "Tiers are those of the endpoint, chosen before."
    return (
        "Where tiers begin was set by net benefit in these same predictions, within ranges chosen before, so that what "
        "is told at a threshold that was chosen so is somewhat optimistic."
    )


def rests_on(a: Analysis) -> str:
    """What the numbers of the section rest on."""
    first = a.selections[0]
    chosen = _where_tiers_begin(a) if first.declared else NO_TIERS
    return (
        f"All of it rests on predictions for patients not trained on, of the first repeat. {chosen} Observed risks are "
        "Aalen–Johansen estimates within each group, in which censoring is assumed independent of what would have "
        "happened; sensitivity and specificity are weighted by the inverse probability of censoring, assumed the same "
        "for everyone. A competing event is no event. Intervals of 95 % are percentiles over resampled patients, with "
        "predictions and thresholds held fixed; those of tiers are symmetric in log(−log(1 − F)). Where nobody or "
        "everybody had the event there are no bounds. That treatment takes "
        f"{percent(a.relative_risk_reduction)} of the risk away is an assumption, and nothing in the run measures it "
        "(Cook & Sackett, BMJ 1995;310:452); the observed risk is that under the care these patients had."
    )


def withheld(a: Analysis) -> str:
    """How many thresholds of tiers cannot be shown; empty for none."""
    n = sum(of.n_withheld for of in a.selections)
    if not n:
        return ""
    begins = "1 tier begins at a threshold that is" if n == 1 else f"{n} tiers begin at thresholds that are"
    return f"{begins} not shown, and joined to the tier below, since small counts would follow."
