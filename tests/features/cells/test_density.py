"""The density of a sample's cells: against the exact kernel, and against divergences of Gaussian mixtures."""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import pytest
import scipy.spatial.distance
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.mixture import GaussianMixture

from features.cells.bag import Bags, CellBag
from features.cells.density import DensityEmbedding, mean_features, median_distance, squared_discrepancy
from features.errors import SequelaError
from features.patients import FloatArray

MakeBag = Callable[..., CellBag]
N_GENES = 40
GENES = tuple(f"g{i}" for i in range(N_GENES))
PROFILES = np.exp(np.random.default_rng(42).normal(0, 1.3, (3, N_GENES)))
PROFILES /= PROFILES.sum(axis=1, keepdims=True)
SIGMA = 2.0


def draw_counts(rng: np.random.Generator, n_cells: int, share: FloatArray, shift: float = 0.0) -> FloatArray:
    """Counts of cells of three types with given shares; `shift` raises the first genes of every type."""
    profiles = PROFILES * np.where(np.arange(N_GENES) < 8, np.exp(shift), 1.0)
    profiles = profiles / profiles.sum(axis=1, keepdims=True)
    kind = rng.choice(3, n_cells, p=share)
    return rng.poisson(500 * profiles[kind]).astype(float)


@pytest.fixture(scope="module")
def training(make_bag: MakeBag) -> list[CellBag]:
    rng = np.random.default_rng(1)
    shares = rng.dirichlet([3, 3, 3], 30)
    return [make_bag(draw_counts(rng, 150, share, rng.normal(0, 0.3))) for share in shares]


@pytest.fixture(scope="module")
def embedding(training: list[CellBag]) -> DensityEmbedding:
    return DensityEmbedding.fit(training, genes=GENES, counts=True, n_components=3, n_frequencies=512)


def kernel(x: FloatArray, y: FloatArray) -> FloatArray:
    return np.exp(-scipy.spatial.distance.cdist(x, y, "sqeuclidean") / (2 * SIGMA**2))


def exact_discrepancy(x: FloatArray, y: FloatArray) -> float:
    return float(kernel(x, x).mean() + kernel(y, y).mean() - 2 * kernel(x, y).mean())


def test_discrepancy_equals_that_of_the_exact_kernel_within_its_stated_error() -> None:
    rng = np.random.default_rng(0)
    deviations, relative = [], []
    for _ in range(60):
        frequencies = rng.standard_normal((1024, 5)) / SIGMA
        x, y = (rng.normal(rng.normal(0, 0.7, 5), rng.uniform(0.5, 2.0), (80, 5)) for _ in range(2))
        features = [mean_features(cells.astype(np.float32), frequencies) for cells in (x, y)]
        value, error = squared_discrepancy(*features)
        exact = exact_discrepancy(x, y)
        deviations.append((value - exact) / error)
        relative.append(abs(value - exact) / exact)
    assert max(map(abs, deviations)) < 4.5
    assert 0.7 < np.std(deviations) < 1.3, "the stated error is that of the estimate, neither half nor double"
    assert abs(np.mean(deviations)) < 0.5, "no bias"
    assert np.median(relative) < 0.05


def test_a_fitted_embedding_has_the_kernel_that_it_states(embedding: DensityEmbedding, training: list[CellBag]) -> None:
    cells = [embedding.pca.transform(bag).astype(float) for bag in training]
    median = median_distance(np.concatenate([c[:40] for c in cells]))
    for i, j in [(0, 1), (2, 3), (4, 5)]:
        value, error = squared_discrepancy(embedding.means(training[i]), embedding.means(training[j]))
        exact = 0.0
        for bandwidth in (1.0, 0.5, 0.25):
            scale = SIGMA / (bandwidth * median)
            exact += exact_discrepancy(cells[i] * scale, cells[j] * scale) / 3
        assert abs(value - exact) < 4.5 * error + 0.02 * exact, "the median of other cells differs a little"
        assert error < 0.1 * exact


def test_features_multiply_to_the_kernel() -> None:
    rng = np.random.default_rng(2)
    frequencies = rng.standard_normal((4096, 3)) / SIGMA
    cells = rng.normal(0, 1.5, (12, 3))
    features = np.array([mean_features(cell[None].astype(np.float32), frequencies) for cell in cells])
    exact = kernel(cells, cells)
    error = (1 - exact**2) / np.sqrt(2 * 4096)
    assert (np.abs(features @ features.T - exact) <= 4.5 * error + 1e-5).all()


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 2**31))
def test_the_order_of_cells_does_not_matter(embedding: DensityEmbedding, make_bag: MakeBag, seed: int) -> None:
    rng = np.random.default_rng(seed)
    counts = draw_counts(rng, 60, np.array([0.2, 0.3, 0.5]))
    one, other = (embedding.transform(make_bag(c)) for c in (counts, rng.permutation(counts)))
    np.testing.assert_allclose(one, other, atol=1e-5)


def test_the_expectation_does_not_depend_on_the_number_of_cells(embedding: DensityEmbedding, make_bag: MakeBag) -> None:
    rng, share = np.random.default_rng(4), np.array([0.6, 0.3, 0.1])
    few = np.array([embedding.transform(make_bag(draw_counts(rng, 20, share))) for _ in range(150)])
    many = np.array([embedding.transform(make_bag(draw_counts(rng, 400, share))) for _ in range(40)])
    test = scipy.stats.ttest_ind(few, many, equal_var=False)
    assert (test.pvalue > 0.001).all(), "the same place"
    ratio = few.std(axis=0) / many.std(axis=0)
    assert ((ratio > 3.0) & (ratio < 6.5)).all(), "noise falls with the root of the number of cells: √20 = 4.5"
    double = make_bag(np.repeat(draw_counts(rng, 30, share), 2, axis=0))
    half = CellBag(double.genes, double.indptr, double.indices, double.values, double.cell_type)
    np.testing.assert_allclose(embedding.transform(double), embedding.transform(half))


@pytest.mark.parametrize(
    ("share", "shift"),
    [([0.7, 0.2, 0.1], 0.0), ([1 / 3, 1 / 3, 1 / 3], 0.8)],
    ids=["another composition", "other expression"],
)
def test_samples_of_one_distribution_lie_close_and_others_far(
    embedding: DensityEmbedding, make_bag: MakeBag, share: list[float], shift: float
) -> None:
    rng = np.random.default_rng(5)
    same = [make_bag(draw_counts(rng, 150, np.full(3, 1 / 3))) for _ in range(24)]
    other = [make_bag(draw_counts(rng, 150, np.array(share), shift)) for _ in range(12)]
    means = [embedding.means(bag) for bag in same + other]
    within = [squared_discrepancy(means[i], means[i + 12])[0] for i in range(12)]
    between = [squared_discrepancy(means[i], means[i + 24])[0] for i in range(12)]
    assert scipy.stats.mannwhitneyu(between, within, alternative="greater").pvalue < 1e-4
    embedded = np.array([embedding.transform(bag) for bag in same + other])
    short_within = np.linalg.norm(embedded[:12] - embedded[12:24], axis=1)
    short_between = np.linalg.norm(embedded[:12] - embedded[24:], axis=1)
    assert scipy.stats.mannwhitneyu(short_between, short_within, alternative="greater").pvalue < 1e-4


def mixture_divergence(one: FloatArray, other: FloatArray, rng: np.random.Generator) -> float:
    """Symmetrised Kullback–Leibler divergence of Gaussian mixtures fitted to two samples, by Monte Carlo."""
    models = [
        GaussianMixture(3, reg_covar=1e-2, random_state=int(rng.integers(2**31))).fit(cells) for cells in (one, other)
    ]
    first, second = (model.sample(1500)[0] for model in models)
    forward = models[0].score_samples(first) - models[1].score_samples(first)
    backward = models[1].score_samples(second) - models[0].score_samples(second)
    return float(forward.mean() + backward.mean())


def cohort(make_bag: MakeBag, rng: np.random.Generator, concentration: float, spread: float) -> list[CellBag]:
    """Twelve samples that differ in composition (the more, the smaller the concentration) and by a shift of genes."""
    shares = rng.dirichlet([concentration] * 3, 12)
    return [make_bag(draw_counts(rng, 300, share, rng.normal(0, spread))) for share in shares]


@pytest.mark.parametrize(
    ("concentration", "spread", "least"),
    [(2.0, 0.0, 0.75), (1e6, 0.4, 0.75), (2.0, 0.4, 0.4)],
    ids=["composition", "expression", "both"],
)
def test_distances_rank_as_the_divergences_of_gaussian_mixtures_do(
    make_bag: MakeBag, concentration: float, spread: float, least: float
) -> None:
    """The comparison of GloScope: Spearman's correlation over the 66 pairs of a cohort, mean of three cohorts.

    It is 0.91 where samples differ in composition, 0.98 where they differ in expression, 0.62 where in both.

    Where both differ, the two disagree on what is far: the divergence is not bounded and grows with any shift that is
    large beside the width of a cell type, however similar the types' shares are.
    """
    correlations = []
    for seed in range(100, 103):
        rng = np.random.default_rng(seed)
        bags = cohort(make_bag, rng, concentration, spread)
        fitted = DensityEmbedding.fit(bags, genes=GENES, counts=True, n_cell_components=3)
        cells = [fitted.pca.transform(bag).astype(float) for bag in bags]
        means = [fitted.means(bag) for bag in bags]
        pairs = [(i, j) for i in range(len(bags)) for j in range(i)]
        ours = [squared_discrepancy(means[i], means[j])[0] for i, j in pairs]
        theirs = [mixture_divergence(cells[i], cells[j], rng) for i, j in pairs]
        correlations.append(scipy.stats.spearmanr(ours, theirs).statistic)
    assert np.mean(correlations) > least, correlations


def test_the_median_heuristic_is_the_median_of_pairs() -> None:
    cells = np.random.default_rng(7).normal(size=(50, 4))
    assert median_distance(cells) == pytest.approx(np.median(scipy.spatial.distance.pdist(cells)))
    with pytest.raises(SequelaError, match="look alike"):
        median_distance(np.ones((5, 2)))


def test_components_keep_the_distances_of_the_kernel(embedding: DensityEmbedding, training: list[CellBag]) -> None:
    short = np.array([embedding.transform(bag) for bag in training])
    means = [embedding.means(bag) for bag in training]
    pairs = [(i, j) for i in range(len(training)) for j in range(i)]
    kept = np.array([((short[i] - short[j]) ** 2).sum() for i, j in pairs])
    whole = np.array([squared_discrepancy(means[i], means[j])[0] for i, j in pairs])
    assert (kept <= whole * (1 + 1e-6)).all(), "a projection brings samples together, never apart"
    assert kept.sum() > 0.8 * whole.sum(), "three components hold most of what differs"


def test_a_new_sample_is_embedded_from_plain_arrays(embedding: DensityEmbedding, training: list[CellBag]) -> None:
    sizes, arrays = embedding.state()
    again = DensityEmbedding.from_state(json.loads(json.dumps(sizes)), arrays)
    np.testing.assert_array_equal(again.transform(training[0]), embedding.transform(training[0]))
    with pytest.raises(SequelaError, match="fit the density embedding again"):
        DensityEmbedding.from_state({"format": "other"}, arrays)
    with pytest.raises(SequelaError, match="do not fit together"):
        DensityEmbedding.from_state(sizes, arrays | {"frequencies": arrays["frequencies"][:-1]})


def test_columns_are_named_and_absent_cells_are_not_a_number(
    embedding: DensityEmbedding, training: list[CellBag], make_bag: MakeBag
) -> None:
    columns = embedding.columns([training[0], make_bag(np.zeros((0, N_GENES)))])
    assert tuple(columns) == embedding.names == ("density:pc1", "density:pc2", "density:pc3")
    for j, column in enumerate(columns.values()):
        assert column[0] == embedding.transform(training[0])[j]
        assert np.isnan(column[1])


def test_samples_that_are_read_on_demand_give_the_same(training: list[CellBag]) -> None:
    few = training[:10]
    held = DensityEmbedding.fit(few, genes=GENES, counts=True, n_frequencies=32)
    bags = Bags.of([*few, None]).take(np.array([*range(10), -1]))
    read = DensityEmbedding.fit(bags, genes=GENES, counts=True, n_frequencies=32)
    np.testing.assert_array_equal(held.components.components, read.components.components)
