"""How estimates of simulated cohorts lie about the truth, and how often their intervals hold it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from training.effects.estimates import Estimate


def judged(found: Estimate, true: float, scale: float) -> dict[str, float]:
    """The columns of `coverage_table` of an estimate beside the truth, both times a scale."""
    return {
        "true": scale * true,
        "found": scale * found.point,
        "error": scale * found.standard_error,
        "covered": 100.0 * (found.low <= true <= found.high),
    }


def coverage_table(found: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """Means over cohorts, with the standard error of the bias and of the coverage.

    Args:
        found: A line an estimate: the columns of `by`, true, found, error (its standard error), covered (0 or 100).
        by: What makes a line of the table.
    """
    groups = found.groupby(list(by), sort=False)
    bias, spread = groups["found"].mean() - groups["true"].mean(), groups["found"].std()
    n = np.sqrt(groups.size())
    table = pd.DataFrame({"true": groups["true"].mean().map("{:.2f}".format)})
    table["bias"] = bias.map("{:+.2f}".format) + " ± " + (spread / n).map("{:.2f}".format)
    table["spread"], table["standard error"] = spread.map("{:.2f}".format), groups["error"].mean().map("{:.2f}".format)
    coverage = groups["covered"].mean()
    error = np.sqrt(coverage * (100 - coverage)) / n
    table["coverage"] = coverage.map("{:.1f}".format) + " ± " + error.map("{:.1f}".format)
    return table.reset_index()
