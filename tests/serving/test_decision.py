"""A risk is written with as many digits as it takes to be read in its own tier."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from features.schema import Decision, Tier
from serving.answer import answer
from serving.decision import shown_risk, worth_of
from serving.messages import Prediction, PredictRequest
from training.artifact.folder import Artifact
from training.artifact.manifest import Manifest, ThresholdBenefit

DECISION = Decision(horizon_days=90, tiers=(Tier(name="standard"), Tier(name="raised", from_risk=0.1)))


@pytest.fixture(scope="module")
def manifest(artifact: Artifact) -> Manifest:
    endpoint = artifact.manifest.endpoint.model_copy(update={"decision": DECISION})
    return artifact.manifest.model_copy(update={"endpoint": endpoint})


@pytest.fixture(scope="module")
def predicted(artifact: Artifact) -> Prediction:
    request = PredictRequest.model_validate({"patients": [{}]})
    return answer(artifact, "m:1", request).predictions[0]


def with_risk(predicted: Prediction, risk: float, **more: Any) -> Prediction:
    return predicted.model_copy(
        update={"incidence": {"infection": (risk, 0.5, 0.6), "death": (risk, 0.1, 0.2)}, **more}
    )


@pytest.mark.parametrize(
    ("risk", "shown"),
    [
        (0.0996, "9.96 %"),
        (0.09999, "9.999 %"),
        (0.1, "10.0 %"),
        (0.1004, "10.0 %"),
        (0.0949, "9.5 %"),
        (0.243, "24.3 %"),
    ],
)
def test_a_risk_near_a_threshold_has_more_digits(
    manifest: Manifest, predicted: Prediction, risk: float, shown: str
) -> None:
    assert shown_risk(manifest, with_risk(predicted, risk), "infection", 0) == shown


def test_of_what_is_not_decided_by_it_has_one(manifest: Manifest, predicted: Prediction) -> None:
    assert shown_risk(manifest, with_risk(predicted, 0.0996), "death", 0) == "10.0 %"


@given(risk=st.floats(0, 1))
def test_what_is_read_is_in_the_tier_of_what_is_meant(manifest: Manifest, predicted: Prediction, risk: float) -> None:
    text = shown_risk(manifest, with_risk(predicted, risk), "infection", 0)
    read = round(float(text.removesuffix(" %")) / 100, 9)
    assert DECISION.tier_of(read) == DECISION.tier_of(risk) or abs(risk - 0.1) < 1e-7


def test_an_interval_stands_beside_it(manifest: Manifest, predicted: Prediction) -> None:
    ends = dict.fromkeys(("infection", "death"), ((0.04, 0.2),) * 3)
    found = with_risk(predicted, 0.0996, interval=ends)
    assert shown_risk(manifest, found, "infection", 0) == "9.96 % (90 % interval 4.0 % to 20.0 %)"


def test_an_artifact_says_numbers(manifest: Manifest) -> None:
    content = manifest.model_dump()
    content["endpoint"]["decision"]["tiers"][1]["from_risk"] = (0.05, 0.15)
    with pytest.raises(ValidationError, match="must be a number in an artifact"):
        Manifest.model_validate(content)


def test_nothing_is_less_than_nothing() -> None:
    measured = ThresholdBenefit(landmark_day=0, threshold=0.1, flagged=0.5, gain=(-0.0002, -0.01, 0.01))
    assert "is 0.0 true positives in 100 patients (95 % interval −1.0 to 1.0)" in worth_of(0.1, measured)
