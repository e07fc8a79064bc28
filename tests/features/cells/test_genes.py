"""The species of a panel, told from names."""

from __future__ import annotations

from pathlib import Path

import h5py
import pytest

from features.cells.genes import canonical, name_kind, panel


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
