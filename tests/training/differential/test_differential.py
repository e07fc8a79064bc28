"""Comparisons of two groups: planted differences are found, dealt labels find nothing, and orders do not matter."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from cell_cohorts import pseudobulks
from hypothesis import given, settings
from hypothesis import strategies as st

from features.errors import SequelaError
from training.biomarkers.multiplicity import benjamini_hochberg
from training.differential.abundance import LEAST_CELLS, abundance_test
from training.differential.design import FEWEST_FREE, Design
from training.differential.expression import expression_tests, filter_by_expression
from training.differential.linear_model import linear_tests

NAMES = [f"g{j}" for j in range(60)]


def two_groups(n: int, covariates: int = 0, seed: int = 0) -> Design:
    return Design(np.arange(n) % 2, np.random.default_rng(seed).normal(size=(n, covariates)))


def test_planted_genes_are_found_and_few_others() -> None:
    """Three times as many counts of four genes, a third of four others, in three cohorts."""
    design, change = two_groups(20), np.zeros(60)
    change[:4], change[4:8] = np.log2(3), -np.log2(3)
    n_found, n_false = 0, 0
    for seed in range(3):
        found = expression_tests(pseudobulks(np.random.default_rng(seed), change, design.group), NAMES, design)
        passing, true = benjamini_hochberg(found.p) <= 0.1, change[found.tested]
        assert passing[true != 0].mean() > 0.8
        assert np.abs(found.log2_fold_change - true)[true != 0].mean() < 0.6
        n_found, n_false = n_found + passing.sum(), n_false + passing[true == 0].sum()
    assert n_false <= 0.25 * n_found


def test_dealt_labels_find_no_more_than_is_allowed() -> None:
    """Fifty cohorts of five against five patients that do not differ; DESeq2's test is a little too bold in so few."""
    rng = np.random.default_rng(2)
    small, any_found, small_types = [], [], []
    for _ in range(50):
        design = Design(rng.permutation(np.arange(10) % 2), np.zeros((10, 0)))
        counts = pseudobulks(rng, np.zeros(24), design.group)
        n_of_all = rng.integers(100, 800, 10).astype(float)
        cells = rng.poisson(n_of_all[:, None] * 0.1 * rng.gamma(4, 1 / 4, (10, 4))).astype(float)
        p = expression_tests(counts, NAMES[:24], design).p
        small.append(np.nanmean(p < 0.05))
        any_found.append((benjamini_hochberg(p) <= 0.1).any())
        small_types.append(np.mean([abundance_test(cells[:, k], n_of_all, design).p < 0.05 for k in range(4)]))
    assert 0.02 < np.mean(small) < 0.09
    assert np.mean(any_found) < 0.1 + 3.3 * np.sqrt(0.1 * 0.9 / 50)
    assert 0.01 < np.mean(small_types) < 0.1


@settings(deadline=None, max_examples=10)
@given(seed=st.integers(0, 2**31), n=st.integers(8, 20))
def test_abundance_does_not_depend_on_the_order_of_patients_or_on_which_group_is_first(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    n_of_all = rng.integers(50, 500, n).astype(float)
    cells = rng.poisson(n_of_all * 0.2 * rng.gamma(5, 0.2, n)).astype(float)
    design = two_groups(n)
    first = abundance_test(cells, n_of_all, design)
    order = rng.permutation(n)
    again = abundance_test(cells[order], n_of_all[order], Design(design.group[order], design.covariates[order]))
    other = abundance_test(cells, n_of_all, Design(1 - design.group, design.covariates))
    for one, sign in ((again, 1), (other, -1)):
        assert one.log2_fold_change * sign == pytest.approx(first.log2_fold_change, abs=1e-5)
        assert one.p == pytest.approx(first.p, abs=1e-4)
    assert first.low < first.log2_fold_change < first.high
    assert first.scale >= 1


def test_types_that_are_rare_or_in_one_group_only_are_not_tested() -> None:
    design, n_of_all = two_groups(10), np.full(10, 100.0)
    assert np.isnan(abundance_test(np.full(10, (LEAST_CELLS - 1) / 10), n_of_all, design).p)
    assert np.isnan(abundance_test(np.where(design.group == 1, 30.0, 0.0), n_of_all, design).p)


def test_a_design_leaves_out_what_its_patients_do_not_tell() -> None:
    group = np.array([0, 1] * 5)
    constant, same = np.ones(10), group * 2.0
    age = np.arange(10.0) ** 2
    found = Design(group, np.column_stack([constant, age, 3 * age + 1])).take(np.arange(10))
    assert found is not None
    np.testing.assert_array_equal(found.covariates, age[:, None])
    assert Design(group, same[:, None]).take(np.arange(10)) is None  # the covariate is the group
    assert Design(group, np.zeros((10, 0))).take(np.arange(0, 10, 2)) is None  # one group only
    assert Design(group, np.zeros((10, 0))).take(np.arange(FEWEST_FREE + 1)) is None


def test_covariates_take_away_what_they_explain() -> None:
    rng = np.random.default_rng(3)
    z = rng.normal(size=40)
    group = (z + rng.normal(scale=0.6, size=40) > 0).astype(np.int64)
    value = (2 * z + rng.normal(scale=0.5, size=40))[:, None]
    alone, adjusted = (linear_tests(value, Design(group, x)) for x in (np.zeros((40, 0)), z[:, None]))
    assert alone.p[0] < 1e-4
    assert adjusted.p[0] > 0.01
    assert np.isnan(linear_tests(np.ones((40, 1)), Design(group, z[:, None])).p[0])


def test_genes_that_are_hardly_read_are_left_out() -> None:
    design = two_groups(8)
    counts = np.full((8, 3), 100.0)
    counts[:, 1] = 0.0
    counts[:, 2] = [0, 0, 0, 0, 0, 0, 0, 100]
    np.testing.assert_array_equal(filter_by_expression(counts, design), [0])
    assert len(expression_tests(np.zeros((8, 3)), NAMES[:3], design).p) == 0


def test_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("pydeseq2.dds", "statsmodels.genmod.api"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(SequelaError, match=r"differential expression: pydeseq2.* is not installed.*sequela\[omics\]"):
        expression_tests(np.full((8, 3), 100.0), NAMES[:3], two_groups(8))
    with pytest.raises(SequelaError, match=r"differential abundance: statsmodels.* is not installed.*sequela\[omics\]"):
        abundance_test(np.full(8, 20.0), np.full(8, 100.0), two_groups(8))


def test_corrected_counts_are_refused() -> None:
    with pytest.raises(SequelaError, match="counts are no whole numbers, as after correction for ambient RNA"):
        expression_tests(np.full((8, 3), 0.5), NAMES[:3], two_groups(8))
