"""`sequela clones`: on clones whose course is known, and on those of CTL019."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from preloaded import SEQUELA

from experiments.clones import Followed, follow, write_clones_page
from experiments.clones.followed import Rule
from experiments.clones.oncogenes import read_oncogenes
from features.check import read_cohort
from features.cohort import Cohort
from features.errors import SequelaError
from features.importers.upenn_cart19 import import_upenn_cart19

UPENN = Path(__file__).parents[3] / "shared" / "data" / "upenn_cart19"
CARD = """format: sequela-cohort/1
title: Clones made for tests
citation: none
licence: none
provenance: {provenance}
variables: {{age: {{kind: numeric, unit: a}}}}
"""


def write(folder: Path, clones: pd.DataFrame, samples: pd.DataFrame, provenance: str = "simulated") -> Path:
    folder.mkdir()
    (folder / "cohort.yaml").write_text(CARD.format(provenance=provenance), "utf-8")
    ids = sorted(set(samples["patient_id"]))
    pd.DataFrame({"patient_id": ids, "follow_up_days": 900, "age": 60}).to_csv(folder / "patients.csv", index=False)
    samples.to_csv(folder / "samples.csv", index=False)
    clones.to_csv(folder / "clones.csv", index=False)
    return folder


def made(rng: np.random.Generator, growing: bool) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Six patients with three samples each; in one of them a clone near an oncogene grows, if any does."""
    samples, clones = [], []
    for patient in range(6):
        shares = rng.dirichlet(np.full(60, 2.0))
        for number, day in enumerate((28, 180, 365)):
            now = shares.copy()
            if growing and patient == 3:
                now[0] = (0.01, 0.12, 0.5)[number]
                now[1:] *= (1 - now[0]) / now[1:].sum()
            sample = f"p{patient}-{day}"
            samples.append((sample, f"p{patient}", day, "blood"))
            for clone, n in enumerate(rng.multinomial(600, now)):
                if n:
                    clones.append((sample, "integration", f"site{clone}", n, int(clone == 0)))
    columns = ["sample_id", "locus", "clone", "abundance", "near_oncogene"]
    sampled = pd.DataFrame(samples, columns=["sample_id", "patient_id", "day", "material"])
    return pd.DataFrame(clones, columns=columns), sampled


@pytest.fixture(scope="module")
def growing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    clones, samples = made(np.random.default_rng(1), growing=True)
    return write(tmp_path_factory.mktemp("growing") / "cohort", clones, samples)


def test_the_clone_that_grows_is_told_and_no_other(growing: Path) -> None:
    found = follow(read_cohort(growing), Rule())
    assert set(zip(found.warnings["patient_id"], found.warnings["clone"], strict=True)) == {("p3", "site0")}
    assert found.warnings[["day_before", "day"]].to_numpy().tolist() == [[180, 365], [28, 180]]
    assert found.warnings["why"].tolist() == ["expands and dominant", "expands"]
    assert (found.warnings["near_oncogene"] == 1).all()
    assert (found.n_patients, found.n_followed, found.compared) == (6, 6, 12)


def test_where_none_grows_none_is_told(tmp_path: Path) -> None:
    clones, samples = made(np.random.default_rng(2), growing=False)
    assert follow(read_cohort(write(tmp_path / "cohort", clones, samples)), Rule()).warnings.empty


def test_samples_of_one_day_are_compared_to_learn_how_often_the_rule_is_wrong(tmp_path: Path) -> None:
    clones, samples = made(np.random.default_rng(1), growing=True)
    samples["day"] = 28
    found = follow(read_cohort(write(tmp_path / "cohort", clones, samples)), Rule())
    assert (found.compared, found.same_day) == (0, 18)
    assert 1 <= found.same_day_told <= 3  # those of the patient whose samples were made to differ
    assert found.warnings.empty


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([SEQUELA, "clones", *words], capture_output=True, text=True, env=os.environ)


def test_the_command_writes_a_table_and_a_page_without_patients(growing: Path, tmp_path: Path) -> None:
    done = run(str(growing), "--csv", str(tmp_path / "c.csv"), "--out", str(tmp_path / "c.html"))
    assert done.returncode == 0, done.stderr
    assert "In 1 patients a clone of at least 5 %" in done.stdout
    assert len(pd.read_csv(tmp_path / "c.csv")) == 2
    page = (tmp_path / "c.html").read_text("utf-8")
    assert "p3" not in page.replace("p3 {", "")
    assert "Simulated patients" in page


def test_of_real_patients_small_counts_are_withheld(tmp_path: Path) -> None:
    clones, samples = made(np.random.default_rng(1), growing=True)
    found = follow(read_cohort(write(tmp_path / "cohort", clones, samples, "real")), Rule())
    write_clones_page(tmp_path / "c.html", found)
    page = (tmp_path / "c.html").read_text("utf-8")
    assert "In &lt;5 patients a clone" in page


def test_what_cannot_be_compared_is_said(growing: Path, tmp_path: Path) -> None:
    clones, samples = made(np.random.default_rng(1), growing=True)
    clones["abundance"] += 0.5
    done = run(str(write(tmp_path / "halves", clones, samples)))
    assert (done.returncode, "must be counts" in done.stderr, "Traceback" in done.stderr) == (1, True, False)
    (growing.parent / "none").mkdir()
    for name in ("cohort.yaml", "patients.csv", "samples.csv"):
        (growing.parent / "none" / name).write_bytes((growing / name).read_bytes())
    done = run(str(growing.parent / "none"))
    assert "has no clones; add clones.csv" in done.stderr.replace("\n", " ")


@pytest.fixture(scope="module")
def upenn(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    if not UPENN.exists():
        pytest.skip(f"needs {UPENN}")
    folder = tmp_path_factory.mktemp("upenn") / "cohort"
    import_upenn_cart19(UPENN, folder)
    return read_cohort(folder)


def test_the_clone_in_tet2_is_the_largest_of_ctl019(upenn: Cohort) -> None:
    """The patient whose CAR-T cells were nearly all of one clone, in TET2 (Fraietta et al., Nature 2018;558:307)."""
    found: Followed = follow(upenn, Rule())
    first = found.warnings.iloc[0]
    assert first["patient_id"] == "p04409-10"
    chromosome, _, position = str(first["clone"]).partition("+")
    assert chromosome == "chr4"
    assert 105_145_000 < int(position) < 105_280_000  # TET2 in GRCh38
    assert first["share"] > 0.9


BED = "# two genes\nchr4\t105145874\t105279816\tTET2\nchr8\t127735433\t127742951\tMYC\n"


@pytest.mark.parametrize(
    ("clone", "near", "gene"),
    [
        ("chr4+105272458", 1.0, "TET2"),
        ("chr4-105145875", 1.0, "TET2"),
        ("chr4:105145825", 1.0, "TET2"),
        ("chr4+105145824", 0.0, ""),
        ("chr4+105279866", 1.0, "TET2"),
        ("chr4+105279867", 0.0, ""),
        ("chr8+127735434", 1.0, "MYC"),
        ("chr5+105272458", 0.0, ""),
        ("site7", np.nan, ""),
    ],
)
def test_a_site_is_near_the_gene_within_so_many_bases(tmp_path: Path, clone: str, near: float, gene: str) -> None:
    (tmp_path / "genes.bed").write_text(BED, "utf-8")
    found, which = read_oncogenes(tmp_path / "genes.bed", 50).nearest([clone])
    np.testing.assert_equal(found.tolist(), [near])
    assert which == [gene]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("chr4\t5\t3\tTET2\n", "line 1: is not chromosome, start, end, gene"),
        ("# only words\n", "holds no gene"),
        ("chr4 5 9 TET2\n", "separate them by tabs"),
    ],
)
def test_a_list_that_is_none_is_refused(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "genes.bed").write_text(text, "utf-8")
    with pytest.raises(SequelaError, match=said):
        read_oncogenes(tmp_path / "genes.bed")
    with pytest.raises(SequelaError, match="cannot be read"):
        read_oncogenes(tmp_path / "absent.bed")


def test_the_clone_in_tet2_is_told_by_its_gene(tmp_path: Path) -> None:
    """Fraietta et al., Nature 2018;558:307: most CAR-T cells of a patient came from one whose vector was in TET2."""
    if not UPENN.is_dir():
        pytest.skip(f"no study at {UPENN}")
    import_upenn_cart19(UPENN, tmp_path / "penn")
    (tmp_path / "genes.bed").write_text(BED, "utf-8")
    command = [SEQUELA, "clones", "penn", "--oncogenes", "genes.bed", "--csv", "clones.csv", "--out", "clones.html"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    told = pd.read_csv(tmp_path / "clones.csv")
    assert told["gene"].iloc[0] == "TET2"
    assert told["clone"].iloc[0].startswith("chr4")
    assert told["share"].iloc[0] > 0.5
    assert set(told.loc[told["near_oncogene"] == 1, "gene"]) == {"TET2"}
    assert set(told.loc[told["near_oncogene"] == 0, "gene"].fillna("")) == {""}
    assert "TET2" in done.stdout
    assert "TET2" not in (tmp_path / "clones.html").read_text("utf-8")
