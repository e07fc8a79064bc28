"""Draw the prior of the in-context network for docs/explanation/in_context.md: columns, hazards, follow-up, tables.

python docs/make_prior_pictures.py
"""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from training.pretrained.pretraining import PretrainingConfig, simulated
from training.prior import TableBatch, simulate_tables

IMAGES = Path(__file__).parent / "images"
INFECTION, DEATH, GREY = "#0b6e4f", "#b3541e", "#8a8a8a"
SHOWN = 24
"""Patients of a table whose curves are drawn."""
MOST_BARS = 30


def main() -> None:
    """Draw both pictures."""
    plt.rcParams |= {"font.size": 8, "axes.spines.top": False, "axes.spines.right": False, "figure.dpi": 150}
    batch = simulate_tables(torch.Generator().manual_seed(12), n_tables=60, n_rows=600, n_columns=16, n_causes=2)
    _save(tables_picture(batch), "prior_tables.png")
    _save(many_picture(), "prior_many.png")


def tables_picture(batch: TableBatch) -> Figure:
    """A row of columns, a row of what they do to each patient's incidence, a row of how long patients are followed."""
    figure, axes = plt.subplots(3, 6, figsize=(11, 5.6), layout="constrained")
    of_columns = _columns_of_many_shapes(batch)
    for ax, (table, column) in zip(axes[0], of_columns, strict=True):
        ax.hist(batch.x[table, :, column].numpy(), bins=MOST_BARS, color=GREY)
        ax.set(yticks=[], title=f"a column of table {table}")
    for ax, below, table in zip(axes[1], axes[2], _tables_of_many_courses(batch), strict=True):
        _draw_incidences(ax, batch, table)
        _draw_follow_up(below, batch, table)
    axes[0, 0].set_ylabel("patients")
    axes[1, 0].set_ylabel("true cumulative\nincidence, 24 patients")
    axes[2, 0].set_ylabel("patients, by how\nfollow-up ended")
    axes[2, 0].legend(frameon=False, fontsize=7)
    return figure


def _columns_of_many_shapes(batch: TableBatch) -> list[tuple[int, int]]:
    """Columns whose number of values is most different: binary, graded, counted, and continuous ones."""
    there = [(t, c) for t in range(len(batch.x)) for c in range(batch.x.shape[2]) if batch.there[t, c]]
    n_values = np.array([len(batch.x[t, :, c].unique()) for t, c in there])
    skewness = np.array([float(batch.x[t, :, c].pow(3).mean()) for t, c in there])
    continuous, graded = np.flatnonzero(n_values > 300), np.flatnonzero((n_values > 3) & (n_values < 8))
    counted = np.flatnonzero((n_values > 8) & (n_values < 40))
    by_skewness = continuous[np.argsort(skewness[continuous])]
    middle = by_skewness[np.abs(skewness[by_skewness]).argmin()]
    binary = np.flatnonzero(n_values == 2)
    chosen = (middle, by_skewness[-1], by_skewness[0], counted[0], graded[0], binary[0])
    return [there[i] for i in chosen]


def _tables_of_many_courses(batch: TableBatch) -> list[int]:
    """Tables from those in which nothing is predictive to those in which most is, both causes being frequent."""
    last = batch.incidence[..., -1]
    frequent = np.flatnonzero((last.mean(dim=1) > 0.12).all(dim=1).numpy())
    by_spread = frequent[np.argsort(last.std(dim=1)[frequent].sum(dim=1).numpy())]
    places = np.linspace(0, len(by_spread) - 1, 6).round().astype(int)
    return [int(by_spread[place]) for place in places]


def _draw_incidences(ax: Axes, batch: TableBatch, table: int) -> None:
    time = np.linspace(0, 1, batch.incidence.shape[-1] + 1)
    for cause, colour in enumerate((INFECTION, DEATH)):
        curves = torch.nn.functional.pad(batch.incidence[table, :SHOWN, cause], (1, 0)).numpy()
        ax.plot(time, curves.T, color=colour, linewidth=0.6, alpha=0.6)
    ax.set(ylim=(0, 1), title=f"table {table}")


def _draw_follow_up(ax: Axes, batch: TableBatch, table: int) -> None:
    ended = [batch.time[table][batch.cause[table] == cause].numpy() for cause in (1, 2, 0)]
    labels, colours = ("first cause", "second cause", "censored"), (INFECTION, DEATH, "#d0d0d0")
    ax.hist(ended, bins=np.linspace(0, 1, MOST_BARS + 1).tolist(), stacked=True, color=colours, label=labels)
    ax.set(yticks=[], xlabel="time")


def many_picture() -> Figure:
    """How 300 steps of pre-training are spread: sizes, events, and how much is predictive."""
    config = PretrainingConfig()
    sizes, events, predictive = [], [], []
    for step in range(300):
        batch, n_known = simulated(config, step, torch.device("cpu"))
        sizes.append((n_known, int(batch.there[0].sum()), batch.incidence.shape[2]))
        events += (batch.cause == 1).float().mean(dim=1).tolist()
        predictive += _explained(batch.incidence[:, :, 0]).tolist()
    figure, axes = plt.subplots(1, 5, figsize=(11, 1.9), layout="constrained")
    n_rows, n_columns, n_causes = (np.array(one) for one in zip(*sizes, strict=True))
    _bars(axes[0], np.log10(n_rows), "patients read (log₁₀)")
    _bars(axes[1], n_columns, "columns")
    axes[2].bar(*np.unique(n_causes, return_counts=True), color=GREY)
    axes[2].set(yticks=[], xlabel="causes")
    _bars(axes[3], np.array(events), "share with the event")
    _bars(axes[4], np.array(predictive), "IPA of the truth at the end")
    axes[0].set_ylabel("tables")
    return figure


def _explained(incidence: Tensor) -> Tensor:
    """(tables,): by how much the true risk at the end is better than the same risk for everyone, in Brier's score."""
    risk = incidence[..., -1]
    mean = risk.mean(dim=1)
    return 1 - (risk * (1 - risk)).mean(dim=1) / (mean * (1 - mean)).clamp(min=1e-9)


def _bars(ax: Axes, values: NDArray[np.float64], label: str) -> None:
    ax.hist(values, bins=MOST_BARS, color=GREY)
    ax.set(yticks=[], xlabel=label)


def _save(figure: Figure, name: str) -> None:
    figure.savefig(IMAGES / name)
    plt.close(figure)


if __name__ == "__main__":
    main()
