"""`sequela strategies`, end to end: on patients whose truth is known, on real ones, and on what makes no sense."""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import pytest
from browser import Browser
from pages import Reader, assert_shown_well, serious_violations
from preloaded import SEQUELA

from benchmarks.strategies_world import EFFECTS, GRACE_DAYS, N_DAYS, World, truth, world
from experiments.page.privacy import WITHHELD
from experiments.strategies import analyse, ask, write_strategies_page
from experiments.strategies.changing import Days, has_happened, last_values
from experiments.strategies.question import Asked
from features.check import read_cohort
from features.cohort import Cohort, write_cohort
from features.importers.table import import_table
from features.schema import CohortCard, Endpoint, EventRule, Variable
from training.strategies.emulation import Trial, emulate
from training.strategies.incidence import incidence_at

REPOSITORY = Path(__file__).resolve().parents[2]
INFECTION = Endpoint(
    name="infection",
    event=EventRule(name="infection"),
    competing=(EventRule(name="death"),),
    horizons_days=(60.0, 120.0, 5000.0),
)
EARLY, WHEN_LOW = "start by day 21", "start once igg < -1"
STRATEGY = ("--treatment", "immunoglobulin", "--grace", "21", "--below", "igg=-1", "--adjust", "age")
FULL = (*STRATEGY, "--over-time", "igg", "--resamples", "25")


def cohort_of(folder: Path, one: World, provenance: Literal["real", "simulated"] = "simulated") -> Path:
    """A cohort folder in which the patients of a world are untreated at infusion."""
    own = one.followed
    names = np.array([f"P{i:04d}" for i in range(len(own))], dtype=object)
    patients = pd.DataFrame({"patient_id": names, "follow_up_days": own.end_day, "age": 60 + 10 * one.age})
    happens, starts = np.flatnonzero(own.cause > 0), np.flatnonzero(own.start_day < own.n_days)
    outcome = pd.DataFrame(
        {
            "patient_id": names[happens],
            "day": own.end_day[happens],
            "event": np.array(["", *own.causes])[own.cause[happens]],
        }
    )
    start = pd.DataFrame({"patient_id": names[starts], "day": own.start_day[starts], "event": "immunoglobulin"})
    fresh = np.zeros(one.value.shape, dtype=bool)
    fresh[:, 1:] = np.isfinite(one.value[:, 1:]) & (one.value[:, 1:] != one.value[:, :-1])
    row, day = np.nonzero(fresh & own.observed)
    measured = pd.DataFrame({"patient_id": names[row], "day": day - 1, "variable": "igg", "value": one.value[row, day]})
    card = CohortCard(
        title="Patients of a known world",
        citation="none",
        licence="CC0-1.0",
        provenance=provenance,
        variables={
            "age": Variable(kind="numeric", unit="a", range=(0, 150)),
            "igg": Variable(kind="numeric", unit="mg/dL", range=(-20, 20)),
        },
    )
    tables = {"patients": patients, "events": pd.concat([outcome, start]), "measurements": measured}
    write_cohort(folder, card, tables, endpoints={"infection": INFECTION})
    return folder


@pytest.fixture(scope="module")
def one() -> World:
    return world(800, np.random.default_rng(11), EFFECTS["effect"])


@pytest.fixture(scope="module")
def known(one: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return cohort_of(tmp_path_factory.mktemp("known") / "cohort", one)


def strategies(cohort: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """The command, run."""
    command = [SEQUELA, "strategies", cohort, "--endpoint", cohort / "endpoints" / "infection.yaml", *options]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def answer(known: Path) -> dict[str, Any]:
    """What it says as JSON."""
    done = strategies(known, *FULL, "--json")
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def estimate(found: dict[str, Any], **where: object) -> dict[str, Any]:
    (only,) = (one for one in found["estimates"] if all(one[key] == value for key, value in where.items()))
    return dict(only)


def test_the_truth_is_found(answer: dict[str, Any]) -> None:
    """Within four standard errors; the horizon of 5,000 days, to which nobody is followed, is left out."""
    true = incidence_at(truth(EFFECTS["effect"], 30_000, 30_000), np.array([120.0]))[..., 0]
    assert answer["provenance"] == "simulated"
    assert {one["horizon_days"] for one in answer["estimates"]} == {60.0, 120.0}
    assert [one["strategy"] for one in answer["strategies"]] == ["never", EARLY, WHEN_LOW]
    for k, strategy in enumerate((EARLY, WHEN_LOW), start=1):
        for c, cause in enumerate(("infection", "death")):
            line = estimate(
                answer, quantity="risk difference", cause=cause, arm=strategy, reference="never", horizon_days=120.0
            )
            assert abs(line["point"] - (true[k, c] - true[0, c])) < 4 * line["standard_error"]
    fewer = estimate(answer, quantity="risk difference", cause="infection", arm=EARLY, horizon_days=120.0)
    assert fewer["high"] < 0
    assert any(f"infection, {EARLY} against never: risk by day 120 −" in said for said in answer["found"])


def test_the_cohort_is_read_as_the_world_was(one: World, known: Path) -> None:
    """Days, starts, last values and low ones; the models differ by a penalty that does not matter."""
    asked = Asked(
        "immunoglobulin", GRACE_DAYS, (), ("age",), ("igg",), horizons_days=(float(N_DAYS),), percentile=100.0
    )
    question = ask(read_cohort(known), INFECTION, asked)
    own = question.trial.followed
    for name in ("end_day", "cause", "start_day"):
        np.testing.assert_array_equal(getattr(own, name), getattr(one.followed, name))
    found = emulate(question.trial).incidence
    values = one.changing[:, :, :2]  # without the column of low values, which no strategy asks for
    expected = emulate(Trial.of(one.followed, question.trial.strategies, one.baseline, values, 100.0)).incidence
    np.testing.assert_allclose(found, expected, atol=2e-3)


def test_clones_add_up(answer: dict[str, Any]) -> None:
    for clone in answer["strategies"]:
        n = clone["deviated"] + clone["ended"] + sum(clone["events"].values()) + clone["left"]
        assert n == answer["patients"] == 800
        assert clone["left"] <= clone["followed"][-1]
        assert clone["effective"][-1] <= clone["followed"][-1]
    assert answer["strategies"][1]["largest_weight"] >= answer["strategies"][1]["truncated_at"]
    seen = answer["seen"]
    assert seen["starts"] == sum(one["n_starts"] for one in answer["positivity"])
    by_day = [one for one in seen["states"] if one["horizon_days"] == 120.0]
    assert sum(one["point"] for one in by_day) == pytest.approx(1.0)


def test_weighted_days_follow_from_the_times_lost(known: Path, answer: dict[str, Any]) -> None:
    """And a day after an infection worth as much as one before it leaves the days before death."""
    own = answer["benefit_risk"]
    assert own["worth"] == {"event-free": 1.0, "infection": 0.5, "death": 0.0}
    for one in own["strategies"]:
        lost = {
            cause: estimate(answer, quantity="time lost", cause=cause, arm=one["strategy"], horizon_days=120.0)["point"]
            for cause in ("infection", "death")
        }
        assert one["benefit"]["point"] == pytest.approx(120 - lost["death"])
        assert one["weighted"]["point"] == pytest.approx(120 - lost["death"] - 0.5 * lost["infection"])
        assert 0 < one["weighted"]["low"] < one["weighted"]["point"] < one["weighted"]["high"] < 120
    done = strategies(known, *FULL, "--weights", "infection=1", "--json")
    assert done.returncode == 0, done.stderr
    for one in json.loads(done.stdout)["benefit_risk"]["less_reference"]:
        assert one["weighted"] == one["benefit"]
    early = own["less_reference"][0]
    assert early["strategy"] == EARLY
    assert early["harm"]["high"] < 0  # fewer infections
    assert early["weighted"]["low"] > 0
    assert early["equal_at"] is None or early["equal_at"] > 0.5


def test_terminal_and_page_say_the_same(known: Path, answer: dict[str, Any], tmp_path: Path, browser: Browser) -> None:
    page = tmp_path / "page.html"
    done = strategies(known, *FULL, "--out", str(page))
    assert done.returncode == 0, done.stderr
    text = "".join(Reader(page.read_text(encoding="utf-8")).text)
    for sentence in (*answer["found"], *answer["assumptions"]):
        assert sentence in done.stdout
        assert sentence in text
    for element in answer["protocol"]:
        assert element["trial"] in text
        assert element["emulation"] in text
    assert [one["name"] for one in answer["protocol"]][:3] == ["Eligibility", "Strategies", "Assignment"]
    assert "Simulated patients" in text
    assert WITHHELD not in text
    for width in (1440, 390):
        assert_shown_well(browser, page, width)
    for scheme in ("light", "dark"):
        assert serious_violations(browser, page, scheme) == []


def test_the_same_question_gets_the_same_answer(known: Path, answer: dict[str, Any]) -> None:
    again = strategies(known, *FULL, "--json")
    assert json.loads(again.stdout) == answer
    other = json.loads(strategies(known, *FULL, "--seed", "1", "--json").stdout)
    where = {"quantity": "risk", "cause": "death", "arm": "never", "horizon_days": 60.0}
    assert estimate(other, **where)["point"] == estimate(answer, **where)["point"]
    assert estimate(other, **where)["standard_error"] != estimate(answer, **where)["standard_error"]


def test_another_reference_turns_the_differences_round(known: Path, answer: dict[str, Any]) -> None:
    done = strategies(known, *FULL, "--reference", EARLY, "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["reference"] == EARLY
    where = {"quantity": "risk difference", "cause": "infection", "horizon_days": 120.0}
    turned, first = estimate(found, arm="never", **where), estimate(answer, arm=EARLY, **where)
    assert turned["point"] == pytest.approx(-first["point"])
    assert turned["standard_error"] == pytest.approx(first["standard_error"])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--treatment", "imunoglobulin"), "--treatment imunoglobulin: no event or measured .* mean immunoglobulin"),
        (("--treatment", "death"), "--treatment death: is an event of the endpoint infection"),
        (("--treatment", "igg"), r"--treatment igg: is measured, and has other values than 0 \(not treated\)"),
        (("--grace", "120"), "--grace 120: does not end before the last horizon, day 120"),
        (("--below", "igg"), "--below igg: is not variable=value"),
        (("--below", "igg=low"), "--below igg=low: is not variable=value"),
        (("--below", "ig=4"), "--below ig: no measured variable of .* has this name; did you mean igg"),
        (("--below", "age=4"), "--below age: no measured variable of .* has this name"),
        (("--below", "igg=-9"), "fewer than 5 patients follow|nobody who follows"),
        (("--adjust", "ag"), "--adjust ag: no baseline variable of .* has this name; did you mean age"),
        (("--over-time", "immunoglobulin"), "--over-time immunoglobulin: is the treatment"),
        (("--over-time", "icans"), "--over-time icans: no measured variable or event of .*; there are|did you mean"),
        (("--over-time", ","), "--over-time ,: names no variable"),
        (("--horizon", "0"), "--horizon 0: horizons are days after the landmark, above 0"),
        (("--horizon", "nan"), "--horizon nan: horizons are days after the landmark, above 0"),
        (("--horizon", "900"), "--horizon 900: nobody is observed beyond day"),
        (("--weights", "infektion=0.2"), "--weights infektion: no state has this name; did you mean infection"),
        (("--weights", "infection=2"), "--weights infection=2: a weight is state=value"),
        (("--reference", "early"), "--reference early: is no strategy; there are never; start by day 21"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line(known: Path, options: tuple[str, ...], said: str) -> None:
    given = {"--treatment": "immunoglobulin", "--grace": "21", "--horizon": "120", "--resamples": "20"}
    given |= {options[0]: options[1]}
    done = strategies(known, *(word for pair in given.items() for word in pair))
    if options == ("--below", "igg=-9"):  # nobody is ever so low: to start once one is, is never to start
        assert done.returncode == 0
        return
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert re.search(said, line), line


def test_few_starts_are_refused(tmp_path: Path) -> None:
    small = world(60, np.random.default_rng(3), EFFECTS["effect"])
    done = strategies(cohort_of(tmp_path / "cohort", small), *FULL, "--horizon", "30")
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert re.search("starts are seen, and a model of them with .* columns takes|fewer than 5 patients follow", line)


@pytest.mark.parametrize("provenance", ["simulated", "real"])
def test_small_counts_are_not_on_the_page_of_real_patients(
    tmp_path: Path, provenance: Literal["simulated", "real"]
) -> None:
    some = world(400, np.random.default_rng(9), EFFECTS["effect"])
    own = some.followed
    spared = (own.cause == 2) & (own.end_day < 30)  # later on, those who did not start early have deviated
    few = replace(some, followed=replace(own, cause=np.where(spared, 0, own.cause)))
    cohort = read_cohort(cohort_of(tmp_path / "cohort", few, provenance))
    asked = Asked("immunoglobulin", GRACE_DAYS, adjust=("age",), over_time=("igg",), horizons_days=(60.0,))
    found = analyse(ask(cohort, INFECTION, asked), n_resamples=20)
    deaths = [int(one.events[1]) for one in found.clones]
    assert 0 < deaths[1] < 5 <= deaths[0]  # under an early start
    page = tmp_path / "page.html"
    write_strategies_page(page, found)
    text = "|".join(Reader(page.read_text(encoding="utf-8")).text)
    hidden = f"death, {EARLY} against never: withheld, since few who followed one of them met it."
    assert (hidden in text) == (provenance == "real")
    assert ("Withheld: few who follow a strategy met a cause." in text) == (provenance == "real")
    assert (WITHHELD in text) == (provenance == "real")
    assert (f"|{deaths[1]}|" in text.split("What became of")[1].split("Stabilised")[0]) == (provenance == "simulated")


def small_cohort(folder: Path) -> Cohort:
    patients = pd.DataFrame({"patient_id": ["a", "b"], "follow_up_days": [20, 20], "igg": [500.0, np.nan]})
    measured = pd.DataFrame(
        [("a", 12, "igg", 300.0), ("a", 12, "igg", 320.0), ("a", 14, "igg", 600.0), ("b", 13, "igg", 200.0)],
        columns=["patient_id", "day", "variable", "value"],
    )
    events = pd.DataFrame([("a", 11, "infection"), ("b", 9, "infection")], columns=["patient_id", "day", "event"])
    card = CohortCard(
        title="Two",
        citation="none",
        licence="CC0-1.0",
        provenance="simulated",
        variables={"igg": Variable(kind="numeric", unit="mg/dL", range=(0, 9000))},
    )
    write_cohort(folder, card, {"patients": patients, "events": events, "measurements": measured})
    return read_cohort(folder)


def test_what_is_known_before_each_day(tmp_path: Path) -> None:
    """From landmark day 10: a baseline value until the first measurement; of two on one day the greater."""
    cohort = small_cohort(tmp_path / "cohort")
    before = Days(np.array([1, 0]), 10.0, 6, same_day=False)
    on = Days(np.array([1, 0]), 10.0, 6, same_day=True)
    nan = np.nan
    np.testing.assert_array_equal(
        last_values(cohort, "igg", before), [[nan, nan, nan, nan, 200, 200], [500, 500, 500, 320, 320, 600]]
    )
    np.testing.assert_array_equal(
        last_values(cohort, "igg", on), [[nan, nan, nan, 200, 200, 200], [500, 500, 320, 320, 600, 600]]
    )
    np.testing.assert_array_equal(has_happened(cohort, "infection", before), [[1, 1, 1, 1, 1, 1], [0, 0, 1, 1, 1, 1]])
    np.testing.assert_array_equal(has_happened(cohort, "infection", on)[1], [0, 1, 1, 1, 1, 1])


def test_pneumonia_in_intensive_care(shared_data: Path, tmp_path: Path) -> None:
    """A measured variable of 0 and 1 that changes: hazard ratios are R's; who had it is followed from then on."""
    folder = tmp_path / "icu"
    import_table(
        REPOSITORY / "configs/import/icu_pneumonia_tdc.yaml",
        shared_data / "competing_risks/icu_pneumonia_tdc.csv",
        folder,
    )
    endpoint = folder / "endpoints" / "discharged_alive.yaml"
    options = ("--treatment", "pneu", "--grace", "10", "--adjust", "age,sex", "--resamples", "20", "--horizon", "20")
    command = [SEQUELA, "strategies", folder, "--endpoint", endpoint, *options, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["patients"], found["seen"]["starts"], found["provenance"]) == (1313, 108, "real")
    golden = json.loads((REPOSITORY / "tests/golden/strategies.json").read_text(encoding="utf-8"))["intensive_care"]
    lines = found["seen"]["hazard_ratios"]
    discharge, death = (one for one in lines if one["method"] == "unadjusted")
    for line, expected in ((death, golden["plain"][0]), (discharge, golden["plain"][1])):
        assert np.log(line["point"]) == pytest.approx(expected["beta"], rel=1e-9)
        assert line["standard_error"] == pytest.approx(expected["se"], rel=1e-9)
    adjusted = next(one for one in lines if one["method"] != "unadjusted")
    assert np.log(adjusted["point"]) == pytest.approx(golden["adjusted"][1]["beta"], rel=1e-9)
