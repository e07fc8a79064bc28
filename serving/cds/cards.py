"""An answer as a card of CDS Hooks: the risk in a line, and below it what a physician would ask next."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any
from uuid import uuid4

from features.guidance import OPTIONS, Option
from serving.decision import RESEARCH, Advice, advice, event_title, remarks, shown_risk
from serving.fhir.record import ReadRecord
from serving.messages import PredictAnswer, Prediction
from training.artifact.manifest import Manifest

LONGEST = 139
"""Characters of a summary: fewer than 140."""
REASONS = "urn:sequela:override-reasons"
OVERRIDE_REASONS = {
    "known": "Known, and already acted upon",
    "not-applicable": "Does not apply to this patient",
    "disagree": "I judge the risk otherwise",
    "other": "Another reason",
}
PRELIMINARY = "A preliminary value entered: the risk may be another once it is final."
_MARKUP = re.compile(r"([\\`*_{}\[\]<>#|!~&@^$])|(?<=:)(?=//)|(?<=www)(?=\.)", re.IGNORECASE)
Json = dict[str, Any]


def escaped(text: str) -> str:
    """Text in Markdown as it stands, in one line: nothing in it becomes markup, a link, or a new paragraph."""
    plain = "".join(one if one.isprintable() else " " for one in text)
    return _MARKUP.sub(lambda found: f"\\{found[0]}", " ".join(plain.split()))


def card(
    manifest: Manifest,
    answered: PredictAnswer,
    read: ReadRecord,
    *,
    page: str | None,
    ordered: Sequence[str] = (),
) -> Json:
    """The card of one patient.

    Args:
        manifest: Of the model that answered.
        answered: About the one patient.
        read: What it was asked about.
        page: Address of the service's page; None: no link.
        ordered: Keys of options that a draft order is about.
    """
    prediction = answered.predictions[0]
    advised = advice(manifest, prediction)
    found: Json = {
        "uuid": str(uuid4()),
        "summary": _summary(manifest, prediction, read, advised),
        "indicator": _indicator(advised),
        "detail": "\n\n".join(_detail(manifest, answered, read, advised, ordered)),
        "source": {"label": f"Sequela, {answered.model.name}"} | ({"url": page} if page else {}),
        "overrideReasons": [
            {"code": code, "system": REASONS, "display": display} for code, display in OVERRIDE_REASONS.items()
        ],
    }
    return found | ({"links": [{"label": "Look closer", "url": page, "type": "absolute"}]} if page else {})


def _indicator(advised: Advice | None) -> str:
    """By the tier: the lowest informs, the others warn, and the highest of three or more is critical.

    Where acting from the tier's threshold on was shown to be of no use, it informs.
    """
    if advised is None or advised.level == 0 or advised.of_no_use:
        return "info"
    return "critical" if advised.highest and advised.level > 1 else "warning"


def _summary(manifest: Manifest, prediction: Prediction, read: ReadRecord, advised: Advice | None) -> str:
    endpoint = manifest.endpoint
    horizon = advised.horizon_days if advised else prediction.horizons_days[-1]
    at = prediction.horizons_days.index(horizon)
    risk = shown_risk(manifest, prediction, endpoint.event.name, at).partition(" (")[0]
    since = f" of day {prediction.landmark_day:g}" if read.days_asked > prediction.landmark_day else ""
    tier = f", {advised.tier}" if advised else ""
    simulated = " (simulated)" if manifest.training_cohort.provenance == "simulated" else ""
    rest = f" within {horizon:g} days{since}: {risk}{tier}{simulated}"
    title = event_title(endpoint.event)
    return (title[:1].upper() + title[1:])[: LONGEST - len(rest)] + rest


def _detail(
    manifest: Manifest, answered: PredictAnswer, read: ReadRecord, advised: Advice | None, ordered: Sequence[str]
) -> Iterator[str]:
    """Paragraphs of Markdown."""
    prediction = answered.predictions[0]
    yield f"From {read.day(prediction.landmark_day).isoformat()}, day {prediction.landmark_day:g} after infusion:"
    yield _table(manifest, prediction)
    about = [OPTIONS[key] for key in ordered]
    if about:
        yield _list("Guidance on what is being ordered, to be weighed by a clinician:", about)
    others = [option for option in (advised.options if advised else ()) if option not in about]
    if others:
        yield _list("What published guidance offers, to be weighed by a clinician:", others)
    if advised is not None:
        yield advised.rests_on
    if read.preliminary:
        yield PRELIMINARY
    yield from map(escaped, (*remarks(answered), *read.notes))
    yield f"Model {answered.model.version}. {RESEARCH}"


def _table(manifest: Manifest, prediction: Prediction) -> str:
    """Causes down, horizons across, each risk with its interval."""
    rules = (manifest.endpoint.event, *manifest.endpoint.competing)
    head = ["Risk", *(f"{horizon:g} days" for horizon in prediction.horizons_days)]
    rows = [
        [event_title(rule), *(shown_risk(manifest, prediction, rule.name, at) for at in range(len(head) - 1))]
        for rule in rules
    ]
    return "\n".join("| " + " | ".join(row) + " |" for row in (head, ["---"] * len(head), *rows))


def _list(title: str, options: Sequence[Option]) -> str:
    return "\n".join((title, "", *(f"- **{one.title}**: {one.text} *{one.source}*" for one in options)))
