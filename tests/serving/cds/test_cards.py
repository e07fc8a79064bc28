"""A card says what it rests on, alarms by it, and lets nothing of a record become markup."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import date
from typing import Any

import pytest
from bundles import bundle, observation
from hypothesis import given
from hypothesis import strategies as st

from features.records import PatientRecord
from features.schema import Decision, Tier
from serving.answer import answer
from serving.card import model_card
from serving.cds.cards import card, escaped
from serving.decision import advice
from serving.fhir.entries import entries_of
from serving.fhir.record import ReadRecord, read_record
from serving.messages import PredictRequest
from training.artifact.folder import Artifact
from training.artifact.manifest import ThresholdBenefit, TierThreshold

Json = dict[str, Any]
Gain = tuple[float, float, float] | None
TIERS = (Tier(name="standard"), Tier(name="raised", from_risk=0.001), Tier(name="high", from_risk=0.002))


def deciding(artifact: Artifact, gain: Gain, *, searched: bool = False) -> Artifact:
    """The same model, in whose highest tier everyone is; `gain` is that of the tier's threshold."""
    decision = Decision(horizon_days=180, tiers=TIERS)
    endpoint = artifact.manifest.endpoint.model_copy(update={"decision": decision})
    measured = ThresholdBenefit(landmark_day=0, threshold=0.002, flagged=1, gain=gain, at_once=21 if searched else 1)
    chosen = TierThreshold(
        tier="high", threshold=0.002, how="chosen", accepted=(0.2, 0.4), gain=(0.03, 0.01, 0.05), at_once=21
    )
    thresholds = (TierThreshold(tier="raised", threshold=0.001, how="given"), chosen) if searched else ()
    update = {"endpoint": endpoint, "decision": (measured,), "thresholds": thresholds}
    return replace(artifact, manifest=artifact.manifest.model_copy(update=update))


def read(artifact: Artifact, *resources: Json, **more: Any) -> ReadRecord:
    content = bundle(*resources)
    content["entry"][-1] |= more
    model = artifact.model.encoder, artifact.manifest.endpoint
    return read_record(entries_of(content), *model, asked_on=date(2026, 3, 30), lenient=True)


def shown(artifact: Artifact, record: ReadRecord) -> Json:
    answered = answer(artifact, "m:1", PredictRequest(patients=(record.record,)))
    return card(artifact.manifest, answered, record, page=None)


@pytest.mark.parametrize(
    ("gain", "indicator"),
    [
        ((0.02, 0.01, 0.03), "critical"),
        ((0.01, -0.01, 0.03), "critical"),
        (None, "critical"),
        ((-0.02, -0.03, -0.01), "info"),
    ],
)
def test_where_acting_was_shown_to_be_of_no_use_nothing_is_alarming(
    artifact: Artifact, gain: Gain, indicator: str
) -> None:
    of = deciding(artifact, gain)
    found = shown(of, read(of))
    assert found["indicator"] == indicator
    assert ", high" in found["summary"]


def test_the_card_says_how_the_threshold_came_and_so_does_the_model(artifact: Artifact) -> None:
    of = deciding(artifact, (0.02, -0.01, 0.05), searched=True)
    detail = shown(of, read(of))["detail"]
    chosen = (
        "The threshold of 0.2 % was chosen by net benefit: of 20 to 40 %, the lowest from which acting was shown to be "
        "worth more than the better of acting on all and on nobody, by 3.0 true positives in 100 patients (95 % "
        "interval 1.0 to 5.0, at once for all 21 thresholds searched)."
    )
    assert chosen in detail
    assert "is 2.0 true positives in 100 patients (95 % interval −1.0 to 5.0, at once for all 21" in detail
    raised, high = model_card(of, "m:1").thresholds
    assert (high.how, high.accepted, high.said) == ("chosen", (0.2, 0.4), chosen)
    assert raised.said == "The threshold of 0.1 % was given with the endpoint, as a judgement of harms."


def test_thresholds_of_artifacts_of_before_were_given(artifact: Artifact) -> None:
    of = deciding(artifact, None)
    request = PredictRequest(patients=(PatientRecord(landmark_day=0),))
    advised = advice(of.manifest, answer(of, "m:1", request).predictions[0])
    assert advised is not None
    assert advised.rests_on.startswith("The threshold of 0.2 % was given with the endpoint")
    assert [one.how for one in model_card(of, "m:1").thresholds] == ["given", "given"]


@pytest.mark.parametrize("status", ["preliminary", "final"])
def test_a_preliminary_value_is_said(artifact: Artifact, status: str) -> None:
    record = read(artifact, observation("2276-4", -2, 900, "ng/mL", id="f", status=status))
    said = "A preliminary value entered" in shown(artifact, record)["detail"]
    assert said == (status == "preliminary")


def test_nothing_of_a_record_is_markup(artifact: Artifact) -> None:
    """What cannot be read is named, by an address that the record gives."""
    record = read(artifact, observation("2276-4", -2, 900, "ng/mL", id="f"))
    evil = "\n# [x](javascript:alert(1)) <img src=x onerror=y> https://evil.example | `a`"
    lines = shown(artifact, replace(record, notes=(f"Could not be read: {evil}.",)))["detail"].splitlines()
    (line,) = [one for one in lines if "evil" in one]
    assert line.startswith(r"Could not be read: \# \[x\](javascript:alert(1)) \<img src=x onerror=y\> https:\//evil")


@given(text=st.text(max_size=60))
def test_escaped_text_is_one_line_that_reads_as_it_was(text: str) -> None:
    found = escaped(text)
    assert len(found.splitlines()) <= 1
    assert "://" not in found
    assert not any(one in found.replace(f"\\{one}", "") for one in "*_[]<>`|#")
    read_again = re.sub(r"\\([!-/:-@\[-`{-~])", r"\1", found)  # as Markdown takes an escape
    assert read_again == " ".join("".join(one if one.isprintable() else " " for one in text).split())
