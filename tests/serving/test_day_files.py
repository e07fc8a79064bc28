"""How long files of past days are kept, and how lines of a patient are deleted from them."""

from __future__ import annotations

import json
import logging
import os
import subprocess
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from preloaded import SEQUELA

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


def told_of(ledger: Ledger, name: str, days: float) -> None:
    ledger.happened([PatientOutcome(patient_id=name, follow_up_days=days)])


def lines_of(folder: Path) -> list[dict[str, Any]]:
    files = sorted((folder / "outcomes").iterdir())
    return [json.loads(line) for file in files for line in file.read_text("utf-8").splitlines()]


@settings(max_examples=30, deadline=None)
@given(named=st.lists(st.sampled_from("abcd"), max_size=12), gone=st.sets(st.sampled_from("abcde")))
def test_who_is_forgotten_is_gone_and_everyone_else_stays_as_they_were(named: list[str], gone: set[str]) -> None:
    with TemporaryDirectory() as name:
        folder = Path(name)
        for worker in (Ledger(folder), Ledger(folder)):
            for i, one in enumerate(named):
                told_of(worker, one, float(i + 1))
        before = lines_of(folder)
        away = {Ledger(folder).pseudonyms.of(one) for one in gone}
        theirs = [one["patient"] for one in before if one["patient"] in away]
        assert Ledger(folder).forget(gone) == (len(theirs), len(set(theirs)))
        assert lines_of(folder) == [one for one in before if one["patient"] not in away]
        assert Ledger(folder).forget(gone) == (0, 0)
        assert {file.stat().st_mode & 0o777 for file in (folder / "outcomes").iterdir()} <= {0o600}


def test_lines_that_are_written_meanwhile_stay(tmp_path: Path) -> None:
    """Two workers append while others are forgotten again and again: not one line of those who stay is lost."""
    n = 400
    workers = [Ledger(tmp_path) for _ in range(2)]

    def work(worker: Ledger) -> None:
        for i in range(n):
            told_of(worker, "stays" if i % 2 else "goes", float(i + 1))

    threads = [Thread(target=work, args=(worker,)) for worker in workers]
    for thread in threads:
        thread.start()
    forgetting, n_gone = Ledger(tmp_path), 0
    while any(thread.is_alive() for thread in threads):
        n_gone += forgetting.forget(["goes"])[0]
    n_gone += forgetting.forget(["goes"])[0]
    assert n_gone == n
    assert [one["follow_up_days"] for one in lines_of(tmp_path)] == 2 * [float(i + 1) for i in range(1, n, 2)]


def test_who_could_write_still_can_and_nothing_is_left_behind(tmp_path: Path) -> None:
    """The file keeps its owner and mode, so that the service goes on; what a killed command left goes, too."""
    ledger = Ledger(tmp_path)
    told_of(ledger, "a", 1.0)
    told_of(ledger, "b", 1.0)
    (file,) = (tmp_path / "outcomes").iterdir()
    file.chmod(0o640)
    if os.geteuid() == 0:
        os.chown(file, 12345, 54321)
    former = file.stat()
    stale, fresh = (made(file.with_name(f".{file.name}.{name}.part"), days) for name, days in (("x", 1.0), ("y", 0.0)))
    assert ledger.forget(["a"]) == (1, 1)
    now = file.stat()
    assert now.st_ino != former.st_ino
    assert (now.st_uid, now.st_gid, now.st_mode) == (former.st_uid, former.st_gid, former.st_mode)
    assert not stale.exists()
    assert fresh.exists()


def test_a_damaged_line_stays_where_it_was(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    told_of(ledger, "a", 1.0)
    (file,) = (tmp_path / "outcomes").iterdir()
    with file.open("ab") as lines:
        lines.write(b"no json\n[1]\n\xff\n")
    assert ledger.forget(["a"]) == (1, 1)
    assert file.read_bytes() == b"no json\n[1]\n\xff\n"


def test_the_command_reads_ids_and_tells_their_number(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger")
    for name in ("Jane Doe", "Jane Doe", "John Roe"):
        told_of(ledger, name, 3.0)
    command = [SEQUELA, "forget", str(tmp_path / "ledger")]
    (tmp_path / "ids.txt").write_text("\ufeffJane Doe\r\nJane Do\n\n", "utf-8")
    done = subprocess.run([*command, str(tmp_path / "ids.txt")], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "2 lines of 1 patients deleted\n")
    assert "of 1 ids the ledger holds nothing" in done.stderr
    assert "Jane" not in done.stderr
    assert [one["patient"] for one in lines_of(tmp_path / "ledger")] == [ledger.pseudonyms.of("John Roe")]
    (tmp_path / "none.txt").write_text("\n")
    for arguments, said in (
        ([str(tmp_path), str(tmp_path / "none.txt")], f"{tmp_path}: is no ledger"),
        ([str(tmp_path / "ledger"), str(tmp_path / "none.txt")], "none.txt: holds no id"),
        ([str(tmp_path / "ledger"), str(tmp_path / "away.txt")], "away.txt: cannot be read (No such file"),
    ):
        refused = subprocess.run([SEQUELA, "forget", *arguments], capture_output=True, text=True, check=False)
        assert refused.returncode == 1
        assert said in refused.stderr
        assert "Traceback" not in refused.stderr
