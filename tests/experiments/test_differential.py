"""`sequela differential`, end to end: planted differences, groups by outcome, a page, and what makes no sense."""

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
from cell_cohorts import ARMS, RAISED, TYPES, cell_cohort, genes, raised_genes
from pages import Reader, assert_shown_well, serious_violations
from preloaded import SEQUELA

from experiments.biomarkers import marker_matrix
from experiments.biomarkers.question import ask
from experiments.data import all_patients
from experiments.differential import by_outcome
from experiments.home import CONFIGS
from features.cells.gene_sets import gene_sets
from features.cells.processing import CellProcessing
from features.check import read_cohort, read_endpoint
from features.errors import SequelaError
from features.importers import IMPORTERS


def differential(cohort: Path, *options: str | Path) -> subprocess.CompletedProcess[str]:
    """The command, run."""
    return subprocess.run([SEQUELA, "differential", cohort, *options], capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return cell_cohort(tmp_path_factory.mktemp("planted") / "cohort")


@pytest.fixture(scope="module")
def written(planted: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Path]:
    """The comparison of arms, as JSON and as a folder."""
    out = tmp_path_factory.mktemp("differential") / "out"
    done = differential(planted, "--by", "arm", "--adjust", "age", "--json", "--out", out)
    assert done.returncode == 0, done.stderr
    assert f"wrote {out / 'index.html'}" in done.stderr
    return json.loads(done.stdout), out


def test_the_planted_cell_type_is_found(written: tuple[dict[str, Any], Path]) -> None:
    table = pd.DataFrame(written[0]["abundance"]).set_index("cell_type")
    assert set(table.index) == set(TYPES)
    assert table.loc["NK", "q"] < 1e-4
    assert table.loc["NK", "low"] < np.log2(3 / 1.2) < table.loc["NK", "high"]  # three times the odds of the others
    assert table.loc["NK", "share_other"] > 2 * table.loc["NK", "share_reference"]
    assert (table.loc[["T", "monocyte"], "log2_fold_change"] < 0).all()  # shares add up to one


def test_the_planted_genes_are_found_in_their_cell_type(written: tuple[dict[str, Any], Path]) -> None:
    table = pd.DataFrame(written[0]["expression"])
    assert set(table["gene"]) <= set(genes())
    raised = table["gene"].isin(raised_genes()) & (table["cell_type"] == "T")
    found = table["q"] <= 0.1
    assert found[raised].mean() > 0.8
    assert found[~raised].sum() <= 0.25 * found.sum()
    assert (table.loc[found, ["p", "p_linear"]] <= 0.1).to_numpy().all()  # both tests say so
    assert any(re.match(r"By pydeseq2 alone \d+ genes would pass", one) for one in written[0]["found"])
    assert table.loc[raised, "log2_fold_change"].median() == pytest.approx(1, abs=0.3)
    assert (table["n_reference"] <= 12).all()


def test_the_planted_pathway_is_found_in_its_cell_type(written: tuple[dict[str, Any], Path]) -> None:
    table = pd.DataFrame(written[0]["pathways"])
    first = table.iloc[0]
    assert "nterferon" in first["set"] or "IFN" in first["set"]
    assert first["cell_type"] == "T"
    own = table[(table["set"] == RAISED) & (table["cell_type"] == "T")].iloc[0]
    assert own["q"] < 0.01
    assert own["enrichment"] > 4
    elsewhere = table[(table["set"] == RAISED) & (table["cell_type"] != "T")]
    assert len(elsewhere)
    assert (elsewhere["q"] > 0.05).all()


def test_words_say_what_was_found_and_that_it_is_simulated(planted: Path, written: tuple[dict[str, Any], Path]) -> None:
    said = " ".join(written[0]["found"])
    assert "Cell types: " in said
    assert "1 more: product:NK" in said
    assert f"product:T:{RAISED}" in said
    done = differential(planted, "--by", "arm", "--pathways", "none")
    assert done.returncode == 0, done.stderr
    assert "arm: ide (12) against cilta (12), simulated patients: Planted cells" in done.stdout
    assert "The patients are simulated: nothing here says anything about cells of people." in done.stdout
    assert "Shares add up to one" in done.stdout
    assert "Pathways" not in done.stdout


def test_tables_and_page_are_written(written: tuple[dict[str, Any], Path], browser: Browser) -> None:
    answer, out = written
    assert sorted(file.name for file in out.iterdir()) == [
        "abundance.csv",
        "expression.csv",
        "index.html",
        "pathways.csv",
    ]
    for name in ("abundance", "expression", "pathways"):
        table = pd.read_csv(out / f"{name}.csv")
        assert set(table["data"]) == {"simulated"}
        assert len(table) == len(answer[name])
        assert table["q"].dropna().between(0, 1).all()
    text = (out / "index.html").read_text(encoding="utf-8")
    page = Reader(text)
    assert "Simulated patients: nothing here says anything about cells of people." in page.text
    assert text.count("<figure>") == len(TYPES)
    assert_shown_well(browser, out / "index.html", 390)
    assert_shown_well(browser, out / "index.html", 1280)
    assert serious_violations(browser, out / "index.html", "dark") == []


def test_groups_by_outcome_leave_out_whose_outcome_is_not_known(planted: Path) -> None:
    """One is censored early, one dies early: the first is in no group, the second is free of infection."""
    cohort, endpoint = read_cohort(planted), read_endpoint(planted / "endpoints" / "infection.yaml")
    question = by_outcome(cohort, endpoint, horizon_days=100)
    assert (question.sizes, question.n_left_out, question.n_competing) == ((12, 11), 1, 1)
    assert 0 not in question.rows
    assert question.names == ("no infection", "infection")


def test_groups_by_outcome_point_to_the_test_to_go_by(planted: Path) -> None:
    endpoint = planted / "endpoints" / "infection.yaml"
    done = differential(planted, "--endpoint", endpoint, "--horizon", "100", "--pathways", "none")
    assert done.returncode == 0, done.stderr
    assert "infection within 100 days of day 0: no infection (12) against infection (11)" in done.stdout
    assert "ignore when it came" in done.stdout
    assert "`sequela biomarkers` takes time, censoring and competing events into account" in done.stdout


@pytest.mark.parametrize("provenance", ["real", "simulated"])
def test_small_counts_are_withheld_of_real_patients_only(
    tmp_path: Path, provenance: Literal["real", "simulated"]
) -> None:
    folder = cell_cohort(tmp_path / "cohort", provenance, n=16)
    table = pd.read_csv(folder / "patients.csv")
    table["arm"] = ["ide"] * 4 + ["cilta"] * 12
    table.to_csv(folder / "patients.csv", index=False)
    out = tmp_path / "out"
    done = differential(folder, "--by", "arm", "--pathways", "none", "--out", out)
    assert done.returncode == 0, done.stderr
    text = (out / "index.html").read_text(encoding="utf-8")
    real = provenance == "real"
    assert ("&lt;5 + withheld" in text) == real
    assert ("4 + 12" in text) != real
    assert ("ide (&lt;5)" in text) == real
    assert ("withheld" in text) == real
    assert ("imulated" in text) != real


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param([], "either --by COLUMN, or --endpoint YAML", id="no groups"),
        pytest.param(["--by", "amr"], "--by amr: no baseline variable", id="misspelt"),
        pytest.param(["--by", "third"], "its values are a, b, c; name two of them: --groups A,B", id="three values"),
        pytest.param(["--by", "third", "--groups", "a,x"], "name two of them: --groups A,B", id="no such value"),
        pytest.param(
            ["--by", "arm", "--cause", "death"], "has neither --cause nor --horizon", id="cause of a variable"
        ),
        pytest.param(["--by", "arm", "--adjust", "arm"], "is what the groups are made by", id="adjusted for itself"),
        pytest.param(["--by", "arm", "--landmark", "-9"], "no sample with cells by day -9", id="no sample yet"),
        pytest.param(["--by", "arm", "--least-cells", "999"], None, id="too few cells"),
        pytest.param(["--by", "arm", "--pathways", "no.gmt"], "gene sets no.gmt: cannot be read", id="no sets"),
        pytest.param(["--endpoint", "E", "--cause", "deaht"], "did you mean death?", id="misspelt cause"),
        pytest.param(["--endpoint", "E", "--horizon", "-1"], "--horizon -1: is days after the landmark", id="horizon"),
        pytest.param(["--endpoint", "E", "--horizon", "25"], "has 1 patients, and a comparison needs 3", id="few"),
        pytest.param(["--endpoint", "E", "--groups", "a,b"], "an endpoint makes its own groups", id="groups"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line(planted: Path, options: list[str], message: str | None) -> None:
    endpoint = str(planted / "endpoints" / "infection.yaml")
    done = differential(planted, *(endpoint if one == "E" else one for one in options))
    if message is None:  # shares can be compared all the same, and genes are said not to be
        assert done.returncode == 0
        assert "Genes by cell type: nothing could be tested." in done.stdout
        return
    assert done.returncode != 0
    assert message in done.stderr
    assert done.stderr.strip().count("\n") == 0
    assert not done.stdout


def test_activities_are_markers_of_a_screen(planted: Path, tmp_path: Path) -> None:
    cohort, endpoint = read_cohort(planted), read_endpoint(planted / "endpoints" / "infection.yaml")
    everyone = all_patients(cohort, CellProcessing(), tmp_path)
    matrix = marker_matrix(ask(cohort, endpoint), everyone, n_genes=0, pathways=gene_sets("bundled"))
    own = [j for j, one in enumerate(matrix.markers) if one.kind == "pathway"]
    names = [matrix.markers[j].name for j in own]
    assert f"product:pathway:{RAISED}:T" in names
    assert {matrix.markers[j].source for j in own} == {"samples.product"}
    raised = matrix.values[:, own[names.index(f"product:pathway:{RAISED}:T")]]
    arm = np.array([ARMS.index(name) for name in cohort.patients["arm"]])
    assert np.median(raised[arm == 1]) > raised[arm == 0].max()
    what, used = matrix.expressed(matrix.markers[own[names.index(f"product:pathway:{RAISED}:T")]])
    assert what == f"the genes of {RAISED}"
    assert raised_genes() < set(used)
    assert matrix.pathways is not None
    assert f"{len(matrix.pathways.sets.sets)} sets of Reactome v59" in matrix.pathways.said
    assert matrix.pathways.n_left_out == 134 - len(matrix.pathways.sets.sets) > 0


def test_screens_take_pathways(cohort: Path, tmp_path: Path) -> None:
    """On the command line, from a file, with pages of leading pathways."""
    sets = tmp_path / "sets.gmt"
    sets.write_text(
        "blocked: checkpoints\t\tPDCD1\tCTLA4\tLAG3\tHAVCR2\tTIGIT\tTOX\nabsent\t\tXIST\n", encoding="utf-8"
    )
    out = tmp_path / "out"
    command = [SEQUELA, "biomarkers", cohort, "--endpoint", CONFIGS / "endpoint" / "severe_infection.yaml"]
    command += [
        "--pathways",
        sets,
        "--genes",
        "0",
        "--permutations",
        "99",
        "--pairs",
        "1",
        "--out",
        out,
        "--pages",
        "1",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Pathways: 1 sets of sets.gmt; 1 of which fewer than 5 genes were measured are left out." in done.stdout
    table = pd.read_csv(out / "biomarkers.csv").query("kind == 'pathway'")
    assert table["marker"].str.startswith("infusion_product:pathway:blocked: checkpoints:").all()
    assert len(table)


def test_intensities_are_compared_by_their_means_and_have_no_pathways(shared_data: Path, tmp_path: Path) -> None:
    """Plasma cells of the Leipzig study: nothing differs between the products."""
    folder = tmp_path / "leipzig"
    IMPORTERS["leipzig2024"].run(shared_data / "leipzig_bcma_cart", folder)
    out = tmp_path / "out"
    done = differential(folder, "--by", "product", "--groups", "ide_cel,cilta_cel", "--least-cells", "3", "--out", out)
    assert done.returncode == 0, done.stderr
    assert "Markers by cell type: none of 7 passes a false discovery rate of 0.1." in done.stdout
    assert "Cells hold intensities, not counts" in done.stdout
    text = (out / "index.html").read_text(encoding="utf-8")
    assert "imulated" not in text
    assert re.search(r"12 \+ &lt;5|≥\d+ \+ &lt;5", text)
    for name in read_cohort(folder).patients["patient_id"]:
        assert name not in text
    cohort, endpoint = read_cohort(folder), read_endpoint(CONFIGS / "endpoint" / "leipzig_crs2.yaml")
    with pytest.raises(SequelaError, match="needs raw counts of genes, and cells of this cohort hold intensities"):
        marker_matrix(
            ask(cohort, endpoint),
            all_patients(cohort, CellProcessing(), tmp_path / "store"),
            pathways=gene_sets("bundled"),
        )
