"""A day begins where the service is used."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from bundles import bundle

from features.errors import SequelaError
from serving import today as module
from serving.environment import time_zone, time_zone_in
from serving.fhir.operation import asked
from training.artifact.folder import Artifact

ASK = "from serving.today import ZONE, today; print(ZONE, today())"


@pytest.mark.parametrize(("zone", "hours"), [("", 0), ("Pacific/Kiritimati", 14), ("Etc/GMT+12", -12)])
def test_it_is_the_day_of_the_time_zone(zone: str, hours: int) -> None:
    env = os.environ | {"SEQUELA_TIME_ZONE": zone}
    before = datetime.now(UTC)
    done = subprocess.run([sys.executable, "-c", ASK], env=env, capture_output=True, text=True, check=True)
    named, day = done.stdout.split()
    assert named == (zone or "UTC")
    moments = (one + timedelta(hours=hours) for one in (before, datetime.now(UTC)))
    assert day in {one.date().isoformat() for one in moments}


@pytest.mark.parametrize("text", ["Berlin", "../../etc/passwd", "Europe", "/etc/localtime", "Europe/Berlin\0"])
def test_what_is_no_time_zone_is_refused_by_name(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    if "\0" not in text:
        monkeypatch.setenv("SEQUELA_TIME_ZONE", text)
        with pytest.raises(SequelaError, match=r"SEQUELA_TIME_ZONE: .* is no time zone of IANA"):
            time_zone("SEQUELA_TIME_ZONE")
    with pytest.raises(SequelaError, match=r"--time-zone: .* is no time zone of IANA"):
        time_zone_in("--time-zone", text)


def test_a_bundle_without_a_time_is_asked_about_on_that_day(
    artifact: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    content: dict[str, Any] = bundle()
    del content["timestamp"]
    found = []
    for name in ("Pacific/Kiritimati", "Etc/GMT+12"):
        monkeypatch.setenv("SEQUELA_TIME_ZONE", name)
        monkeypatch.setattr(module, "ZONE", time_zone("SEQUELA_TIME_ZONE"))
        found.append(asked(artifact, json.dumps(content).encode()).read.asked_on)
    assert 1 <= (found[0] - found[1]).days <= 2  # 26 hours apart
