"""Sample features, by hand: composition, program scores, pseudobulks and their components."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import gmean
from summaries import dense_summary

from features.cells.bag import UNLABELLED, Bags, CellBag
from features.cells.density import DensityEmbedding
from features.cells.programs import PROGRAMS
from features.cells.pseudobulk import MINIMUM_CELLS
from features.cells.samples import PSEUDOCOUNT, SampleFeature, SampleFeatures, latest_samples
from features.cells.summary import AlignedSums, CellSummary, summarise
from features.patients import Measurements, Patients, Samples

GENES = ("PDCD1", "HAVCR2", "LAG3", "TIGIT", "ACTB", "CCR7")
TYPES = ("CD4 T", "CD8 T", UNLABELLED)
ALL: tuple[SampleFeature, ...] = ("composition", "pseudobulk", "programs")


def summaries(seed: int, n: int, n_types: int = 3) -> CellSummary:
    rng = np.random.default_rng(seed)
    n_cells = rng.integers(MINIMUM_CELLS, 40, (n, n_types)).astype(float)
    total = rng.poisson(rng.gamma(2.0, 20.0, (n, 1, len(GENES))), (n, n_types, len(GENES))).astype(float)
    return dense_summary(TYPES[:n_types], GENES, n_cells, total, rng.gamma(2.0, 5.0, total.shape))


def patients(summary: CellSummary, row: list[int], day: list[float], material: list[str], n: int) -> Patients:
    samples = Samples(
        np.concatenate([[0], np.cumsum(np.bincount(row, minlength=n))]),
        np.array([f"s{i}" for i in range(len(row))], dtype=object),
        np.array(day),
        np.array(material, dtype=object),
        summary,
    )
    ids = np.array([f"p{i}" for i in range(n)], dtype=object)
    return Patients(ids, np.zeros(n), {}, Measurements.empty(n), samples)


def one_each(summary: CellSummary) -> Patients:
    """One sample of one material on day −5 for each patient."""
    n = len(summary)
    return patients(summary, list(range(n)), [-5.0] * n, ["product"] * n, n)


def dense(summary: CellSummary) -> AlignedSums:
    return summary.aligned(summary.cell_types, summary.genes)


def axes(fitted: SampleFeatures) -> NDArray[np.float64]:
    assert fitted.pseudobulk is not None
    return fitted.pseudobulk.components


def fit(who: Patients, *features: SampleFeature, n_components: int = 2, counts: bool = True) -> SampleFeatures:
    fitted = SampleFeatures.fit(who, features or ALL, n_components, counts=counts)
    assert fitted is not None
    return fitted


@st.composite
def sampled(draw: st.DrawFn) -> tuple[list[float], list[tuple[int, float, str]]]:
    """Landmarks of one to four rows, and samples (row, day, material) ordered by row and day."""
    landmarks = draw(st.lists(st.sampled_from([0.0, 14.0, 30.0]), min_size=1, max_size=4))
    sample = st.tuples(
        st.integers(0, len(landmarks) - 1),
        st.sampled_from([-5.0, 0.0, 14.0, 28.0, 31.0]),
        st.sampled_from(["blood", "product"]),
    )
    return landmarks, sorted(draw(st.lists(sample, min_size=1, max_size=8)), key=lambda s: s[:2])


@given(sampled(), st.sampled_from(["blood", "product", "marrow"]))
def test_the_latest_sample_by_the_landmark_is_used(
    case: tuple[list[float], list[tuple[int, float, str]]], material: str
) -> None:
    landmarks, rows = case
    row, day, materials = (list(column) for column in zip(*rows, strict=True))
    who = patients(summaries(0, len(rows)), row, day, materials, len(landmarks))
    who = who.at_landmark(np.array(landmarks))
    for i, found in enumerate(latest_samples(who, material)):
        usable = [j for j, s in enumerate(rows) if s[0] == i and s[2] == material and s[1] <= landmarks[i]]
        assert found == max(usable, key=lambda j: (rows[j][1], j), default=-1)


def test_composition_is_the_centred_log_ratio() -> None:
    """Against the geometric mean; unlabelled cells are no part of it."""
    summary = summaries(1, 6)
    columns = fit(one_each(summary), "composition").columns(one_each(summary))
    shares = summary.cells_by_type[:, :2] + PSEUDOCOUNT
    expected = np.log(shares / gmean(shares, axis=1)[:, None])
    assert list(columns) == ["product:clr(CD4 T)", "product:clr(CD8 T)"]
    np.testing.assert_allclose(np.column_stack(list(columns.values())), expected, atol=1e-12)
    np.testing.assert_allclose(sum(columns.values()), 0.0, atol=1e-12)


def test_composition_of_one_type_says_nothing() -> None:
    summary = summaries(1, 6, n_types=1)
    assert fit(one_each(summary), "composition").columns(one_each(summary)) == {}


def test_program_scores_are_means_above_the_panel() -> None:
    summary = summaries(2, 5)
    columns = fit(one_each(summary), "programs").columns(one_each(summary))
    assert set(columns) == {"product:exhaustion"}, "of the other programs fewer than three genes are here"
    for i in range(5):
        mean = dense(summary).lognorm[i].sum(axis=0) / summary.cells_by_type[i].sum()
        shared = [GENES.index(gene) for gene in PROGRAMS["exhaustion"] if gene in GENES]
        assert len(shared) == 4
        assert columns["product:exhaustion"][i] == pytest.approx(mean[shared].mean() - mean.mean(), abs=1e-12)


def test_programs_of_the_study_are_scored_beside_the_built_in_ones() -> None:
    who = one_each(summaries(2, 5))
    own = {"house": ("ACTB", "CCR7", "PDCD1"), "too small": ("ACTB", "CCR7", "MS4A1")}
    fitted = SampleFeatures.fit(who, ("programs",), 2, counts=True, programs=own)
    assert fitted is not None
    assert set(fitted.columns(who)) == {"product:exhaustion", "product:house"}


@pytest.mark.parametrize("counts", [True, False], ids=["counts", "intensities"])
def test_pseudobulk_is_log_counts_per_million_or_the_mean_intensity(counts: bool) -> None:
    summary = summaries(3, 4)
    summary.n_cells[1] = MINIMUM_CELLS - 1
    bulk = fit(one_each(summary), "pseudobulk", counts=counts).pseudobulks(one_each(summary))
    bulk = bulk.reshape(4, len(TYPES), len(GENES))
    for i in range(4):
        for j in range(len(TYPES)):
            if (i, j) == (0, 1):
                assert np.isnan(bulk[i, j]).all(), "too few cells"
                continue
            total = dense(summary).total[i, j]
            expected = np.log1p(total / total.sum() * 1e6) if counts else total / summary.cells_by_type[i, j]
            np.testing.assert_allclose(bulk[i, j], expected, rtol=1e-12)


def scores(fitted: SampleFeatures, who: Patients) -> NDArray[np.float64]:
    return np.column_stack([values for name, values in fitted.columns(who).items() if name.startswith("pseudobulk")])


def test_components_are_principal_components() -> None:
    """Uncorrelated, in order of variance, and explaining what the covariance's eigenvectors explain."""
    who = one_each(summaries(4, 40))
    fitted = fit(who, "pseudobulk", n_components=3)
    bulk = fitted.pseudobulks(who)
    standard = (bulk - bulk.mean(axis=0)) / bulk.std(axis=0)
    eigenvalues, vectors = np.linalg.eigh(np.cov(standard.T, bias=True))
    found = scores(fitted, who)
    np.testing.assert_allclose(found.var(axis=0), eigenvalues[::-1][:3], rtol=1e-9)
    np.testing.assert_allclose(np.abs(found), np.abs(standard @ vectors[:, ::-1][:, :3]), atol=1e-9)
    np.testing.assert_allclose(np.cov(found.T) - np.diag(np.diag(np.cov(found.T))), 0.0, atol=1e-9)


def test_sign_of_components_is_fixed() -> None:
    """The largest loading is positive, whatever the decomposition returned and in whatever order patients came."""
    who = one_each(summaries(4, 40))
    fitted = fit(who, "pseudobulk", n_components=3)
    largest = np.take_along_axis(axes(fitted), np.abs(axes(fitted)).argmax(axis=1)[:, None], axis=1)
    assert (largest > 0).all()
    order = np.random.default_rng(0).permutation(40)
    again = fit(who.take(order), "pseudobulk", n_components=3)
    np.testing.assert_allclose(axes(again), axes(fitted), atol=1e-9)


@pytest.mark.parametrize(
    ("n", "asked", "kept"), [(9, 8, 1), (40, 8, 4), (40, 2, 2)], ids=["few patients", "a tenth", "as asked"]
)
def test_at_most_a_tenth_of_the_patients_as_components(n: int, asked: int, kept: int) -> None:
    assert len(axes(fit(one_each(summaries(5, n)), "pseudobulk", n_components=asked))) == kept


def test_constant_pseudobulks_have_no_component() -> None:
    summary = summaries(5, 30)
    same = replace(summary, total=np.tile(summary.total[: len(TYPES)], (30, 1)))
    assert axes(fit(one_each(same), "pseudobulk")).shape == (0, len(TYPES) * len(GENES))


def test_a_missing_pseudobulk_is_the_mean_one_unless_all_are_missing() -> None:
    who = one_each(summaries(6, 30))
    fitted = fit(who, "pseudobulk")
    new = summaries(7, 2)
    new.n_cells[:] = [50, 0, 0, *[MINIMUM_CELLS - 1] * 3]
    found = scores(fitted, one_each(new))
    assert fitted.pseudobulk is not None
    standard = ((fitted.pseudobulks(one_each(new)) - fitted.pseudobulk.center) / fitted.pseudobulk.scale)[0]
    assert np.isnan(standard).sum() == 2 * len(GENES)
    np.testing.assert_allclose(found[0], axes(fitted) @ np.nan_to_num(standard), atol=1e-9)
    assert np.isnan(found[1]).all()


def test_only_materials_taken_by_the_landmark_are_features() -> None:
    who = patients(summaries(8, 4), [0, 0, 1, 1], [-5.0, 28.0, -5.0, 28.0], ["product", "blood"] * 2, 2)
    assert fit(who).materials == ("product",)
    assert fit(who.at_landmark(30.0)).materials == ("blood", "product")
    assert SampleFeatures.fit(who.at_landmark(-9.0), ALL, 2, counts=True) is None


def test_a_type_seen_only_after_the_landmark_is_not_known() -> None:
    summary = summaries(8, 4)
    summary.n_cells[[1, 7]] = 0
    who = patients(summary, [0, 0, 1, 1], [-5.0, 28.0, -5.0, 28.0], ["product"] * 4, 2)
    assert fit(who).cell_types == ("CD4 T", UNLABELLED)
    assert fit(who.at_landmark(30.0)).cell_types == TYPES


def test_rows_without_a_sample_are_missing() -> None:
    who = patients(summaries(9, 2), [0, 2], [-5.0, 3.0], ["product", "product"], 3)
    for name, column in fit(who).columns(who).items():
        assert np.isfinite(column).tolist() == [True, False, False], name
    clinical = replace(who, samples=None)
    for name, column in fit(who).columns(clinical).items():
        assert np.isnan(column).all(), name


@pytest.mark.parametrize("features", [ALL, ()], ids=["no samples", "nothing asked"])
def test_nothing_to_fit(features: tuple[SampleFeature, ...]) -> None:
    who = one_each(summaries(0, 5))
    assert SampleFeatures.fit(replace(who, samples=None) if features else who, features, 2, counts=True) is None


def test_unknown_types_and_genes_of_new_samples_are_left_out() -> None:
    who = one_each(summaries(10, 30))
    fitted = fit(who)
    known = summaries(11, 2)
    sums = dense(known)
    more = dense_summary(
        ("NK", *TYPES),
        (*GENES, "XIST"),
        np.concatenate([np.full((2, 1), 99.0), sums.n_cells], axis=1),
        np.pad(sums.total, ((0, 0), (1, 0), (0, 1)), constant_values=77.0),
        np.pad(sums.lognorm, ((0, 0), (1, 0), (0, 1)), constant_values=77.0),
    )
    expected = fitted.columns(one_each(known))
    for name, column in fitted.columns(one_each(more)).items():
        np.testing.assert_allclose(column, expected[name], atol=1e-12)


def test_state_goes_through_json_and_arrays_unchanged() -> None:
    who = one_each(summaries(12, 30))
    fitted = fit(who)
    sizes, arrays = fitted.state()
    again = SampleFeatures.from_state(json.loads(json.dumps(sizes, allow_nan=False)), arrays)
    expected = fitted.columns(who)
    found = again.columns(who)
    assert list(found) == list(expected)
    for name, column in found.items():
        np.testing.assert_array_equal(column, expected[name])


def test_density_comes_from_the_accelerator_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """The torch path, here on the CPU, gives the columns that numpy gives."""
    import torch

    import features.cells.accelerate as accelerate

    rng = np.random.default_rng(0)
    bags = [crowd(rng) for _ in range(24)]
    who = one_each(CellSummary.concatenate([summarise(bag, counts=True) for bag in bags]))
    assert who.samples is not None
    who = replace(who, samples=replace(who.samples, bags=Bags.of(bags)))
    plain = fit(who, "density")
    expected = plain.columns(who)
    calls = []
    run = accelerate.Accelerator(on=torch.device("cpu"), double=True)

    def means(embedding: DensityEmbedding, bag: CellBag) -> NDArray[np.float64]:
        calls.append(len(bag))
        return run.means(embedding, bag)

    monkeypatch.setattr("features.cells.samples._means", lambda: means)
    found = fit(who, "density").columns(who)
    assert len(calls) == 48, "each sample once for the fit, once for its columns"
    assert list(found) == list(expected) == ["product:density:pc1", "product:density:pc2"]
    for name, column in found.items():
        np.testing.assert_allclose(column, expected[name], atol=1e-5)


def crowd(rng: np.random.Generator) -> CellBag:
    """Forty cells whose expression depends on a trait of the sample."""
    counts = rng.poisson(rng.gamma(2.0, 1.0 + 3.0 * rng.random(), (40, len(GENES))))
    counts[:, 0] += 1
    cell, gene = np.nonzero(counts)
    indptr = np.concatenate([[0], np.cumsum(np.bincount(cell, minlength=40))]).astype(np.int64)
    return CellBag(GENES, indptr, gene.astype(np.int64), counts[cell, gene].astype(float), np.full(40, "T", object))
