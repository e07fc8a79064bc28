"""Accuracy on public competing-risks tables: every model, the same folds, one run.

Each table goes through the commands a user would type: `sequela import table`, `sequela train`, `sequela leaderboard`.
Writes ``results/accuracy.csv`` (every score with its interval) and ``results/accuracy.md`` (integrated Brier score by
cause, and the difference to the ridge cause-specific Cox model).

    python benchmarks/accuracy.py --data ../shared/data --tables hodgkin_hd okiss_bsi_after_sct mgus2
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path

import pandas as pd

from features.importers.spec import load_spec, slug

REPOSITORY = Path(__file__).resolve().parents[1]
CONFIGS = REPOSITORY / "configs"
RESULTS = Path(__file__).parent / "results"
MODELS = {
    "aalen_johansen": "{kind: aalen_johansen}",
    "cox": "{kind: cox}",
    "network": "{kind: network}",
    "mixture": "{kind: mixture}",
}
MARGIN = 0.002
"""No model may be worse than the Cox model by more, on any cause."""


def main() -> int:
    """Run all tables; 1 when a model is worse than the Cox model by more than the margin."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=REPOSITORY.parent / "shared" / "data")
    parser.add_argument("--tables", nargs="+", default=["hodgkin_hd", "okiss_bsi_after_sct", "mgus2"])
    parser.add_argument("--repeats", type=int, default=3, help="repeats of the 5-fold cross-validation")
    options = parser.parse_args()
    if not options.data.is_dir():
        sys.stderr.write(f"{options.data}: no such folder; the tables are described in configs/import\n")
        return 1
    with tempfile.TemporaryDirectory() as store:
        os.environ["SEQUELA_HOME"] = store
        tables = [run_table(name, options.data, Path(store), options.repeats) for name in options.tables]
    scores = pd.concat(tables, ignore_index=True)
    RESULTS.mkdir(exist_ok=True)
    scores.to_csv(RESULTS / "accuracy.csv", index=False)
    comparison = compare(scores)
    (RESULTS / "accuracy.md").write_text(page(comparison, options.repeats), encoding="utf-8")
    print((RESULTS / "accuracy.md").read_text(encoding="utf-8"))
    return int((comparison[["network − cox", "mixture − cox"]] > MARGIN).any(axis=None))


def sequela(*words: str) -> str:
    """Run a command of ours and return what it printed."""
    command = [str(Path(sys.executable).parent / "sequela"), *words]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def run_table(name: str, data: Path, store: Path, repeats: int) -> pd.DataFrame:
    """Import one table, train every model on it, and return all scores."""
    cohort = store / "cohorts" / name
    source = data / "competing_risks" / f"{name}.csv"
    sequela("import", "table", str(CONFIGS / "import" / f"{name}.yaml"), str(source), str(cohort))
    endpoint = first_endpoint(cohort)
    parts = []
    for model, block in MODELS.items():
        overrides = {
            "name": model,
            "experiment": name,
            "cohort": str(cohort),
            "endpoint": str(endpoint),
            "model": block,
            "validation.repeats": str(repeats),
        }
        words = [word for key, value in overrides.items() for word in ("--set", f"{key}={value}")]
        sequela("train", str(CONFIGS / "run" / "benchmark.yaml"), *words)
        newest = max((store / "runs").iterdir(), key=lambda folder: folder.stat().st_mtime)
        parts.append(pd.read_csv(newest / "report" / "scores.csv").assign(table=name, model=model))
    print(sequela("leaderboard", name), flush=True)
    return pd.concat(parts, ignore_index=True)


def first_endpoint(cohort: Path) -> Path:
    """The endpoint of cause 1: its competing causes are all others, so one run scores every cause."""
    causes = load_spec(CONFIGS / "import" / f"{cohort.name}.yaml").event.causes
    return cohort / "endpoints" / f"{slug(causes[min(causes)])}.yaml"


def compare(scores: pd.DataFrame) -> pd.DataFrame:
    """IBS by table and cause, one column a model, and differences to the Cox model."""
    ibs = scores[(scores["metric"] == "ibs") & scores["horizon_days"].isna()]
    wide = ibs.pivot_table(index=["table", "cause"], columns="model", values="point", sort=False)[list(MODELS)]
    for model in ("network", "mixture"):
        wide[f"{model} − cox"] = wide[model] - wide["cox"]
    return wide


def page(comparison: pd.DataFrame, repeats: int) -> str:
    """The table as Markdown, with where it was measured."""
    header = "| table | cause | " + " | ".join(comparison.columns) + " |"
    lines = [
        "# Accuracy on public tables",
        "",
        f"Integrated Brier score (lower is better), {repeats} × 5-fold cross-validation, the same folds for all.",
        f"Measured on {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, CPU;",
        "made by `make bench`. Intervals are in `accuracy.csv`.",
        "",
        header,
        "|" + "---|" * (2 + len(comparison.columns)),
    ]
    for (table, cause), row in comparison.iterrows():
        cells = " | ".join(f"{value:+.4f}" if "−" in name else f"{value:.4f}" for name, value in row.items())
        lines.append(f"| {table} | {cause} | {cells} |")
    worst = comparison[["network − cox", "mixture − cox"]].max(axis=None)
    lines += ["", f"Largest difference to the Cox model: {worst:+.4f} (allowed: {MARGIN:+.3f})."]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
