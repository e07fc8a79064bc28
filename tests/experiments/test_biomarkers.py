"""`sequela biomarkers`, end to end: planted markers, cells, a real study, and questions that make no sense."""

from __future__ import annotations

import csv
import json
import re
import subprocess
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import pytest
from browser import Browser
from hypothesis import given, settings
from hypothesis import strategies as st
from pages import Reader, assert_shown_well, serious_violations
from preloaded import SEQUELA

from experiments.biomarkers import ask, marker_matrix, screen, write_screen
from experiments.biomarkers.sentences import assumptions, findings
from experiments.biomarkers.tertiles import thirds
from experiments.home import CONFIGS
from features.check import read_cohort, read_endpoint
from features.cohort import to_patients, write_cohort
from features.importers import IMPORTERS
from features.outcomes import Outcomes
from features.schema import CohortCard, Endpoint, EventRule, Variable

N, N_NOISE = 400, 60
ENDPOINT = CONFIGS / "endpoint" / "leipzig_crs2.yaml"
INFECTION = CONFIGS / "endpoint" / "severe_infection.yaml"


def planted(folder: Path, provenance: Literal["real", "simulated"] = "simulated", n: int = N) -> Path:
    """Infection goes with `strong`, and under one product with `by_product`; death with `deadly`; centres differ."""
    rng = np.random.default_rng(5)
    x = rng.normal(size=(n, 4))
    product, site = rng.integers(2, size=n), rng.integers(3, size=n)
    noise = rng.normal(size=(n, N_NOISE))
    proxy = x[:, 0] + rng.normal(scale=0.7, size=n)
    infection = 0.003 * np.exp(0.9 * x[:, 0] + 1.2 * x[:, 1] * product + 0.5 * site)
    rate = np.column_stack([np.full(n, 0.0015), infection, 0.002 * np.exp(0.9 * x[:, 2])])
    latent = rng.exponential(1 / rate)
    day, cause = np.ceil(latent.min(axis=1)), latent.argmin(axis=1)
    ids = np.array([f"P{i:04d}" for i in range(n)])
    columns = {"strong": np.exp(x[:, 0]), "by_product": x[:, 1], "deadly": x[:, 2], "proxy": proxy}
    columns |= {f"noise_{j:02d}": noise[:, j] for j in range(N_NOISE)}
    columns["half_known"] = np.where(rng.random(n) < 0.5, x[:, 0], np.nan)
    columns["flag"] = (x[:, 0] > 1).astype(float)
    columns["constant"] = np.ones(n)
    names = np.array(["axi", "tisa"])[product]
    patients = pd.DataFrame(
        {"patient_id": ids, "follow_up_days": day, "site": np.array(["n", "s", "w"])[site], "product": names} | columns
    )
    events = pd.DataFrame({"patient_id": ids, "day": day, "event": np.array(["", "infection", "death"])[cause]})
    known = rng.random((n, 2)) < 0.9
    labs = [
        pd.DataFrame({"patient_id": ids, "day": float(d), "variable": "crp", "value": np.exp(1 + 0.5 * x[:, 0] + k)})[
            keep
        ]
        for k, (d, keep) in enumerate(zip((-5, 20), known.T, strict=True))
    ]
    variables = {name: Variable(kind="numeric") for name in (*columns, "crp")}
    card = CohortCard(
        title="Planted markers",
        citation="none",
        licence="CC0-1.0",
        provenance=provenance,
        variables=variables | {"product": Variable(kind="categorical")},
    )
    rules = (EventRule(name="infection"), EventRule(name="death"))
    endpoints = {
        name: Endpoint(name=name, event=event, competing=(other,), horizons_days=(90.0, 365.0))
        for name, event, other in (("infection", *rules), ("rare", EventRule(name="never"), rules[1]))
    }
    tables = {"patients": patients, "events": events[cause > 0], "measurements": pd.concat(labs)}
    write_cohort(folder, card, tables, endpoints=endpoints)
    return folder


@pytest.fixture(scope="module")
def cohort_of_planted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return planted(tmp_path_factory.mktemp("planted") / "cohort")


def biomarkers(cohort: Path, endpoint: Path | str, *options: str) -> subprocess.CompletedProcess[str]:
    """The command, run."""
    path = endpoint if isinstance(endpoint, Path) else cohort / "endpoints" / f"{endpoint}.yaml"
    command = [SEQUELA, "biomarkers", cohort, "--endpoint", path, "--permutations", "999", "--pairs", "4", *options]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def answer(cohort_of_planted: Path) -> dict[str, Any]:
    """What is said of the planted markers, with all that can be asked beside."""
    done = biomarkers(
        cohort_of_planted, "infection", "--adjust", "strong", "--centre", "site", "--by", "product", "--json"
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def of(answer: dict[str, Any], cause: str) -> pd.DataFrame:
    table = pd.DataFrame(answer["markers"])
    return table[table["cause"] == cause].set_index("marker")


def test_planted_markers_are_found_and_noise_is_not(answer: dict[str, Any]) -> None:
    infection, death = of(answer, "infection"), of(answer, "death")
    planted_ones = ["strong", "by_product", "proxy", "half_known", "flag", "crp:last"]
    assert (infection.loc[planted_ones, "q"] <= 0.05).all()
    assert (infection.loc[planted_ones, "p_of_largest"] <= 0.05).all()
    assert death.loc["deadly", "q"] <= 0.05
    noise = [name for name in infection.index if name.startswith("noise")]
    assert len(noise) == N_NOISE
    assert (infection.loc[noise, "q"] <= 0.1).sum() <= 3
    assert (death.loc[noise, "q"] <= 0.1).sum() <= 3
    assert infection.index[0] in ("strong", "crp:last")  # the same but for what was not measured
    assert infection.loc["strong", "selection_frequency"] == 1.0
    assert "constant" not in infection.index
    assert infection.loc["half_known", "n"] < 0.6 * N < infection.loc["strong", "n"] == N


def test_effects_are_in_their_units_and_hold_the_truth(answer: dict[str, Any]) -> None:
    infection = of(answer, "infection")
    assert infection.loc[["strong", "by_product", "flag"], "unit"].tolist() == ["SD of log", "SD", "1 against 0"]
    strong = infection.loc["strong"]
    assert 1.7 < strong["hazard_ratio"] < np.exp(0.9)  # less than the truth, as of a model without what else matters
    deadly = of(answer, "death").loc["deadly"]
    error = np.log(deadly["high"] / deadly["low"]) / (2 * 1.96)
    assert abs(np.log(deadly["hazard_ratio"]) - 0.9) < 3.3 * error
    assert infection.loc["deadly", "low"] < 1 < infection.loc["deadly", "high"]
    assert infection.loc["deadly", "subdistribution_hazard_ratio"] < infection.loc["deadly", "hazard_ratio"]


def test_nothing_of_a_proxy_is_left_beyond_the_clinic(answer: dict[str, Any]) -> None:
    infection = of(answer, "infection")
    assert infection.loc["strong", "beyond_p"] is None or np.isnan(infection.loc["strong", "beyond_p"])
    assert infection.loc["proxy", "q"] < 1e-3 < 0.01 < infection.loc["proxy", "beyond_p"]
    assert infection.loc["by_product", "beyond_q"] <= 0.05
    assert infection.loc["by_product", "beyond_p_permutation"] == 0.001
    assert infection.loc["proxy", "beyond_p_permutation"] > 0.01
    noise = [name for name in infection.index if name.startswith("noise")]
    assert (infection.loc[noise, "beyond_q"] <= 0.1).sum() <= 3
    assert "Beyond strong, infection: " in " ".join(answer["found"])


def test_the_predictive_marker_is_told_from_the_prognostic_one(answer: dict[str, Any]) -> None:
    infection = of(answer, "infection")
    assert infection.loc["by_product", "interaction_q"] <= 0.05
    assert infection.loc["strong", "interaction_p"] > 0.01
    row = infection.loc["by_product"]
    assert row["axi: low"] < 1 < row["axi: high"]
    assert 1.8 < row["tisa: hazard_ratio"] < np.exp(1.2)
    (said,) = (one for one in answer["found"] if one.startswith("Predictive, acting differently by product, infection"))
    assert ": 1 marker passes" in said
    assert said.endswith("by_product, of p-values that hold in large samples.")
    assert any("not by permuted ones: with few events little can pass" in one for one in answer["assumptions"])


def test_only_what_is_known_by_the_landmark_enters(cohort_of_planted: Path) -> None:
    """CRP of day 20 is no marker at day 0; at day 30 it is, of those still at risk."""
    early, late = (
        json.loads(biomarkers(cohort_of_planted, "infection", *day, "--json").stdout)
        for day in ([], ["--landmark", "30"])
    )
    assert "crp:slope" not in of(early, "infection").index
    assert "crp:slope" in of(late, "infection").index
    assert late["patients"] < early["patients"] == N
    assert late["landmark_day"] == 30


def test_terminal_says_what_was_found_and_that_it_is_simulated(cohort_of_planted: Path) -> None:
    done = biomarkers(cohort_of_planted, "infection", "--adjust", "strong", "--by", "product")
    assert done.returncode == 0, done.stderr
    assert "simulated patients: Planted markers" in done.stdout
    assert "nothing here says anything about a biomarker" in done.stdout
    assert re.search(
        r"infection: \d+ of \d+ markers pass a false discovery rate of 0.1: (crp:last, )?strong, ", done.stdout
    )
    assert "interaction p" in done.stdout


def test_null_results_are_shown_as_such(tmp_path: Path) -> None:
    folder = planted(tmp_path / "cohort", n=60)
    table = pd.read_csv(folder / "patients.csv")
    keep = ["patient_id", "follow_up_days", *(name for name in table if name.startswith("noise"))]
    table[keep].to_csv(folder / "patients.csv", index=False)
    (folder / "measurements.csv").unlink()
    card = CohortCard.model_validate(
        json.loads(read_cohort(planted(tmp_path / "whole", n=60)).card.model_dump_json())
        | {"variables": {name: {"kind": "numeric"} for name in keep[2:]}}
    )
    from features.cohort import write_yaml

    write_yaml(folder / "cohort.yaml", card.model_dump(mode="json", exclude_defaults=True))
    out = tmp_path / "out"
    done = biomarkers(folder, "infection", "--out", str(out), "--pages", "1")
    assert done.returncode == 0, done.stderr
    assert f"infection: none of {N_NOISE} markers passes a false discovery rate of 0.1" in done.stdout
    page = (out / "index.html").read_text(encoding="utf-8")
    assert "No marker passes the false discovery rate; these have the smallest p all the same." in page
    assert len(list((out / "markers").iterdir())) == 1


@pytest.fixture(scope="module")
def of_cells(cohort: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A screen of simulated patients with cells, written."""
    out = tmp_path_factory.mktemp("screen") / "out"
    done = biomarkers(cohort, INFECTION, "--out", str(out), "--genes", "12", "--pages", "4")
    assert done.returncode == 0, done.stderr
    assert f"wrote {out / 'index.html'}" in done.stderr
    return out


def test_cells_become_markers(of_cells: Path) -> None:
    table = pd.read_csv(of_cells / "biomarkers.csv")
    assert set(table["kind"]) >= {"clinic", "measurement", "cell type", "program", "gene"}
    assert set(table["data"]) == {"simulated"}
    assert not table.duplicated(["cause", "marker"]).any()
    assert table["marker"].str.fullmatch(r"infusion_product:clr\(.+\)").any()
    for column in ("p", "q", "p_permutation", "p_of_largest", "selection_frequency", "subdistribution_p"):
        assert table[column].dropna().between(0, 1).all()
    known = table.dropna(subset=["low", "high"])
    assert ((known["low"] <= known["hazard_ratio"]) & (known["hazard_ratio"] <= known["high"])).all()


def test_pages_are_valid_say_that_they_are_simulated_and_show_cells(of_cells: Path) -> None:
    index = Reader((of_cells / "index.html").read_text(encoding="utf-8"))
    links = [dict(a)["href"] for tag, a in index.tags if tag == "a" and str(a.get("href")).startswith("markers/")]
    assert sorted(links) == sorted(f"markers/{page.name}" for page in (of_cells / "markers").iterdir())
    assert len(links) == 4
    for link in links:
        text = (of_cells / str(link)).read_text(encoding="utf-8")
        page = Reader(text)
        assert "Simulated patients: nothing here says anything about a biomarker." in page.text
        assert "Cells" in page.text
        assert "UMAP 1" in text
        assert "Patients at risk just before each day" in text


def test_pages_are_shown_well(of_cells: Path, browser: Browser) -> None:
    for page in (of_cells / "index.html", next((of_cells / "markers").iterdir())):
        for width in (390, 1280):
            assert_shown_well(browser, page, width)
        for scheme in ("light", "dark"):
            assert serious_violations(browser, page, scheme) == []


def test_the_same_question_gets_the_same_answer(cohort: Path, of_cells: Path, tmp_path: Path) -> None:
    again = biomarkers(cohort, INFECTION, "--out", str(tmp_path / "out"), "--genes", "12", "--pages", "4")
    assert again.returncode == 0
    for file in sorted(of_cells.rglob("*.*")):
        assert file.read_bytes() == (tmp_path / "out" / file.relative_to(of_cells)).read_bytes(), file.name


@pytest.fixture(scope="module")
def leipzig(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("leipzig") / "cohort"
    IMPORTERS["leipzig2024"].run(shared_data / "leipzig_bcma_cart", folder)
    return folder


def test_leipzig_crs(leipzig: Path, tmp_path: Path) -> None:
    """Ten events: IL-6 up to the day of the syndrome goes with it as published; nothing passes among 178 markers."""
    out = tmp_path / "out"
    done = biomarkers(
        leipzig, ENDPOINT, "--landmark", "13", "--out", str(out), "--pages", "3", "--permutations", "10000"
    )
    assert done.returncode == 0, done.stderr
    assert "52 real patients" in done.stdout
    assert "crs: none of 178 markers passes a false discovery rate of 0.1" in done.stdout
    table = pd.read_csv(out / "biomarkers.csv").query("cause == 'crs'").set_index("marker")
    assert (table["data"] == "real").all()
    assert table.loc["il6:max", "low"] > 1
    assert table.loc["il6:max", "p_permutation"] < 0.02
    assert (table.loc[["crp:max", "ferritin"], "hazard_ratio"] > 1).all()
    text = "".join(page.read_text(encoding="utf-8") for page in out.rglob("*.html"))
    assert "imulated" not in text
    cohort = read_cohort(leipzig)
    for name in (*cohort.patients["patient_id"], *cohort.samples["sample_id"]):
        assert name not in text
    counts = re.findall(r"(\d+) of \d+[,.]", " ".join(re.findall(r"<figcaption>.*?</figcaption>", text)))
    assert all(int(n) == 0 or int(n) >= 5 for n in counts)


@pytest.mark.parametrize("provenance", ["real", "simulated"])
def test_small_counts_are_withheld_of_real_patients_only(
    tmp_path: Path, provenance: Literal["real", "simulated"]
) -> None:
    """`half_known` is known of all but three here."""
    folder = planted(tmp_path / "cohort", provenance, n=80)
    table = pd.read_csv(folder / "patients.csv")
    table["half_known"] = np.where(np.arange(80) < 3, np.nan, table["strong"] ** 0.5)
    table.to_csv(folder / "patients.csv", index=False)
    cohort, endpoint = read_cohort(folder), read_endpoint(folder / "endpoints" / "infection.yaml")
    question = ask(cohort, endpoint)
    matrix = marker_matrix(question, to_patients(cohort))
    found = screen(question, matrix, n_permutations=99, n_pairs=2)
    write_screen(tmp_path / "out", found, most_pages=1)
    text = (tmp_path / "out" / "index.html").read_text(encoding="utf-8")
    row = re.search(r"half_known</th>(.*?)</tr>", text)
    assert row is not None
    assert ('<td class="n">77</td>' in row[1]) == (provenance == "simulated")
    assert ('<td class="n">≥76</td>' in row[1]) == (provenance == "real")
    assert any("simulated" in one for one in assumptions(found)) == (provenance == "simulated")
    assert list(findings(found))
    with (tmp_path / "out" / "biomarkers.csv").open(encoding="utf-8") as lines:
        assert {row["data"] for row in csv.DictReader(lines)} == {provenance}


@pytest.mark.parametrize(
    ("endpoint", "options", "message"),
    [
        pytest.param("infection", ["--adjust", "strnog"], "--adjust strnog: no baseline variable", id="misspelt"),
        pytest.param("infection", ["--adjust", "constant"], "does not vary among these patients", id="constant"),
        pytest.param("infection", ["--adjust", ","], "names no variable", id="none named"),
        pytest.param("infection", ["--by", "product", "--adjust", "product"], "is also named by --centre", id="twice"),
        pytest.param("infection", ["--by", "strong"], "at most 6 arms", id="not an arm"),
        pytest.param("infection", ["--landmark", "1e5"], "no patient is at risk at landmark day 100000", id="late"),
        pytest.param("rare", [], "there are 0 events never in 400 patients; a screen needs 5 in 10", id="no event"),
        pytest.param(
            "infection", ["--statistic", "lats"], "--statistic: no statistic is called 'lats'", id="statistic"
        ),
        pytest.param(
            "infection",
            ["--landmark", "200", "--adjust", ",".join(f"noise_{j:02d}" for j in range(60))],
            "makes 60 columns, which need 300 events (5 a column), and there are",
            id="too many columns",
        ),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line(
    cohort_of_planted: Path, endpoint: str, options: list[str], message: str
) -> None:
    done = biomarkers(cohort_of_planted, endpoint, *options)
    assert done.returncode != 0
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.strip().count("\n") == 0
    assert not done.stdout


def test_a_folder_that_holds_something_is_left_alone(cohort_of_planted: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine", encoding="utf-8")
    done = biomarkers(cohort_of_planted, "infection", "--out", str(tmp_path))
    assert done.returncode != 0
    assert f"--out {tmp_path}: exists and is not empty; choose another folder or remove it first" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_thirds_halves_values_or_nothing() -> None:
    def arms(raw: list[float]) -> tuple[str, ...] | None:
        n = len(raw)
        outcomes = Outcomes(np.arange(1.0, n + 1), np.ones(n, dtype=np.int64), ("infection",))
        found = thirds(np.array(raw), outcomes)
        return None if found is None else found.names

    assert arms([*range(30), np.nan]) == ("up to 9.7", "9.7 to 19", "above 19")
    assert arms([float(i % 2) for i in range(20)]) == ("0", "1")
    assert arms(list(range(12))) == ("up to 5.5", "above 5.5")
    assert arms([float(i == 0) for i in range(20)]) is None
    assert arms([1.0] * 20) is None


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), scale=st.sampled_from([0.01, 1.0, 300.0]), centre=st.sampled_from([0.0, 5.0]))
def test_thirds_are_named_by_two_digits_and_hold_what_they_are_named(seed: int, scale: float, centre: float) -> None:
    """No value of a patient is shown further, and every patient is where the name says."""
    rng = np.random.default_rng(seed)
    raw = scale * (centre + rng.normal(size=int(rng.integers(15, 60))))
    n = len(raw)
    found = thirds(raw, Outcomes(np.arange(1.0, n + 1), np.ones(n, dtype=np.int64), ("infection",)))
    if found is None:
        return
    bounds = [float(name.removeprefix("up to ").split(" to ")[-1].replace(",", "")) for name in found.names[:-1]]
    assert all(float(f"{bound:.2g}") == bound for bound in bounds)
    np.testing.assert_array_equal(found.arm, np.searchsorted(bounds, raw, side="left"))
