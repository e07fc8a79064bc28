"""False discoveries of `sequela differential` when labels are dealt anew, so that whatever is found is false.

    python -m benchmarks.differential_null cohorts/simulated:24:60 cohorts/carpall:8:30

Of each COHORT, PATIENTS are drawn, and half of them called one group, TIMES times. Counted is in how many times there
is anything at q ≤ 0.1: genes by the larger of two p-values, genes by pydeseq2 alone, cell types, pathways tested over
patients, and pathways as they would be tested over genes.
"""

from __future__ import annotations

import argparse
import platform
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import t as student

from benchmarks.accuracy.page import markdown
from experiments.cli.options import everyone_of
from experiments.differential import Differential, Question, compare
from experiments.differential.analysis import LEVEL
from features.cells.gene_sets import gene_sets
from features.check import read_cohort
from features.cohort import Cohort
from features.errors import SequelaError
from training.biomarkers.multiplicity import benjamini_hochberg
from training.evaluation.permutation import proportion_interval

RESULTS = Path(__file__).parent / "results"
SEED = 1


def main() -> int:
    """Deal labels, compare, count, write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cohorts", nargs="+", metavar="COHORT:PATIENTS:TIMES")
    parser.add_argument("--landmark", type=float, default=0.0, help="day by which samples count")
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args()
    lines = []
    for text in options.cohorts:
        folder, n, times = text.rsplit(":", 2)
        cohort = read_cohort(Path(folder))
        found = pd.DataFrame(searches(cohort, int(n), int(times), options.landmark))
        lines.append({"cohort": f"{cohort.card.title} ({cohort.card.provenance})", "patients": int(n)} | _shares(found))
    page = "\n".join(
        [
            "# Labels dealt anew",
            "",
            f"Per cent of searches in which `sequela differential` finds anything at q ≤ {LEVEL:g} when half of some",
            "patients, drawn anew each time, are called one group, so that whatever is found is false; 95 % intervals.",
            f"It should be {100 * LEVEL:g}. Made by",
            f"`python -m benchmarks.differential_null {' '.join(options.cohorts)}` on",
            f"{platform.machine()}, Python {platform.python_version()}, CPU.",
            "",
            markdown(pd.DataFrame(lines)),
            "",
        ]
    )
    options.results.mkdir(parents=True, exist_ok=True)
    (options.results / "differential_null.md").write_text(page, encoding="utf-8")
    print(page)
    return 0


def searches(cohort: Cohort, n: int, times: int, landmark_day: float) -> Iterator[dict[str, float]]:
    """Whether each of so many searches found anything."""
    sets, rng = gene_sets("bundled"), np.random.default_rng(SEED)
    everyone = everyone_of(cohort, lambda _done, _of: None)
    for number in range(times):
        drawn = np.sort(rng.permutation(len(everyone))[:n])
        group = rng.permutation(np.arange(n) % 2)
        question = Question(cohort, landmark_day, "dealt", ("a", "b"), drawn, group, None, False, 0, 0)  # noqa: FBT003
        try:
            yield _found(compare(question, everyone, sets=sets))
        except SequelaError as error:
            print(f"left out: {error}", file=sys.stderr)
        if sys.stderr.isatty() or not (number + 1) % 10:
            print(f"{number + 1} of {times}", file=sys.stderr)


def _shares(found: pd.DataFrame) -> dict[str, object]:
    cells: dict[str, object] = {"searches": len(found)}
    for name in found:
        known = found[name].dropna()
        hits = int(known.sum())
        low, high = proportion_interval(hits, len(known)) if len(known) else (np.nan, np.nan)
        share = f"{100 * hits / len(known):.0f} [{100 * low:.0f}, {100 * high:.0f}]" if len(known) else "–"
        cells[str(name)] = share
    return cells


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
    sys.exit(main())
