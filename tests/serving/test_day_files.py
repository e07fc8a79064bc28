"""How long files of past days are kept."""

from __future__ import annotations

import logging
import os
from datetime import timedelta
from pathlib import Path

import pytest

from serving.asking import Asking
from serving.audit import AuditLog
from serving.day_files import delete_older, today
from serving.ledger import Ledger
from serving.messages import PatientOutcome

DAY = 86_400


def made(path: Path, days_ago: float = 0.0) -> Path:
    """A file that was last written so many days ago."""
    path.write_text("{}\n")
    then = path.stat().st_mtime - days_ago * DAY
    os.utime(path, (then, then))
    return path


def aside(days_ago: int) -> str:
    return f"audit.jsonl.{today() - timedelta(days=days_ago):%Y%m%d}T120000.000000Z"


def test_an_audit_log_is_kept_for_so_many_days(tmp_path: Path) -> None:
    path = made(tmp_path / "audit.jsonl", days_ago=1.5)
    names = [aside(2), aside(3), aside(4), "audit.jsonl.notes", "audit.jsonl.20269999T120000.000000Z", "other.txt"]
    for name in names:
        made(tmp_path / name, days_ago=90)
    log = AuditLog(path, keep_days=3)
    log.write(Asking("r"), "predict", "m", 200, ["Jane"])
    found = {file.name for file in tmp_path.iterdir()}
    assert set(names) - found == {aside(4)}
    (ended,) = found - {*names, "audit.jsonl", "audit.jsonl.key"}
    assert ended.startswith(f"audit.jsonl.{today():%Y%m%d}T")
    assert len(path.read_text().splitlines()) == 1, "what was there yesterday is put aside"
    log.write(Asking("s"), "predict", "m", 200, ["Jane"])
    assert len(path.read_text().splitlines()) == 2


def test_an_audit_log_without_a_number_of_days_is_kept_for_ever(tmp_path: Path) -> None:
    path = made(tmp_path / "audit.jsonl", days_ago=1.5)
    made(tmp_path / aside(4_000))
    AuditLog(path, max_bytes=3).write(Asking("r"), "predict", "m", 200, [])
    assert (tmp_path / aside(4_000)).exists()
    assert len(list(tmp_path.glob("audit.jsonl.2*"))) == 2


@pytest.mark.parametrize("keep_days", [30, None])
def test_a_ledger_is_kept_for_so_many_days(tmp_path: Path, keep_days: int | None) -> None:
    Ledger(tmp_path)
    days = [today() - timedelta(days=days) for days in (29, 30, 31, 400)]
    for kind in ("predictions", "outcomes"):
        for day in days:
            made(tmp_path / kind / f"{day}-17-abcdef.jsonl")
    ledger = Ledger(tmp_path, keep_days)
    ledger.happened([PatientOutcome(patient_id="p", follow_up_days=3.0)])
    kept = days[:2] if keep_days else days
    assert sorted(file.name[:10] for file in (tmp_path / "predictions").iterdir()) == sorted(map(str, kept))
    told = sorted(file.name[:10] for file in (tmp_path / "outcomes").iterdir())
    assert told == sorted(map(str, [*kept, today()]))
    assert (tmp_path / "key").exists()


def test_a_ledger_in_use_looks_again_when_the_next_day_begins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = Ledger(tmp_path, 30)
    old = made(tmp_path / "outcomes" / f"{today() - timedelta(days=30)}-17-abcdef.jsonl")
    ledger.happened([PatientOutcome(patient_id="p", follow_up_days=3.0)])
    assert old.exists()
    tomorrow = today() + timedelta(days=1)
    monkeypatch.setattr("serving.day_files.today", lambda: tomorrow)
    ledger.happened([PatientOutcome(patient_id="p", follow_up_days=3.0)])
    assert not old.exists()


def test_what_cannot_be_deleted_is_logged_and_ends_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "2000-01-01-x.jsonl").mkdir()
    logging.getLogger("bentoml.sequela").propagate = True
    delete_older(tmp_path, r"(?P<day>\d{4}-\d\d-\d\d)-.+\.jsonl", 1)
    assert "files of past days cannot be deleted" in caplog.text
