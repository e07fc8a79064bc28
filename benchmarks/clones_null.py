"""How often `sequela clones` tells an expansion where nothing grows, in simulated samples.

    python -m benchmarks.clones_null --patients 2000

Each patient has clones of fixed shares and samples of 400 cells, counted at random, or with more spread between samples
than counting has (Dirichlet-multinomial). Every sample but the first is compared with all earlier ones, as the command
does, and with the last one alone.
"""

from __future__ import annotations

import argparse
import platform
import sys
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.accuracy.page import markdown
from experiments.clones.rule import Rule, told
from features.patients import FloatArray
from training.evaluation.permutation import proportion_interval

RESULTS = Path(__file__).parent / "results"
N_CELLS, N_CLONES = 400, 40
INFLATED = (1.0, 1.4, 1.8, 2.6)
"""Variance of a count over that of counting at random."""
SAMPLES = (3, 8)


def samples(rng: np.random.Generator, n_samples: int, inflated: float) -> list[pd.Series]:
    """Of a patient in whom nothing grows."""
    shares = rng.dirichlet(np.full(N_CLONES, 0.3))
    names = [f"clone{i}" for i in range(N_CLONES)]
    drawn = [rng.multinomial(N_CELLS, _spread(rng, shares, inflated)) for _ in range(n_samples)]
    return [pd.Series(counts, index=names) for counts in drawn]


def _spread(rng: np.random.Generator, shares: FloatArray, inflated: float) -> FloatArray:
    """Shares of a sample: with them, counts have so many times the variance of counting at random."""
    if inflated == 1:
        return shares
    within = (inflated - 1) / (N_CELLS - 1)
    found = rng.gamma(np.maximum(shares * (1 / within - 1), 1e-12))
    of_all: FloatArray = found / found.sum()
    return of_all


def false_alarms(rng: np.random.Generator, n_patients: int, n_samples: int, inflated: float) -> tuple[int, int, int]:
    """Later samples, those told to expand by all earlier ones, and by the last one alone."""
    rule, n_all, n_last = Rule(), 0, 0
    for _ in range(n_patients):
        own = samples(rng, n_samples, inflated)
        for i in range(1, n_samples):
            n_all += any("expands" in one.why for one in told(own[:i], own[i], rule))
            n_last += any("expands" in one.why for one in told(own[i - 1 : i], own[i], rule))
    return n_patients * (n_samples - 1), n_all, n_last


def main() -> int:
    """Count, write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--patients", type=int, default=2000, help="later samples in each line; as many patients or fewer"
    )
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args()
    lines = []
    for n_samples in SAMPLES:
        for inflated in INFLATED:
            rng = np.random.default_rng([n_samples, int(10 * inflated)])
            n, *hits = false_alarms(rng, options.patients // (n_samples - 1), n_samples, inflated)
            cells = []
            for n_hits in hits[::-1]:
                low, high = proportion_interval(n_hits, n)
                cells.append(f"{100 * n_hits / n:.1f} [{100 * low:.1f}, {100 * high:.1f}]")
            lines.append((n_samples, f"{inflated:g}", f"{n:,}", *cells))
    columns = [
        "samples of a patient",
        "variance over counting",
        "later samples",
        "the last one alone",
        "all earlier ones",
    ]
    text = "\n".join(
        [
            "# Expansions told where nothing grows",
            "",
            f"Simulated. Per cent of later samples, {N_CELLS} cells and {N_CLONES} clones each, where an expansion is",
            "told of some clone, with exact 95 % intervals that take samples as independent. Made by",
            f"`python -m benchmarks.clones_null --patients {options.patients}` on {platform.machine()},",
            f"Python {platform.python_version()}, CPU.",
            "",
            markdown(pd.DataFrame(lines, columns=columns)),
            "",
        ]
    )
    options.results.mkdir(parents=True, exist_ok=True)
    (options.results / "clones_null.md").write_text(text, encoding="utf-8")
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
