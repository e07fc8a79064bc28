"""The species of a panel, the genes that its names stand for, and how two panels meet."""

from __future__ import annotations

import re
from pathlib import Path
from random import Random

import h5py
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.cells.gene_table import gene_table
from features.cells.genes import canonical, name_kind, overlap, panel, require_overlap, resolve
from features.errors import SequelaError


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        pytest.param(
            "human symbol",
            "CD3E HLA-DRA C1orf112 CXorf40A AC012345.1 RP11-206L10.9 MT-CO1 MIR1302-2HG T H19 TRBV7-2 7SK IGHV3/OR16-9",
            id="human-symbols",
        ),
        pytest.param("human Ensembl id", "ENSG00000198851 ENSG00000198851.10 ENSG00000182378.15_PAR_Y", id="human-ids"),
        pytest.param(
            "foreign id", "ENSMUSG00000032093 ENSRNOG00000000001.2 ENSMMUG00000011111 FBgn0000008", id="foreign-ids"
        ),
        pytest.param(
            "foreign symbol", "Cd3e Gm123 1700001C02Rik mt-Co1 H2-K1 Trbc1 H2-Ab1 Hba-a1 cd4-1", id="rodents-and-fish"
        ),
        pytest.param("other", "12 ENST00000123456 CAT_scFv FMC63-CD19-28z_construct 0.5 _", id="neither"),
    ],
)
def test_names_follow_conventions(kind: str, names: str) -> None:
    assert {name: name_kind(name) for name in names.split()} == dict.fromkeys(names.split(), kind)


def test_versions_are_stripped_and_nothing_else() -> None:
    assert canonical(" ENSG00000198851.10 ") == "ENSG00000198851"
    assert canonical("ENSMUSG00000032093.7") == "ENSMUSG00000032093"
    assert canonical("ENSG00000182378.15_PAR_Y") == "ENSG00000182378_PAR_Y"
    assert canonical("AC012345.1") == "AC012345.1"
    assert canonical("HLA-DRA") == "HLA-DRA"


def test_a_panel_is_human_by_share() -> None:
    human = [f"GENE{i}" for i in range(80)]
    mouse = [f"Gene{i}" for i in range(20)]
    assert panel(human + mouse).is_human
    assert not panel([*human, *mouse, "Cd3e"]).is_human
    assert panel(human + mouse).human_share == pytest.approx(0.8)
    assert str(panel(human + mouse)) == "80% of 100 names are human (80 human symbols, 20 foreign symbols)"
    assert not panel([]).is_human
    assert not panel([str(i) for i in range(50)]).is_human


def test_symbols_and_ids_together_are_mixed() -> None:
    ids = [f"ENSG{i:011d}" for i in range(5)]
    assert panel(["CD3E", "CD8A", *ids]).is_mixed
    assert not panel(["CD3E"] * 20 + ids[:1]).is_mixed


def test_the_genes_of_a_real_panel_are_human(shared_data: Path) -> None:
    with h5py.File(shared_data / "carpall_scrna" / "carpall_hvg3000_counts.h5ad") as file:
        genes = [name.decode() for name in file["var/_index"][:]]
    judged = panel(genes)
    assert judged.is_human
    assert judged.kinds == {"human symbol": 3027, "other": 1}, "one CAR construct among 3,028"


CONSTRUCTS = ["CAR", "CAT_scFv", "FMC63-CD19-28z_construct", "tEGFR", "EGFRt", "WPRE", "GFP", "RQR8", "iCasp9"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        pytest.param("CD3E", "CD3E", id="current"),
        pytest.param(" CD3E ", "CD3E", id="space"),
        pytest.param("ENSG00000198851.10", "CD3E", id="id-with-version"),
        pytest.param("IL8", "CXCL8", id="former-symbol"),
        pytest.param("SEPT9", "SEPTIN9", id="former-symbol-that-spreadsheets-break"),
        pytest.param("HIST1H4C", "H4C3", id="former-histone"),
        pytest.param("TIM3", "HAVCR2", id="protein"),
        pytest.param("PD-1", "PDCD1", id="protein-of-the-field"),
        pytest.param("HLA.DRA", "HLA-DRA", id="name-made-by-R"),
        pytest.param("CD3", "CD3", id="complex"),
        pytest.param("CD16", "CD16", id="two-genes"),
        pytest.param("TCF1", "TCF1", id="former-symbol-of-another-gene"),
        pytest.param("Cd3e", "Cd3e", id="mouse"),
        pytest.param("ENSMUSG00000032093.7", "ENSMUSG00000032093", id="mouse-id"),
        pytest.param("ENSG00000015479", "ENSG00000015479", id="id-whose-symbol-MATR3-two-genes-have"),
        pytest.param("MATR3", "MATR3", id="symbol-that-two-genes-have"),
        pytest.param("ENSG00000290825.1", "ENSG00000290825", id="id-whose-symbol-DDX11L2-two-genes-have"),
        pytest.param("ENSG00000292348", "CD99", id="copy-on-Y"),
        pytest.param("ENSG00000182378.15_PAR_Y", "PLCXD1", id="copy-on-Y-before-release-44"),
        pytest.param("ENSG99999999999.1", "ENSG99999999999", id="unknown-id"),
        pytest.param("", "", id="nothing"),
        *(pytest.param(name, name, id=f"construct-{name}") for name in CONSTRUCTS),
    ],
)
def test_a_gene_has_one_name(name: str, expected: str) -> None:
    assert resolve([name]).canonical == (expected,)


def test_a_synonym_merges_no_columns() -> None:
    both = resolve(["PTPRC", "CD45", "CD3E"])
    assert both.canonical == ("PTPRC", "CD45", "CD3E")
    assert both.ways == {"symbol": 2, "synonym kept": 1}
    by_id = resolve(["ENSG00000081237", "CD45"])
    assert by_id.canonical == ("PTPRC", "CD45")
    assert resolve(["PD1", "PD-1"]).canonical == ("PD1", "PD-1")
    assert resolve(["CD45", "CD3E"]).canonical == ("PTPRC", "CD3E")


def test_the_columns_of_one_gene_are_listed() -> None:
    resolution = resolve(["ENSG00000002586.20", "CD3E", "ENSG00000292348.1", "CAR", "CD3E", "IL8"])
    assert resolution.canonical == ("CD99", "CD3E", "CD99", "CAR", "CD3E", "CXCL8")
    assert resolution.merged == {"CD99": ("ENSG00000002586.20", "ENSG00000292348.1"), "CD3E": ("CD3E", "CD3E")}
    assert resolution.ways == {"Ensembl id": 2, "symbol": 2, "unknown": 1, "synonym": 1}
    assert resolution.known_share == pytest.approx(5 / 6)
    assert str(resolution) == (
        "6 columns: 2 by Ensembl id, 2 by symbol, 1 by synonym; 1 unknown, kept as named; "
        "2 genes in several columns (CD99, CD3E)"
    )


def test_nothing_known_is_said_so() -> None:
    assert str(resolve(["Cd3e"])) == "1 columns: no known gene; 1 unknown, kept as named"
    assert resolve([]).canonical == ()
    assert resolve([]).known_share == 0.0


def _some_names() -> st.SearchStrategy[str]:
    table = gene_table()
    ids = st.sampled_from(sorted(table.name_of_id)[::50] + [f"ENSG{n:011d}" for n in range(292327, 292374)])
    versioned = st.builds("{}{}".format, ids, st.sampled_from(["", ".1", ".12", ".3_PAR_Y", "_PAR_Y"]))
    close = [
        "PTPRC",
        "CD45",
        "ENSG00000081237",
        "PD1",
        "PD-1",
        "CD279",
        "PDCD1",
        "HLA-DRA",
        "HLA.DRA",
        " CD45",
        "MATR3",
    ]
    synonyms = st.sampled_from(sorted(table.synonyms)[::50])
    return st.one_of(
        versioned, st.sampled_from(sorted(table.symbols)[::50]), synonyms, st.sampled_from(close), st.text(max_size=8)
    )


@given(st.lists(_some_names(), max_size=30))
def test_resolving_twice_changes_nothing(names: list[str]) -> None:
    once = resolve(names)
    assert len(once.canonical) == len(names) == sum(once.ways.values())
    assert resolve(once.canonical).canonical == once.canonical


@given(st.lists(_some_names(), min_size=1, max_size=30), st.randoms(use_true_random=False))
def test_the_order_of_columns_does_not_matter(names: list[str], random: Random) -> None:
    resolution = resolve(names)
    order = list(range(len(names)))
    random.shuffle(order)
    shuffled = resolve([names[i] for i in order])
    assert shuffled.canonical == tuple(resolution.canonical[i] for i in order)
    assert shuffled.ways == resolution.ways
    assert {gene: sorted(columns) for gene, columns in shuffled.merged.items()} == {
        gene: sorted(columns) for gene, columns in resolution.merged.items()
    }


@given(st.lists(st.sampled_from(sorted(gene_table().name_of_id)[::20]), max_size=30), st.integers(1, 30))
def test_versions_do_not_matter(ids: list[str], version: int) -> None:
    assert resolve([f"{gene_id}.{version}" for gene_id in ids]).canonical == resolve(ids).canonical


def test_every_gene_of_the_release_keeps_a_name_of_its_own() -> None:
    table = gene_table()
    resolution = resolve(list(table.name_of_id))
    assert resolution.ways == {"Ensembl id": 62_754}
    assert len(resolution.merged) == 47, "the genes with a copy on Y"
    assert all(len(columns) == 2 for columns in resolution.merged.values())


def test_overlap_sees_through_names() -> None:
    found = overlap(["CXCL8", "PDCD1", "CD3E", "CD3E", "FMC63"], ["IL8", "ENSG00000188389.3", "CD4"])
    assert (found.n_panel, found.n_found, found.absent) == (4, 2, ("CD3E", "FMC63"))
    assert found.share == 0.5
    assert str(found) == "2 of 4 genes of the panel (50%) are there; absent: CD3E, FMC63"
    assert overlap([], ["CD3E"]).share == 1.0


@given(st.sets(st.sampled_from(sorted(gene_table().symbols)[::200]), min_size=1), st.data())
def test_overlap_is_the_share_of_the_panel(genes: set[str], data: st.DataObject) -> None:
    panel_genes = sorted(genes)
    there = data.draw(st.sets(st.sampled_from(panel_genes)))
    found = overlap(panel_genes, sorted(there))
    assert set(found.absent) == genes - there
    assert found.share == pytest.approx(len(there) / len(genes))


def test_too_little_overlap_is_refused() -> None:
    wanted = ["CD3E", "CD4", "CD8A", "GZMB", "PDCD1", "TOX", "LAG3", "TIGIT"]
    assert require_overlap(wanted, ["CD3E", "CD4"], 0.25, "cells.h5ad").n_found == 2
    with pytest.raises(
        SequelaError,
        match=r"^cells.h5ad: 1 of 8 genes of the panel \(12%\) are there; absent: CD4, CD8A, GZMB, PDCD1, TOX and 2 "
        r"more. At least 25% must be. Name the genes by their symbols or Ensembl ids",
    ):
        require_overlap(wanted, ["CD3E", "NKG7"], 0.25, "cells.h5ad")
    with pytest.raises(SequelaError, match=r"Only 0% of 2 names are human .*: map them to human symbols"):
        require_overlap(wanted, ["Cd3e", "Cd4"], 0.25, "cells.h5ad")


def test_real_panels_resolve(shared_data: Path) -> None:
    with h5py.File(shared_data / "carpall_scrna" / "carpall_hvg3000_counts.h5ad") as file:
        carpall = resolve([name.decode() for name in file["var/_index"][:]])
    assert carpall.ways == {"symbol": 2562, "unknown": 391, "synonym": 75}
    assert not carpall.merged
    unknown = [name for name in carpall.canonical if name not in gene_table().symbols]
    assert [name for name in unknown if not re.fullmatch(r"[A-Z]{1,2}\d{5,6}\.\d+", name)] == [
        "MTRNR2L12",
        "HIST1H2BF",
        "KCNQ5-IT1",
        "MTRNR2L8",
        "MTRNR2L1",
        "TMSB15B-1",
        "CAT_scFv",
    ], "besides 384 names of clones, which release 44 no longer gives"


@pytest.mark.parametrize(
    ("file", "ways"),
    [
        pytest.param("reactome_mofadata.gmt", {"Ensembl id": 9296, "unknown": 15}, id="reactome-ids"),
        pytest.param("lvis_pathway_signatures.gmt", {"symbol": 1651, "synonym": 114, "unknown": 31}, id="msigdb"),
    ],
)
def test_gene_sets_resolve(shared_data: Path, file: str, ways: dict[str, int]) -> None:
    lines = (shared_data / "gene_sets" / file).read_text().splitlines()
    genes = dict.fromkeys(gene.strip() for line in lines for gene in line.split("\t")[2:])
    assert resolve(list(genes)).ways == ways
