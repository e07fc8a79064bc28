"""What physicians did with the cards they were shown: lines of JSON in a folder, a file for each worker and day.

``cards`` says which model and tier a card was of, ``feedback`` what became of it; the two have the card's id in common,
and neither names a patient. Comments are not kept: they may.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from features.errors import InputError, SequelaError
from features.schema import Frozen
from serving.cds.cards import OVERRIDE_REASONS, REASONS
from serving.cds.hooks import UUID as UUID_TEXT
from serving.cds.shown import ShownCards
from serving.day_files import DayFiles

CARDS, FEEDBACK = "cards", "feedback"
MOST = 1_000
"""Pieces of feedback in one call."""
CLOCKS_APART = timedelta(minutes=5)
"""By which a client's clock may be ahead of ours."""
Short = Annotated[str, Field(max_length=200)]


class CardShown(Frozen):
    """A card that was answered."""

    at: AwareDatetime
    card: str
    service: str
    model: str
    """Tag in the model store."""
    indicator: str


class CardFeedback(Frozen):
    """What became of a card."""

    at: AwareDatetime
    """When it was told."""
    by: str | None
    """The key or the client that told it."""
    service: str
    card: str
    shown: bool = False
    """Whether it is known that this service showed such a card."""
    outcome: Literal["accepted", "overridden"]
    reason: str | None
    """Of those that cards offer, why it was overridden; ``other`` for any other."""
    happened_at: AwareDatetime


class _Standard(BaseModel):
    """As the standard has it; what is not named here is not kept."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)


class Reason(_Standard):
    """One of those that a card offers, or another."""

    code: Short
    system: Short = ""


class OverrideReason(_Standard):
    """Why a card was overridden."""

    reason: Reason | None = None


class Given(_Standard):
    """Feedback on one card."""

    card: Annotated[str, Field(pattern=UUID_TEXT)]
    outcome: Literal["accepted", "overridden"]
    overrideReason: OverrideReason | None = None  # noqa: N815  (the standard's name)
    outcomeTimestamp: AwareDatetime  # noqa: N815


class FeedbackRequest(_Standard):
    """Of one service."""

    feedback: Annotated[list[Given], Field(min_length=1, max_length=MOST)]


class Feedback:
    """Of one folder, which is made when there is none.

    Args:
        folder: Its files are readable by their owner alone.
        keep_days: Files of more days ago are deleted; None: none is.

    Raises:
        SequelaError: It cannot be written.
    """

    def __init__(self, folder: Path, keep_days: int | None = None) -> None:
        try:
            self._files = DayFiles(folder, (CARDS, FEEDBACK), keep_days)
            self._shown = ShownCards(folder / CARDS)
        except OSError as error:
            msg = f"{folder}: cannot be written ({error.strerror}); name a folder that is ours"
            raise SequelaError(msg) from error

    def shown(self, one: CardShown) -> None:
        """Keep which card was answered.

        Raises:
            OSError: It cannot be written.
        """
        self._files.append(CARDS, one.at, [one])

    def given(self, request: FeedbackRequest, service: str, by: str | None) -> None:
        """Keep what became of cards.

        Raises:
            InputError: A card is one of another service, or something happened later than now.
            OSError: It cannot be written, or what was shown not be read.
        """
        now = datetime.now(UTC)
        kept = []
        for i, one in enumerate(request.feedback):
            place, shown_by = f"request.feedback[{i}]", self._shown.service_of(one.card)
            if shown_by not in (None, service):
                raise InputError(f"{place}.card", "must be a card of this service")
            if one.outcomeTimestamp > now + CLOCKS_APART:
                raise InputError(f"{place}.outcomeTimestamp", "must not lie in the future")
            kept.append(_kept(one, now, service, by, shown=shown_by is not None))
        self._files.append(FEEDBACK, now, kept)


def _kept(one: Given, now: datetime, service: str, by: str | None, *, shown: bool) -> CardFeedback:
    reason = None if one.overrideReason is None else one.overrideReason.reason
    return CardFeedback(
        at=now,
        by=by,
        service=service,
        card=one.card,
        shown=shown,
        outcome=one.outcome,
        reason=None if reason is None else _known(reason),
        happened_at=one.outcomeTimestamp,
    )


def _known(reason: Reason) -> str:
    """One of ours: others are free text, in which anything may stand."""
    return reason.code if reason.system == REASONS and reason.code in OVERRIDE_REASONS else "other"
