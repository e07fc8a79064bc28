"""Drift of a served model: found where it was planted, and rarely where it was not."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser import Browser
from pages import assert_shown_well, serious_violations
from preloaded import SEQUELA

from experiments.config import RunConfig
from experiments.drift import Window, judge, latest, windows_in, write_drift_page
from experiments.home import Home
from experiments.progress import Progress
from experiments.train import train
from experiments.windows import n_looks
from features.drift import Reference, Spread
from features.errors import SequelaError
from serving.answer import answer
from serving.messages import PredictRequest
from serving.store import publish
from serving.use import Use
from training.artifact.folder import read_artifact

N_TRAINED, N_COLUMNS = 400, 30
DAY = date(2026, 1, 5)


def reference(rng: np.random.Generator) -> Reference:
    columns = {f"c{i}": rng.normal(size=N_TRAINED) for i in range(N_COLUMNS)}
    columns["c1"][rng.random(N_TRAINED) < 0.2] = np.nan
    return Reference.of(columns, {"infection": rng.beta(2, 5, N_TRAINED)})


def window(rng: np.random.Generator, learnt: Reference, n: int, shift: float = 0.0, missing: float = 0.2) -> Window:
    columns = {name: rng.normal(size=n) + (shift if name == "c0" else 0.0) for name in learnt.inputs}
    columns["c1"][rng.random(n) < missing] = np.nan
    inputs = {name: Spread.of(values, learnt.inputs[name].edges) for name, values in columns.items()}
    risks = {"infection": Spread.of(rng.beta(2, 5, n), learnt.risks["infection"].edges)}
    return Window("sequela:v1", DAY, n, inputs, risks)


def test_planted_drift_is_found_by_name_and_false_alarms_are_rare() -> None:
    rng, false = np.random.default_rng(3), 0
    for _ in range(40):
        learnt = reference(rng)
        false += any(one.alert for one in judge(window(rng, learnt, 300), learnt))
        found = {one.name: one for one in judge(window(rng, learnt, 300, shift=1.0, missing=0.5), learnt)}
        assert found["c0"].shifted
        assert found["c1"].missing_otherwise
        assert not found["c1"].shifted
    assert false <= 1, "at a level of 0.01 for all variables of a window"


def test_a_few_known_values_of_many_patients_are_no_shift() -> None:
    learnt = Reference.of({"rare": np.repeat([0.0, 5.0], [95, 5])}, {"infection": np.linspace(0, 1, 100)})
    come = np.full(100, np.nan)
    come[:2] = 5.0
    spread = Spread.of(come, learnt.inputs["rare"].edges)
    (found,) = judge(Window("m", DAY, 100, {"rare": spread}, {}), learnt)
    assert not found.shifted


def test_small_windows_are_not_judged() -> None:
    rng = np.random.default_rng(4)
    learnt = reference(rng)
    assert not any(one.alert for one in judge(window(rng, learnt, 19, shift=5.0), learnt))
    assert any(one.alert for one in judge(window(rng, learnt, 60, shift=5.0), learnt))


def rare(rng: np.random.Generator, n: int, share: float = 0.01) -> dict[str, np.ndarray]:
    """Variables that are nearly always the same."""
    twofold = {f"t{i}": (rng.random(n) < share).astype(float) for i in range(20)}
    ordered = {f"o{i}": rng.choice([0.0, 1.0, 2.0], n, p=[0.6, 0.39, 0.01]) for i in range(30)}
    return twofold | ordered


def of_values(columns: dict[str, np.ndarray], learnt: Reference) -> Window:
    inputs = {name: Spread.of(values, learnt.inputs[name].edges) for name, values in columns.items()}
    return Window("m", DAY, len(next(iter(columns.values()))), inputs, {})


def test_rare_values_in_a_small_window_raise_no_alarm_by_chance() -> None:
    rng, false = np.random.default_rng(5), 0
    for _ in range(100):
        learnt = Reference.of(rare(rng, 400), {"infection": rng.beta(2, 5, 400)})
        false += any(one.alert for one in judge(of_values(rare(rng, 20), learnt), learnt))
    assert false <= 3, "at a level of 0.01 for all variables of a window"
    found = {one.name: one.alert for one in judge(of_values(rare(rng, 20, share=0.6), learnt), learnt)}
    assert all(found[f"t{i}"] for i in range(20)), "and what is common of a sudden is found"


def test_a_window_that_is_not_over_may_be_looked_at_every_day() -> None:
    rng = np.random.default_rng(6)
    learnt = reference(rng)
    over = window(rng, learnt, 100, shift=0.9)
    once = np.array([(one.p, one.p_missing) for one in judge(over, learnt)])
    daily = np.array([(one.p, one.p_missing) for one in judge(replace(over, n_looks=7), learnt)])
    np.testing.assert_allclose(daily, np.minimum(7 * once, 1))
    assert once.min() < 0.01


@pytest.mark.parametrize(
    ("length", "first", "today", "looks"),
    [
        ("day", date(2026, 3, 4), date(2026, 3, 4), 1),
        ("week", date(2026, 3, 2), date(2026, 3, 8), 7),
        ("week", date(2026, 3, 2), date(2026, 3, 9), 1),
        ("month", date(2026, 3, 1), date(2026, 3, 31), 31),
        ("quarter", date(2026, 1, 1), date(2026, 3, 31), 92),
        ("quarter", date(2026, 1, 1), date(2026, 4, 1), 1),
    ],
)
def test_how_often_a_window_is_looked_at(length: Any, first: date, today: date, looks: int) -> None:
    assert n_looks(first, length, today) == looks


def test_a_window_that_has_just_begun_does_not_end_the_alerts_of_the_last() -> None:
    rng = np.random.default_rng(7)
    learnt = reference(rng)
    before = judge(window(rng, learnt, 60, shift=5.0), learnt)
    begun = judge(replace(window(rng, learnt, 4, shift=5.0), first=DAY + timedelta(days=7)), learnt)
    assert latest([*before, *begun]) == before
    assert latest(begun) == begun
    assert not any(one.alert for one in begun)


def silent(*_: Any) -> None:
    pass


@pytest.fixture
def served(home: Home, run_config: RunConfig, monkeypatch: pytest.MonkeyPatch) -> tuple[Home, Any, str]:
    """A store with a trained and published model."""
    monkeypatch.setenv("BENTOML_HOME", str(home.bentoml))
    result = train(run_config, home, Progress(cells=silent, folds=silent))
    tag = publish(result.folder / "artifact", {})
    return home, read_artifact(result.folder / "artifact"), tag


def ask(use: Use, artifact: Any, tag: str, ages: np.ndarray) -> None:
    """As the service does."""
    request = PredictRequest.model_validate({"patients": [{"baseline": {"age": float(age)}} for age in ages]})
    reference = artifact.manifest.reference
    answer(artifact, tag, request, lambda seen, risk: use.add(tag, reference, seen.values, risk.values[:, :, -1]))
    use.write()


def test_a_trained_model_carries_its_reference_and_the_command_tells_of_drift(
    served: tuple[Home, Any, str], browser: Browser, tmp_path: Path
) -> None:
    home, artifact, tag = served
    learnt = artifact.manifest.reference
    assert set(learnt.inputs) == set(artifact.model.encoder.input_names)
    assert set(learnt.risks) == set(artifact.model.causes)
    assert learnt.inputs["landmark_day"].counts[0] == 150, "each patient once from day 0"
    assert all(sum(spread.counts) + spread.missing == learnt.n_rows for spread in learnt.inputs.values())
    for worker in range(2):
        ask(Use(home.use), artifact, tag, np.random.default_rng(worker).uniform(82, 90, 60))
    page = tmp_path / "drift.html"
    done = subprocess.run([SEQUELA, "drift", "--out", page], capture_output=True, text=True, check=False)
    assert done.returncode == 3, done.stderr
    assert "120 patients" in done.stdout
    assert "age  shifted" in done.stdout
    as_json = subprocess.run([SEQUELA, "drift", "--json"], capture_output=True, text=True, check=False)
    judged = {one["name"]: one for one in json.loads(as_json.stdout)}
    assert judged["age"]["alert"]
    assert judged["age"]["n_known"] == 120
    for width in (390, 1440):
        assert_shown_well(browser, page, width)
    assert serious_violations(browser, page, "light") == []


def test_counts_of_workers_and_days_are_added_up_and_hold_no_row(served: tuple[Home, Any, str]) -> None:
    home, artifact, tag = served
    for worker in range(3):
        ask(Use(home.use), artifact, tag, np.full(10, 61.5 + worker))
    files = list(home.use.glob("*/*.json"))
    assert len(files) == 3
    (week,) = windows_in(home.use, "week")
    assert (week.n_rows, week.model, week.n_looks) == (30, tag, 7)
    today = datetime.now(UTC).date()
    assert week.first == today - timedelta(days=today.weekday())
    assert sum(week.inputs["age"].counts) == 30
    assert "61.5" not in "".join(file.read_text() for file in files)


def test_a_folder_without_counts_and_a_file_of_something_else_are_told(tmp_path: Path) -> None:
    with pytest.raises(SequelaError, match="holds no counts"):
        windows_in(tmp_path, "day")
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "x.json").write_text("{}")
    with pytest.raises(SequelaError, match=r"x\.json: is no file of counts"):
        windows_in(tmp_path, "day")


def test_a_page_without_alerts_is_written(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    learnt = reference(rng)
    write_drift_page(tmp_path / "page.html", judge(window(rng, learnt, 15), learnt))
    assert "0</b><span>alerts" in (tmp_path / "page.html").read_text()
