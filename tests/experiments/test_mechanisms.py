"""`sequela mechanisms`, end to end: a simulated cohort with cells, its page, and questions that make no sense."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
from browser import Browser
from pages import Reader, assert_shown_well, serious_violations
from preloaded import SEQUELA

from features.simulator import simulate

ENDPOINT = """name: infection
event: {name: infection, min_grade: 3}
competing: [{name: death}]
landmark_days: [30]
horizons_days: [90, 180]
"""
SMALL = "{kind: attention, members: 2, max_epochs: 2, cells_per_sample: 16}"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mechanisms")
    simulate(folder / "cohort", n_patients=60, cells_per_sample=20, seed=3)
    (folder / "infection.yaml").write_text(ENDPOINT, "utf-8")
    return folder


def write_run(folder: Path, name: str, model: str, more: str = "") -> Path:
    path = folder / f"{name}.yaml"
    text = f"name: {name}\nexperiment: x\ncohort: cohort\nendpoint: infection.yaml\nmodel: {model}\n{more}"
    path.write_text(text, "utf-8")
    return path


def mechanisms(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [SEQUELA, "mechanisms", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder, env=_env(folder))


def _env(folder: Path) -> dict[str, str]:
    return os.environ | {"SEQUELA_HOME": str(folder / "home"), "COLUMNS": "120"}


def test_what_is_printed_is_what_is_written_and_repeats_itself(folder: Path, browser: Browser) -> None:
    run = write_run(folder, "small", SMALL)
    asked = (run.name, "--folds", "2", "--exchanges", "1", "--horizon", "180", "--change", "exhaustion@blood")
    done = mechanisms(folder, *asked, "--out", "page.html", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["cause"], found["horizon_days"], found["exchanges"]) == ("infection", 180.0, 1)
    whole = {one["state"]: one for one in found["states"] if ":" not in one["state"]}
    assert set(whole) == {"blood", "infusion_product"}
    assert all(one["share_of_cells"] == pytest.approx(1) for one in whole.values())
    types = [one for one in found["states"] if one["state"].startswith("infusion_product:")]
    assert len(types) > 3
    assert all(one["brier_gain_low"] <= one["brier_gain"] <= one["brier_gain_high"] for one in found["states"])
    gain = [one["first_order_gain"] for one in found["genes"]]
    assert gain == sorted(gain, reverse=True)
    for one in (*found["genes"], *found["states"]):
        assert one["first_order_gain_low"] <= one["first_order_gain"] <= one["first_order_gain_high"]
    assert "of 0.5 that could be" in found["found"][3]
    silenced, halved, doubled = found["changes"]
    assert [one["change"].split()[1] for one in found["changes"]] == ["silenced", "×0.5", "×2"]
    assert abs(silenced["effect"]) >= abs(halved["effect"])
    assert 0 <= doubled["strange_after"] <= 1
    assert found["assumptions"][0].startswith("The patients are simulated")
    again = mechanisms(folder, *asked)
    assert again.returncode == 0, again.stderr
    printed = " ".join(again.stdout.split())
    for sentence in (*found["found"], *found["assumptions"]):
        assert " ".join(sentence.split()) in printed
    text = (folder / "page.html").read_text("utf-8")
    read = Reader(text)
    words = " ".join(" ".join(read.text).split())
    assert found["found"][0] in words
    assert "Simulated patients" in words
    for width in (390, 1440):
        assert_shown_well(browser, folder / "page.html", width)
    for scheme in ("light", "dark"):
        assert serious_violations(browser, folder / "page.html", scheme) == []


@pytest.mark.parametrize(
    ("model", "more", "arguments", "said"),
    [
        ("{kind: cox}", "", (), "model.kind: cox is not a network of single cells; choose attention"),
        (SMALL, "tuning: {trials: 2, space: {width: [16, 32]}}", (), "tuning: is not done again"),
        (SMALL, "", ("--cause", "infektion"), "did you mean infection?"),
        (SMALL, "", ("--horizon", "90000"), "--horizon 90000: patients are followed for"),
        (
            SMALL,
            "",
            ("--change", "exhaustio"),
            "exhaustio is no program and no gene of the panel; did you mean",
        ),
        (
            SMALL,
            "",
            ("--change", "TOX,PDC1"),
            "--change TOX,PDC1: PDC1 is no program and no gene of the panel",
        ),
        (SMALL, "", ("--out", "nowhere/page.html"), "--out nowhere/page.html: there is no folder nowhere"),
        (SMALL, "", ("--change", "TOX@blood:nobody"), "blood:nobody is no state that 5 patients have; there are blood"),
    ],
)
def test_what_makes_no_sense_is_refused_in_words(
    folder: Path, model: str, more: str, arguments: tuple[str, ...], said: str
) -> None:
    run = write_run(folder, "wrong", model, more)
    done = mechanisms(folder, run.name, *arguments)
    assert done.returncode == 1
    assert said in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
