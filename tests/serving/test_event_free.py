"""Of a patient who had an event of the endpoint, the answer says so: a risk of a first event is not theirs."""

from __future__ import annotations

from typing import Any

import pytest

from serving.answer import answer
from serving.messages import PredictRequest
from training.artifact.folder import Artifact

SEVERE = {"event": "infection", "day": 5.0, "grade": 3}
MILD = {"event": "infection", "day": 5.0, "grade": 2}
UNGRADED = {"event": "infection", "day": 5.0}
ICANS = {"event": "icans", "day": 5.0, "grade": 4}
LATER = {"event": "infection", "day": 30.5, "grade": 5}


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([], ()),
        ([SEVERE], ("infection",)),
        ([MILD, UNGRADED, ICANS, LATER], ()),
        ([MILD, SEVERE, SEVERE | {"day": 30.0}, ICANS], ("infection",)),
        ([SEVERE | {"day": -3.0}], ("infection",)),
    ],
    ids=["none", "severe", "not counted", "each once", "before infusion, as in training"],
)
def test_events_of_the_endpoint_by_the_landmark_are_named(
    artifact: Artifact, events: list[dict[str, Any]], expected: tuple[str, ...]
) -> None:
    record = {"landmark_day": 30.0, "baseline": {"age": 63.0}, "events": events}
    request = PredictRequest.model_validate({"patients": [record]})
    assert answer(artifact, "v", request).predictions[0].happened == expected
