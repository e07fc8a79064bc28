"""Activities of pathways equal a regression in closed form; pseudobulks over all genes are of the latest sample."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import linregress
from summaries import dense_summary

from features.cells.bulks import measured_genes, type_bulks
from features.cells.gene_sets import GeneSet, GeneSets
from features.cells.pathways import activities
from features.cells.pseudobulk import log_counts_per_million
from features.errors import SequelaError
from features.patients import Measurements, Patients, Samples

GENES = tuple(f"g{j}" for j in range(40))
SETS = GeneSets("here", (GeneSet("z", GENES[:6]), GeneSet("a", GENES[4:20])))


@settings(deadline=None, max_examples=10)
@given(seed=st.integers(0, 2**31))
def test_activity_is_the_t_value_of_the_slope(seed: int) -> None:
    values = np.random.default_rng(seed).normal(3.0, 1.0, (5, 40))
    found = activities(values, GENES, SETS)
    for i, row in enumerate(values):
        for j, one in enumerate(SETS.sets):
            line = linregress(np.isin(GENES, one.genes).astype(float), row)
            assert found[i, j] == pytest.approx(line.slope / line.stderr, rel=1e-9)


def test_a_row_is_looked_at_by_itself() -> None:
    """Even of genes that nobody else has: a gene without a count in a row stays in its regression."""
    rng = np.random.default_rng(0)
    values = rng.poisson(0.5, (6, 40)).astype(float)
    values[:, 30:] = 0.0
    together = activities(values, GENES, SETS)
    for i in range(6):
        np.testing.assert_allclose(activities(values[[i]], GENES, SETS)[0], together[i], rtol=1e-9)
    assert activities(values[:0], GENES, SETS).shape == (0, 2)
    assert activities(values, GENES, GeneSets("none", ())).shape == (6, 0)


def test_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "decoupler", None)
    with pytest.raises(SequelaError, match=r"pathways: decoupler is not installed; pip install 'sequela\[omics\]'"):
        activities(np.ones((1, 40)), GENES, SETS)


def of_samples() -> tuple[Patients, NDArray[np.float64], NDArray[np.float64]]:
    """The first patient has blood on days -5, 10 and 20, the second on day -3; their counts, and cells of each type."""
    total = np.random.default_rng(1).poisson(5.0, (4, 2, 3)).astype(float)
    n_cells = np.array([[4.0, 6.0], [0.0, 9.0], [2.0, 2.0], [7.0, 1.0]])
    summary = dense_summary(("B", "T"), GENES[:3], n_cells, total, total)
    ids = np.array(["s0", "s1", "s2", "s3"], dtype=object)
    materials = np.array(["blood"] * 4, dtype=object)
    samples = Samples(np.array([0, 3, 4]), ids, np.array([-5.0, 10.0, 20.0, -3.0]), materials, summary)
    patients = Patients(np.array(["p0", "p1"], dtype=object), np.zeros(2), {}, Measurements.empty(2), samples)
    return patients, total, n_cells


@pytest.mark.parametrize(("day", "latest"), [(0.0, 0), (15.0, 1), (30.0, 2)])
def test_bulks_are_of_the_latest_sample_by_the_landmark(day: float, latest: int) -> None:
    patients, total, n_cells = of_samples()
    found = {one.cell_type: one for one in type_bulks(patients.at_landmark(day))}
    assert measured_genes(patients) == GENES[:3]
    assert set(found) == {"B", "T"}
    for j, name in enumerate(("B", "T")):
        np.testing.assert_array_equal(found[name].rows, [0, 1])
        np.testing.assert_array_equal(found[name].total, total[[latest, 3], j])
        np.testing.assert_array_equal(found[name].n_cells, n_cells[[latest, 3], j])


def test_bulks_of_too_few_cells_and_of_nobody() -> None:
    patients, total, _ = of_samples()
    t = next(one for one in type_bulks(patients) if one.cell_type == "T").with_cells(5)
    np.testing.assert_array_equal(t.rows, [0])
    np.testing.assert_array_equal(t.total, total[[0], 1])
    assert not list(type_bulks(patients.at_landmark(-10.0)))
    bare = Patients(np.array(["p0"], dtype=object), np.zeros(1), {}, Measurements.empty(1))
    assert not list(type_bulks(bare))
    assert measured_genes(bare) == ()


def test_log_counts_per_million() -> None:
    np.testing.assert_allclose(log_counts_per_million(np.array([[1.0, 3.0]])), np.log1p([[2.5e5, 7.5e5]]))
    np.testing.assert_array_equal(log_counts_per_million(np.zeros((1, 2))), [[0.0, 0.0]])
