"""Principal components of cells, against scanpy; and that they learn nothing from samples outside the fold."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import anndata
import numpy as np
import pytest
import scanpy
from hypothesis import given, settings
from hypothesis import strategies as st

from features.cells.bag import CellBag
from features.cells.density import DensityEmbedding
from features.cells.embedding import CellPca, expression_blocks
from features.cells.summary import summarise
from features.cells.variable_genes import variable_genes
from features.errors import SequelaError
from features.patients import FloatArray

MakeBag = Callable[..., CellBag]
N_GENES = 60
GENES = tuple(f"g{i}" for i in range(N_GENES))
State = tuple[dict[str, Any], dict[str, FloatArray]]
Fit = Callable[[Sequence[CellBag], Sequence[int]], State]


def draw_counts(rng: np.random.Generator, n_cells: int, n_types: int = 5) -> FloatArray:
    """Counts of cells of several types, whose profiles are the same whatever the generator."""
    profiles = np.exp(np.random.default_rng(99).normal(0, 1.5, (n_types, N_GENES)))
    profiles /= profiles.sum(axis=1, keepdims=True)
    depth = rng.lognormal(6.0, 0.3, n_cells)
    kind = rng.choice(n_types, n_cells, p=np.arange(1, n_types + 1) / np.arange(1, n_types + 1).sum())
    return rng.poisson(depth[:, None] * profiles[kind]).astype(float)


@pytest.fixture
def samples(make_bag: MakeBag) -> list[CellBag]:
    rng = np.random.default_rng(3)
    return [make_bag(draw_counts(rng, n)) for n in (90, 60, 70, 80)]


def test_components_equal_scanpys(make_bag: MakeBag) -> None:
    counts = draw_counts(np.random.default_rng(0), 400)
    bag = make_bag(counts)
    ours = CellPca.fit([bag], GENES, counts=True, n_components=4)
    cells = anndata.AnnData(counts.copy())
    scanpy.pp.normalize_total(cells, target_sum=1e4)
    scanpy.pp.log1p(cells)
    scanpy.pp.pca(cells, n_comps=4, svd_solver="arpack")
    theirs, projected = cells.obsm["X_pca"], ours.transform(bag)
    assert projected.dtype == np.float32
    sign = np.sign((theirs * projected).sum(axis=0))
    np.testing.assert_allclose(projected, theirs * sign, atol=1e-3)
    np.testing.assert_allclose(ours.explained, cells.uns["pca"]["variance_ratio"], rtol=1e-4)


def test_variable_genes_of_a_wider_panel_keep_the_depth_of_the_whole_panel(make_bag: MakeBag) -> None:
    counts = draw_counts(np.random.default_rng(1), 200)
    bag = make_bag(counts)
    genes = [GENES[i] for i in variable_genes(summarise(bag, counts=True), 20)]
    cells = anndata.AnnData(counts.copy())
    scanpy.pp.normalize_total(cells, target_sum=1e4)
    scanpy.pp.log1p(cells)
    blocks = [block.dense(20) for block in expression_blocks(bag, genes, counts=True, cells_at_once=64)]
    expected = cells.X[:, [GENES.index(gene) for gene in genes]]
    np.testing.assert_allclose(np.concatenate(blocks), expected, rtol=1e-5, atol=1e-6)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**31), st.integers(1, 40))
def test_each_cell_is_projected_by_itself(make_bag: MakeBag, seed: int, n_cells: int) -> None:
    rng = np.random.default_rng(seed)
    pca = CellPca.fit([make_bag(draw_counts(np.random.default_rng(5), 100))], GENES, counts=True, n_components=5)
    counts = draw_counts(rng, n_cells)
    whole = pca.transform(make_bag(counts))
    order = rng.permutation(n_cells)
    np.testing.assert_allclose(pca.transform(make_bag(counts[order])), whole[order], atol=1e-4)
    np.testing.assert_allclose(pca.transform(make_bag(counts[:1])), whole[:1], atol=1e-4)


def test_genes_are_matched_by_name(make_bag: MakeBag, samples: list[CellBag]) -> None:
    pca = CellPca.fit(samples, GENES, counts=True, n_components=5)
    counts = draw_counts(np.random.default_rng(6), 50)
    counts[:, 7] = 0.0
    expected = pca.transform(make_bag(counts))
    order = np.random.default_rng(7).permutation(N_GENES)
    shuffled = make_bag(counts[:, order], [GENES[i] for i in order])
    np.testing.assert_allclose(pca.transform(shuffled), expected, atol=1e-4, err_msg="another order of genes")
    fewer = make_bag(np.delete(counts, 7, axis=1), [gene for gene in GENES if gene != "g7"])
    np.testing.assert_allclose(pca.transform(fewer), expected, atol=1e-4, err_msg="an absent gene is not expressed")
    assert pca.overlap(fewer) == pytest.approx((N_GENES - 1) / N_GENES)
    halved = np.concatenate([counts, counts[:, :3] * 0.25], axis=1)
    halved[:, :3] *= 0.75
    split = make_bag(halved, [*GENES, *GENES[:3]])
    np.testing.assert_allclose(pca.transform(split), expected, atol=1e-4, err_msg="columns of one name add up")


def test_a_sample_with_many_cells_weighs_no_more(make_bag: MakeBag) -> None:
    one, other = np.array([[9.0, 1.0]]), np.array([[1.0, 9.0]])
    bags = [make_bag(np.repeat(one, 1000, axis=0)), make_bag(np.repeat(other, 10, axis=0))]
    pca = CellPca.fit(bags, ("g0", "g1"), counts=True, max_cells=20)
    np.testing.assert_allclose(pca.center, np.log1p([9000, 1000]).mean(), rtol=1e-6)


def test_samples_are_read_once_and_the_draw_is_that_of_a_known_number(samples: list[CellBag]) -> None:
    many = samples * 4
    lazy = CellPca.fit((bag for bag in many), GENES, counts=True, max_cells=64, n_components=3)
    quota = 64 // len(many)
    drawn = []
    for i, bag in enumerate(many):
        cells = np.random.default_rng([0, i]).permutation(len(bag))[:quota]
        drawn.append(np.concatenate([b.dense(N_GENES) for b in expression_blocks(bag, GENES, counts=True)])[cells])
    x = np.concatenate(drawn).astype(float)
    np.testing.assert_allclose(lazy.center, x.mean(axis=0), rtol=1e-5)
    singular = np.linalg.svd(x - x.mean(axis=0), compute_uv=False)
    np.testing.assert_allclose(lazy.explained, (singular**2 / (singular**2).sum())[:3], rtol=1e-4)


def test_another_seed_draws_other_cells(samples: list[CellBag]) -> None:
    one, same, other = (CellPca.fit(samples, GENES, counts=True, max_cells=40, seed=s) for s in (0, 0, 1))
    np.testing.assert_array_equal(one.components, same.components)
    assert not np.array_equal(one.center, other.center)


def test_intensities_are_standardised(make_bag: MakeBag) -> None:
    values = np.random.default_rng(8).normal(2.0, 1.0, (200, 6))
    values[:, 1] += values[:, 0]
    units = np.array([1.0, 1000.0, 1.0, 0.01, 1.0, 5.0])
    one, other = make_bag(values), make_bag(values * units)
    names = [f"g{i}" for i in range(6)]
    first = CellPca.fit([one], names, counts=False, n_components=3)
    second = CellPca.fit([other], names, counts=False, n_components=3)
    np.testing.assert_allclose(first.transform(one), second.transform(other), atol=1e-3)


def test_state_is_plain_and_rebuilds_the_same(samples: list[CellBag]) -> None:
    pca = CellPca.fit(samples, GENES, counts=True, n_components=5)
    sizes, arrays = pca.state()
    again = CellPca.from_state(json.loads(json.dumps(sizes)), arrays)
    np.testing.assert_array_equal(again.transform(samples[0]), pca.transform(samples[0]))
    with pytest.raises(SequelaError, match="fit the components again"):
        CellPca.from_state(sizes | {"genes": list(GENES[:-1])}, arrays)
    with pytest.raises(SequelaError, match="sequela-cell-pca/1"):
        CellPca.from_state({"genes": list(GENES)}, arrays)
    with pytest.raises(SequelaError, match="fit the components again"):
        CellPca.from_state(sizes, {name: array for name, array in arrays.items() if name != "scale"})


def test_no_cells_are_no_rows(make_bag: MakeBag, samples: list[CellBag]) -> None:
    pca = CellPca.fit([make_bag(np.zeros((0, N_GENES))), *samples], GENES, counts=True, n_components=5)
    assert pca.transform(make_bag(np.zeros((0, N_GENES)))).shape == (0, 5)
    silent = pca.transform(make_bag(np.zeros((1, N_GENES))))
    np.testing.assert_allclose(silent[0], -pca.components @ pca.center, atol=1e-4)


@pytest.mark.parametrize(
    ("matrix", "rule"),
    [
        (np.ones((1, N_GENES)), "need two cells"),
        (np.ones((5, N_GENES)), "no gene differs"),
        (-np.eye(N_GENES), "at least 0"),
        (np.full((3, N_GENES), np.nan), "must be finite"),
    ],
    ids=["one cell", "equal cells", "negative", "nan"],
)
def test_cells_that_cannot_be_used_are_refused(make_bag: MakeBag, matrix: FloatArray, rule: str) -> None:
    with pytest.raises(SequelaError, match=rule):
        CellPca.fit([make_bag(matrix)], GENES, counts=True)


def learns_from_others(fit: Fit, samples: Sequence[CellBag], training: Sequence[int]) -> bool:
    """Whether anything that is fitted changes, by a bit, when the samples outside training do."""
    changed = [
        bag if i in training else replace(bag, values=bag.values * (1.0 + (bag.indices % 3)))
        for i, bag in enumerate(samples)
    ]
    removed = [bag if i in training else replace(bag, genes=bag.genes[::-1]) for i, bag in enumerate(samples)]
    (sizes, arrays), *others = (fit(bags, training) for bags in (samples, changed, removed))
    return any(
        sizes != other_sizes
        or {n: a.tobytes() for n, a in arrays.items()} != {n: a.tobytes() for n, a in other.items()}
        for other_sizes, other in others
    )


def _genes(bags: Sequence[CellBag]) -> list[str]:
    summaries = [summarise(bag, counts=True) for bag in bags]
    pooled = type(summaries[0]).concatenate(summaries)
    return [pooled.genes[i] for i in variable_genes(pooled, 30)]


def _pca(bags: Sequence[CellBag]) -> State:
    return CellPca.fit(bags, _genes(bags), counts=True, n_components=5, max_cells=100).state()


def _density(bags: Sequence[CellBag]) -> State:
    return DensityEmbedding.fit(bags, genes=_genes(bags), counts=True, n_frequencies=16, max_cells=100).state()


def _genes_from_all(bags: Sequence[CellBag], training: Sequence[int]) -> State:
    chosen = [bags[i] for i in training]
    return CellPca.fit(chosen, _genes(bags), counts=True, n_components=5, max_cells=100).state()


@pytest.mark.parametrize("fit", [_pca, _density], ids=["components", "density"])
def test_nothing_is_learnt_outside_training_and_a_leak_is_caught(
    samples: list[CellBag], fit: Callable[[Sequence[CellBag]], State]
) -> None:
    training = (0, 2)
    assert not learns_from_others(lambda bags, rows: fit([bags[i] for i in rows]), samples, training)
    assert learns_from_others(lambda bags, _: fit(bags), samples, training), "a fit on all samples must be seen"


def test_a_leak_through_the_choice_of_genes_is_caught(samples: list[CellBag]) -> None:
    assert learns_from_others(_genes_from_all, samples, (0, 2))
