"""Comparisons of two groups equal R's: DESeq2, edgeR's filter, MASS's negative binomial models, lm."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import ttest_ind

from training.differential.abundance import abundance_test
from training.differential.design import Design
from training.differential.expression import expression_tests, filter_by_expression
from training.differential.linear_model import linear_tests

GOLDEN = json.loads((Path(__file__).resolve().parents[2] / "golden" / "differential.json").read_text(encoding="utf-8"))
COUNTS = np.array(GOLDEN["counts"], dtype=float)
GROUP = np.array(GOLDEN["group"])
DESIGN = {
    "alone": Design(GROUP, np.zeros((len(GROUP), 0))),
    "adjusted": Design(GROUP, np.array(GOLDEN["z"], dtype=float)[:, None]),
}
GENES = [f"g{j + 1}" for j in range(COUNTS.shape[1])]


def of_r(which: str, name: str) -> NDArray[np.float64]:
    return np.array([np.nan if one == "NA" else one for one in GOLDEN[which][name]], dtype=float)


def test_the_same_genes_are_read_often_enough() -> None:
    np.testing.assert_array_equal(filter_by_expression(COUNTS, DESIGN["alone"]), GOLDEN["kept"])
    assert 0 < len(GOLDEN["kept"]) < COUNTS.shape[1]


@pytest.mark.parametrize("which", ["alone", "adjusted"])
def test_expression_equals_deseq2s(which: str) -> None:
    """Dispersions are found by other optimisers, so that only the size factors agree to the last digits."""
    found = expression_tests(COUNTS, GENES, DESIGN[which])
    np.testing.assert_allclose(found.mean, of_r(which, "mean"), rtol=1e-9)
    np.testing.assert_allclose(found.log2_fold_change, of_r(which, "change"), atol=2e-4)
    np.testing.assert_allclose(found.error, of_r(which, "error"), atol=1e-3)
    np.testing.assert_allclose(found.statistic, of_r(which, "statistic"), atol=5e-3)
    np.testing.assert_allclose(found.p, of_r(which, "p"), atol=1e-3)
    assert (found.p < 1e-3).sum() > 5
    certain = np.abs(found.statistic) > 1
    assert (np.abs(found.shrunken) <= np.abs(found.log2_fold_change) + 0.05)[certain].all()


def test_the_linear_model_of_log_counts_is_a_t_test_without_covariates() -> None:
    found = expression_tests(COUNTS, GENES, DESIGN["alone"])
    logs = np.log2((COUNTS[:, found.tested] + 0.5) / of_r("alone", "size_factors")[:, None])
    np.testing.assert_allclose(found.p_linear, ttest_ind(logs[GROUP == 1], logs[GROUP == 0]).pvalue, rtol=1e-6)


def test_size_factors_without_a_gene_read_in_everybody() -> None:
    sparse = np.array(GOLDEN["sparse"], dtype=float)
    names = [f"s{j}" for j in range(sparse.shape[1])]
    found = expression_tests(sparse, names, DESIGN["alone"])
    assert not (sparse > 0).all(axis=0).any()
    np.testing.assert_allclose(found.mean, of_r("poscounts", "mean"), rtol=1e-9)


@pytest.mark.parametrize("which", ["alone", "adjusted"])
@pytest.mark.parametrize("cell_type", ["abundant", "rare", "uneven"])
def test_abundance_equals_that_of_mass(cell_type: str, which: str) -> None:
    of_type: dict[str, Any] = GOLDEN["abundance"][cell_type]
    expected = of_type[which]
    found = abundance_test(np.array(of_type["n_cells"], float), np.array(GOLDEN["n_of_all"], float), DESIGN[which])
    assert found.log2_fold_change * np.log(2) == pytest.approx(expected["estimate"], abs=1e-6)
    assert 1 / found.dispersion == pytest.approx(expected["theta"], rel=1e-5)
    assert found.scale == pytest.approx(max(expected["scale"], 1.0), abs=1e-5)
    if expected["scale"] > 1:
        assert found.statistic == pytest.approx(expected["statistic"], abs=1e-5)
        assert found.p == pytest.approx(expected["p"], abs=1e-6)
    else:  # counts vary less than the model says: the variance is not made smaller for that
        assert found.statistic == pytest.approx(expected["statistic"] * np.sqrt(expected["scale"]), abs=1e-5)


def test_linear_models_equal_those_of_lm() -> None:
    expected = GOLDEN["linear"]
    found = linear_tests(np.array(expected["value"], float)[:, None], DESIGN["adjusted"])
    for name in ("difference", "statistic", "p", "low", "high"):
        assert getattr(found, name)[0] == pytest.approx(expected[name], rel=1e-9)
