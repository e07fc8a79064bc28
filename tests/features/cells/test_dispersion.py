"""How unevenly genes are expressed among a sample's cells: by hand, and what a rare population does to it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from features.cells.bag import Bags, CellBag
from features.cells.dispersion import MINIMUM_CELLS, log_dispersion
from features.cells.samples import SampleFeatures
from features.cells.summary import CellSummary, summarise
from features.patients import Measurements, Patients, Samples

GENES = tuple(f"g{i}" for i in range(100))
MARKERS = 8
LEVELS = np.concatenate([np.full(MARKERS, 0.3), np.linspace(0.1, 2.0, len(GENES) - MARKERS)])
"""Of expression, markers first."""


def bag(counts: NDArray[np.float64], genes: tuple[str, ...] = GENES) -> CellBag:
    cell, gene = np.nonzero(counts)
    indptr = np.concatenate([[0], np.cumsum(np.bincount(cell, minlength=len(counts)))]).astype(np.int64)
    labels = np.array(["A", "B"], dtype=object)[np.arange(len(counts)) % 2]
    return CellBag(genes, indptr, gene.astype(np.int64), counts[cell, gene].astype(float), labels)


def drawn(rng: np.random.Generator, n_cells: int, share: float = 0.0, sd: float = 0.0) -> NDArray[np.float64]:
    """Counts, each gene at a level of the sample's own; a share of the cells express the markers strongly."""
    mean = np.tile(LEVELS * np.exp(rng.normal(0.0, sd, len(GENES))), (n_cells, 1))
    mean[: round(share * n_cells), :MARKERS] = 5.0
    return rng.poisson(mean).astype(float)


def one_each(bags: list[CellBag], *, counts: bool = True) -> Patients:
    n = len(bags)
    summary = CellSummary.concatenate([summarise(one, counts=counts) for one in bags])
    names = np.array([f"p{i}" for i in range(n)], dtype=object)
    material = np.full(n, "product", dtype=object)
    samples = Samples(np.arange(n + 1), names, np.full(n, -1.0), material, summary, bags=Bags.of(bags))
    return Patients(names, np.zeros(n), {}, Measurements.empty(n), samples)


@pytest.mark.parametrize("counts", [True, False], ids=["counts", "intensities"])
@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000), n_cells=st.integers(MINIMUM_CELLS, 60))
def test_it_is_what_the_cells_themselves_say(seed: int, n_cells: int, counts: bool) -> None:
    cells = drawn(np.random.default_rng(seed), n_cells)
    summary = summarise(bag(cells), counts=counts)
    values = cells * (1e4 / cells.sum(axis=1, keepdims=True)) if counts else cells
    variance = values.var(axis=0, ddof=1)
    index = np.log((variance + 1) / (values.mean(axis=0) + 1))
    expected = index - np.median(index) if counts else np.sqrt(variance)
    found = log_dispersion(summary, GENES[::-1], counts=counts)
    np.testing.assert_allclose(found, expected[None, ::-1], rtol=1e-9, atol=1e-9)


def test_genes_off_the_panel_and_samples_of_few_cells() -> None:
    rng = np.random.default_rng(0)
    parts = [summarise(bag(drawn(rng, n)), counts=True) for n in (MINIMUM_CELLS, MINIMUM_CELLS - 1)]
    summary = CellSummary.concatenate(parts).take(np.array([1, 0, -1]))
    found = log_dispersion(summary, ("unknown", "g3"), counts=False)
    assert np.isnan(found[[0, 2]]).all(), "too few cells, and none at all"
    assert found[1, 0] == 0.0, "a gene that was not measured is not expressed"
    np.testing.assert_allclose(found[1, 1], log_dispersion(parts[0], ("g3",), counts=False)[0, 0], rtol=1e-12)


def test_one_cell_in_a_hundred_shows_where_the_mean_shows_nothing() -> None:
    """The first component of dispersions tells who has the population; that of pseudobulks does not."""
    rng = np.random.default_rng(1)
    carries = rng.random(60) < 0.5
    who = one_each([bag(drawn(rng, 400, 0.01 * one, sd=0.3)) for one in carries])

    def separation(feature: str) -> float:
        fitted = SampleFeatures.fit(who, (feature,), 1, counts=True)  # type: ignore[arg-type]
        assert fitted is not None
        axis = fitted.columns(who)[f"{feature}:pc1"]
        return float(abs(np.corrcoef(axis, carries)[0, 1]))

    assert separation("dispersion") > 0.8
    assert separation("pseudobulk") < 0.4


def test_components_are_learnt_once_and_survive_being_stored() -> None:
    rng = np.random.default_rng(2)
    who = one_each([bag(drawn(rng, 40, 0.05 * (i % 2))) for i in range(40)])
    fitted = SampleFeatures.fit(who.take(np.arange(30)), ("dispersion", "pseudobulk"), 8, counts=True)
    assert fitted is not None
    columns = fitted.columns(who)
    assert [name for name in columns if name.startswith("dispersion")] == [f"dispersion:pc{i}" for i in (1, 2, 3)]
    again = SampleFeatures.from_state(*fitted.state()).columns(who)
    assert {name: values.tobytes() for name, values in again.items()} == {n: v.tobytes() for n, v in columns.items()}
    order = rng.permutation(40)
    for name, values in fitted.columns(who.take(order)).items():
        np.testing.assert_array_equal(values, columns[name][order])


def test_without_cells_it_is_missing() -> None:
    rng = np.random.default_rng(3)
    who = one_each([bag(drawn(rng, 40)) for _ in range(20)])
    fitted = SampleFeatures.fit(who, ("dispersion",), 8, counts=True)
    assert fitted is not None
    nobody = Patients(np.array(["q"], dtype=object), np.zeros(1), {}, Measurements.empty(1))
    assert np.isnan(fitted.columns(nobody)["dispersion:pc1"]).all()
