"""Program scores of single cells, against scanpy; and the sets themselves."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import anndata
import numpy as np
import pytest
import scanpy

from features.cells.bag import CellBag
from features.cells.programs import MINIMUM_GENES, PROGRAMS, score_cells
from features.cells.summary import summarise
from features.errors import SequelaError


def normalised(carpall: anndata.AnnData) -> anndata.AnnData:
    cells = carpall.copy()
    cells.X = cells.X.astype(np.float64)
    scanpy.pp.normalize_total(cells, target_sum=1e4)
    scanpy.pp.log1p(cells)
    return cells


def test_scores_equal_scanpys_with_the_same_control_genes(carpall: anndata.AnnData, carpall_bag: CellBag) -> None:
    cells = normalised(carpall)
    mean = np.asarray(cells.X.mean(axis=0)).ravel()
    highest = str(cells.var_names[mean.argmax()])  # scanpy puts it into a bin of its own
    for name, genes in PROGRAMS.items():
        present = [gene for gene in genes if gene in carpall_bag.genes and gene != highest]
        if len(present) < MINIMUM_GENES:
            continue
        control = [gene for gene in carpall_bag.genes if gene not in {*present, highest}]
        scanpy.tl.score_genes(cells, present, score_name=name, ctrl_size=len(control) + 99, n_bins=2, use_raw=False)
        ours = score_cells(carpall_bag, present, counts=True, control=control)
        np.testing.assert_allclose(ours, cells.obs[name], atol=1e-9, err_msg=name)


def test_the_mean_over_cells_is_the_score_of_the_sample(carpall_bag: CellBag) -> None:
    genes = PROGRAMS["cytotoxic"]
    summary = summarise(carpall_bag, counts=True).aligned(sorted(set(carpall_bag.cell_type)), carpall_bag.genes)
    mean = summary.lognorm.sum(axis=1)[0] / len(carpall_bag)
    of_sample = mean[np.isin(carpall_bag.genes, genes)].mean() - mean.mean()
    assert score_cells(carpall_bag, genes, counts=True).mean() == pytest.approx(of_sample)


def test_a_cell_is_scored_by_itself(make_bag: Callable[..., CellBag]) -> None:
    counts = np.random.default_rng(0).poisson(1.0, size=(6, 4))
    counts[2] = 0
    together = score_cells(make_bag(counts), ["g0", "g3"], counts=True)
    alone = [score_cells(make_bag(counts[[i]]), ["g0", "g3"], counts=True)[0] for i in range(6)]
    np.testing.assert_allclose(together, alone)
    assert together[2] == 0.0


def test_intensities_are_scored_as_they_are(make_bag: Callable[..., CellBag]) -> None:
    bag = make_bag([[1.0, -2.0, 4.0]])
    assert score_cells(bag, ["g2", "absent"], counts=False).tolist() == [4.0 - 1.0]
    with pytest.raises(SequelaError, match="none of its genes is on the panel"):
        score_cells(bag, ["absent"], counts=False)


def test_the_sets_are_short_and_do_not_repeat() -> None:
    for name, genes in PROGRAMS.items():
        assert len(set(genes)) == len(genes), name
        assert MINIMUM_GENES <= len(genes) <= 10, name


def test_proliferation_is_part_of_the_published_cell_cycle_genes(shared_data: Path) -> None:
    published = (shared_data / "gene_sets" / "regev_cell_cycle_genes.txt").read_text(encoding="utf-8").split()
    assert set(PROGRAMS["proliferation"]) <= set(published)


def test_most_of_exhaustion_is_in_published_signatures(shared_data: Path) -> None:
    text = (shared_data / "gene_sets" / "tcell_exhaustion_signatures.csv").read_text(encoding="utf-8")
    signatures = {row.split(",")[i] for row in text.splitlines()[1:] for i in (0, 1)}
    assert len(set(PROGRAMS["exhaustion"]) & signatures) >= 6
