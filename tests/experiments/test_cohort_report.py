"""The report of a cohort: what it says is so, it is one file, and it opens in a browser."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from browser import Browser
from pages import Reader, assert_shown_well, serious_violations

from experiments.cohort_report import embedding_map, write_cohort_report
from experiments.cohort_report.cell_sample import principal_components, quota
from experiments.cohort_report.embedding_map import Neighbours, adjusted_r2, lisi, nearest
from experiments.cohort_report.figures_cells import robust_limits
from experiments.cohort_report.follow_up import follow_up_outcomes, incidence_curves
from experiments.cohort_report.tables import baseline_rows, event_rows, finding_rows
from experiments.cohort_report.trajectories import scale_of, trajectory
from experiments.home import CONFIGS
from experiments.page.curves import median_follow_up, n_at_risk
from experiments.page.privacy import Disclosure
from features.cells.anndata_io import iter_bags
from features.cells.summary import MeasuredCells
from features.check import read_cohort, read_endpoint
from features.cohort import Cohort, outcomes_at, to_patients, write_cohort
from features.errors import Finding, SequelaError
from features.outcomes import Outcomes
from features.schema import CohortCard
from features.simulator import simulate
from training.models.nonparametric import aalen_johansen

SECTIONS = (
    "findings", "follow-up", "incidence", "baseline", "missing", "trajectories", "samples", "quality", "composition",
    "map", "batches", "privacy",
)  # fmt: skip
INFECTION = read_endpoint(CONFIGS / "endpoint" / "severe_infection.yaml")
OPEN, GUARDED = Disclosure(guarded=False, individual_lines=True), Disclosure(guarded=True, individual_lines=False)


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    folder = tmp_path_factory.mktemp("report") / "simulated"
    simulate(folder, n_patients=60, cells_per_sample=15, seed=5)
    return read_cohort(folder)


@pytest.fixture(scope="module")
def page(simulated: Cohort, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "report.html"
    write_page_of(simulated, path)
    return path


@pytest.fixture(scope="module")
def bare_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a cohort without cells, measurements, events or baseline variables."""
    folder = tmp_path_factory.mktemp("bare") / "cohort"
    card = CohortCard(title="Bare <b>", citation="None", licence="None", provenance="real", variables={})
    write_cohort(folder, card, {"patients": pd.DataFrame({"patient_id": list("abcdefgh"), "follow_up_days": 100})})
    path = folder.parent / "report.html"
    cohort = read_cohort(folder)
    write_cohort_report(cohort, to_patients(cohort), [], path)
    return path


def write_page_of(cohort: Cohort, path: Path, **options: Any) -> None:
    assert cohort.cells is not None
    cells = MeasuredCells.of(dict(iter_bags(cohort.cells)), counts=True)
    write_cohort_report(cohort, to_patients(cohort, cells), [INFECTION], path, **options)


@pytest.mark.parametrize("name", ["page", "bare_page"])
def test_page_is_valid_complete_and_self_contained(name: str, request: pytest.FixtureRequest) -> None:
    text = request.getfixturevalue(name).read_text(encoding="utf-8")
    assert text.startswith("<!DOCTYPE html>")
    reader = Reader(text)
    ids = [attributes["id"] for _, attributes in reader.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    refers = re.findall(r'(?:url\(|href="|aria-labelledby=")#?([^)"]+)', text)
    assert {target for target in refers if not target.startswith("data:")} <= set(ids)
    assert [attributes["id"] for tag, attributes in reader.tags if tag == "section"] == list(SECTIONS)
    headings = [int(tag[1]) for tag, _ in reader.tags if re.fullmatch(r"h\d", tag)]
    assert headings.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(headings))
    for tag, attributes in reader.tags:
        for key in ("src", "href", "action", "data", "poster"):
            assert (attributes.get(key) or "#").startswith(("#", "data:"))
        assert tag not in {"script", "iframe", "object", "embed"}
        if tag == "svg":
            assert attributes["role"] == "img"
            assert attributes["aria-labelledby"] in ids
    assert not re.search(r"@import|url\((?!#)|http", text)
    assert [attributes for tag, attributes in reader.tags if tag == "html"] == [{"lang": "en"}]


def test_simulated_is_said_loudly_and_nobody_is_named(simulated: Cohort, page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert '<div class="banner" role="note">Simulated patients.' in text
    assert simulated.fingerprint in text
    shown = " ".join(Reader(text).text)
    for name in (*simulated.patients["patient_id"], *simulated.samples["sample_id"]):
        assert name not in shown
    assert f"{len(simulated.events):,}" in shown
    assert str(simulated.folder) not in text


def test_what_is_absent_is_explained_and_texts_are_escaped(bare_page: Path) -> None:
    text = bare_page.read_text(encoding="utf-8")
    assert "<h1>Bare &lt;b&gt;</h1>" in text
    for why in (
        "no events", "no baseline variables", "neither baseline variables nor measurements", "no measurements",
        "no cells",
    ):  # fmt: skip
        assert why in text
    assert "banner" not in text.split("<body>")[1]


def test_the_same_cohort_gives_the_same_page(simulated: Cohort, page: Path, tmp_path: Path) -> None:
    steps: list[tuple[int, int]] = []
    write_page_of(simulated, tmp_path / "again.html", progress=lambda done, of: steps.append((done, of)))
    assert (tmp_path / "again.html").read_bytes() == page.read_bytes()
    assert steps == sorted(steps)
    assert steps[-1][0] == steps[-1][1]
    assert [path.name for path in tmp_path.iterdir()] == ["again.html"]


def test_a_folder_that_is_not_there_is_refused(simulated: Cohort, tmp_path: Path) -> None:
    with pytest.raises(SequelaError, match=r"nowhere/page\.html: cannot be written"):
        write_cohort_report(simulated, to_patients(simulated), [], tmp_path / "nowhere" / "page.html", findings=[])


def test_table_one_agrees_with_pandas(simulated: Cohort) -> None:
    rows = baseline_rows(simulated, OPEN)
    found = {label: (text, missing) for label, text, missing in rows}
    low, middle, high = simulated.patients["ferritin"].quantile([0.25, 0.5, 0.75])
    n_missing = int(simulated.patients["ferritin"].isna().sum())
    assert n_missing
    text, missing = found["ferritin, ng/mL"]
    numbers = [float(part.replace(",", "")) for part in re.findall(r"[\d.,]*\d", text)]
    np.testing.assert_allclose(numbers, [middle, low, high], rtol=5e-3)
    assert missing.startswith(f"{n_missing} (")
    sex = simulated.patients["sex"].value_counts()
    share = simulated.patients["sex"].value_counts(normalize=True)
    assert found["  male"][0] == f"{sex['male']} ({100 * share['male']:.0f} %)"
    assert sum(label == "site" for label, _, _ in rows) == 1


def test_events_are_counted_as_pandas_counts_them(simulated: Cohort) -> None:
    rows = {row[0]: row for row in event_rows(simulated, OPEN)}
    for name, of_name in simulated.events.groupby("event"):
        assert rows[str(name)][1:3] == (str(of_name["patient_id"].nunique()), str(len(of_name)))


def test_curves_are_those_of_aalen_and_johansen(simulated: Cohort) -> None:
    curves = incidence_curves(simulated, INFECTION, 30.0, np.random.default_rng(0))
    _, outcomes = outcomes_at(simulated, INFECTION, 30.0)
    np.testing.assert_array_equal(curves.incidence, aalen_johansen(outcomes).at(curves.times_days))
    assert (curves.low <= curves.incidence + 1e-9).mean() > 0.95
    assert (curves.high >= curves.incidence - 1e-9).mean() > 0.95
    at_risk = [(outcomes.duration_days >= day).sum() for day in curves.ticks_days]
    np.testing.assert_array_equal(curves.at_risk, at_risk)


def test_late_entries_are_at_risk_from_their_entry_on() -> None:
    outcomes = Outcomes(np.array([10.0, 20.0, 30.0]), np.array([1, 0, 1]), ("x",), np.array([0.0, 5.0, 15.0]))
    np.testing.assert_array_equal(n_at_risk(outcomes, np.array([0.0, 5.0, 6.0, 15.0, 16.0, 30.0])), [1, 1, 2, 1, 2, 1])


def test_median_follow_up_of_a_worked_example() -> None:
    # Censored on 10, 20, 30, 40; died on 15: G = 4/5, then 4/5 · 2/3 = 8/15, then 8/15 · 1/2 < 1/2 on day 30.
    outcomes = Outcomes(np.array([10.0, 15.0, 20.0, 30.0, 40.0]), np.array([0, 1, 0, 0, 0]), ("death",))
    median = median_follow_up(outcomes, np.random.default_rng(0))
    assert median.point == 30.0
    assert median.low <= 30.0 <= median.high


def test_median_follow_up_is_beyond_death(simulated: Cohort) -> None:
    outcomes = follow_up_outcomes(simulated)
    assert outcomes is not None
    deaths = simulated.events.loc[simulated.events["event"] == "death", "patient_id"].nunique()
    assert outcomes.counts()["death"] == deaths
    assert median_follow_up(outcomes, np.random.default_rng(0)).point > simulated.patients["follow_up_days"].median()


def test_small_counts_of_real_patients_are_withheld() -> None:
    assert GUARDED.parts([3, 10, 20]) == ["<5", "withheld", "20"]
    assert GUARDED.parts([3, 4, 20]) == ["<5", "<5", "20"]
    assert GUARDED.parts([0, 5, 20]) == ["0", "5", "20"]
    assert OPEN.parts([3, 10]) == ["3", "10"]
    assert GUARDED.share(1, 50) == GUARDED.share(4, 50) == 0.1
    assert GUARDED.share(48, 50) == 0.9
    assert np.isnan(GUARDED.share(0, 0))


def test_pages_of_real_patients_guard_them_and_need_no_umap(
    simulated: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedding_map.importlib.util, "find_spec", lambda name: None)
    named = str(simulated.patients["patient_id"].iloc[0])
    card = simulated.card.model_copy(update={"provenance": "real", "notes": f"Patient {named[1:]} relapsed."})
    patients = simulated.patients.assign(disease=["rare"] * 3 + ["LBCL"] * 7 + ["MM"] * (len(simulated.patients) - 10))
    real = replace(simulated, card=card, patients=patients)
    write_page_of(real, tmp_path / "real.html", findings=[])
    text = (tmp_path / "real.html").read_text(encoding="utf-8")
    assert named not in text
    assert "since they name patients or samples" in text
    assert "UMAP is drawn where the package umap-learn is installed" in text
    assert "principal axes 1" in text
    assert "Lines of single patients are not drawn" in text
    assert re.search(r"rare</th><td class=\"n\">&lt;5</td>", text)
    assert re.search(r"LBCL</th><td class=\"n\">withheld</td>", text)
    assert trajectory(real, "crp", Disclosure.of(real), np.random.default_rng(0)).lines == []  # type: ignore[union-attr]
    assert trajectory(simulated, "crp", Disclosure.of(simulated), np.random.default_rng(0)).lines  # type: ignore[union-attr]


def test_findings_are_told_without_rows_and_values() -> None:
    of = [
        Finding("impossible-value", "warning", "m.csv", row, "crp", f"99{row}", "It is outside.", "Mend.")
        for row in (7, 8)
    ]
    (row,) = finding_rows(of)
    assert row == ("warning impossible-value", "m.csv: crp", "2", "It is outside. Mend.")


def test_trajectory_is_the_median_over_patients(simulated: Cohort) -> None:
    table = simulated.measurements.query("variable == 'crp' and day == 0")
    course = trajectory(simulated, "crp", GUARDED, np.random.default_rng(0))
    assert course is not None
    assert course.day[0] == 0
    np.testing.assert_allclose(course.median[0], table.groupby("patient_id")["value"].median().median())
    assert scale_of(np.exp(np.random.default_rng(0).normal(size=500) * 2))[0] == "log"
    assert scale_of(np.random.default_rng(0).normal(50, 5, size=500))[0] == "linear"


def test_cells_are_drawn_evenly_over_samples() -> None:
    np.testing.assert_array_equal(quota(np.array([2, 100, 100]), 42), [2, 20, 20])
    np.testing.assert_array_equal(quota(np.array([2, 0, 3]), 100), [2, 0, 3])
    taken = quota(np.random.default_rng(0).integers(0, 50, 300), 1001)
    assert taken.sum() == 1001


def test_principal_components_are_those_of_the_singular_values() -> None:
    matrix = np.random.default_rng(0).normal(size=(60, 8)) * np.arange(1, 9)
    scores, share = principal_components(matrix)
    singular = np.linalg.svd(matrix - matrix.mean(axis=0), compute_uv=False)
    np.testing.assert_allclose(np.linalg.norm(scores, axis=0), singular, rtol=1e-6)
    np.testing.assert_allclose(share, singular**2 / (singular**2).sum(), rtol=1e-6)


def test_lisi_counts_the_groups_around_a_cell() -> None:
    rng = np.random.default_rng(0)
    near = nearest(rng.normal(size=(600, 3)))
    mixed = rng.permutation(np.repeat([0, 1, 2], 200))
    assert 2.4 < np.median(lisi(near, mixed)) <= 3.0
    apart = np.repeat([0, 1], 300)
    np.testing.assert_allclose(lisi(nearest(rng.normal(size=(600, 3)) + 100.0 * apart[:, None]), apart), 1.0)
    equal = Neighbours(np.tile(np.arange(7), (7, 1)), np.tile(np.r_[0.0, np.ones(6)], (7, 1)))
    np.testing.assert_allclose(lisi(equal, np.array([9, 0, 0, 1, 1, 2, 2])), 3.0)


def test_variance_explained_by_groups() -> None:
    rng = np.random.default_rng(0)
    group = np.repeat(np.arange(20), 10)
    noise = rng.normal(size=(200, 50))
    assert adjusted_r2(noise, group).mean() < 0.04
    np.testing.assert_allclose(adjusted_r2(group[:, None].astype(float), group), 1.0)
    values = noise[:, :1] + group[:, None]
    means = pd.Series(values[:, 0]).groupby(group).transform("mean").to_numpy()
    r2 = 1 - ((values[:, 0] - means) ** 2).sum() / ((values[:, 0] - values.mean()) ** 2).sum()
    np.testing.assert_allclose(adjusted_r2(values, group)[0], 1 - (1 - r2) * 199 / 180)


def test_robust_limits() -> None:
    limits = robust_limits(np.array([1.0, 2.0, 3.0, 4.0, 5.0, 100.0, np.nan]))
    assert limits is not None
    np.testing.assert_allclose([limits.low, limits.high], [3.5 - 3 * 1.4826 * 1.5, 3.5 + 3 * 1.4826 * 1.5])
    assert limits.n_outside == 1
    assert robust_limits(np.ones(9)) is None
    assert robust_limits(np.arange(4.0)) is None


@pytest.mark.parametrize("width", [390, 1280], ids=["phone", "desk"])
@pytest.mark.parametrize("name", ["page", "bare_page"])
def test_a_browser_shows_it_without_errors_requests_or_overflow(
    browser: Browser, name: str, width: int, request: pytest.FixtureRequest
) -> None:
    assert_shown_well(browser, request.getfixturevalue(name), width)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_is_accessible(browser: Browser, page: Path, scheme: str) -> None:
    assert serious_violations(browser, page, scheme) == []
