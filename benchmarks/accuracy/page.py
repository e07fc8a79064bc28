"""The page and the figure in benchmarks/results."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd

from benchmarks.accuracy.models import OURS
from benchmarks.accuracy.peers import AVERAGES, PEERS, SURVIVAL_BOOST_ROWS
from benchmarks.accuracy.scoring import FEWEST_EVENTS, summary

MARGIN = 0.002
"""No model may be worse than the ridge Cox model by more, on any endpoint."""


def write_page(path: Path, lines: pd.DataFrame, differences: pd.DataFrame, repeats: int, made: str) -> None:
    """Write the page as Markdown.

    Args:
        path: Where to.
        lines: `long_table`, with a column `run` that says when each was made.
        differences: `mean_ipa_differences`, with a column `joint` that says how bounds of all at once were found.
        repeats: Of the cross-validation.
        made: How, on what.
    """
    models = list(lines["model"].unique())
    absent = [model for model in (*OURS, *PEERS) if model not in models]
    text = [
        "# Accuracy on public competing-risks tables",
        "",
        f"{lines['table'].nunique()} tables, {repeats} × 5-fold cross-validation, the same folds and the same encoder",
        "for all; predictions scored by the IPCW integrated Brier score between the 2 % and 90 % quantiles of event",
        "times, G from all scored patients; IPA against the Aalen–Johansen estimate of the training folds; C is the",
        "IPCW concordance of the risk at the quartiles of event times, averaged, between patients of one fold",
        "(`docs/explanation/methods.md`). No table has settings of its own; but our defaults were chosen with these",
        "tables in view, so that they are no fresh test of ours.",
        f"Causes with fewer than {FEWEST_EVENTS} events are in `accuracy.csv` only. {made}",
        "",
        "![IPA of every model on every endpoint](accuracy.png)",
        "",
        "## Models",
        "",
        markdown(summary(lines).reset_index().rename(columns={"index": "model"})),
        "",
        f"Ours: {_named(models, OURS)}. Peers: {_named(models, PEERS)}; their averages: {_named(models, AVERAGES)}.",
        *([f"Not run, so nothing is known of them here: {', '.join(absent)}."] if absent else []),
        f"SurvivalBoost is run on tables of at most {SURVIVAL_BOOST_ROWS} patients, where a fit ends in a minute; what",
        "lacks endpoints has no rank, and its means are over the endpoints of all models alone.",
        "Seconds are by the clock: those of different runs do not compare.",
        *(f"Run of {run}: {_run_of(part, lines['table'].nunique())}." for run, part in lines.groupby("run")),
        "",
        *_against_others(differences),
        "",
        *_against_cox(lines, differences["champion"].iloc[0]),
        "",
    ]
    text += ["## Integrated Brier score by endpoint", "", markdown(_by_endpoint(lines, "ibs", 4)), ""]
    text += ["## Concordance by endpoint", "", markdown(_by_endpoint(lines, "c", 3)), ""]
    path.write_text("\n".join(text), encoding="utf-8")


def _named(models: Iterable[str], known: Iterable[str]) -> str:
    """Those of the models that are among the known."""
    held = list(models)
    return ", ".join(model for model in known if model in held) or "none"


def _run_of(part: pd.DataFrame, n_tables: int) -> str:
    """The models of a run, and of how many tables, where not of all."""
    tables = part.groupby("model", sort=False)["table"].nunique()
    return ", ".join(
        f"{model}" if n == n_tables else f"{model} ({n} of {n_tables} tables)" for model, n in tables.items()
    )


def _against_others(differences: pd.DataFrame) -> list[str]:
    champion = differences["champion"].iloc[0]
    lines = []
    numbers = differences[["points", "low", "high", "low_all", "high_all"]].to_numpy(dtype=float)
    for model, (points, low, high, low_all, high_all) in zip(differences["model"], numbers, strict=True):
        if np.isnan(low_all):
            lines.append([model, f"{points:+.2f}", "–", "run apart: no paired interval"])
            continue
        verdict = "better" if low_all > 0 else "worse" if high_all < 0 else "a tie"
        together = f"[{low_all:+.2f}, {high_all:+.2f}]"
        lines.append([model, f"{points:+.2f} [{low:+.2f}, {high:+.2f}]", together, verdict])
    columns = ["against", "points of mean IPA (95 % interval)", "95 %, all at once", "verdict"]
    return [
        f"## {champion} against the others",
        "",
        "Mean over the endpoints both have; patients drawn with replacement within each table, 2,000 times. The",
        f"verdict is by the intervals that hold all at once: {'; '.join(differences['joint'].dropna().unique())}.",
        "",
        markdown(pd.DataFrame(lines, columns=columns)),
    ]


def _against_cox(lines: pd.DataFrame, champion: str) -> list[str]:
    own = lines[(lines["model"] == champion) & (lines["events"] >= FEWEST_EVENTS)]
    above = own[own["minus_cox_high"] > MARGIN]
    worst = own.sort_values("minus_cox").iloc[-1]
    top = own.sort_values("minus_cox_high").iloc[-1]
    shown = own[["table", "cause", "minus_cox", "minus_cox_low", "minus_cox_high"]].round(4)
    return [
        f"## {champion} less ridge Cox, integrated Brier score by endpoint",
        "",
        f"The largest of {len(own)} differences is {worst['minus_cox']:+.4f} ({worst['table']}), {_place(worst)} the",
        f"{MARGIN:+.3f} that is allowed. That is of the points: the upper bounds of the 95 % intervals, one endpoint",
        f"at a time, reach {top['minus_cox_high']:+.4f} ({top['table']}, {top['cause']}), and are above {MARGIN:+.3f}",
        f"on {len(above)} of {len(own)} endpoints, where a loss of that size is not excluded.",
        "",
        markdown(shown.set_axis(["table", "cause", "difference", "low", "high"], axis=1)),
    ]


def _place(worst: pd.Series[float]) -> str:
    return "within" if worst["minus_cox"] <= MARGIN else "above"


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


def write_figure(path: Path, lines: pd.DataFrame) -> None:
    """A dot for each endpoint's IPA, a bar for the mean; best models on top."""
    mpl.use("Agg")
    import matplotlib.pyplot as plt

    enough = lines[lines["events"] >= FEWEST_EVENTS]
    mean = enough.groupby("model")["ipa"].mean().sort_values()
    models = [model for model in mean.index if model != "aalen_johansen"]
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
