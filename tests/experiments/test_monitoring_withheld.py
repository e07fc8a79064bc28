"""`sequela monitor` tells of a few real patients nowhere: not on the page, its figure, in the terminal or as JSON."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from preloaded import SEQUELA

from experiments.home import CONFIGS
from experiments.monitoring.markers import MODEL
from experiments.monitoring.rules import Rule
from experiments.monitoring.shown import cells
from experiments.monitoring.withheld import guarded, guarded_together
from experiments.page.privacy import SMALLEST, Disclosure
from experiments.page.tables import threshold_text
from training.evaluation.alerts import AlertPerformance
from training.evaluation.intervals import Interval

REAL, SIMULATED = Disclosure(True, False), Disclosure(False, True)
SETTINGS = (
    "features={measurements: [], cells: []}",
    "model={kind: cox, penalty: 50}",
    "validation={folds: 3, repeats: 1, bootstrap: 40}",
)


def few(count: int, whole: int) -> bool:
    """Whether a part of a whole is of 1 to 4, or all but so few."""
    return 0 < count < SMALLEST or 0 < whole - count < SMALLEST


def rule_of(n_events: int, n_caught: int, n_alerted: int, n_followed: int) -> Rule:
    told = Interval(0.5, 0.4, 0.6)
    performance = AlertPerformance(told, told, told, n_events, n_caught, n_alerted, 60)
    return Rule("last crp", "mg/L", 0.1, 12.0, False, performance, told, n_followed)


@given(counts=st.tuples(*[st.integers(0, 30)] * 4))
def test_what_tells_of_few_is_withheld_and_nothing_else(counts: tuple[int, int, int, int]) -> None:
    n_alerted, n_events = max(counts), sorted(counts)[2]
    n_caught, n_followed = sorted(counts)[1], min(counts)
    rule = rule_of(n_events, n_caught, n_alerted, n_followed)
    assert guarded(rule, SIMULATED) == rule
    hidden = few(n_caught, n_events) or few(n_alerted, 60) or few(n_followed, n_alerted)
    found = guarded(rule, REAL)
    assert found.withheld == hidden
    assert cells(found)[1:] == (("withheld",) * 3 if hidden else cells(rule)[1:])
    assert (cells(found)[0] == "withheld") == (0 < n_alerted < SMALLEST)


@pytest.fixture(scope="module")
def real(cohort: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The simulated patients, said to be real."""
    folder = tmp_path_factory.mktemp("real") / "cohort"
    shutil.copytree(cohort, folder)
    card = folder / "cohort.yaml"
    card.write_text(card.read_text("utf-8").replace("provenance: simulated", "provenance: real"), "utf-8")
    return folder


def watched(cohort: Path, folder: Path, *more: str) -> tuple[str, str]:
    """What is printed, and the page."""
    page = folder / "monitor.html"
    words = [str(CONFIGS / "run" / "cox.yaml"), "--set", f"cohort={cohort}", "--alerts", "0.02", "--alerts", "0.3"]
    words += [word for one in SETTINGS for word in ("--set", one)]
    environment = os.environ | {"SEQUELA_HOME": str(folder / "home"), "COLUMNS": "250"}
    done = subprocess.run(
        [SEQUELA, "monitor", *words, "--out", str(page), *more], capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stderr
    return done.stdout, page.read_text("utf-8")


def test_no_count_of_a_few_follows_from_what_is_told(real: Path, cohort: Path, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "simulated").mkdir()
    printed, page = watched(real, tmp_path / "real", "--json")
    found = json.loads(printed)
    hidden = [rule for rule in found["rules"] if rule["withheld"]]
    told = [rule for rule in found["rules"] if not rule["withheld"]]
    assert hidden
    assert told
    for rule in hidden:
        own = rule["performance"]
        assert {own["caught"]["point"], own["lead_days"]["point"], rule["after_first_alert"]["point"]} == {None}
        assert set(own) == {"per_patient_month", "caught", "lead_days", "n_events"}
        assert "n_followed" not in rule
    for rule in told:
        n_events = rule["performance"]["n_events"]
        caught = rule["performance"]["caught"]["point"] * n_events
        assert caught == pytest.approx(round(caught), abs=1e-6)  # so it can be read off
        assert not few(round(caught), n_events)
    for rate in (rule["performance"]["per_patient_month"]["point"] for rule in found["rules"]):
        assert rate is None or not 0 < round(rate * found["patient_months"]) < SMALLEST
    rows = re.findall(r"<tr>.*?</tr>", page, re.DOTALL)
    assert sum("withheld" in row for row in rows) == len(hidden)
    assert "or all but so few, have an alert" in page
    drawn = re.findall(r"<svg.*?</svg>", page, re.DOTALL)[0]
    names = {rule["marker"] for rule in told}
    assert any(f">{name}<" in drawn for name in names)
    assert not any(f">{rule['marker']}<" in drawn for rule in hidden if rule["marker"] not in names)
    other = json.loads(watched(cohort, tmp_path / "simulated", "--json")[0])
    assert not any(rule["withheld"] for rule in other["rules"])  # simulated patients have nothing to hide


@given(st.lists(st.tuples(*[st.integers(0, 30)] * 3), min_size=1, max_size=5))
def test_no_few_lie_between_two_thresholds_of_a_marker(counts: list[tuple[int, int, int]]) -> None:
    rules = [rule_of(60, n_caught, n_alerted, n_followed) for n_caught, n_alerted, n_followed in counts]
    assert guarded_together(rules, SIMULATED) == tuple(rules)
    told = [
        (rule.performance.n_caught, rule.performance.n_alerted, rule.n_followed)
        for rule in guarded_together(rules, REAL)
        if not rule.withheld
    ]
    for one, other in pairwise(told):
        assert not any(0 < abs(n - m) < SMALLEST for n, m in zip(one, other, strict=True))
    alone = [rule for rule in rules if not guarded(rule, REAL).withheld]
    assert bool(told) == bool(alone)


def test_thresholds_are_written_as_they_are_applied(real: Path, tmp_path: Path) -> None:
    """The page has the very thresholds of the JSON."""
    printed, page = watched(real, tmp_path, "--json")
    rules = [rule for rule in json.loads(printed)["rules"] if rule["threshold"] is not None]
    assert len(rules) > 10
    for rule in rules:
        of_model = rule["marker"] == MODEL
        value = 100 * rule["threshold"] if of_model else rule["threshold"]
        sign = "≤" if rule["below"] else "≥"
        written = re.search(rf"{sign} ([\d,.e+-]+)", page)
        assert written is not None
        assert f"{sign} {threshold_text(value)}" in page
        assert float(threshold_text(value).replace(",", "")) == pytest.approx(value, rel=1e-12)
