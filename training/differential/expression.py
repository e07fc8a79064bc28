"""Genes whose expression differs between two groups of patients, by pydeseq2 on pseudobulk counts."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from importlib import import_module
from io import StringIO

import numpy as np
import pandas as pd

from features.errors import SequelaError
from training.differential.design import GROUP, Design
from training.differential.linear_model import linear_tests
from training.effects.arms import FloatArray, IntArray

LEAST_COUNT, LEAST_TOTAL = 10, 15
"""Of a gene: in as many patients as the smaller group has, and in all together."""
LARGE_GROUP, LARGE_SHARE = 10, 0.7
"""Patients beyond so many count as this share."""


@dataclass(frozen=True, slots=True)
class ExpressionTests:
    """Of each gene tested; NaN where pydeseq2 cannot tell."""

    tested: IntArray
    """(tested,): positions of the genes with counts enough; all below is of these."""
    mean: FloatArray
    """Of counts over size factors."""
    log2_fold_change: FloatArray
    """Of the second group against the reference; maximum likelihood."""
    error: FloatArray
    """Its standard error."""
    shrunken: FloatArray
    """The same under apeglm's prior (Zhu, Ibrahim & Love, Bioinformatics 2019;35:2084): to rank, and to draw."""
    statistic: FloatArray
    """Wald's: fold change over its error."""
    p: FloatArray
    """Two-sided; NaN too where a single patient's count decides (Cook's distance)."""
    p_linear: FloatArray
    """Of the group in a linear model of log₂((count + ½) / size factor), as in `linear_tests`: lends genes nothing."""


def filter_by_expression(counts: FloatArray, design: Design) -> IntArray:
    """Positions of the genes with counts enough to be tested, told without looking at which group they are high in.

    The rule of edgeR's ``filterByExpr`` (Chen, Lun & Smyth, F1000Research 2016;5:1438, section "Filtering"): at least
    `LEAST_COUNT` per median library in as many patients as the smaller group has, beyond ten 70 % of these.

    Args:
        counts: (patients, genes).
        design: The groups.
    """
    depth = np.maximum(counts.sum(axis=1, keepdims=True), 1.0)
    least = float(LEAST_COUNT / np.median(depth))
    smaller = float(min(design.sizes))
    if smaller > LARGE_GROUP:
        smaller = LARGE_GROUP + (smaller - LARGE_GROUP) * LARGE_SHARE
    enough = (counts / depth >= least).sum(axis=0) >= smaller - 1e-14
    return np.flatnonzero(enough & (counts.sum(axis=0) >= LEAST_TOTAL - 1e-14))


def expression_tests(counts: FloatArray, genes: Sequence[str], design: Design) -> ExpressionTests:
    """Wald tests of the group in DESeq2's negative binomial models (Love, Huber & Anders, Genome Biol 2014;15:550).

    By pydeseq2 (Muzellec et al., Bioinformatics 2023;39:btad547): size factors by medians of ratios, or of the counts
    above 0 where no gene was read in every patient; dispersions shrunk to their trend; no independent filtering, for
    all p-values are corrected together afterwards.

    Args:
        counts: (patients, genes): raw counts, summed over the cells of one type of one sample a patient.
        genes: Names, each once.
        design: Groups and covariates, of full rank (`Design.take`).

    Raises:
        SequelaError: pydeseq2 is not installed, or counts are no whole numbers.
    """
    whole = np.rint(counts)
    if np.abs(whole - counts).max(initial=0.0) > 1e-6:
        msg = "cells: counts are no whole numbers, as after correction for ambient RNA; give the raw counts"
        raise SequelaError(msg)
    tested = filter_by_expression(whole, design)
    nothing = np.zeros(0)
    if not len(tested):
        return ExpressionTests(tested, nothing, nothing, nothing, nothing, nothing, nothing, nothing)
    table = pd.DataFrame(
        whole[:, tested].astype(np.int64), index=design.columns().index, columns=[genes[j] for j in tested]
    )
    raw, shrunken, size_factor = _deseq2(table, design)
    found = [raw[name].to_numpy(dtype=np.float64) for name in ("baseMean", "log2FoldChange", "lfcSE", "stat", "pvalue")]
    mean, change, error, statistic, p = found
    linear = linear_tests(np.log2((whole[:, tested] + 0.5) / size_factor[:, None]), design)
    return ExpressionTests(tested, mean, change, error, shrunken, statistic, p, linear.p)


def _deseq2(counts: pd.DataFrame, design: Design) -> tuple[pd.DataFrame, FloatArray, FloatArray]:
    """pydeseq2's results, its shrunken fold changes, and the size factors of the patients."""
    try:  # imported by name and here: a second's work, and only for this
        dds, ds, inference = map(import_module, ("pydeseq2.dds", "pydeseq2.ds", "pydeseq2.default_inference"))
    except ImportError as error:
        msg = f"differential expression: {error.name} is not installed; pip install 'sequela[omics]'"
        raise SequelaError(msg) from error
    columns = design.columns()
    read_in_all = bool((counts.to_numpy() > 0).all(axis=0).any())
    by_one = inference.DefaultInference(n_cpus=1)
    # Warnings are of a trend that gives way to the mean, as in DESeq2, and of versions to come; prints are progress.
    with warnings.catch_warnings(), redirect_stdout(StringIO()), redirect_stderr(StringIO()):
        warnings.simplefilter("ignore")
        data = dds.DeseqDataSet(
            counts=counts,
            metadata=columns,
            design=columns,
            size_factors_fit_type="ratio" if read_in_all else "poscounts",
            inference=by_one,
            quiet=True,
        )
        data.deseq2()
        contrast = (columns.columns == GROUP).astype(np.float64)
        of = ds.DeseqStats(data, contrast=contrast, independent_filter=False, inference=by_one, quiet=True)
        of.summary()
        raw = of.results_df.copy()
        of.lfc_shrink(coeff=GROUP)
    shrunken, size_factor = of.results_df["log2FoldChange"], data.obs["size_factors"]
    return raw, shrunken.to_numpy(dtype=np.float64), size_factor.to_numpy(dtype=np.float64)
