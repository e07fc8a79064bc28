"""The comparison itself: cell types, then genes and pathways in each of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from experiments.differential.question import FEWEST_PATIENTS, Question
from features.cells.bag import UNLABELLED
from features.cells.bulks import TypeBulk, measured_genes, type_bulks
from features.cells.gene_sets import GeneSets
from features.cells.pathways import activities
from features.cells.pseudobulk import log_counts_per_million
from features.errors import SequelaError
from features.patients import FloatArray, Patients
from features.schema import CellsCard
from training.biomarkers.multiplicity import benjamini_hochberg
from training.differential.abundance import abundance_test
from training.differential.design import Design
from training.differential.expression import expression_tests
from training.differential.linear_model import linear_tests
from training.effects.estimates import QUANTILE

LEVEL = 0.1
"""False discovery rate at which something counts as found."""
LEAST_CELLS = 10
"""Of a type in a patient's sample, below which its pseudobulk is left out, unless another number is asked for."""

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Differential:
    """The answer: three tables, the smallest q first in each, with material, cell type and patients of each group."""

    question: Question
    abundance: pd.DataFrame
    """share_reference, share_other (medians), log2_fold_change, low, high, statistic, p, q."""
    expression: pd.DataFrame
    """gene, mean, log2_fold_change, low, high, shrunken, statistic, p, p_linear, q_pydeseq2, q; of intensities without
    what counts need, and `difference` in place of the fold change."""
    pathways: pd.DataFrame
    """set, n_genes, enrichment, difference, low, high, statistic, p, q."""
    effect: str
    """What the column of effects of `expression` is called."""
    n_types_left_out: int
    """Cell types of materials with too few patients in a group."""
    sets: GeneSets | None
    """Those measured."""
    n_sets_left_out: int


def compare(
    question: Question,
    everyone: Patients,
    *,
    sets: GeneSets | None = None,
    least_cells: int = LEAST_CELLS,
    progress: Progress = lambda _done, _of: None,
) -> Differential:
    """Compare cells of two groups of patients: in the latest sample of each material by the landmark.

    Args:
        question: Which patients.
        everyone: All patients of the cohort, with their cells.
        sets: Gene sets, of which those with enough measured genes are tested; none are where cells hold intensities.
        least_cells: Of a type in a patient's sample, below which the patient is left out of the type's genes.
        progress: Told how many cell types of how many are done.

    Raises:
        SequelaError: There are no cells by the landmark, or of no type there are enough in enough patients.
    """
    patients = everyone.take(question.rows).at_landmark(question.landmark_day)
    genes, card = measured_genes(patients), question.cohort.card.cells or CellsCard()
    counts = card.values == "counts"
    measured = sets.measured(genes) if sets is not None and counts and card.genes == "genes" else None
    bulks = list(type_bulks(patients))
    if not bulks:
        day = f"by day {question.landmark_day:g}"
        msg = f"{question.cohort.folder}: these patients have no sample with cells {day}; choose a later --landmark"
        raise SequelaError(msg)
    design = question.design
    abundance = list(_abundance(bulks, design))
    expression, pathways = [], []
    for done, every in enumerate(bulks, start=1):
        bulk = every.with_cells(least_cells)
        own = _comparable(design, bulk)
        if own is not None:
            tested = _expression(bulk, own, genes) if counts else _intensities(bulk, own, genes)
            expression.append(tested)
            if measured is not None and measured.sets:
                pathways.append(_pathways(bulk, own, genes, tested, sets))
        progress(done, len(bulks))
    if not expression and not abundance:
        msg = (
            f"{question.by}: of no cell type do {FEWEST_PATIENTS} patients of each group have {least_cells} cells by "
            f"day {question.landmark_day:g}; choose fewer --least-cells, a later --landmark or other groups"
        )
        raise SequelaError(msg)
    effect = "log2_fold_change" if counts else "difference"
    n_sets = 0 if measured is None or sets is None else len(sets.sets) - len(measured.sets)
    left_out = len(bulks) - len(expression)
    of_types, of_genes, of_sets = (_together(one) for one in (abundance, expression, pathways))
    return Differential(question, of_types, of_genes, of_sets, effect, left_out, measured, n_sets)


def _comparable(design: Design, bulk: TypeBulk) -> Design | None:
    """The patients of a pseudobulk; None if a group has too few."""
    own = design.take(bulk.rows)
    return own if own is not None and min(own.sizes) >= FEWEST_PATIENTS else None


def _named(bulk: TypeBulk, design: Design, columns: dict[str, object]) -> pd.DataFrame:
    reference, other = design.sizes
    first = {"material": bulk.material, "cell_type": bulk.cell_type, "n_reference": reference, "n_other": other}
    return pd.DataFrame(first | columns)


def _abundance(bulks: list[TypeBulk], design: Design) -> Iterator[pd.DataFrame]:
    """One row for each labelled type of a material with two of them; of all patients with a sample."""
    types: dict[str, list[TypeBulk]] = {}
    for bulk in bulks:
        if bulk.cell_type != UNLABELLED:
            types.setdefault(bulk.material, []).append(bulk)
    for of_material in types.values():
        if len(of_material) < 2:
            continue
        labelled = np.sum([one.n_cells for one in of_material], axis=0)
        there = np.flatnonzero(labelled > 0)
        for bulk in of_material:
            rows = bulk.rows[there]
            own = design.take(rows)
            if own is None or min(own.sizes) < FEWEST_PATIENTS:
                continue
            n_cells, of_all = bulk.n_cells[there], labelled[there]
            test = abundance_test(n_cells, of_all, own)
            share = n_cells / of_all
            columns: dict[str, object] = {
                "share_reference": [float(np.median(share[own.group == 0]))],
                "share_other": [float(np.median(share[own.group == 1]))],
                "log2_fold_change": test.log2_fold_change,
                "low": test.low,
                "high": test.high,
                "statistic": test.statistic,
                "p": test.p,
            }
            yield _named(bulk, own, columns)


def _expression(bulk: TypeBulk, design: Design, genes: tuple[str, ...]) -> pd.DataFrame:
    found = expression_tests(bulk.total, genes, design)
    half = QUANTILE * found.error
    return _named(
        bulk,
        design,
        {
            "gene": [genes[j] for j in found.tested],
            "mean": found.mean,
            "log2_fold_change": found.log2_fold_change,
            "low": found.log2_fold_change - half,
            "high": found.log2_fold_change + half,
            "shrunken": found.shrunken,
            "statistic": found.statistic,
            "p": found.p,
            "p_linear": found.p_linear,
        },
    )


def _intensities(bulk: TypeBulk, design: Design, markers: tuple[str, ...]) -> pd.DataFrame:
    """Mean intensities by patient, in linear models: there is nothing to count."""
    means = bulk.total / bulk.n_cells[:, None]
    found = linear_tests(means, design)
    return _named(
        bulk,
        design,
        {
            "gene": list(markers),
            "mean": means.mean(axis=0),
            "difference": found.difference,
            "low": found.low,
            "high": found.high,
            "statistic": found.statistic,
            "p": found.p,
        },
    )


def _pathways(
    bulk: TypeBulk, design: Design, genes: tuple[str, ...], tested: pd.DataFrame, sets: GeneSets | None
) -> pd.DataFrame:
    """Enrichment among the genes' statistics, and a test of whether patients' activities differ.

    The test's unit is the patient: genes of a set go together in all patients, so that many of them are not much more
    evidence than one, which a test over genes would take them for.
    """
    known = tested.dropna(subset=["statistic"])
    own = None if sets is None else sets.measured(tuple(known["gene"]))
    if own is None or not own.sets:
        return pd.DataFrame()
    place = {gene: j for j, gene in enumerate(genes)}
    columns = [place[gene] for gene in known["gene"]]
    enrichment = activities(known["statistic"].to_numpy(dtype=np.float64)[None], tuple(known["gene"]), own)[0]
    level: FloatArray = log_counts_per_million(bulk.total)[:, columns]
    found = linear_tests(activities(level, tuple(known["gene"]), own), design)
    return _named(
        bulk,
        design,
        {
            "set": [one.name for one in own.sets],
            "n_genes": [len(one.genes) for one in own.sets],
            "enrichment": enrichment,
            "difference": found.difference,
            "low": found.low,
            "high": found.high,
            "statistic": found.statistic,
            "p": found.p,
        },
    )


def _together(parts: list[pd.DataFrame]) -> pd.DataFrame:
    """One table with q over all of its tests, the smallest first.

    Genes are called by the larger of two p-values: pydeseq2's, and that of a linear model of the patients' log counts.
    A false discovery rate holds if either test does. With few real patients pydeseq2's does not: it lends every gene
    the dispersions of the others, and finds those of which single patients have much more.
    """
    filled = [one for one in parts if len(one)]
    if not filled:
        return pd.DataFrame()
    table = pd.concat(filled, ignore_index=True)
    p = table["p"].to_numpy(dtype=np.float64)
    if "p_linear" in table:
        table["q_pydeseq2"] = benjamini_hochberg(p)
        p = np.maximum(p, table["p_linear"].to_numpy(dtype=np.float64))
    table["q"] = benjamini_hochberg(p)
    return table.sort_values(["q", "p"], kind="stable", ignore_index=True)
