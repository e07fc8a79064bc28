"""Gene sets: those packaged are Reactome's, files are read or refused with the line, and measured genes decide."""

from __future__ import annotations

from pathlib import Path

import pytest

from features.cells.build_gene_sets import CHOSEN, HEADER, chosen_rows
from features.cells.gene_sets import BUNDLED, BUNDLED_FILE, FEWEST_GENES, gene_sets, read_gene_sets
from features.cells.gene_table import DATA, gene_table
from features.errors import SequelaError


def test_the_packaged_sets_name_their_source_and_licence() -> None:
    lines = (DATA / BUNDLED_FILE).read_text(encoding="utf-8").splitlines()
    assert lines[: len(HEADER)] == [f"# {line}" for line in HEADER]
    assert any("Reactome version 59" in line for line in HEADER)
    assert any(line.startswith("Attribution: Reactome") for line in HEADER)
    assert any(line.startswith("Licence: CC BY 4.0") for line in HEADER)


def test_the_packaged_sets_are_known_genes() -> None:
    sets = {one.name: one.genes for one in gene_sets(BUNDLED).sets}
    assert len(sets) == sum(map(len, CHOSEN.values())) == 134
    assert {"CD3E", "ZAP70", "LCK"} <= set(sets["TCR signaling"])
    assert {"PDCD1", "CD274"} <= set(sets["PD-1 signaling"])
    assert {"IFIT1", "ISG15", "MX1"} <= set(sets["Interferon alpha/beta signaling"])
    genes = [gene for own in sets.values() for gene in own]
    assert sum(gene in gene_table().symbols for gene in genes) / len(genes) > 0.99
    assert all(FEWEST_GENES <= len(own) == len(set(own)) for own in sets.values())


def test_the_packaged_sets_are_made_from_the_source(shared_data: Path) -> None:
    text = (shared_data / "gene_sets" / "reactome_mofadata.gmt").read_text(encoding="utf-8")
    lines = (DATA / BUNDLED_FILE).read_text(encoding="utf-8").splitlines()[len(HEADER) :]
    assert ["\t".join(row) for row in chosen_rows(text)] == lines


def test_a_source_without_a_chosen_set_is_refused() -> None:
    with pytest.raises(SequelaError, match="TCR signaling: no set of the source has this name"):
        chosen_rows("Something else\tx\tENSG00000162434\n")


def test_files_may_name_genes_by_ids_and_synonyms(tmp_path: Path) -> None:
    path = tmp_path / "mine.gmt"
    path.write_text("# mine\nkilling\twhy\tENSG00000100453\tPRF1\tGZMB\t\n\nchecks\twhy\tCD279\n", encoding="utf-8")
    found = gene_sets(str(path))
    assert found.source == "mine.gmt"
    assert [(one.name, one.genes) for one in found.sets] == [("killing", ("GZMB", "PRF1")), ("checks", ("PDCD1",))]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("a\tb\n", "line 1: must be name, description and genes", id="no genes"),
        pytest.param("a\tb\tCD4\na\tb\tCD8A\n", "line 2: names a set again", id="twice"),
        pytest.param("# nothing\n", "holds none; name a .gmt file, or bundled", id="empty"),
    ],
)
def test_files_that_hold_no_sets_are_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "sets.gmt"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(SequelaError, match=message):
        read_gene_sets(path)
    with pytest.raises(SequelaError, match=r"absent\.gmt: cannot be read"):
        read_gene_sets(tmp_path / "absent.gmt")


def test_sets_of_too_few_measured_genes_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "sets.gmt"
    path.write_text("five\t\tCD4\tCD8A\tCD3E\tCD3D\tCD3G\nfour\t\tCD4\tCD8A\tCD3E\tCD3D\tGZMB\n", encoding="utf-8")
    panel = ("CD4", "CD8A", "CD3E", "CD3D", "CD3G", "ACTB")
    found = read_gene_sets(path).measured(panel)
    assert [(one.name, one.genes) for one in found.sets] == [("five", panel[:5])]
    assert not read_gene_sets(path).measured(panel[:5]).sets  # every gene that was measured: nothing to compare with
