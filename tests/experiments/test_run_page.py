"""The page of a run and its model card: what they say is so, nobody is named, and a browser shows them well."""

from __future__ import annotations

import json
import re
import shutil
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from browser import Browser
from pages import Reader, assert_shown_well, serious_violations

from experiments import benefit_risk
from experiments.cli.reports import report
from experiments.config import RunConfig, load_run
from experiments.crossval import Unheard, cross_validate
from experiments.data import load_rows
from experiments.home import CONFIGS, Home
from experiments.page.privacy import Disclosure
from experiments.page.shell import ONE_PATIENT
from experiments.progress import Progress
from experiments.run_page import RunFacts, RunRecord, analyse, read_record, write_run_page
from experiments.run_page.analysis import Analysis
from experiments.run_page.card import BY_A_PERSON, RunCard
from experiments.run_page.card_of import card_of
from experiments.run_page.document import front_matter, to_markdown
from experiments.run_page.over_time import calibration, over_time
from experiments.run_page.stored import stored_record
from experiments.run_page.subgroups import RARE, UNKNOWN, failures, group_labels, subgroup_scores
from experiments.run_page.who import FLOW, flow_counts, table_one
from experiments.run_report import Findings, write_report
from experiments.scoring import score
from experiments.store import find_run, open_store
from experiments.train import RunResult, train
from features.check import read_cohort, read_endpoint
from features.cohort import outcomes_at
from features.errors import SequelaError
from features.importers import IMPORTERS
from features.outcomes import Outcomes
from training.config import DistilledConfig, InContextConfig, ModelConfig, RecalibratedConfig
from training.evaluation.scores import evaluate
from training.models.nonparametric import aalen_johansen

SECTIONS = (
    "flow", "table-1", "events", "scores", "incidence", "calibration", "discrimination", "accuracy", "decision",
    "selection", "fairness", "importance", "counts", "failures", "use", "tripod", "chai", "reproduce", "privacy",
)  # fmt: skip
CLINIC = "features={measurements: [], cells: []}"
QUIET = Progress(lambda done, of: None, lambda done, of: None)
OPEN, GUARDED = (Disclosure(guarded=guarded, individual_lines=False) for guarded in (False, True))


@dataclass(frozen=True)
class Trained:
    home: Home
    config: RunConfig
    result: RunResult
    analysis: Analysis
    page: Path

    @property
    def text(self) -> str:
        return self.page.read_text(encoding="utf-8")


def trained(home: Home, config: RunConfig) -> Trained:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow's own, when a model is logged
        result = train(config, home, QUIET)
    client = open_store(home)
    analysis = analyse(stored_record(client, home, find_run(client, result.run_id)))
    page = home.folder / f"{config.name}.html"
    write_run_page(analysis, page)
    return Trained(home, config, result, analysis, page)


@pytest.fixture(scope="module")
def shared_home(migrated: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    home = Home(tmp_path_factory.mktemp("pages") / "store")
    home.folder.mkdir()
    shutil.copy(migrated, home.database)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SEQUELA_HOME", str(home.folder))
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        yield home


@pytest.fixture(scope="module")
def simulated(shared_home: Home, cohort: Path) -> Trained:
    """Two landmarks, three causes, events that come back, importances and a permutation test."""
    settings = "validation={folds: 3, bootstrap: 40, importance: 1, permutations: 2}"
    words = [f"cohort={cohort}", CLINIC, "model={kind: cox, penalty: 50}", settings]
    return trained(shared_home, load_run(CONFIGS / "run" / "questioned.yaml", words))


@pytest.fixture(scope="module")
def leipzig(shared_home: Home, shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """52 real patients."""
    folder = tmp_path_factory.mktemp("leipzig") / "cohort"
    IMPORTERS["leipzig2024"].run(shared_data / "leipzig_bcma_cart", folder)
    words = [f"cohort={folder}", "validation={folds: 2, repeats: 2, bootstrap: 20}", "model={kind: cox, penalty: 50}"]
    return trained(shared_home, load_run(CONFIGS / "run" / "leipzig_clinic.yaml", words))


PLANTED = {"patient_id": "ZEBRA-7731", "site": "unicorn-hospital", "age": "87.654", "ferritin": "54321.98"}


@pytest.fixture(scope="module")
def real(shared_home: Home, cohort: Path, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """The simulated cohort said to be real, with one unmistakable patient."""
    folder = tmp_path_factory.mktemp("real") / "cohort"
    shutil.copytree(cohort, folder)
    card = yaml.safe_load((folder / "cohort.yaml").read_text("utf-8"))
    (folder / "cohort.yaml").write_text(yaml.safe_dump(card | {"provenance": "real"}), "utf-8")
    former = pd.read_csv(folder / "patients.csv")["patient_id"].iloc[0]
    for path in folder.glob("*.csv"):
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
        if "patient_id" in table:
            named = table["patient_id"] == former
            for column, value in PLANTED.items():
                if column in table and (column == "patient_id" or path.stem == "patients"):
                    table.loc[named, column] = value
        table.to_csv(path, index=False)
    words = [f"cohort={folder}", "name=planted", CLINIC, "validation={folds: 2, bootstrap: 20}"]
    return trained(shared_home, load_run(CONFIGS / "run" / "cox.yaml", [*words, "model={kind: cox, penalty: 50}"]))


def cells_of(text: str, section: str, heading: str) -> list[str]:
    """The cells of the row with a heading, in the tables of a section."""
    body = re.search(rf'<section id="{section}".*?</section>', text, re.DOTALL)
    assert body is not None
    row = re.search(rf'<th scope="row"[^>]*>{re.escape(heading)}</th>(.*?)</tr>', body[0], re.DOTALL)
    assert row is not None, heading
    return re.findall(r"<td[^>]*>(.*?)</td>", row[1])


def in_words(row: pd.Series, digits: int, scale: float = 1, unit: str = "") -> str:
    point, low, high = (f"{scale * row[name]:.{digits}f}".replace("-", "−") for name in ("point", "low", "high"))
    return f"{point}{unit} ({low} to {high})" if np.isfinite(row["low"]) else f"{point}{unit}"


@pytest.mark.parametrize("name", ["simulated", "leipzig", "real"])
def test_numbers_on_the_page_are_those_of_scores_csv(name: str, request: pytest.FixtureRequest) -> None:
    run: Trained = request.getfixturevalue(name)
    table = pd.read_csv(run.result.folder / "report" / "scores.csv")
    value = table.set_index(["landmark_day", "cause", "metric", table["horizon_days"].fillna(0)])
    endpoint = run.analysis.record.rows.endpoint
    compared = 0
    for day in endpoint.landmark_days:
        for cause in endpoint.causes:
            overall = [value.loc[day, cause, metric, 0] for metric in ("ibs", "ipa", "c")]
            expected = [in_words(overall[0], 4), in_words(overall[1], 1, 100, " %"), in_words(overall[2], 3)]
            assert cells_of(run.text, "scores", f"{cause}, from day {day:g}") == expected
            for at in endpoint.horizons_days:
                heading = f"{cause}, by {at:g} days, from day {day:g}"
                auc, brier, ipa = (value.loc[day, cause, metric, at] for metric in ("auc", "brier", "ipa"))
                few = value.loc[day, cause, "n_events", at]["point"] < 5
                expected = ["too few events"] if few else [in_words(auc, 3)]
                assert cells_of(run.text, "discrimination", heading) == expected
                expected = ["too few events"] * 2 if few else [in_words(brier, 4), in_words(ipa, 1, 100, " %")]
                assert cells_of(run.text, "accuracy", heading) == expected
                compared += not few
    assert compared >= 2
    for at in endpoint.horizons_days:
        cells = cells_of(run.text, "calibration", f"by {at:g} days, from day 0")
        for cell, metric, digits in zip(cells[3:], ("ici", "e50", "e90"), (3, 3, 3), strict=True):
            row = value.loc[0, endpoint.causes[0], metric, at]
            assert cell == (in_words(row, digits) if np.isfinite(row["point"]) else "–")


def test_page_has_every_section_and_is_valid(simulated: Trained, leipzig: Trained) -> None:
    for run, sections in ((simulated, SECTIONS), (leipzig, tuple(s for s in SECTIONS if s != "counts"))):
        reader = Reader(run.text)
        ids = [attributes["id"] for _, attributes in reader.tags if "id" in attributes]
        assert len(ids) == len(set(ids))
        assert [attributes["id"] for tag, attributes in reader.tags if tag == "section"] == list(sections)
        assert not re.search(r"@import|url\((?!#)|https?://|<script", run.text)
        assert not re.search(r"\bnan\b", re.sub(r"<style.*?</style>", "", run.text, flags=re.DOTALL))
        assert str(run.config.cohort.parent) not in run.text, "no path of this machine"
        for tag, attributes in reader.tags:
            assert tag != "svg" or attributes["aria-labelledby"] in ids


def test_simulated_is_said_loudly_and_real_is_not(simulated: Trained, leipzig: Trained) -> None:
    assert '<div class="banner" role="note">Simulated patients. Nothing here is about anyone' in simulated.text
    report_folder = simulated.result.folder / "report"
    assert "Simulated patients" in (report_folder / "model_card.html").read_text("utf-8")
    markdown = (report_folder / "model_card.md").read_text("utf-8")
    assert "> Simulated patients" in markdown
    assert "simulated-patients" in front_matter(card_of(simulated.analysis))["tags"]
    assert "imulated" not in leipzig.text


def test_nobody_real_is_named_and_small_counts_are_withheld(real: Trained, leipzig: Trained) -> None:
    patients = real.analysis.record.rows.cohort.patients
    assert PLANTED["patient_id"] in set(patients["patient_id"]), "the patient is there to be found"
    assert (patients["site"] == PLANTED["site"]).sum() == 1
    card = [path.read_text("utf-8") for path in (real.result.folder / "report").glob("model_card.*")]
    assert len(card) == 3
    for text in (real.text, *card):
        shown = re.sub(r"<path.*?/>", "", text, flags=re.DOTALL)
        for value in (*PLANTED.values(), "87.65", "87.7", "54321", "54,32"):
            assert value not in shown
        assert not set(re.findall(r"[\w-]+", shown)) & set(patients["patient_id"])
    assert "other levels, each rare" in real.text
    ids = set(leipzig.analysis.record.rows.cohort.patients["patient_id"])
    for run in (real, leipzig):
        body = re.sub(r"<style.*?</style>|<svg.*?</svg>|<pre.*?</pre>", "", run.text, flags=re.DOTALL)
        for section in ("flow", "table-1", "events", "selection", "failures"):
            (part,) = re.findall(rf'<section id="{section}".*?</section>', body, re.DOTALL)
            counts = re.findall(r'<td class="n">([1-4])(?: \(\d+ %\))?</td>', part)
            assert counts == [], section
    assert not {word for word in re.findall(r"[\w-]+", leipzig.text) if word in ids and not word.isdigit()}


def test_flow_is_what_pandas_counts(simulated: Trained) -> None:
    record = simulated.analysis.record
    rows, counts = record.rows, flow_counts(record)
    for column, day in enumerate(rows.endpoint.landmark_days):
        at_risk, _ = outcomes_at(rows.cohort, rows.endpoint, day)
        assert counts[4, column] == len(at_risk)
        assert counts[0, column] - counts[1:4, column].sum() == counts[4, column]
        assert counts[4, column] - counts[5:7, column].sum() == counts[7, column]
        follow_up = rows.cohort.patients["follow_up_days"]
        assert counts[1, column] + counts[2, column] >= (follow_up <= day).sum()
    assert counts[1, 1] > 0
    assert cells_of(simulated.text, "flow", FLOW[4]) == [f"{n:,}" for n in counts[4]]


def test_table_one_agrees_with_pandas(simulated: Trained) -> None:
    record = simulated.analysis.record
    groups, found = table_one(record, OPEN)
    rows = record.rows
    here = rows.patients.landmark_day == 0
    table = rows.cohort.patients.set_index("patient_id").loc[list(rows.patients.patient_id[here])]
    cause = rows.outcomes.cause[here]
    assert groups[1] == f"infection (n = {(cause == 1).sum()})"
    by_label = {row[0]: row[1:] for row in found}
    low, middle, high = table["age"][cause == 1].quantile([0.25, 0.5, 0.75])
    numbers = [float(part) for part in re.findall(r"[\d.]*\d", by_label["age, a"][1])]
    np.testing.assert_allclose(numbers, [middle, low, high], rtol=5e-3)
    women = (table["sex"][cause == 1] == "female").sum()
    assert by_label["  female"][1].startswith(f"{women} (")


def test_predictions_are_read_back_as_they_were(cohort: Path, tmp_path: Path) -> None:
    settings = "validation={folds: 3, repeats: 2, bootstrap: 20}"
    words = [f"cohort={cohort}", CLINIC, "model={kind: cox, penalty: 50}", settings]
    config = load_run(CONFIGS / "run" / "cox.yaml", words)
    rows = load_rows(cohort, read_endpoint(config.endpoint), config.features, tmp_path)
    out_of_fold = cross_validate(rows, config, tmp_path / "folds", Unheard())
    found = Findings(score(rows, out_of_fold, config))
    write_report(rows, out_of_fold, found, config, tmp_path / "report")
    record = read_record(tmp_path / "report", config, rows, RunFacts("run", 0.0, {}))
    at = np.searchsorted(out_of_fold.times_days, record.times_days)
    np.testing.assert_array_equal(record.incidence, out_of_fold.incidence[..., at])
    np.testing.assert_array_equal(record.fold, out_of_fold.fold)
    strangers = np.arange(len(rows.patients)).astype(object)
    shuffled = replace(rows, patients=replace(rows.patients, patient_id=strangers))
    with pytest.raises(SequelaError, match="not of these patients"):
        read_record(tmp_path / "report", config, shuffled, RunFacts("run", 0.0, {}))


def test_scores_over_time_are_those_of_evaluate(simulated: Trained) -> None:
    at = simulated.analysis.record.landmarks[0]
    found = over_time(at, 20, np.random.default_rng(0))
    assert found is not None
    horizon = [at.times_days[-1]]
    scores = evaluate(at.incidence, at.times_days, at.outcomes, horizon, at.patient_id, n_bootstrap=0, fold=at.fold)
    last = scores.causes[0].horizons[0]
    np.testing.assert_allclose(found.times_days[-1], at.times_days[-1])
    for name in ("auc", "brier", "ipa"):
        np.testing.assert_allclose(getattr(found, name)[-1, 0], getattr(last, name).point, rtol=1e-9)
    assert (found.auc[:, 1] <= found.auc[:, 0] + 1e-9).all()
    np.testing.assert_allclose(found.ipa[:, 0], 1 - found.brier[:, 0] / found.null[:, 0])


def test_calibration_is_of_the_predicted_risks(simulated: Trained) -> None:
    at = simulated.analysis.record.landmarks[0]
    found = calibration(at, 365.0)
    assert found is not None
    assert sum(group.n_rows for group in found.groups) == len(at.outcomes)
    assert (np.diff(found.risk) >= 0).all()
    observed = np.average([g.observed.point for g in found.groups], weights=[g.n_rows for g in found.groups])
    np.testing.assert_allclose(observed, aalen_johansen(at.outcomes).at(np.array([365.0]))[0, 0], atol=0.03)
    nobody = replace(at, outcomes=Outcomes(at.outcomes.duration_days, at.outcomes.cause * 0, at.outcomes.causes))
    assert calibration(nobody, 365.0) is None


def test_subgroups_are_scored_within_themselves(simulated: Trained) -> None:
    record = simulated.analysis.record
    at, cohort, horizon = record.landmarks[0], record.rows.cohort, record.horizon_days
    labels = group_labels(cohort, at.patient_id, 5)
    assert list(labels) == ["age", "sex", "product", "disease", "centre"]
    table = cohort.patients.set_index("patient_id").loc[list(at.patient_id)]
    assert (labels["age"][table["age"] < 50] == "under 50").all()
    assert set(labels["sex"]) <= {"male", "female", UNKNOWN}
    found = {(one.variable, one.level): one for one in subgroup_scores(at, labels, horizon, 20, 0)}
    men = found["sex", "male"]
    rows = np.flatnonzero(labels["sex"] == "male")
    own = at.outcomes.take(rows)
    assert men.n_patients == len(rows)
    assert men.n_events == ((own.cause == 1) & (own.duration_days <= horizon)).sum()
    assert men.scores is not None
    who, fold = at.patient_id[rows], at.fold[rows]
    alone = evaluate(at.incidence[rows], at.times_days, own, [horizon], who, n_bootstrap=0, fold=fold)
    for name in ("auc", "brier", "o_e"):
        np.testing.assert_allclose(men.scores[name].point, getattr(alone.causes[0].horizons[0], name).point, rtol=1e-9)
    small = [one for one in found.values() if one.n_patients < 20 or one.n_events < 5]
    assert small
    assert all(one.scores is None for one in small)
    assert cells_of(simulated.text, "fairness", f"{small[0].variable}: {small[0].level}")[2] == "too few to tell"


def test_rare_levels_are_put_together(simulated: Trained) -> None:
    record = simulated.analysis.record
    patients = record.rows.cohort.patients.assign(site=["X", "Y", *["Z"] * (len(record.rows.cohort.patients) - 2)])
    cohort = replace(record.rows.cohort, patients=patients)
    labels = group_labels(cohort, patients["patient_id"].to_numpy(dtype=object), 5)
    assert labels["centre"].tolist().count(RARE) == 2
    assert set(labels["centre"]) == {RARE, "Z"}


def test_failures_are_the_largest_parts_of_the_brier_score(simulated: Trained) -> None:
    at, horizon = simulated.analysis.record.landmarks[0], simulated.analysis.record.horizon_days
    found = failures(at, {"everyone": np.full(len(at.outcomes), "all", dtype=object)}, horizon, 1)
    assert found is not None
    assert found.n_worst == int(found.n_patients * 0.2)
    assert sum(found.kinds.values()) == found.n_worst
    assert 0.2 < found.share_of_loss <= 1
    assert found.by_group == (("everyone", "all", found.n_worst, found.n_patients - found.n_worst),)
    assert failures(at, {}, horizon, len(at.outcomes)) is None


def test_tables_of_small_counts_cannot_be_solved() -> None:
    counts = np.array([[3, 20, 30], [12, 8, 9], [40, 50, 6]])
    assert GUARDED.table(counts) == [["<5", "withheld", "30"], ["withheld", "withheld", "9"], ["40", "50", "6"]]
    assert OPEN.table(counts)[0] == ["3", "20", "30"]
    assert GUARDED.table(np.array([[3, 0], [0, 9]])) == [["<5", "0"], ["0", "9"]]
    assert GUARDED.parts([31, 19, 2], kept=1) == ["withheld", "19", "<5"]
    rng = np.random.default_rng(0)
    for _ in range(50):
        hidden = np.array(GUARDED.table(rng.integers(0, 12, (4, 3))), dtype=object)
        single = [line for line in [*hidden, *hidden.T] if sum(text in {"<5", "withheld"} for text in line) == 1]
        assert all(set(line) - {"<5", "withheld"} <= {"0"} for line in single)


def test_the_card_holds_27_items_and_the_scores(simulated: Trained) -> None:
    folder = simulated.result.folder / "report"
    card = RunCard.model_validate_json((folder / "model_card.json").read_text("utf-8"))
    assert [item.number for item in card.tripod_ai] == list(range(1, 28))
    assert {item.status for item in card.tripod_ai} == {"filled", "partly", "person"}
    for item in card.tripod_ai:
        assert (item.text == BY_A_PERSON) == (item.status == "person")
        assert ("by a person" in item.text) == (item.status != "filled")
    table = pd.read_csv(folder / "scores.csv")
    assert len(card.scores) == len(table)
    for one, row in zip(card.scores, table.to_dict("records"), strict=True):
        expected = row["point"] if np.isfinite(row["point"]) else None
        assert (one.metric, one.cause, one.estimate.point) == (row["metric"], row["cause"], expected)
    client = open_store(simulated.home)
    logged = {file.path for file in client.list_artifacts(simulated.result.run_id)}
    assert {"model_card.json", "model_card.md", "model_card.html"} <= logged
    again = card_of(simulated.analysis)
    assert again.model_copy(update={"reproduce": card.reproduce}) == card, "the same at the end of training and later"


def test_the_card_says_whether_rows_of_the_cohort_are_in_the_model(simulated: Trained) -> None:
    def said(model: ModelConfig) -> str:
        config = simulated.config.model_copy(update={"model": model})
        card = card_of(replace(simulated.analysis, record=replace(simulated.analysis.record, config=config)))
        return {one.name: one.text for one in card.intended_use}["Rows of the cohort in the model"]

    assert said(simulated.config.model) == "None."
    holder = InContextConfig(context_rows=1234)
    assert said(RecalibratedConfig(model=holder)).startswith(
        "Up to 1,234, in the model's files, encoded, with outcomes"
    )
    assert said(DistilledConfig(model=holder)) == "None."


def test_markdown_has_front_matter_that_hugging_face_reads(simulated: Trained) -> None:
    card = card_of(simulated.analysis)
    _, front, body = to_markdown(card).split("---\n", 2)
    content = yaml.safe_load(front)
    assert content["license"] == "other"
    (model,) = content["model-index"]
    (result,) = model["results"]
    assert set(result) == {"task", "dataset", "metrics"}
    scores = simulated.analysis.record.scores.query(
        "landmark_day == 0 and cause == 'infection' and horizon_days.isna()"
    )
    expected = scores.set_index("metric")["point"]
    assert {one["type"]: one["value"] for one in result["metrics"]} == expected[["ibs", "ipa", "c"]].to_dict()
    assert body.count("To be filled by a person") >= 10
    assert "**27 Usability in current care** (filled in part)" in body


def test_text_of_a_cohort_is_no_markup(simulated: Trained) -> None:
    card = card_of(simulated.analysis)
    odd = card.model_copy(update={"name": "a|b <i>*c*", "warning": "# [x](y)"})
    body = to_markdown(odd).split("---\n", 2)[2]
    assert "# a\\|b \\<i\\>\\*c\\*" in body
    assert "> \\# \\[x\\](y)" in body


def test_the_command_writes_the_same_page_from_what_mlflow_keeps(
    simulated: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SEQUELA_HOME", str(simulated.home.folder))
    away = simulated.home.runs.rename(tmp_path / "runs")
    try:
        report("questioned", tmp_path / "page.html", card=tmp_path / "card")
    finally:
        away.rename(simulated.home.runs)
    assert capsys.readouterr().out.strip() == str(tmp_path / "page.html")
    assert (tmp_path / "page.html").read_bytes() == simulated.page.read_bytes()
    assert {path.name for path in (tmp_path / "card").iterdir()} == {
        f"model_card.{end}" for end in ("json", "md", "html")
    }
    report("questioned", tmp_path / "assumed.html", relative_risk_reduction=0.15)
    assert "takes 15 % of the risk away" in (tmp_path / "assumed.html").read_text("utf-8")
    assert "takes 30 % of the risk away" in simulated.text


def test_another_cohort_is_refused_and_a_moved_one_is_found(simulated: Trained, tmp_path: Path) -> None:
    client = open_store(simulated.home)
    run = find_run(client, simulated.result.run_id)
    with pytest.raises(SequelaError, match="say where it is with --cohort"):
        stored_record(client, simulated.home, run, tmp_path / "nowhere")
    moved = tmp_path / "moved"
    shutil.copytree(simulated.config.cohort, moved)
    assert isinstance(stored_record(client, simulated.home, run, moved), RunRecord)
    events = pd.read_csv(moved / "events.csv", dtype=str, keep_default_na=False)
    events.iloc[:-1].to_csv(moved / "events.csv", index=False)
    with pytest.raises(SequelaError, match="or was changed since"):
        stored_record(client, simulated.home, run, moved)


@pytest.mark.parametrize("width", [390, 1440], ids=["phone", "desk"])
@pytest.mark.parametrize("name", ["simulated", "leipzig"])
def test_a_browser_shows_it_without_errors_requests_or_overflow(
    browser: Browser, name: str, width: int, request: pytest.FixtureRequest
) -> None:
    run: Trained = request.getfixturevalue(name)
    assert_shown_well(browser, run.page, width)
    assert_shown_well(browser, run.result.folder / "report" / "model_card.html", width)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["simulated", "leipzig"])
def test_it_is_accessible(browser: Browser, name: str, scheme: str, request: pytest.FixtureRequest) -> None:
    run: Trained = request.getfixturevalue(name)
    assert serious_violations(browser, run.page, scheme) == []
    assert serious_violations(browser, run.result.folder / "report" / "model_card.html", scheme) == []


def test_paper_clips_nothing(browser: Browser, simulated: Trained, leipzig: Trained) -> None:
    for run in (simulated, leipzig):
        browser.call("Emulation.setEmulatedMedia", media="print")
        browser.open(run.page.as_uri(), 720)  # A4 less its margins
        wide = browser.evaluate(
            "[...document.querySelectorAll('svg, table, pre, dl')].filter(e => e.getBoundingClientRect().right > 721)"
            ".map(e => e.textContent.slice(0, 60))",
        )
        assert wide == []
        folded = (
            "[...document.querySelectorAll('details > :not(summary)')].every(e => e.getBoundingClientRect().height > 0)"
        )
        assert browser.evaluate(folded) is True
        browser.call("Emulation.setEmulatedMedia", media="")


def test_numbers_in_json_are_json(simulated: Trained) -> None:
    def refuse(name: str) -> None:
        raise AssertionError(name)

    text = (simulated.result.folder / "report" / "model_card.json").read_text("utf-8")
    assert json.loads(text, parse_constant=refuse)["format"] == "sequela-model-card/1"


def answered(cohort: Path) -> benefit_risk.BenefitRisk:
    endpoint = read_endpoint(CONFIGS / "endpoint" / "severe_infection.yaml")
    return benefit_risk.analyse(benefit_risk.ask(read_cohort(cohort), endpoint, by="sex"))


def benefit_page(cohort: Path, path: Path) -> bytes:
    """A page of another command."""
    benefit_risk.write_benefit_risk_page(path, answered(cohort))
    return path.read_bytes()


def test_pages_of_other_commands_become_sections(
    simulated: Trained, cohort: Path, tmp_path: Path, browser: Browser
) -> None:
    """Twice the same page: all ids stay unique, all links lead somewhere, and what was found stands open."""
    others = tmp_path / "others"
    others.mkdir()
    linked = benefit_page(cohort, others / "benefit.html").replace(b"</main>", b'<a href="more/x.html">x</a></main>')
    (others / "linked.html").write_bytes(linked)
    page = tmp_path / "page.html"
    report("questioned", page, add=[others / "benefit.html", others / "linked.html"])
    text = page.read_text("utf-8")
    read = Reader(text)
    ids = [attributes["id"] for _, attributes in read.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    within = [str(a["href"])[1:] for _, a in read.tags if str(a.get("href", "")).startswith("#")]
    assert set(within) <= set(ids)
    assert {"added1", "added2", "added1-found", "added2-plane"} <= set(ids)
    assert 'href="others/more/x.html"' in text
    words = "".join(read.text)
    for sentence in benefit_risk.plain(answered(cohort))["found"]:
        assert words.count(sentence) == 2
    assert text.index('id="added1"') < text.index('id="use"')
    for width in (390, 1440):
        assert_shown_well(browser, page, width)
    assert serious_violations(browser, page, "light") == []


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("none.html", None, "none.html: cannot be read (No such file or directory)"),
        ("other.html", b"<html><main><section>x</section></main></html>", "other.html: is no page as this version"),
        ("bytes.html", b"\xff\xfe\x00", "bytes.html: cannot be read (not UTF-8)"),
        ("scripted.html", b"<script>alert(1)</script>", "scripted.html: is no page as this version"),
        ("loaded.html", b"<svg/onload=alert(1)></svg>", "loaded.html: is no page as this version"),
        ("drawn.html", b'<img src="x"onerror=alert(1)>', "drawn.html: is no page as this version"),
        ("linked.html", b'<a href="java&#115;cript:x">x</a>', "linked.html: is no page as this version"),
        ("alone.html", b"ONE PATIENT", "alone.html: shows a single patient"),
        ("elsewhere.html", b"ANOTHER COHORT", "elsewhere.html: is not of the run's cohort, Simulated CAR-T cohort"),
    ],
)
def test_what_is_no_page_of_ours_is_not_added(
    simulated: Trained, cohort: Path, tmp_path: Path, name: str, content: bytes | None, said: str
) -> None:
    ours = benefit_page(cohort, tmp_path / "ours.html")
    if content == b"ONE PATIENT":
        content = ours.replace(b"<title>", ONE_PATIENT.encode() + b"<title>")
    elif content == b"ANOTHER COHORT":
        content = ours.replace(b"Simulated CAR-T cohort (", b"Another cohort (")
    elif content is not None and content.startswith((b"<script", b"<svg", b"<img", b"<a")):
        content = ours.replace(b"</main>", content + b"</main>")
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(SequelaError, match=re.escape(said)):
        report("questioned", tmp_path / "page.html", add=[tmp_path / name])
    assert not (tmp_path / "page.html").exists()
