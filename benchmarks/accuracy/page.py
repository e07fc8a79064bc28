"""The page and the figure in benchmarks/results."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import matplotlib as mpl
import pandas as pd

from benchmarks.accuracy.models import OURS
from benchmarks.accuracy.peers import AVERAGES, PEERS, SURVIVAL_BOOST_ROWS
from benchmarks.accuracy.scoring import FEWEST_EVENTS

MARGIN = 0.002
"""No model may be worse than the ridge Cox model by more, on any endpoint."""
DIFFERENCES = "| against | points of mean IPA (95 % interval) | verdict |"


def write_page(
    path: Path,
    lines: pd.DataFrame,
    summary: pd.DataFrame,
    differences: dict[str, tuple[float, float, float]],
    champion: str,
    repeats: int,
) -> None:
    """Write the page as Markdown."""
    text = [
        "# Accuracy on public competing-risks tables",
        "",
        f"{lines['table'].nunique()} tables, {repeats} × 5-fold cross-validation, the same folds and the same encoder",
        "for all; predictions scored by the IPCW integrated Brier score between the 2 % and 90 % quantiles of event",
        "times, G from all scored patients; IPA against the Aalen–Johansen estimate of the training folds; C is the",
        "IPCW concordance of the risk at the quartiles of event times, averaged. Nothing was tuned for any table.",
        f"Causes with fewer than {FEWEST_EVENTS} events are in `accuracy.csv` only. Made by `make bench-accuracy` on",
        f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, CPU.",
        "",
        "![IPA of every model on every endpoint](accuracy.png)",
        "",
        "## Models",
        "",
        markdown(summary.reset_index().rename(columns={"index": "model"})),
        "",
        f"Peers: {', '.join(PEERS)}; their simple averages: {', '.join(AVERAGES)}. Ours: {', '.join(OURS)}.",
        f"SurvivalBoost is run on tables of at most {SURVIVAL_BOOST_ROWS} patients, where a fit ends in a minute;",
        "ranks are among the models that have every endpoint.",
        "",
        f"## {champion} against the others",
        "",
        "Mean over the endpoints both have; patients drawn with replacement within each table, 2,000 times.",
        "",
        DIFFERENCES,
        "|---|---|---|",
    ]
    for model, (point, low, high) in differences.items():
        verdict = "better" if low > 0 else "worse" if high < 0 else "a tie"
        text.append(f"| {model} | {point:+.2f} [{low:+.2f}, {high:+.2f}] | {verdict} |")
    worst = lines[(lines["model"] == champion) & (lines["events"] >= FEWEST_EVENTS)]["minus_cox"].max()
    text += ["", f"Largest IBS difference of {champion} to ridge Cox: {worst:+.4f} (allowed {MARGIN:+.3f}).", ""]
    text += ["## Integrated Brier score by endpoint", "", markdown(_by_endpoint(lines, "ibs", 4)), ""]
    text += ["## Concordance by endpoint", "", markdown(_by_endpoint(lines, "c", 3)), ""]
    path.write_text("\n".join(text), encoding="utf-8")


def _by_endpoint(lines: pd.DataFrame, value: str, digits: int) -> pd.DataFrame:
    enough = lines[lines["events"] >= FEWEST_EVENTS]
    wide = enough.pivot_table(index=["table", "cause", "events"], columns="model", values=value, sort=False)
    return wide.round(digits).reset_index()


def markdown(frame: pd.DataFrame) -> str:
    """The frame as a Markdown table."""

    def cell(value: object) -> str:
        if isinstance(value, float):
            return "–" if pd.isna(value) else f"{value:.4g}"
        return str(value)

    rows = [[cell(value) for value in row] for row in frame.itertuples(index=False)]
    head = ["| " + " | ".join(map(str, frame.columns)) + " |", "|" + "---|" * len(frame.columns)]
    return "\n".join([*head, *("| " + " | ".join(row) + " |" for row in rows)])


def write_figure(path: Path, lines: pd.DataFrame, summary: pd.DataFrame) -> None:
    """A dot for each endpoint's IPA, a bar for the mean; best models on top."""
    mpl.use("Agg")
    import matplotlib.pyplot as plt

    enough = lines[lines["events"] >= FEWEST_EVENTS]
    models = [model for model in summary.sort_values("mean IPA %").index if model != "aalen_johansen"]
    figure, axes = plt.subplots(figsize=(8, 0.42 * len(models) + 1.4), layout="constrained")
    for place, model in enumerate(models):
        ipa = 100 * enough.loc[enough["model"] == model, "ipa"]
        colour = "#0b6e4f" if model in OURS else "#8a8a8a"
        axes.scatter(ipa.clip(lower=-30), [place] * len(ipa), s=16, color=colour, alpha=0.45, linewidths=0)
        axes.plot([ipa.mean()] * 2, [place - 0.32, place + 0.32], color=colour, linewidth=2.5)
    axes.axvline(0, color="black", linewidth=0.8)
    axes.set_yticks(range(len(models)), models)
    axes.set_xlabel("IPA against Aalen–Johansen, % (dots: endpoints, cut at −30; bar: mean). Green: ours")
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=150)
    plt.close(figure)
