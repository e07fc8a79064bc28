"""Feedback is of cards that were shown, by the service that showed them, and of what has happened."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from features.errors import InputError
from serving.cds import shown
from serving.cds.feedback import CardShown, Feedback, FeedbackRequest
from serving.cds.shown import ShownCards

VIEW, ORDER = "sequela-patient-view", "sequela-order-select"


def show(feedback: Feedback, service: str = VIEW) -> str:
    card = str(uuid.uuid4())
    feedback.shown(CardShown(at=datetime.now(UTC), card=card, service=service, model="m:1", indicator="info"))
    return card


def told(card: str, **more: Any) -> FeedbackRequest:
    one = {"card": card, "outcome": "accepted", "outcomeTimestamp": datetime.now(UTC).isoformat()} | more
    return FeedbackRequest.model_validate({"feedback": [one]})


def kept(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for path in (folder / "feedback").iterdir() for line in path.read_text().splitlines()]


def test_whether_a_card_is_known_to_have_been_shown_is_kept(tmp_path: Path) -> None:
    """Also by another worker, and however its id is written."""
    ours, other = Feedback(tmp_path), Feedback(tmp_path)
    ours.given(told(show(ours)), VIEW, None)
    ours.given(told(show(other).upper()), VIEW, None)
    ours.given(told(str(uuid.uuid4())), VIEW, None)
    assert [one["shown"] for one in kept(tmp_path)] == [True, True, False]


def test_a_card_of_another_service_is_refused(tmp_path: Path) -> None:
    feedback = Feedback(tmp_path)
    with pytest.raises(InputError, match="must be a card of this service") as error:
        feedback.given(told(show(feedback, ORDER)), VIEW, None)
    assert error.value.field == "request.feedback[0].card"
    assert kept(tmp_path) == []


def test_what_lies_in_the_future_has_not_happened(tmp_path: Path) -> None:
    feedback = Feedback(tmp_path)
    card, now = show(feedback), datetime.now(UTC)
    feedback.given(told(card, outcomeTimestamp=(now + timedelta(minutes=1)).isoformat()), VIEW, None)  # a clock ahead
    for later in (now + timedelta(minutes=10), datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)):
        with pytest.raises(InputError, match="must not lie in the future") as error:
            feedback.given(told(card, outcomeTimestamp=later.isoformat()), VIEW, None)
        assert error.value.field == "request.feedback[0].outcomeTimestamp"
    assert len(kept(tmp_path)) == 1


def test_as_many_cards_are_remembered_as_are_borne(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shown, "MOST", 3)
    feedback, cards = Feedback(tmp_path), ShownCards(tmp_path / "cards")
    ids = [show(feedback) for _ in range(5)]
    assert [cards.service_of(one) for one in ids] == [None, None, VIEW, VIEW, VIEW]


def test_lines_that_are_whole_are_read_once_and_those_half_written_later(tmp_path: Path) -> None:
    cards, card = ShownCards(tmp_path), str(uuid.uuid4())
    today = f"{datetime.now(UTC):%Y-%m-%d}"
    line = json.dumps({"card": card, "service": VIEW})
    file = tmp_path / f"{today}-1-ab.jsonl"
    file.write_text("no JSON\n" + line, "utf-8")
    assert cards.service_of(card) is None
    file.write_text("no JSON\n" + line + "\n", "utf-8")
    assert cards.service_of(card) == VIEW
    old, late = str(uuid.uuid4()), datetime.now(UTC) - timedelta(days=shown.DAYS + 1)
    (tmp_path / f"{late:%Y-%m-%d}-1-ab.jsonl").write_text(json.dumps({"card": old, "service": VIEW}) + "\n", "utf-8")
    assert cards.service_of(old) is None
