"""The tier that a patient's risk falls into, what published guidance offers there, and what the tier rests on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from features.guidance import OPTIONS, Option
from features.schema import EventRule
from serving.messages import PredictAnswer, Prediction
from training.artifact.manifest import Manifest, ThresholdBenefit, TierThreshold

RESEARCH = "For research; no medical device."
SIMULATED = "The model was trained on simulated patients: it says nothing of real ones."


@dataclass(frozen=True, slots=True)
class Advice:
    """Of one patient. Information for a clinician, not an order."""

    risk: float
    """Of the event of interest, within `horizon_days` of the landmark."""
    horizon_days: float
    tier: str
    level: int
    """Of the tier; 0 is the lowest."""
    highest: bool
    """Whether no tier is above it."""
    options: tuple[Option, ...]
    """Of this tier and those below."""
    rests_on: str
    """How the threshold came, and what was measured of it, for people."""
    of_no_use: bool
    """Whether acting from the threshold on was shown to be worth less than acting on all, or on nobody."""


def advice(manifest: Manifest, prediction: Prediction) -> Advice | None:
    """The advice for one patient; None where the endpoint has no tiers.

    Args:
        manifest: Of the model that answered.
        prediction: Its answer, which must hold the horizon of `Endpoint.decision`.
    """
    decision = manifest.endpoint.decision
    if decision is None:
        return None
    at = prediction.horizons_days.index(decision.horizon_days)
    risk = prediction.incidence[manifest.endpoint.event.name][at]
    level = decision.tier_of(risk)
    keys = dict.fromkeys(key for tier in decision.tiers[: level + 1] for key in tier.options)
    begins = thresholds_of(manifest)[max(level - 1, 0)]
    measured = _measured(manifest, prediction.landmark_day, begins.threshold)
    return Advice(
        risk,
        decision.horizon_days,
        decision.tiers[level].name,
        level,
        level == len(decision.tiers) - 1,
        tuple(OPTIONS[key] for key in keys),
        f"{came_of(begins)} {worth_of(begins.threshold, measured)}",
        measured is not None and measured.gain is not None and measured.gain[2] < 0,
    )


def shown_risk(manifest: Manifest, prediction: Prediction, cause: str, at: int) -> str:
    """A risk with its interval; with as many digits as it takes to be read in its own tier."""
    risk = prediction.incidence[cause][at]
    decision, digits = manifest.endpoint.decision, 1
    decided = decision is not None and cause == manifest.endpoint.event.name
    while decided and digits < 6 and decision is not None:
        if decision.tier_of(round(risk, digits + 2)) == decision.tier_of(risk):
            break
        digits += 1
    said = percent(risk, digits)
    if prediction.interval is None:
        return said
    low, high = prediction.interval[cause][at]
    return f"{said} (90 % interval {percent(low)} to {percent(high)})"


def remarks(answered: PredictAnswer) -> Iterator[str]:
    """What was not as usual about the patient, and whose numbers these are."""
    if answered.model.provenance == "simulated":
        yield SIMULATED
    prediction = answered.predictions[0]
    for title, names in (
        ("Missing, and imputed", prediction.missing),
        ("Taken as missing, since it cannot be", prediction.impossible),
        ("Outside the range of the patients the model was trained on", prediction.outside_training_range),
        ("A level that no patient had on whom the model was trained", prediction.unseen_levels),
        ("Did not enter", prediction.ignored),
    ):
        if names:
            yield f"{title}: {', '.join(names)}."


def event_title(rule: EventRule) -> str:
    """An event for people: ``infection of grade 3 or more``."""
    grade = "" if rule.min_grade is None else f" of grade {rule.min_grade} or more"
    return rule.name.replace("_", " ") + grade


def percent(probability: float, digits: int = 1) -> str:
    """``24.3 %``."""
    return f"{100 * probability:.{digits}f} %"


def thresholds_of(manifest: Manifest) -> tuple[TierThreshold, ...]:
    """How the threshold of each tier above the lowest came; in artifacts of before, with the endpoint."""
    decision = manifest.endpoint.decision
    above = () if decision is None else decision.tiers[1:]
    given = (TierThreshold(tier=tier.name, threshold=tier.bounds[0], how="given") for tier in above)
    return manifest.thresholds or tuple(given)


def _measured(manifest: Manifest, landmark_day: float, threshold: float) -> ThresholdBenefit | None:
    """From the last landmark of training that is not after the patient's."""
    found = [one for one in manifest.decision if one.threshold == threshold and one.landmark_day <= landmark_day]
    return max(found, key=lambda one: one.landmark_day, default=None)


def came_of(one: TierThreshold) -> str:
    """How a threshold came, in a sentence."""
    if one.accepted is None:
        return f"The threshold of {100 * one.threshold:g} % was given with the endpoint, as a judgement of harms."
    least, most = (f"{100 * risk:g}" for risk in one.accepted)
    if one.how == "chosen":
        begins = (
            f"The threshold of {100 * one.threshold:g} % was chosen by net benefit: of {least} to {most} %, the lowest "
            f"from which acting was shown to be worth more than the better of acting on all and on nobody"
        )
        return f"{begins}, by {_gain(one.gain, one.at_once)}." if one.gain else f"{begins}."
    begins = (
        f"From no threshold of {least} to {most} % on was acting shown to be worth more than the better of acting on "
        f"all and on nobody; the least, {100 * one.threshold:g} %, stands"
    )
    return f"{begins}, at which the gain is {_gain(one.gain, one.at_once)}." if one.gain else f"{begins}."


def worth_of(threshold: float, measured: ThresholdBenefit | None) -> str:
    """What acting from a threshold on was worth at a landmark, in a sentence."""
    begins = f"Whether acting from a risk of {100 * threshold:g} % on is of use"
    if measured is None or measured.gain is None:
        return f"{begins} was not measured."
    _, low, high = measured.gain
    verdict = "was shown" if low > 0 else "was shown not to be so" if high < 0 else "was not shown"
    return (
        f"{begins} {verdict}: on patients not trained on, its net benefit less the better of acting on all and on "
        f"nobody is {_gain(measured.gain, measured.at_once)}."
    )


def _gain(gain: tuple[float, float, float], at_once: int) -> str:
    """Of true positives, with its interval."""
    point, low, high = (f"{round(100 * value, 1) + 0.0:.1f}".replace("-", "−") for value in gain)  # no −0.0
    together = f", at once for all {at_once} thresholds searched" if at_once > 1 else ""
    return f"{point} true positives in 100 patients (95 % interval {low} to {high}{together})"
