"""`sequela effects`, end to end: on real studies, on confounded patients, and on questions that make no sense."""

from __future__ import annotations

import html
import json
import math
import re
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import pytest
from browser import Browser
from pages import Reader, assert_shown_well, serious_violations
from preloaded import SEQUELA

from benchmarks.effects_cohorts import EFFECTS, confounded
from experiments.effects import analyse, ask, write_effects_page
from experiments.effects.lines import lines_of, plain
from experiments.effects.sentences import assumptions, findings
from experiments.estimate_lines import interval
from experiments.home import CONFIGS
from experiments.page.arms import incidence_figures
from experiments.page.privacy import OPEN, SMALLEST, Disclosure
from features.check import read_cohort, read_endpoint
from features.cohort import write_cohort
from features.errors import SequelaError
from features.importers.table import import_table
from features.schema import CohortCard, Endpoint, EventRule, Variable
from training.effects.estimates import ChiSquared
from training.effects.individual import FEWEST

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "effects.json").read_text(encoding="utf-8"))
Import = Callable[[str], Path]


@pytest.fixture(scope="module")
def imported(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Import:
    """`imported(name)`: the cohort folder of a real study."""
    folder = tmp_path_factory.mktemp("studies")

    def _imported(name: str) -> Path:
        if not (folder / name).exists():
            table = shared_data / "competing_risks" / f"{name}.csv"
            import_table(CONFIGS / "import" / f"{name}.yaml", table, folder / name)
        return folder / name

    return _imported


@pytest.fixture(scope="module")
def observed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A simulated cohort in which who is at high risk gets arm 1 more often, and the arm has no effect."""
    folder = tmp_path_factory.mktemp("observed") / "cohort"
    n = 900
    cohort = confounded(np.random.default_rng(8), n, EFFECTS["no effect"])
    outcomes, x = cohort.arms.outcomes, cohort.x
    name = np.array(["", "infection", "death"], dtype=object)[outcomes.cause]
    day = outcomes.duration_days
    ids = np.array([f"P{i:04d}" for i in range(n)])
    patients = pd.DataFrame(
        {
            "patient_id": ids,
            "follow_up_days": np.where(name == "infection", np.maximum(day, 600.0), day),
            "site": np.array(["north", "south"])[np.arange(n) % 2],
            "product": np.array(["axi", "tisa"])[cohort.arms.arm],
            "burden": np.where(np.arange(n) % 10 == 0, np.nan, x[:, 0]),
            "prior": (x[:, 1] > 0).astype(float),
            "single": 1.0,
            "many": np.arange(n) % 9.0,
            "half": np.where(np.arange(n) % 2 == 0, 1.0, np.nan),
            "alone": np.arange(float(n)),
            "rare": np.where(np.arange(n) < 3, 1.0, 0.0),
        }
    )
    events = pd.DataFrame({"patient_id": ids, "day": day, "event": name})[outcomes.cause > 0]
    again = events[(events["event"] == "infection") & (events["day"] < 500)].assign(day=lambda d: d["day"] + 10.0)
    numeric = {
        column: Variable(kind="numeric") for column in ("burden", "prior", "single", "many", "half", "alone", "rare")
    }
    card = CohortCard(
        title="Confounded patients",
        citation="none",
        licence="CC0-1.0",
        provenance="simulated",
        variables=numeric | {"product": Variable(kind="categorical", levels=("axi", "tisa"))},
    )
    rules = (EventRule(name="infection"), EventRule(name="death"))
    endpoints = {
        event.name: Endpoint(name=event.name, event=event, competing=(other,), horizons_days=(90.0, 365.0, 5000.0))
        for event, other in (rules, rules[::-1])
    }
    tables = {"patients": patients, "events": pd.concat([events, again])}
    write_cohort(
        folder,
        card,
        tables,
        endpoints=endpoints | {"dying": endpoints["death"].model_copy(update={"name": "dying", "competing": ()})},
    )
    return folder


def effects(cohort: Path, endpoint: str, *options: str) -> subprocess.CompletedProcess[str]:
    """The command, run."""
    command = [SEQUELA, "effects", cohort, "--endpoint", cohort / "endpoints" / f"{endpoint}.yaml", *options]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def answer(cohort: Path, endpoint: str, *options: str) -> dict[str, Any]:
    """What it says as JSON."""
    done = effects(cohort, endpoint, *options, "--json")
    assert done.returncode == 0, done.stderr
    assert "--out" in options or not done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def estimates(
    found: dict[str, Any], quantity: str, method: str = "unadjusted", **where: object
) -> list[dict[str, Any]]:
    chosen = {"quantity": quantity, "method": method} | where
    return [one for one in found["estimates"] if all(one[key] == value for key, value in chosen.items())]


@pytest.mark.parametrize(
    ("study", "endpoint", "by", "first"),
    [
        ("mgus2", "progression_to_plasma_cell_malignancy", "sex", "F"),
        ("okiss_bsi_after_sct", "bloodstream_infection", "allo", "0"),
    ],
)
def test_real_studies_get_the_values_of_r(imported: Import, study: str, endpoint: str, by: str, first: str) -> None:
    """Times are in days here and in months there for mgus2: incidences at its months are those on their days."""
    case = next(case for case in GOLDEN["cases"] if case["name"] == study)
    unit = 30.4375 if study == "mgus2" else 1.0
    days = [f"{time * unit + 1e-6:.9g}" for time in case["times"]]
    found = answer(imported(study), endpoint, "--by", by, *(word for day in days for word in ("--horizon", day)))
    assert found["provenance"] == "real"
    assert found["reference"] == first
    for test, key in (("Gray", "gray"), ("log-rank", "logrank")):
        statistics = [one["statistic"] for one in found["tests"] if one["test"] == test]
        np.testing.assert_allclose(statistics, case["tests"]["plain"][key], rtol=1e-6)
    for quantity, key in (("cause-specific hazard ratio", "cox"), ("subdistribution hazard ratio", "fine_gray")):
        points = [one["point"] for one in estimates(found, quantity)]
        np.testing.assert_allclose(np.log(points), [one["plain"]["beta"] for one in case[key]], rtol=1e-6)
    for arm, expected in zip(case["arms"], case["curves"], strict=True):
        risks = [one["point"] for one in estimates(found, "risk", arm=str(arm))]
        np.testing.assert_allclose(risks, np.ravel(expected["incidence"]), rtol=1e-6, atol=1e-12)
        lost = [one["point"] / unit for one in estimates(found, "time lost", arm=str(arm))]
        np.testing.assert_allclose(lost, np.ravel(expected["lost"]), rtol=1e-5, atol=1e-6)


def test_three_arms_of_a_large_study_within_strata(imported: Import) -> None:
    case = next(case for case in GOLDEN["cases"] if case["name"] == "ebmt2_cause_of_death")
    found = answer(
        imported("ebmt2_cause_of_death"), "relapse", "--by", "dissub", "--centre", "match", "--reference", "ALL"
    )
    assert [one["arm"] for one in found["arms"]] == ["ALL", "AML", "CML"]
    statistics = [one["statistic"] for one in found["tests"] if one["test"] == "Gray"]
    np.testing.assert_allclose(statistics, case["tests"]["stratified"]["gray"], rtol=1e-6)
    expected = [value for one in case["cox"] for value in one["stratified"]["beta"]]
    points = [one["point"] for one in estimates(found, "cause-specific hazard ratio")]
    np.testing.assert_allclose(np.log(points), expected, rtol=1e-6)


def test_infections_of_the_trial_of_interferon(imported: Import, tmp_path: Path, browser: Browser) -> None:
    page = tmp_path / "cgd.html"
    cohort = imported("cgd_recurrent_infections")
    options = ("--by", "treat", "--recurrent", "serious_infection", "--out", str(page))
    found = answer(cohort, "serious_infection", *options)
    ((andersen_gill,), (lwyy,)) = (estimates(found, "rate ratio", method) for method in ("Andersen–Gill", "LWYY"))
    expected = GOLDEN["recurrent"]["plain"]
    assert math.log(lwyy["point"]) == pytest.approx(expected["beta"], rel=1e-6)
    assert andersen_gill["standard_error"] == pytest.approx(expected["andersen_gill"], rel=1e-6)
    assert (lwyy["low"], lwyy["high"]) == pytest.approx((expected["low"], expected["high"]), rel=1e-6)
    for arm, counts in zip(GOLDEN["recurrent"]["arms"], GOLDEN["recurrent"]["counts"], strict=True):
        means = [one["point"] for one in estimates(found, "mean number", arm=arm)]
        np.testing.assert_allclose(means, counts["mean"][:3], rtol=1e-6)
    assert "Rate of all events serious_infection against placebo: rIFN-g 0.334 times" in found["found"][-1]
    text = page.read_text(encoding="utf-8")
    Reader(text)
    assert "Ratio of rates" in text
    for width in (390, 1280):
        assert_shown_well(browser, page, width)


def test_no_difference_is_said_as_such(imported: Import) -> None:
    done = effects(imported("mgus2"), "progression_to_plasma_cell_malignancy", "--by", "sex")
    assert done.returncode == 0, done.stderr
    assert "progression_to_plasma_cell_malignancy: no difference between the arms was shown (Gray's test" in done.stdout
    assert "the interval includes no difference" in done.stdout
    assert "1,384 real patients" in done.stdout
    assert "only if chance decided who was in which arm" in done.stdout


def test_confounding_is_taken_out(observed: Path, tmp_path: Path, browser: Browser) -> None:
    page = tmp_path / "observed.html"
    options = ("--by", "product", "--adjust", "burden, prior", "--recurrent", "infection", "--subgroup", "burden")
    options += ("--individual", "--out", str(page))
    found = answer(observed, "infection", *options)
    where = {"cause": "infection", "horizon_days": 365.0}
    (naive,) = estimates(found, "risk difference", **where)
    assert naive["low"] > 0.05
    for method in ("weighted", "doubly robust", "targeted"):
        (adjusted,) = estimates(found, "risk difference", method, **where)
        assert adjusted["low"] < 0.05
        assert abs(adjusted["point"]) < naive["point"] / 2
    assert {one["name"] for one in found["balance"]} == {"burden", "prior", "burden missing"}
    assert all(abs(one["after"]) < 0.1 for one in found["balance"])
    assert max(abs(one["before"]) for one in found["balance"]) > 0.5
    assert len(found["overlap"]) == len(found["overlap_cross_fitted"]) == 2
    assert any("Not adjusted: tests, hazard ratios, rate ratios." in one for one in found["assumptions"])
    assert all(one["point"] >= one["limit"] >= 1 for one in found["e_values"])
    groups = [one for one in found["subgroups"] if one["horizon_days"] == 365.0]
    assert [one["groups"] for one in found["subgroup_tests"]] == [[one["group"] for one in groups]] * 2
    assert [one["group"].partition(" ")[2][0] for one in groups] == ["≤", ">"]
    assert sum(one["patients"] for one in groups) == 810  # of a tenth, the burden is not known
    assert abs(groups[0]["patients"] - 405) < 40  # the cut is near the median, and nobody's value
    cut = groups[0]["group"].rpartition(" ")[2]
    assert cut == f"{float(cut):.2g}"
    assert all(one["method"] == "targeted" and one["low"] < one["point"] < one["high"] for one in groups)
    assert found["hardly_seen"] == {"axi": 0.0, "tisa": 0.0}
    (individual,) = found["individual"]
    assert [one["covariate"] for one in individual["slopes"]] == ["burden", "prior", "burden missing"]
    (adjusted,) = estimates(found, "risk difference", "targeted", **where)
    assert individual["mean"]["point"] == pytest.approx(adjusted["point"], abs=1e-5)
    assert [one["patient_id"] for one in individual["patients"]] == [f"P{i:04d}" for i in range(900)]
    assert all(one["low"] < one["point"] < one["high"] for one in individual["patients"])
    assert individual["test"]["p"] > 0.05
    (said,) = (one for one in found["found"] if "was not shown to change with the covariates" in one)
    assert "A cohort of this size could hardly show it" in said
    assert said.endswith("percentage points, is the best single number.")
    assert individual["left_out"] == []
    assert not any("Not in the line" in one for one in found["found"])
    for quantity in ("mean number", "mean number difference", "mean number ratio"):
        (plain,) = estimates(found, quantity, horizon_days=365.0, arm="tisa")
        (alike,) = estimates(found, quantity, "weighted", horizon_days=365.0, arm="tisa")
        assert alike["point"] < plain["point"] - 0.1  # arm 1 has the patients at high risk, and no effect
        assert alike["low"] < alike["point"] < alike["high"]
    assert any("Mean number by day 365 less that of axi, weighted: tisa" in one for one in found["found"])
    assert found["assumptions"][0].startswith("The patients are simulated")
    assert any("day 5000" in one for one in found["assumptions"])
    text = page.read_text(encoding="utf-8")
    Reader(text)
    for word in (
        "Simulated patients",
        "Balance and overlap",
        "E-values",
        "Restricted mean time lost",
        "Effects patient by patient",
        "Each point is a patient",
        "Dashed: targeted, had everyone been in each arm.",
        "Ratio of mean numbers",
        "targeted",
        "What this assumes",
    ):
        assert word in text
    assert "P0001" not in text
    for width in (390, 1280):
        assert_shown_well(browser, page, width)
    assert serious_violations(browser, page, "light") == []


def test_counting_ends_with_death_whichever_event_the_endpoint_is_about(observed: Path) -> None:
    options = ("--by", "product", "--recurrent", "infection", "--horizon", "365")
    expected, *others = (answer(observed, name, *options) for name in ("infection", "dying", "death"))
    for quantity, method in (("mean number", "unadjusted"), ("rate ratio", "LWYY")):
        values = [one["point"] for one in estimates(expected, quantity, method)]
        for other in others:
            assert [one["point"] for one in estimates(other, quantity, method)] == pytest.approx(values)


def test_the_same_question_gets_the_same_answer(observed: Path) -> None:
    options = ("--by", "product", "--adjust", "burden,prior,site", "--horizon", "200")
    assert answer(observed, "infection", *options) == answer(observed, "infection", *options)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--by", "produkt"), "--by produkt: no baseline variable of {cohort} has this name; did you mean product?"),
        (("--by", "single"), "--by single: all patients at risk are in one arm"),
        (("--by", "many"), "--by many: has 9 values, and at most 6 arms"),
        (("--by", "rare"), "--by rare: the arm 1 has fewer than 5 patients at risk"),
        (("--by", "product", "--adjust", "prior,product"), "--adjust product: is what the arms are made by"),
        (("--by", "product", "--adjust", "agee"), "--adjust agee: no baseline variable"),
        (("--by", "product", "--adjust", "single"), "--adjust single: does not vary among these patients"),
        (("--by", "product", "--adjust", " ,"), "--adjust  ,: names no variable"),
        (
            ("--by", "product", "--adjust", "half"),
            "--adjust half: does not vary among these patients where it is known",
        ),
        (("--by", "product", "--centre", "alone"), "--centre alone: no value of it has patients of two arms"),
        (("--by", "product", "--centre", "product"), "--centre product: is what the arms are made by"),
        (("--by", "product", "--subgroup", "product"), "--subgroup product: is what the arms are made by"),
        (("--by", "product", "--subgroup", "single"), "--subgroup single: has 1 values among these patients"),
        (("--by", "product", "--horizon", "890"), "--horizon 890: the arm "),
        (("--by", "product", "--horizon", "-1"), "--horizon -1: horizons are days after the landmark"),
        (("--by", "product", "--horizon", "inf"), "--horizon inf: horizons are days after the landmark"),
        (("--by", "product", "--horizon", "nan"), "--horizon nan: horizons are days after the landmark"),
        (("--by", "product", "--horizon", "1e9"), "--horizon 1e+09: nobody is observed beyond day 893"),
        (("--by", "product", "--recurrent", "death"), "--recurrent death: no patient has it twice"),
        (("--by", "product", "--recurrent", "infections"), "--recurrent infections: no event of"),
        (("--by", "product", "--reference", "liso"), "--reference liso: is no arm; product has axi, tisa"),
        (
            ("--by", "product", "--individual"),
            "--individual: an effect changes with what is adjusted for; name it with",
        ),
        (("--by", "product", "--out", "nowhere/page.html"), "nowhere/page.html: cannot be written"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line(observed: Path, options: tuple[str, ...], said: str) -> None:
    done = effects(observed, "infection", *options)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"sequela: {said.format(cohort=observed)}")


def test_an_arm_without_the_event_and_too_few_patients_are_refused(imported: Import, tmp_path: Path) -> None:
    cohort = imported("okiss_bsi_after_sct")
    done = effects(cohort, "death", "--by", "allo", "--adjust", "sex")
    assert done.returncode == 0, done.stderr
    patients = pd.read_csv(cohort / "patients.csv")
    events = pd.read_csv(cohort / "events.csv")
    few = tmp_path / "few"
    few.mkdir()
    kept = patients.groupby("allo").head(12)
    kept.to_csv(few / "patients.csv", index=False)
    own = events[events["patient_id"].isin(kept["patient_id"])]
    in_arm_1 = own["patient_id"].isin(kept.loc[kept["allo"] == 1, "patient_id"])
    own[~(in_arm_1 & (own["event"] == "bloodstream_infection"))].to_csv(few / "events.csv", index=False)
    (few / "cohort.yaml").write_text((cohort / "cohort.yaml").read_text(encoding="utf-8"), encoding="utf-8")
    (few / "endpoints").symlink_to(cohort / "endpoints")
    done = effects(few, "bloodstream_infection", "--by", "allo")
    assert "nobody in the arm 1 has bloodstream_infection" in done.stderr
    done = effects(few, "end_of_neutropenia", "--by", "allo", "--adjust", "sex", "--horizon", "7")
    assert "for which every arm needs 20 patients (10 a column, at least 20), and one has 12" in done.stderr


def study(folder: Path, provenance: Literal["real", "simulated"]) -> Path:
    """80 patients: 3 of the 31 in arm b die, and 3 have fever twice."""
    n, rng = 80, np.random.default_rng(0)
    arm = np.where(np.arange(n) < 49, "a", "b")
    place = np.where(arm == "a", np.arange(n), np.arange(n) - 49)
    ids = np.array([f"P{i:04d}" for i in range(n)])
    dies, fever = np.where(arm == "a", place < 12, place < 3), (place >= 3) & (place < np.where(arm == "a", 15, 6))
    infected = place % 2 == 1
    day = rng.integers(20, 90, n).astype(float)
    events = pd.concat(
        [
            pd.DataFrame({"patient_id": ids, "day": day, "event": "death"})[dies],
            pd.DataFrame({"patient_id": ids, "day": day - 1, "event": "infection"})[infected & ~dies],
            *(pd.DataFrame({"patient_id": ids, "day": day - k, "event": "fever"})[fever] for k in (3, 9)),
        ]
    )
    score = rng.normal(size=n)
    patients = pd.DataFrame(
        {
            "patient_id": ids,
            "follow_up_days": np.where(dies, day, 400.0),
            "arm": arm,
            "score": score,
            "half": np.where(np.arange(n) % 2, "x", "y"),
            "rare": np.where(np.isin(np.arange(n), (2, 20, 60)), "yes", "no"),
        }
    )
    variables = {
        "arm": Variable(kind="categorical"),
        "score": Variable(kind="numeric"),
        "half": Variable(kind="categorical"),
        "rare": Variable(kind="categorical"),
    }
    card = CohortCard(title="Few", citation="none", licence="CC0-1.0", provenance=provenance, variables=variables)
    rules = (EventRule(name="infection"), EventRule(name="death"))
    endpoint = Endpoint(name="infection", event=rules[0], competing=rules[1:], horizons_days=(100.0, 365.0))
    write_cohort(folder, card, {"patients": patients, "events": events}, endpoints={"infection": endpoint})
    return folder


@pytest.mark.parametrize("provenance", ["real", "simulated"])
def test_what_a_small_count_follows_from_is_not_on_the_page_of_real_patients(
    tmp_path: Path, provenance: Literal["real", "simulated"]
) -> None:
    folder = study(tmp_path / "cohort", provenance)
    endpoint = read_endpoint(folder / "endpoints" / "infection.yaml")
    asked = {"adjust": ["score"], "recurrent": "fever", "subgroup": "half", "individual": True}
    question = ask(read_cohort(folder), endpoint, "arm", **asked)
    found = analyse(question)
    write_effects_page(tmp_path / "page.html", found)
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    tables = [re.sub(r"<[^>]*>", "|", one) for one in re.findall(r"<table>.*?</table>", text, re.DOTALL)]
    small = [line for line in lines_of(found) if line.cause in ("death", "fever") and "b" in (line.arm, line.reference)]
    assert {line.quantity for line in small} >= {"risk", "risk ratio", "mean number", "rate ratio", "time lost"}
    told = [interval(line) for line in small if any(f"|{interval(line)}" in one for one in tables)]
    own = next(
        line for line in lines_of(found) if line.cause == "death" and line.arm == "b" and line.quantity == "risk"
    )
    assert own.estimate.point == pytest.approx(3 / 31)
    assert "Effects patient by patient" in text
    assert not re.search(r"P\d{4}", text)
    if provenance == "real":
        assert not told
        assert "Each point is the mean of at least 5 patients" in text
        assert "a withheld, b &lt;5" in text
        assert "its risk is withheld" in text
    else:
        assert "Each point is a patient" in text
        on_the_page = {interval(line) for line in small if line.quantity != "time lost ratio"}
        assert on_the_page <= set(told)
        assert "withheld" not in text
    for one in lines_of(found):
        if one.cause == "infection" and one.quantity == "risk":
            assert any(f"|{interval(one)}|" in table for table in tables)


def test_a_level_of_few_patients_has_no_slope_on_the_page_of_real_patients(tmp_path: Path) -> None:
    assert FEWEST >= SMALLEST
    folder = study(tmp_path / "cohort", "real")
    endpoint = read_endpoint(folder / "endpoints" / "infection.yaml")
    question = ask(read_cohort(folder), endpoint, "arm", adjust=["score", "rare"], individual=True)
    found = analyse(question)
    assert question.covariates is not None
    assert question.covariates.columns == ("score", "rare=yes")
    assert int((question.covariates.x[:, 1] > 0).sum()) == 3
    (own,) = plain(found)["individual"]
    assert [one["covariate"] for one in own["slopes"]] == ["score"]
    assert own["left_out"] == ["rare=yes"]
    said = "Not in the line of effects patient by patient: rare=yes; fewer than 10 patients differ"
    assert any(one.startswith(said) for one in findings(found))
    write_effects_page(tmp_path / "page.html", found)
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    (table,) = (
        one for one in re.findall(r"<table>.*?</table>", text, re.DOTALL) if "as a line in the covariates" in one
    )
    assert "score" in table
    assert "rare" not in table
    assert said in text
    assert "with the mean's own 95 % interval" in html.unescape(text)


def test_a_curve_whose_targeting_was_given_up_is_not_drawn_and_said_to_be_missing(tmp_path: Path) -> None:
    folder = study(tmp_path / "cohort", "simulated")
    endpoint = read_endpoint(folder / "endpoints" / "infection.yaml")
    found = analyse(ask(read_cohort(folder), endpoint, "arm", adjust=["score"]))
    assert found.curves is not None
    incidence = found.curves.incidence.copy()
    incidence[1, 0] = incidence[:, 1] = np.nan  # infection in b, death in both
    given_up = replace(found.curves, incidence=incidence)
    dashed = [
        [line for line in figure.axes[0].get_lines() if line.is_dashed()]
        for figure in incidence_figures(found.question.arms, 365.0, OPEN, given_up)
    ]
    assert [len(lines) for lines in dashed] == [1, 0]
    write_effects_page(tmp_path / "page.html", replace(found, curves=given_up))
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "Dashed: targeted, had everyone been in each arm. Targeting was given up in b. Events" in text
    assert "pointwise 95 % intervals. Targeting was given up in a, b. Events" in text


def with_earlier_infections(folder: Path, halves: tuple[str, ...]) -> None:
    """40 more patients in arm a, whose infection on day 5 leaves them at risk of fever alone on day 10."""
    ids = [f"E{i:04d}" for i in range(40)]
    more = {"patient_id": ids, "follow_up_days": 400.0, "arm": "a", "score": 0.0, "half": halves * 20, "rare": "no"}
    early = pd.DataFrame({"patient_id": ids, "day": 5.0, "event": "infection"})
    for name, rows in (("patients", pd.DataFrame(more)), ("events", early)):
        table = pd.read_csv(folder / f"{name}.csv")
        pd.concat([table, rows]).to_csv(folder / f"{name}.csv", index=False)


@pytest.mark.parametrize(
    ("adjust", "halves", "said"),
    [
        (
            ["score", "half"],
            ("z", "w"),
            "--adjust score,half: makes 5 columns, for which every arm needs 50 patients at risk of --recurrent fever",
        ),
        (
            ["half"],
            ("z", "z"),
            "--adjust half: 33% of the patients at risk of --recurrent fever could hardly have been in arm b",
        ),
    ],
)
def test_mean_numbers_are_adjusted_only_where_those_at_risk_of_them_can_be(
    tmp_path: Path, adjust: list[str], halves: tuple[str, ...], said: str
) -> None:
    folder = study(tmp_path / "cohort", "simulated")
    with_earlier_infections(folder, halves)
    endpoint = read_endpoint(folder / "endpoints" / "infection.yaml").model_copy(update={"landmark_days": (10.0,)})
    cohort = read_cohort(folder)
    assert len(analyse(ask(cohort, endpoint, "arm", adjust=adjust)).compared) == 4
    plainly = analyse(ask(cohort, endpoint, "arm", recurrent="fever"))
    assert plainly.counted is not None
    assert len(plainly.counted.counted.arm) == 120
    with pytest.raises(SequelaError, match=said):
        analyse(ask(cohort, endpoint, "arm", adjust=adjust, recurrent="fever"))


def test_help_says_what_the_seed_is_for() -> None:
    done = subprocess.run([SEQUELA, "effects", "--help"], capture_output=True, text=True, check=True)
    said = " ".join(re.sub(r"[│\s]+", " ", done.stdout).split())
    for word in ("Deals the folds of cross-fitting, once", "Only with --adjust"):
        assert word in said


def test_who_could_hardly_be_seen_is_said_and_not_counted_out(tmp_path: Path) -> None:
    folder = study(tmp_path / "cohort", "real")
    endpoint = read_endpoint(folder / "endpoints" / "infection.yaml")
    found = analyse(ask(read_cohort(folder), endpoint, "arm", adjust=["score"]))
    assert found.adjustment is not None
    assert not any("hardly have been seen" in one for one in assumptions(found))
    few = replace(found, adjustment=replace(found.adjustment, hardly_seen=(0.0, 3 / 80)))
    (said,) = (one for one in assumptions(few) if "hardly have been seen" in one)
    assert "to day 365 (probability of being in it and still followed below 0.01): b 3.8 %." in said
    (said,) = (one for one in assumptions(few, Disclosure(True, False)) if "hardly have been seen" in one)
    assert "b of <5 patients." in said


@pytest.mark.parametrize(("shift", "scale", "digits"), [(0.0, 1.0, 2), (143.0, 1.0, 3), (2019.0, 0.5, 4)])
def test_a_number_is_cut_near_its_median_at_nobodys_value(
    tmp_path: Path, shift: float, scale: float, digits: int
) -> None:
    """Two digits, and more only where all would be on one side, as of years."""
    cohort = read_cohort(study(tmp_path / "cohort", "real"))
    values = shift + scale * cohort.patients["score"].to_numpy(dtype=float)
    endpoint = read_endpoint(cohort.folder / "endpoints" / "infection.yaml")
    asked = ask(replace(cohort, patients=cohort.patients.assign(score=values)), endpoint, "arm", subgroup="score")
    assert asked.groups is not None
    cut = float(asked.groups.names[0].rpartition(" ")[2])
    assert cut == float(f"{np.median(values):.{digits}g}")
    assert cut not in values
    np.testing.assert_array_equal(asked.groups.group, values > cut)
    assert 0.25 <= asked.groups.group.mean() <= 0.75


def test_what_could_not_be_tested_is_said_as_such(tmp_path: Path) -> None:
    folder = study(tmp_path / "cohort", "simulated")
    endpoint = read_endpoint(folder / "endpoints" / "infection.yaml")
    found = analyse(ask(read_cohort(folder), endpoint, "arm", subgroup="half", horizons_days=[5.0, 100.0]))
    assert any(one.startswith("No event: death in a by day 5; death in b by day 5;") for one in assumptions(found))
    assert found.groups is not None
    said = list(findings(found))
    assert "; the interval includes no difference." in said[1]
    unknown = ChiSquared(math.nan, 1, math.nan)
    groups = replace(found.groups, tests=((unknown, unknown),))
    causes = tuple(replace(one, gray=unknown) for one in found.causes)
    said = list(findings(replace(found, causes=causes, groups=groups)))
    assert "the arms cannot be tested. Risk by day 100" in said[1]
    assert not any("no difference" in one for one in said)
    assert said[-1].endswith("differs between groups could not be tested.")
