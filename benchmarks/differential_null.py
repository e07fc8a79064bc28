"""False discoveries of `sequela differential` when labels are dealt anew, so that whatever is found is false.

``python -m benchmarks.differential_null COHORT PATIENTS TIMES [LANDMARK_DAY]``

PATIENTS of the cohort are drawn, and half of them called one group, TIMES times. Printed is the share of times with
anything at q ≤ 0.1: genes by the larger of two p-values, genes by pydeseq2 alone, cell types, pathways tested over
patients, and pathways as they would be tested over genes.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import t as student

from experiments.cli.biomarkers import everyone_of
from experiments.differential import Differential, Question, compare
from experiments.differential.analysis import LEVEL
from features.cells.gene_sets import gene_sets
from features.check import read_cohort
from features.errors import SequelaError
from training.biomarkers.multiplicity import benjamini_hochberg

SEED = 1


def main(arguments: list[str]) -> None:
    """Deal labels, compare, count."""
    folder, n, times, *day = arguments
    cohort, sets, rng = read_cohort(Path(folder)), gene_sets("bundled"), np.random.default_rng(SEED)
    everyone = everyone_of(cohort, lambda _done, _of: None)
    rows = []
    for _ in range(int(times)):
        drawn = np.sort(rng.permutation(len(everyone))[: int(n)])
        group = rng.permutation(np.arange(int(n)) % 2)
        landmark = float(day[0]) if day else 0.0
        question = Question(cohort, landmark, "dealt", ("a", "b"), drawn, group, None, False, 0, 0)  # noqa: FBT003
        try:
            rows.append(_found(compare(question, everyone, sets=sets)))
        except SequelaError as error:
            print(f"left out: {error}")
    print(pd.DataFrame(rows).mean().round(3).to_string())
    print(f"{len(rows)} times, {n} patients")


def _found(answer: Differential) -> dict[str, float]:
    """Whether each search found anything; NaN where there was none."""
    over_genes = float("nan")
    if len(answer.pathways):
        keys = ["material", "cell_type"]
        n_genes = answer.expression.groupby(keys)["statistic"].count().rename("of").reset_index()
        joined = answer.pathways.merge(n_genes, on=keys)
        p = 2 * student.sf(np.abs(joined["enrichment"]), joined["of"] - 2)
        over_genes = float((benjamini_hochberg(p) <= LEVEL).any())
    return {
        "genes": _any(answer.expression, "q"),
        "genes by pydeseq2 alone": _any(answer.expression, "q_pydeseq2"),
        "cell types": _any(answer.abundance, "q"),
        "pathways over patients": _any(answer.pathways, "q"),
        "pathways over genes": over_genes,
    }


def _any(table: pd.DataFrame, q: str) -> float:
    return float((table[q] <= LEVEL).any()) if len(table) else float("nan")


if __name__ == "__main__":
    main(sys.argv[1:])
