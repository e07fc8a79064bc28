"""`sequela benefit-risk`, end to end: on patients whose truth is known, on real ones, and on what makes no sense."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import pytest
from browser import Browser
from pages import Reader, assert_shown_well, serious_violations
from preloaded import SEQUELA
from state_processes import DAILY, drawn, true_values

from experiments.benefit_risk import analyse, ask, write_benefit_risk_page
from experiments.page.privacy import WITHHELD
from features.check import read_cohort, read_endpoint
from features.cohort import write_cohort
from features.importers.leipzig2024 import import_leipzig2024
from features.schema import CohortCard, Endpoint, EventRule, Variable
from features.states import StateHistories
from training.states.occupation import occupation

COMPETING = (EventRule(name="death"), EventRule(name="relapse"))
INFECTION = Endpoint(
    name="infection",
    event=EventRule(name="infection", min_grade=3),
    competing=COMPETING,
    horizons_days=(90.0, 365.0, 5000.0),
)
STRONG = DAILY.copy()
STRONG[0, 1], STRONG[0, 2], STRONG[1, 2] = 0.005, 0.0003, 0.001
"""Hazards a day after the product strong: more infections, fewer relapses."""


def cohort_of(
    folder: Path, groups: dict[str, StateHistories], provenance: Literal["real", "simulated"] = "simulated"
) -> Path:
    """A cohort folder whose patients go through the stays given, with their product and an age that says nothing."""
    patients, events = [], []
    rng = np.random.default_rng(0)
    for product, histories in groups.items():
        for i in range(len(histories)):
            name = f"{product}{i:04d}"
            rows = np.flatnonzero(histories.patient == i)
            patients.append((name, histories.stop_days[rows].max(), product, rng.normal(60, 10)))
            for row in rows[histories.next_state[rows] >= 0]:
                target = histories.states[histories.next_state[row]]
                events.append((name, histories.stop_days[row], target, 3 if target == "infection" else np.nan))
    product = Variable(kind="categorical", levels=tuple(groups))
    card = CohortCard(
        title="Patients of a known process",
        citation="none",
        licence="CC0-1.0",
        provenance=provenance,
        variables={"product": product, "age": Variable(kind="numeric", unit="a", range=(0, 120))},
    )
    columns = ["patient_id", "follow_up_days", "product", "age"]
    tables = {
        "patients": pd.DataFrame(patients, columns=columns),
        "events": pd.DataFrame(events, columns=["patient_id", "day", "event", "grade"]),
    }
    dying = Endpoint(name="dying", event=EventRule(name="death"), horizons_days=(365.0,))
    write_cohort(folder, card, tables, endpoints={"infection": INFECTION, "dying": dying})
    return folder


def confounded_of(folder: Path, n: int) -> Path:
    """Half of the patients are old and fare worse; the old get the product strong more often, and it does nothing."""
    cohort_of(folder, {"mild": drawn(5, n), "strong": drawn(6, n, daily=2.5 * DAILY)})
    patients, rng = pd.read_csv(folder / "patients.csv"), np.random.default_rng(7)
    old = patients["product"] == "strong"
    patients["age"] = np.where(old, 75.0, 50.0)
    patients["product"] = np.where(rng.random(len(patients)) < np.where(old, 0.75, 0.25), "strong", "mild")
    patients.to_csv(folder / "patients.csv", index=False)
    return folder


@pytest.fixture(scope="module")
def confounded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return confounded_of(tmp_path_factory.mktemp("confounded") / "cohort", 500)


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cohort of two products with constant hazards."""
    groups = {"mild": drawn(1, 500), "strong": drawn(2, 500, daily=STRONG)}
    return cohort_of(tmp_path_factory.mktemp("known") / "cohort", groups)


def benefit_risk(cohort: Path, *options: str, endpoint: str = "infection") -> subprocess.CompletedProcess[str]:
    """The command, run."""
    command = [SEQUELA, "benefit-risk", cohort, "--endpoint", cohort / "endpoints" / f"{endpoint}.yaml", *options]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def answer(cohort: Path, *options: str) -> dict[str, Any]:
    """What it says as JSON."""
    done = benefit_risk(cohort, *options, "--json")
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def estimates(found: dict[str, Any], **where: object) -> list[dict[str, Any]]:
    return [one for one in found["estimates"] if all(one[key] == value for key, value in where.items())]


def test_the_truth_of_two_products_is_found(known: Path) -> None:
    """Within four standard errors: states, days, contrast, and the weight at which the ranking changes."""
    found = answer(known, "--by", "product", "--weights", "infection=0.3")
    assert found["provenance"] == "simulated"
    assert found["horizon_days"] == 365.0  # nobody is followed to day 5000
    truth = {"mild": true_values(DAILY, 365.0), "strong": true_values(STRONG, 365.0)}
    states = [one["state"] for one in found["states"]]
    assert states == ["event-free", "infection", "relapse", "death"]
    for group, (probability, days) in truth.items():
        for quantity, values in (("probability", probability), ("days", days)):
            rows = estimates(found, group=group, quantity=quantity, horizon_days=365.0)
            assert [one["state"] for one in rows] == states
            off = [abs(one["point"] - value) / one["standard_error"] for one, value in zip(rows, values, strict=True)]
            assert max(off) < 4, (group, quantity, off)
    worth = np.array([1.0, 0.3, 0.0, 0.0])
    days = truth["strong"][1] - truth["mild"][1]
    (contrast,) = estimates(found, group="strong", quantity="weighted days", reference="mild")
    assert abs(contrast["point"] - worth @ days) < 4 * contrast["standard_error"]
    (more,) = estimates(found, group="strong", quantity="harm", reference="mild")
    assert more["low"] > 0.1  # many more infections
    (benefit,) = estimates(found, group="strong", quantity="benefit", reference="mild")
    assert benefit["low"] > 0  # and more days before relapse or death
    threshold = next(one for one in found["thresholds"] if one["state"] == "infection")
    assert threshold["equal_at"] == pytest.approx(-days[0] / days[1], abs=0.12)
    assert [one["name"] for one in found["best"]] == ["mild", "strong"]
    assert found["best"][0]["high"] == pytest.approx(threshold["equal_at"])
    assert any("Who has the most weighted days depends on" in one for one in found["found"])


def test_everyone_is_as_the_library_has_them(known: Path) -> None:
    found = answer(known, "--horizon", "200", "--weights", "event-free=1,infection=1,relapse=1,death=1")
    both = [drawn(1, 500), drawn(2, 500, daily=STRONG)]
    for quantity, name in (("probability", "probability"), ("days", "days")):
        rows = estimates(found, group="everyone", quantity=quantity, horizon_days=200.0)
        # The hazards of both are pooled, not their probabilities; the cohort is read back to compare.
        histories = ask(read_cohort(known), INFECTION).histories
        expected = getattr(occupation(histories, np.array([200.0])), name)[0]
        np.testing.assert_allclose([one["point"] for one in rows], expected, rtol=1e-12)
        assert sum(one["point"] for one in rows) == pytest.approx(1 if quantity == "probability" else 200)
    assert histories.moves().tolist() == (both[0].moves() + both[1].moves()).tolist()
    (weighted,) = estimates(found, quantity="weighted days")
    assert weighted["point"] == pytest.approx(200)  # a day is worth 1 whatever happens
    assert found["best"] == found["thresholds"] == []
    assert {one["horizon_days"] for one in found["estimates"]} == {90.0, 200.0}


def test_terminal_and_page_say_the_same(known: Path, tmp_path: Path, browser: Browser) -> None:
    page = tmp_path / "page.html"
    done = benefit_risk(known, "--by", "product", "--out", str(page))
    assert done.returncode == 0, done.stderr
    text = "".join(Reader(page.read_text(encoding="utf-8")).text)
    for sentence in answer(known, "--by", "product")["found"]:
        assert sentence in done.stdout
        assert sentence in text
    assert "Simulated patients" in text
    assert "nothing is adjusted for" in text
    assert "arbitrary" in text
    for width in (1440, 390):
        assert_shown_well(browser, page, width)
    for scheme in ("light", "dark"):
        assert serious_violations(browser, page, scheme) == []


def test_a_patient_is_predicted_from_the_cohorts_transitions(known: Path, tmp_path: Path) -> None:
    """A Cox model with one covariate that matters, constant hazards: near each product's truth, and told apart."""
    ever = {}
    for product, daily in (("mild", DAILY), ("strong", STRONG)):
        record = tmp_path / f"{product}.json"
        record.write_text(json.dumps({"patient_id": "P1", "baseline": {"product": product}}), encoding="utf-8")
        found = answer(known, "--patient", str(record), "--resamples", "40", "--horizon", "365")["patient"]
        assert found["patient_id"] == "P1"
        assert found["not_given"] == ["age"]
        by_state = [one for one in found["estimates"] if one["quantity"] == "probability"][-4:]
        assert sum(one["point"] for one in by_state) == pytest.approx(1)
        np.testing.assert_allclose([one["point"] for one in by_state], true_values(daily, 365.0)[0], atol=0.08)
        assert all(one["low"] <= one["point"] <= one["high"] for one in by_state)
        (ever[product],) = (one for one in found["estimates"] if one["quantity"] == "harm")
    assert ever["mild"]["high"] < ever["strong"]["low"]


def test_the_same_question_gets_the_same_answer(known: Path, tmp_path: Path) -> None:
    record = tmp_path / "patient.json"
    record.write_text('{"baseline": {"age": 70, "product": "mild"}}', encoding="utf-8")
    options = ("--by", "product", "--patient", str(record), "--resamples", "20")
    assert answer(known, *options) == answer(known, *options)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--by", "prodct"), "--by prodct: no baseline variable of .* has this name; did you mean product"),
        (("--by", "age"), "--by age: has .* values, and at most 6 arms are compared"),
        (("--by", "product", "--reference", "x"), "--reference x: is no arm; product has mild, strong"),
        (("--reference", "mild"), "--reference mild: is a group of --by; name the variable"),
        (("--weights", "infection=2"), "--weights infection=2: a weight is state=value, the value from 0"),
        (("--weights", "infection"), "--weights infection: a weight is state=value"),
        (("--weights", "infections=0.5"), "--weights infections: no state has this name; did you mean infection?"),
        (("--weights", "relapse=0,relapse=1"), "relapse is named twice; give it one value"),
        (("--weights", ","), "--weights ,: names no state; give state=value"),
        (("--horizon", "0"), "--horizon 0: a horizon is days after the landmark, above 0"),
        (("--horizon", "nan"), "--horizon nan: a horizon is days after the landmark, above 0"),
        (("--horizon", "4000"), "--horizon 4000: nobody is followed beyond day .*; choose an earlier --horizon"),
        (("--patient", "absent.json"), "absent.json: the file cannot be read"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line(known: Path, options: tuple[str, ...], said: str) -> None:
    done = benefit_risk(known, *options)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert re.search(said, line), line


@pytest.mark.parametrize(
    ("record", "said"),
    [
        ({"baseline": {"stage": 3}}, "patient.json: baseline.stage: is no baseline variable"),
        ({"baseline": {"age": 700}}, "patient.json: baseline.age: "),
        ({"baseline": {"age": "old"}}, "patient.json: baseline.age: is text; the variable is numeric"),
        ({"landmark_day": 30}, "patient.json: landmark_day: must be 0, the first landmark of the endpoint"),
        ({"basline": {}}, "patient.json: basline: "),
        (
            {"events": [{"event": "infection", "day": -3, "grade": 4}]},
            r"patient.json: events\[0\]: is an event of the endpoint by its landmark",
        ),
    ],
)
def test_a_record_that_cannot_be_used_is_refused_by_field(
    known: Path, tmp_path: Path, record: dict[str, Any], said: str
) -> None:
    path = tmp_path / "patient.json"
    path.write_text(json.dumps(record), encoding="utf-8")
    done = benefit_risk(known, "--patient", str(path), "--resamples", "20")
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert re.search(said, line), line


def test_an_event_that_ends_follow_up_has_no_life_after_it(known: Path) -> None:
    done = benefit_risk(known, endpoint="dying")
    assert done.returncode == 1
    assert "nobody in" in done.stderr
    assert "is followed beyond death" in done.stderr


@pytest.mark.parametrize("provenance", ["simulated", "real"])
def test_groups_with_small_counts_are_not_on_the_page_of_real_patients(
    tmp_path: Path, provenance: Literal["simulated", "real"]
) -> None:
    few = drawn(3, 200, daily=DAILY * np.array([1, 0.04, 1, 1]))  # of these 1 to 4 are infected
    assert 0 < few.ever()[:, 1].sum() < 5
    folder = cohort_of(tmp_path / "cohort", {"few": few, "some": drawn(4, 150), "many": drawn(5, 300)}, provenance)
    found = analyse(ask(read_cohort(folder), INFECTION, by="product"))
    page = tmp_path / "page.html"
    write_benefit_risk_page(page, found)
    text = "|".join(Reader(page.read_text(encoding="utf-8")).text)
    said = {group.name: f"{group.name}: of 365 days" in text for group in found.groups}
    if provenance == "real":  # everyone is shown, so that few would follow from some and many
        assert said == {"few": False, "some": False, "many": True}
        assert "Withheld, since few patients met a state: few, some." in text
        assert WITHHELD in text
        assert "some less few" not in text
    else:
        assert said == dict.fromkeys(("few", "some", "many"), True)
        assert "some less few" in text


def test_real_patients_after_bcma_car_t(shared_data: Path, tmp_path: Path) -> None:
    """Fandrei et al.: cytokine release, progression, death; counts as in the tables of the study."""
    folder = tmp_path / "leipzig"
    import_leipzig2024(shared_data / "leipzig_bcma_cart", folder)
    endpoint = tmp_path / "crs.yaml"
    endpoint.write_text(
        "name: crs\nevent: {name: crs, min_grade: 2}\ncompeting: [{name: progression}, {name: death}]\n"
        "horizons_days: [90, 365]\n",
        encoding="utf-8",
    )
    command = [SEQUELA, "benefit-risk", folder, "--endpoint", endpoint, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["provenance"] == "real"
    events = read_cohort(folder).events
    into = pd.DataFrame(found["moves"]).groupby("to")["n"].sum()
    assert into["progression"] == (events["event"] == "progression").sum()
    assert into["death"] == (events["event"] == "death").sum()
    rows = estimates(found, group="everyone", quantity="probability", horizon_days=365.0)
    assert sum(one["point"] for one in rows) == pytest.approx(1)
    assert read_endpoint(endpoint).causes == ("crs", "progression", "death")
    # Nobody leaves death: who is dead is who ever died.
    (ever,) = estimates(found, group="everyone", quantity="ever", state="death", horizon_days=365.0)
    assert ever["point"] == pytest.approx(rows[-1]["point"])


def test_groups_made_alike_differ_no_more(confounded: Path, tmp_path: Path, browser: Browser) -> None:
    """Once weighted to be alike in age, both groups are the mixture of old and young, and nothing is left of it."""
    plain = answer(confounded, "--by", "product")
    page = tmp_path / "page.html"
    found = answer(confounded, "--by", "product", "--adjust", "age", "--out", str(page))
    for quantity in ("harm", "benefit", "weighted days"):
        before, after = (
            estimates(one, quantity=quantity, group="strong", reference="mild")[0] for one in (plain, found)
        )
        assert not before["low"] <= 0 <= before["high"]
        assert after["low"] < 0 < after["high"]
    truth = [
        np.mean(pair, axis=0) for pair in zip(true_values(DAILY, 365.0), true_values(2.5 * DAILY, 365.0), strict=True)
    ]
    for group in ("mild", "strong"):
        for quantity, values in zip(("probability", "days"), truth, strict=True):
            rows = estimates(found, group=group, quantity=quantity, horizon_days=365.0)
            off = [abs(one["point"] - value) / one["standard_error"] for one, value in zip(rows, values, strict=True)]
            assert max(off) < 4, (group, quantity, off)
    assert found["adjusted_for"] == ["age"]
    (balance,) = found["balance"]
    assert abs(balance["before"]) > 0.5
    assert abs(balance["after"]) < 0.02
    assert any("weighted by inverse probabilities" in said for said in found["assumptions"])
    text = "".join(Reader(page.read_text(encoding="utf-8")).text)
    assert "Balance and overlap" in text
    for width in (390, 1440):
        assert_shown_well(browser, page, width)
    assert serious_violations(browser, page, "light") == []


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--adjust", "age"), "--adjust age: makes groups alike; name the variable that makes the groups with --by"),
        (("--by", "product", "--adjust", "ag"), "--adjust ag: no baseline variable .* mean age"),
        (("--by", "product", "--adjust", ","), "--adjust ,: names no variable"),
        (("--by", "product", "--adjust", "product"), "--adjust product: .* could hardly have been in arm"),
    ],
)
def test_what_cannot_be_adjusted_is_refused(confounded: Path, options: tuple[str, ...], said: str) -> None:
    done = benefit_risk(confounded, *options)
    assert done.returncode == 1
    assert re.search(said, " ".join(done.stderr.split())), done.stderr
    assert "Traceback" not in done.stderr
