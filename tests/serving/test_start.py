"""`bentoml`, as `sequela serve` starts it."""

from __future__ import annotations

import pytest
from bentoml._internal.utils import circus

from serving import start


def test_the_process_above_the_workers_looks_after_them_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """With BentoML's own function, whose default is ten seconds, and an arbiter that only notes what it is told."""
    told: dict[str, object] = {}

    class Noting:
        def __init__(self, watchers: list[object], **words: object) -> None:
            told.update(words)

    def command_line() -> None:
        circus.create_standalone_arbiter([])

    monkeypatch.setattr(circus, "create_standalone_arbiter", circus.create_standalone_arbiter)  # put back at the end
    monkeypatch.setattr(circus, "Arbiter", Noting)
    monkeypatch.setattr("bentoml_cli.cli.cli", command_line)
    start.main()
    assert told["check_delay"] == start.LOOK_SECONDS < 10
