"""Comparisons and what the cells add, in the terminal."""

from __future__ import annotations

import numpy as np
from rich.table import Table

from experiments.cli.output import stdout
from experiments.comparing.added_value import AddedValue
from experiments.comparing.comparison import METRICS, OVERALL, Comparison, verdicts
from experiments.interval_text import interval_text


def print_comparison(comparison: Comparison, metric: str) -> None:
    """Every difference, and below the verdicts."""
    patients = f"{comparison.n_patients} {comparison.provenance} patients"
    title = (
        f"{comparison.endpoint} ({patients}, {comparison.n_events} events of {comparison.cause}): "
        f"differences from {comparison.baseline}, with 95 % intervals"
    )
    table = Table(title=title, title_justify="left", box=None)
    for column in ("run", "from day", "cause", "score", "value", "difference", "p", "p corrected"):
        table.add_column(column, justify="left" if column in ("run", "cause", "score") else "right", no_wrap=True)
    for row in comparison.table.to_dict("records"):
        at = f" at {row['horizon_days']:g} d" if np.isfinite(row["horizon_days"]) else ""
        shown = METRICS[row["metric"] if row["metric"] in OVERALL else f"{row['metric']}_at"]
        table.add_row(
            row["run"],
            f"{row['landmark_day']:g}",
            row["cause"],
            f"{shown}{at}",
            f"{row['score']:.4f}",
            interval_text(row["difference"], row["low"], row["high"], digits=4),
            *(f"{p:.2g}" if np.isfinite(p) else "–" for p in (row["p"], row["p_adjusted"])),
        )
    stdout.print(table)
    for sentence in verdicts(comparison, metric):
        stdout.print(sentence, highlight=False, markup=False, soft_wrap=True)


def print_added_value(answer: AddedValue) -> None:
    """The answer, and below it the gains at each landmark and horizon."""
    stdout.print(answer.sentence, highlight=False, markup=False, soft_wrap=True)
    title = f"{answer.cells_run} less {answer.clinic_run}, 95 % intervals"
    table = Table(title=title, title_justify="left", box=None)
    for column in ("from day", "at day", "score", "clinic", "with cells", "gain"):
        table.add_column(column, justify="left" if column == "score" else "right", no_wrap=True)
    for one in answer.gains:
        name = f"net benefit at {one.threshold:.0%}" if one.threshold is not None else METRICS[f"{one.metric}_at"]
        gain = interval_text(one.gain.point, one.gain.low, one.gain.high, digits=4)
        table.add_row(
            f"{one.landmark_day:g}", f"{one.horizon_days:g}", name, f"{one.clinic:.4f}", f"{one.cells:.4f}", gain
        )
    stdout.print(table)
    if answer.test is not None:
        test = answer.test
        middle, most = np.nanmedian(test.permuted), np.nanmax(test.permuted)
        interval = f"[{test.p_low:.2g}, {test.p_high:.2g}]"
        ipa = f"IPA {test.observed:.1%} with their own, median {middle:.1%}, most {most:.1%} with others'"
        text = f"Cells exchanged between patients {len(test.permuted)} times: p = {test.p:.2g} {interval}; {ipa}"
        stdout.print(text, highlight=False, markup=False, soft_wrap=True)
