"""`sequela clones`: on clones whose course is known, and on those of CTL019."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from clone_cohorts import made, write
from preloaded import SEQUELA

from experiments.clones import Followed, follow, write_clones_page
from experiments.clones.near import MEASURED_SITES, courses
from experiments.clones.oncogenes import Oncogenes, read_oncogenes
from experiments.clones.rule import Rule
from features.check import read_cohort
from features.cohort import Cohort
from features.importers.upenn_cart19 import import_upenn_cart19

UPENN = Path(__file__).parents[3] / "shared" / "data" / "upenn_cart19"


@pytest.fixture(scope="module")
def growing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    clones, samples = made(np.random.default_rng(1), growing=True)
    return write(tmp_path_factory.mktemp("growing") / "cohort", clones, samples)


def test_the_clone_that_grows_is_told_and_no_other(growing: Path) -> None:
    found = follow(read_cohort(growing), Rule())
    assert set(zip(found.warnings["patient_id"], found.warnings["clone"], strict=True)) == {("p3", "site0")}
    assert found.warnings[["day_before", "day"]].to_numpy().tolist() == [[28, 365], [28, 180]]
    assert found.warnings["why"].tolist() == ["expands and dominant", "expands"]
    assert (found.warnings["near_oncogene"] == 1).all()
    assert (found.n_patients, found.n_followed, found.compared) == (6, 6, 18)


def test_where_none_grows_none_is_told(tmp_path: Path) -> None:
    clones, samples = made(np.random.default_rng(2), growing=False)
    assert follow(read_cohort(write(tmp_path / "cohort", clones, samples)), Rule()).warnings.empty


def test_samples_of_one_day_are_compared_to_learn_how_often_the_rule_is_wrong(tmp_path: Path) -> None:
    clones, samples = made(np.random.default_rng(1), growing=True)
    samples["day"] = 28
    found = follow(read_cohort(write(tmp_path / "cohort", clones, samples)), Rule())
    assert (found.compared, found.same_day.to_dict()) == (0, {f"p{i}": 3 for i in range(6)})
    assert set(found.same_day_told.index) == {"p3"}  # whose samples were made to differ
    assert set(found.warnings["why"]) == {"dominant"}


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


def page_of(folder: Path, oncogenes: Oncogenes | None = None) -> str:
    write_clones_page(folder / "c.html", follow(read_cohort(folder), Rule(), oncogenes))
    return (folder / "c.html").read_text("utf-8")


def test_of_real_patients_small_counts_are_withheld(tmp_path: Path) -> None:
    clones, samples = made(np.random.default_rng(1), growing=True)
    page = page_of(write(tmp_path / "cohort", clones, samples, "real"))
    assert "In &lt;5 patients a clone" in page
    assert " times)" not in page
    assert "of &lt;5 patients" in page.lower()
    assert "clones are near" not in page


def test_times_of_real_patients_stand_where_five_have_them(tmp_path: Path) -> None:
    samples = pd.DataFrame([(f"s{i}", f"p{i}", 28, "blood") for i in range(12)])
    samples.columns = ["sample_id", "patient_id", "day", "material"]
    big = [(f"s{i}", "integration", "big", 60 if i < 6 else 2, 1) for i in range(12)]
    rest = [(f"s{i}", "integration", f"small{j}", 4, 0) for i in range(12) for j in range(25)]
    clones = pd.DataFrame(big + rest, columns=["sample_id", "locus", "clone", "abundance", "near_oncogene"])
    page = page_of(write(tmp_path / "cohort", clones, samples, "real"))
    assert "In 6 patients a clone holds 20 % of a sample or more (6 clones, 6 times)" in page
    samples["patient_id"] = [f"p{i}" for i in (0, 1, 2, 3, 3, 3, *range(4, 10))]  # six times, in four of ten patients
    samples["day"] = range(12)
    page = page_of(write(tmp_path / "fewer", clones, samples, "real"))
    assert "In &lt;5 patients a clone holds" in page
    assert "times)" not in page


def test_pairs_of_one_day_of_few_real_patients_are_not_counted(tmp_path: Path) -> None:
    clones, samples = made(np.random.default_rng(1), growing=True)
    samples["day"] = np.where(samples["patient_id"] < "p3", 28, samples["day"])
    page = page_of(write(tmp_path / "cohort", clones, samples, "real"))
    assert "In &lt;5 patients the rule could be tried on two samples of one day" in page
    assert "pairs of samples of one day" not in page


def test_a_locus_of_fractions_is_left_out_and_the_other_followed(tmp_path: Path) -> None:
    clones, samples = made(np.random.default_rng(1), growing=True)
    shares = clones.assign(locus="tcr", abundance=clones["abundance"] / 600, near_oncogene=np.nan)
    folder = write(tmp_path / "both", pd.concat([clones, shares]), samples)
    found = follow(read_cohort(folder), Rule())
    assert found.left_out == ("tcr",)
    assert set(found.warnings["clone"]) == {"site0"}
    assert set(found.samples["locus"]) == {"integration"}
    done = run(str(folder))
    assert "Warning: clones of locus tcr are left out: their abundances are fractions" in done.stdout


def test_what_is_known_of_sites_over_time_is_tabled(tmp_path: Path) -> None:
    clones, samples = made(np.random.default_rng(1), growing=True)
    samples["material"] = np.where(samples["day"] == 28, "infusion_product", "blood")
    done = run(str(write(tmp_path / "cohort", clones, samples)), "--out", str(tmp_path / "c.html"))
    assert "Sites near oncogenes over time" in done.stdout
    assert "No material of 20 patients is there after infusion and in the product" in done.stdout
    assert "Sites near oncogenes" in (tmp_path / "c.html").read_text("utf-8")


def test_what_cannot_be_compared_is_said(growing: Path, tmp_path: Path) -> None:
    clones, samples = made(np.random.default_rng(1), growing=True)
    clones["abundance"] += 0.5
    done = run(str(write(tmp_path / "halves", clones, samples)))
    assert (done.returncode, "must be counts" in done.stderr, "Traceback" in done.stderr) == (1, True, False)
    assert "fractions for integration" in done.stderr.replace("\n", " ")
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


def test_the_clone_in_tet2_is_told_by_its_gene(upenn: Cohort, tmp_path: Path) -> None:
    """Fraietta et al., Nature 2018;558:307: most CAR-T cells of a patient came from one whose vector was in TET2."""
    csv, page = tmp_path / "clones.csv", tmp_path / "clones.html"
    done = run(str(upenn.folder), "--oncogenes", "bundled", "--csv", str(csv), "--out", str(page))
    assert done.returncode == 0, done.stderr
    told = pd.read_csv(csv)
    assert told["gene"].iloc[0] == "TET2"
    assert told["clone"].iloc[0].startswith("chr4")
    assert told["share"].iloc[0] > 0.5
    assert "TET2" in set(told.loc[told["near_oncogene"] == 1, "gene"])
    assert set(told.loc[told["near_oncogene"] == 0, "gene"].fillna("")) == {""}
    assert "TET2" in done.stdout
    text = page.read_text("utf-8")
    assert "TET2" not in text
    assert "&lt;5 have one near an oncogene of the bundled list." in text
    assert not set(upenn.patients["patient_id"]) & set(re.findall(r"[\w.-]+", text))


def test_sites_of_ctl019_near_oncogenes_agree_with_the_authors(upenn: Cohort) -> None:
    """Their percentage (within 5 kb) of 562 specimens, against ours of the same list and sites."""
    listed = UPENN.parent / "gene_sets" / "allOnco_human_v3.tsv"
    if not listed.exists():
        pytest.skip(f"needs {listed}")
    found = follow(upenn, Rule(), read_oncogenes(listed, 5_000))
    ours = found.sites.groupby(["patient_id", "material", "day", "sample_id"])["near_oncogene"].agg(["size", "mean"])
    ours = ours[ours["size"] >= 500].reset_index()
    ours["variable"] = ours["material"].map(
        {"infusion_product": "product_site_near_oncogene_percent", "blood": "blood_site_near_oncogene_percent"}
    )
    both = ours.merge(upenn.measurements, on=["patient_id", "day", "variable"])
    assert len(both) > 60
    theirs = both["value"].astype(float)
    assert np.median(np.abs(100 * both["mean"] - theirs)) < 2
    assert np.corrcoef(both["mean"], theirs)[0, 1] > 0.8


def test_sites_near_oncogenes_do_not_become_more_in_ctl019(upenn: Cohort) -> None:
    """By the authors' own percentages, of 102 children and adults with both: fewer in blood than in the product."""
    blood = next(row for row in courses(follow(upenn, Rule())) if (row.material, row.span) == ("blood", None))
    assert (blood.of, blood.patients, blood.paired) == (MEASURED_SITES, 102, 102)
    assert blood.change.high < 0
