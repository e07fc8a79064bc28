"""Which sites lie near which genes: by a BED file, by symbols, by the bundled list; and their share over time."""

from __future__ import annotations

import gzip
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from clone_cohorts import made, write

import experiments.clones.gene_places as module
from experiments.clones.build_gene_places import main, places
from experiments.clones.followed import Followed, follow
from experiments.clones.gene_places import PLACES_FILE, gene_places
from experiments.clones.near import MEASURED_SITES, NEAR_GENES, SITES, Course, courses, near_among_told
from experiments.clones.near_told import near_findings
from experiments.clones.oncogenes import DROVE_CLONES, bundled, read_oncogenes
from experiments.clones.rule import Rule
from experiments.page.privacy import OPEN
from features.cells.build_gene_table import NCBI_SHA256
from features.check import read_cohort
from features.errors import SequelaError

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
        ("4+105272458", 1.0, "TET2"),
        ("Chr4+105272458", 1.0, "TET2"),
        ("chrUn_gl000220+1052", np.nan, ""),
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


def test_the_bundled_genes_have_the_places_of_grch38() -> None:
    """TET2 and MYC as Ensembl has them, to 15 bases: transcripts of two annotations end apart by that."""
    of_symbol = gene_places().of_symbol
    for line in BED.splitlines()[1:]:
        chromosome, start, end, name = line.split("\t")
        (place,) = of_symbol[name]
        assert place.chromosome == chromosome
        assert abs(place.start - int(start)) <= 15
        assert abs(place.end - int(end)) <= 15
    names = {gene.name for gene in bundled().genes}
    assert set(DROVE_CLONES) <= names
    assert {"KRAS", "MYB", "ABL1", "MDM2"} <= names
    assert not {"GAPDH", "ACTB", "RAB7A"} & names


def test_the_table_says_where_it_is_from_and_holds_sound_places() -> None:
    assert NCBI_SHA256 in gzip.decompress(PLACES_FILE.read_bytes()).decode().splitlines()[0]
    assert PLACES_FILE.stat().st_size < 400_000
    own = [place for genes in gene_places().of_symbol.values() for place in genes]
    assert len(own) > 25_000
    assert all(0 <= place.start < place.end < 250_000_000 for place in own)
    assert {place.chromosome for place in own} == {f"chr{name}" for name in (*range(1, 23), "X", "Y")}


def test_transcripts_that_meet_are_one_place() -> None:
    rows = [
        ("AAA", "AAA proto-oncogene", "1", 10, 20),
        ("AAA", "AAA proto-oncogene", "1", 15, 40),
        ("AAA", "AAA proto-oncogene", "1", 90, 95),
        ("AAA", "AAA proto-oncogene", "1_KI270706v1_random", 1, 9),
        ("BBB", "AAA proto-oncogene pseudogene 1", "X", 5, 8),
    ]
    assert list(places(rows)) == [("AAA", "chr1", 10, 40, 1), ("AAA", "chr1", 90, 95, 1), ("BBB", "chrX", 5, 8, 0)]


def test_another_source_is_refused(tmp_path: Path) -> None:
    (tmp_path / "other.sqlite").write_bytes(b"other")
    with pytest.raises(SequelaError, match="take the version named in this script"):
        main([str(tmp_path / "other.sqlite")])


@pytest.mark.parametrize(
    "damage", [None, b"no gzip", gzip.compress(b"AAA\tchr1\n")], ids=["absent", "no gzip", "no table"]
)
def test_a_damaged_table_is_one_line(damage: bytes | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PLACES_FILE", tmp_path / "places.tsv.gz")
    if damage is not None:
        (tmp_path / "places.tsv.gz").write_bytes(damage)
    with pytest.raises(SequelaError, match=r"absent or damaged .*; install Sequela again"):
        gene_places.__wrapped__()


def test_symbols_old_and_new_get_their_places(tmp_path: Path) -> None:
    (tmp_path / "genes.tsv").write_text("symbol\tname\nTET2\ta\nIL8\told name of CXCL8\nNOGENE\t-\n", "utf-8")
    genes = read_oncogenes(tmp_path / "genes.tsv", 1000)
    assert {gene.name for gene in genes.genes} == {"TET2", "CXCL8"}
    assert genes.unplaced == ("NOGENE",)
    near, which = genes.nearest(["chr4+105272458", "chr4-73740700", "chr3-1"])
    assert (near.tolist(), which) == ([1, 1, 0], ["TET2", "CXCL8", ""])
    (tmp_path / "words.txt").write_text("some\nwords\n", "utf-8")
    with pytest.raises(SequelaError, match="none of its 2 symbols is a human gene of known place"):
        read_oncogenes(tmp_path / "words.txt")


def test_whether_a_site_is_near_any_gene_is_known_of_packaged_places_alone(tmp_path: Path) -> None:
    sites = ["chr4+105272458", "chr8-127740000", "chr4-1", "site7"]
    np.testing.assert_equal(bundled(1000).near_any_gene(sites).tolist(), [1, 1, 0, np.nan])
    (tmp_path / "genes.bed").write_text(BED, "utf-8")
    assert np.isnan(read_oncogenes(tmp_path / "genes.bed").near_any_gene(sites)).all()


def sites(rng: np.random.Generator, product: float, later: float, patients: int) -> pd.DataFrame:
    """Sites of patients who differ: near oncogenes with a mean chance in the product and another one afterwards."""
    parts = []
    for patient in range(patients):
        own = rng.normal(0, 0.02)
        for day, chance, n in ((0, product, 300), (28, later, 80), (180, later, 80)):
            sample = {"patient_id": f"p{patient}", "material": "blood" if day else "infusion_product", "day": day}
            near = (rng.random(n) < np.clip(chance + own, 0, 1)).astype(float)
            sample_id = f"p{patient}-{day}"
            parts.append(pd.DataFrame(sample | {"sample_id": sample_id, "near_oncogene": near, "near_gene": np.nan}))
    return pd.concat(parts, ignore_index=True)


@pytest.fixture(scope="module")
def followed(tmp_path_factory: pytest.TempPathFactory) -> Followed:
    """Of a small cohort, whose sites tests replace."""
    clones, samples = made(np.random.default_rng(1), growing=True)
    return follow(read_cohort(write(tmp_path_factory.mktemp("near") / "cohort", clones, samples)), Rule())


def blood(found: Followed, rng: np.random.Generator, product: float, later: float, patients: int) -> Course:
    rows = courses(replace(found, sites=sites(rng, product, later, patients)))
    return next(row for row in rows if row.material == "blood" and row.span is None)


def test_a_change_after_infusion_is_found_with_its_size(followed: Followed) -> None:
    rng = np.random.default_rng(1)
    row = blood(followed, rng, 0.15, 0.22, 25)
    assert (row.of, row.patients, row.paired) == (SITES, 25, 25)
    assert 0 < row.change.low < 0.07 < row.change.high
    assert (row := blood(followed, rng, 0.15, 0.09, 25)).change.low < -0.06 < row.change.high < 0


def test_where_nothing_changes_the_interval_holds_0_about_as_often_as_it_says(followed: Followed) -> None:
    rng = np.random.default_rng(2)
    changes = [blood(followed, rng, 0.15, 0.15, 20).change for _ in range(60)]
    assert sum(change.low <= 0 <= change.high for change in changes) >= 51  # P(fewer of 60) < 0.02 at 93 %


def test_spans_of_few_patients_and_samples_of_few_sites_are_left_out(followed: Followed) -> None:
    own = sites(np.random.default_rng(3), 0.15, 0.15, 6)
    assert {row.span for row in courses(replace(followed, sites=own))} == {None, (14, 45), (120, 240)}
    assert courses(replace(followed, sites=own[own["patient_id"] < "p4"])) == []
    few = own[(own["day"] != 180) | (own.groupby("sample_id").cumcount() < 19)]
    assert {row.span for row in courses(replace(followed, sites=few))} == {None, (14, 45)}


def test_what_the_cohort_measured_is_taken_without_samples_of_few_sites(followed: Followed) -> None:
    rows = []
    for patient in range(6):
        for material, day, percent, found in (
            ("product", 0, 14.0, 900),
            ("blood", 28, 12.0, 100),
            ("blood", 90, 90.0, 5),
        ):
            rows.append((f"p{patient}", day, f"{material}_site_near_oncogene_percent", percent))
            rows.append((f"p{patient}", day, f"{material}_site_richness", found))
    measured = pd.DataFrame(rows, columns=["patient_id", "day", "variable", "value"])
    cohort = replace(followed.cohort, measurements=measured)
    own = {(row.material, row.span): row for row in courses(replace(followed, cohort=cohort)) if row.of != SITES}
    assert {row.of for row in own.values()} == {MEASURED_SITES}
    assert set(own) == {("infusion product", None), ("blood", None), ("blood", (14, 45))}
    assert own["blood", None].change.point == pytest.approx(-0.02)


def test_clones_that_call_for_a_look_are_held_against_all_sites_of_their_patients(tmp_path: Path) -> None:
    """In each of ten patients 10 of 100 sites are near, among them the one that dominates in five: 5 of 10, not 1."""
    samples, clones = [], []
    for patient in range(10):
        samples.append((f"s{patient}", f"p{patient}", 28, "blood"))
        for site in range(100):
            near = int(site < 10)
            is_big = site == (0 if patient < 5 else 50)
            clones.append((f"s{patient}", "integration", f"{patient}-{site}", 100 if is_big else 1, near))
    columns = ["sample_id", "locus", "clone", "abundance", "near_oncogene"]
    sampled = pd.DataFrame(samples, columns=["sample_id", "patient_id", "day", "material"])
    table = pd.DataFrame(clones, columns=columns)
    found = follow(read_cohort(write(tmp_path / "cohort", table, sampled)), Rule())
    told = near_among_told(found)
    assert told is not None
    assert (told.patients, told.near_patients, told.clones, told.near) == (10, 5, 10, 5)
    assert told.ratio.point == pytest.approx(5.0)
    assert 1 < told.ratio.low < 5 < told.ratio.high < 10
    assert NEAR_GENES not in {row.of for row in courses(found)}


def test_where_no_place_is_known_or_no_site_is_near_it_is_said(followed: Followed) -> None:
    unknown = replace(followed, warnings=followed.warnings.assign(near_oncogene=np.nan))
    assert "--oncogenes bundled" in " ".join(near_findings(unknown, OPEN))
    assert "say where they are" in " ".join(near_findings(replace(unknown, oncogenes=bundled()), OPEN))
    away = replace(
        followed,
        warnings=followed.warnings.assign(near_oncogene=0.0, gene=""),
        sites=followed.sites.assign(near_oncogene=0.0),
    )
    said = list(near_findings(away, OPEN))
    assert said[0] == "Of 1 patients with such clones of known place, 0 have one near an oncogene of the cohort."
    assert not any("times as many" in sentence for sentence in said)
