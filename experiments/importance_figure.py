"""Permutation importance as bars with their intervals, the most important source on top."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from matplotlib.figure import Figure

from experiments.figures import PALETTE, SIZE_INCHES
from training.evaluation.importance import SourceImportance

BAR_INCHES = 0.16
LABELS = {"ibs": "increase of the integrated Brier score", "c": "decrease of concordance"}


def importance_figure(
    importance: Sequence[SourceImportance], cause: str, title: str, *, loss: Literal["ibs", "c"] = "ibs", most: int = 20
) -> Figure:
    """Horizontal bars of one cause, one a source; whiskers are 95 % intervals, left out where there are none.

    Args:
        importance: From `training.evaluation.importance.permutation_importance`.
        cause: Whose.
        title: Over the axes.
        loss: What got worse.
        most: Sources that are shown, those with the largest values.

    Raises:
        ValueError: Nothing is known of the cause.
    """
    of_cause = [(one.source, getattr(one, loss)) for one in importance if one.cause == cause]
    if not of_cause:
        msg = f"no importance for the cause {cause!r}; there is one for {sorted({one.cause for one in importance})}"
        raise ValueError(msg)
    of_cause.sort(key=lambda pair: -np.nan_to_num(pair[1].point, nan=-np.inf))
    names = [name for name, _ in of_cause[:most]]
    values = np.array([[value.point, value.low, value.high] for _, value in of_cause[:most]])
    whiskers = np.nan_to_num(np.abs(values[:, 1:] - values[:, :1])).T
    height = max(SIZE_INCHES[1], 1.0 + BAR_INCHES * len(names))
    figure = Figure(figsize=(SIZE_INCHES[0], height), layout="constrained", dpi=150)
    axes = figure.subplots()
    axes.barh(
        np.arange(len(names)), values[:, 0], xerr=whiskers, color=PALETTE[0], ecolor="black", capsize=2, height=0.7
    )
    axes.set_yticks(np.arange(len(names)), names)
    axes.invert_yaxis()
    axes.axvline(0.0, lw=0.8, color="black")
    figure.suptitle(title, fontsize=8)
    axes.set_xlabel(f"{LABELS[loss]}\n({cause}) when permuted", fontsize=8)
    axes.tick_params(labelsize=7)
    axes.spines[["top", "right"]].set_visible(False)
    return figure
