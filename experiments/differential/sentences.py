"""What was found and what it assumes, in words; also that nothing was found."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from experiments.differential.analysis import LEVEL, Differential
from experiments.differential.question import FEWEST_PATIENTS
from experiments.page.drawing import listed
from experiments.page.privacy import Disclosure
from features.cells.gene_sets import FEWEST_GENES

MOST_NAMED = 8


def findings(found: Differential) -> Iterator[str]:
    """Of cell types, genes and pathways: how many differ, and which."""
    higher = f"in {found.question.names[1]} than in {found.question.names[0]}"
    yield _said("Cell types", found.abundance, ["material", "cell_type"], "log2_fold_change", f"more frequent {higher}")
    what = "Genes" if found.effect == "log2_fold_change" else "Markers"
    yield _said(
        f"{what} by cell type", found.expression, ["material", "cell_type", "gene"], found.effect, f"higher {higher}"
    )
    if "q_pydeseq2" in found.expression:
        yield _alone(found)
    if found.sets is not None:
        keys = ["material", "cell_type", "set"]
        yield _said("Pathways by cell type", found.pathways, keys, "difference", f"more active {higher}")


def _said(what: str, table: pd.DataFrame, keys: list[str], effect: str, words: str) -> str:
    if table.empty or not table["p"].notna().any():
        return f"{what}: nothing could be tested."
    tested = int(table["p"].notna().sum())
    passing = table[table["q"] <= LEVEL]
    if passing.empty:
        return f"{what}: none of {tested:,} passes a false discovery rate of {LEVEL:g}."
    parts = []
    for sign, word in ((1, "more"), (-1, "less")):
        own = passing[passing[effect] * sign > 0]
        if len(own):
            names = listed([":".join(map(str, row)) for row in own[keys].to_numpy()], MOST_NAMED)
            parts.append(f"{len(own):,} {word}: {names}")
    return (
        f"{what}: {len(passing):,} of {tested:,} pass a false discovery rate of {LEVEL:g} (“more” is {words}): "
        f"{'; '.join(parts)}."
    )


def _alone(found: Differential) -> str:
    """What pydeseq2 says by itself, and why it is not gone by."""
    n = int((found.expression["q_pydeseq2"] <= LEVEL).sum())
    return (
        f"By pydeseq2 alone {n:,} genes would pass. A gene counts as found if a linear model of the patients' log "
        "counts agrees, since in few patients who differ a lot pydeseq2's test finds too much."
    )


def assumptions(found: Differential, shown: Disclosure | None = None) -> Iterator[str]:
    """What must hold for the numbers to mean what they seem to.

    Args:
        found: The answer.
        shown: What may be shown of real patients; None: everything, to the researcher.
    """
    question = found.question
    if question.cohort.card.provenance == "simulated":
        yield "The patients are simulated: nothing here says anything about cells of people."
    yield from _of_groups(found, shown or Disclosure(guarded=False, individual_lines=True))
    yield (
        "The patient is the unit: the cells of one type in the latest sample of each material by day "
        f"{question.landmark_day:g} are one sum. A type is compared if {FEWEST_PATIENTS} patients of each group have "
        f"cells enough of it; {found.n_types_left_out} are not."
    )
    if not found.abundance.empty:
        yield (
            "Shares add up to one: where one type is more frequent, others must be less so, without having changed "
            "themselves. Numbers of cells in a sample say nothing of numbers in the body."
        )
    if found.effect == "log2_fold_change" and not found.expression.empty:
        yield (
            "Fold changes are against the gene in the middle of all: right if most genes of a type do not change, "
            "which of a small panel is less sure."
        )
    if found.effect == "difference":
        yield "Cells hold intensities, not counts: means by patient are compared in linear models, and no pathways."
    if found.sets is not None:
        yield (
            f"Pathways: {len(found.sets.sets)} sets of {found.sets.source}; {found.n_sets_left_out} of which fewer "
            f"than {FEWEST_GENES} genes were measured are left out. Enrichment is decoupler's univariate linear model "
            "on the statistics of genes; p and q are of a linear model of the patients' activities, since genes of a "
            "pathway go together in every patient and are not evidence of their own."
        )
    yield (
        "q is Benjamini and Hochberg's false discovery rate over all cell types and materials together; cell types, "
        "genes and pathways are not corrected for one another. Fold changes of genes that were picked for their "
        "p-values are too strong; ranked by the shrunken ones, less so. Groups that chance did not make may differ in "
        "more than their cells."
    )


def _of_groups(found: Differential, shown: Disclosure) -> Iterator[str]:
    question = found.question
    if question.by_outcome:
        yield (
            "Groups by an event within a horizon ignore when it came, and who was censored before the horizon is left "
            f"out ({shown.count(question.n_left_out)}). Who met a competing event first counts as free of it "
            f"({shown.count(question.n_competing)}). `sequela biomarkers` takes time, censoring and competing events "
            "into account, and is the test to go by; this one is for groups known beforehand (--by)."
        )
    elif question.n_left_out:
        left_out = shown.count(question.n_left_out)
        yield f"Patients in neither group, or of whom it is not known, are left out ({left_out})."
    if question.covariates is not None:
        yield f"Adjusted for {', '.join(question.covariates.names)}."
