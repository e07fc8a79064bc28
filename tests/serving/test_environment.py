"""Numbers that the environment gives a service."""

from __future__ import annotations

import pytest

from features.errors import SequelaError
from serving.environment import number, whole


def test_what_is_not_said_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEQUELA_MAX_SECONDS", "")
    assert number("SEQUELA_MAX_SECONDS", 120) == 120
    assert whole("SEQUELA_AUDIT_KEEP_DAYS", None, most=9) is None
    monkeypatch.setenv("SEQUELA_MAX_SECONDS", "2.5")
    assert number("SEQUELA_MAX_SECONDS", 120) == 2.5


@pytest.mark.parametrize("text", ["2m", "0", "-1", "nan", "inf", "10", "1e400"])
def test_what_makes_no_sense_is_refused_by_name(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """A negative number of days would delete what is written today."""
    monkeypatch.setenv("SEQUELA_LEDGER_KEEP_DAYS", text)
    with pytest.raises(SequelaError, match=r"SEQUELA_LEDGER_KEEP_DAYS: .* is no number above 0 and up to 9"):
        whole("SEQUELA_LEDGER_KEEP_DAYS", None, most=9)


def test_half_a_day_is_no_day(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEQUELA_LEDGER_KEEP_DAYS", "1.5")
    with pytest.raises(SequelaError, match="is no whole number"):
        whole("SEQUELA_LEDGER_KEEP_DAYS", None, most=9)
