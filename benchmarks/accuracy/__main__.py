"""Accuracy of every model and its peers on public competing-risks tables.

    python -m benchmarks.accuracy --data ../shared/data
    python -m benchmarks.accuracy --models "pycox DeepHit" --add
    python -m benchmarks.accuracy --tables melanoma_cr mgus2 --repeats 1 --models cox network --results /tmp/look

Predictions of finished folds are kept in --cache, by table, configuration and code: a run that was stopped goes on.
Ends with 1 when --champion is worse than ridge Cox by more than 0.002 IBS on any endpoint.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import pandas as pd

from benchmarks.accuracy.folds import Job, jobs_of, predictions, run
from benchmarks.accuracy.models import OURS, POOLED
from benchmarks.accuracy.page import MARGIN, write_figure, write_page
from benchmarks.accuracy.peers import AVERAGES, PEERS
from benchmarks.accuracy.scoring import (
    FEWEST_EVENTS,
    Scored,
    check_against_library,
    long_table,
    mean_ipa_differences,
    score,
    summary,
)
from benchmarks.accuracy.tables import TABLES, BenchmarkTable, table
from benchmarks.made import made_by, run_of

REPOSITORY = Path(__file__).parents[2]
MAX_T = "of the largest of all studentised differences in each resample (max-t)"
REQUIRED = ("aalen_johansen", "cox")
"""What every other model is compared with."""


def main() -> int:
    """Fit what is missing, score everything, write table, page and figure."""
    options = _options()
    if not options.data.is_dir():
        sys.stderr.write(f"{options.data}: no such folder; name the folder of the public tables with --data\n")
        return 1
    members = [member for model in options.models for member in POOLED.get(model, ())]
    chosen = list(dict.fromkeys((*REQUIRED, *members, *options.models)))
    jobs = [
        job
        for name in options.tables
        for model in chosen
        for job in jobs_of(name, model, options.data, options.cache, options.repeats)
    ]
    run(jobs, options.workers)
    subjects = {name: table(name, options.data) for name in options.tables}
    scored = _scores(subjects, [*chosen, *AVERAGES], jobs)
    lines = long_table(scored, subjects).assign(run=run_of())
    champion = options.champion if options.champion in chosen else chosen[-1]
    others = [model for model in summary(lines).index if model != champion]
    differences = mean_ipa_differences(scored, subjects, champion, others).assign(joint=MAX_T)
    made = made_by("benchmarks.accuracy")
    if options.add:
        lines, differences = _added(options.results, lines)
        champion = differences["champion"].iloc[0]
        made = "Runs and what each was of are below."
    options.results.mkdir(parents=True, exist_ok=True)
    lines.round(6).to_csv(options.results / "accuracy.csv", index=False)
    differences.round(4).to_csv(options.results / "accuracy_differences.csv", index=False)
    write_page(options.results / "accuracy.md", lines, differences, options.repeats, made)
    write_figure(options.results / "accuracy.png", lines)
    print(summary(lines).round(3).to_string())
    enough = lines[(lines["events"] >= FEWEST_EVENTS) & (lines["model"] == champion)]
    return int((enough["minus_cox"] > MARGIN).any())


def _added(results: Path, lines: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rows of the models that `accuracy.csv` had not, or had of another run, in the places of theirs; others stay.

    Differences are paired only between models of one run: one to a model run apart is of the means alone.
    """
    held = pd.read_csv(results / "accuracy.csv")
    known = pd.read_csv(results / "accuracy_differences.csv")
    champion = known["champion"].iloc[0]
    new = lines[~lines["model"].isin((*REQUIRED, *AVERAGES))]
    means = [members for name, members in {**AVERAGES, **POOLED}.items() if name in set(held["model"])]
    needed = {champion}.union(*means)
    if again := sorted(needed & set(new["model"])):
        msg = f"--add: means and differences in accuracy.csv are of {', '.join(again)}; run all models, without --add"
        raise ValueError(msg)
    order = list(dict.fromkeys([*held["table"], *new["table"], *held["model"], *new["model"]]))
    merged = pd.concat([held[~held["model"].isin(new["model"])], new], ignore_index=True)
    place = merged[["table", "model"]].map(order.index)
    merged = merged.loc[place.sort_values(["table", "model"], kind="stable").index].reset_index(drop=True)
    enough = merged[merged["events"] >= FEWEST_EVENTS]
    ipa = enough.pivot_table(index=["table", "cause"], columns="model", values="ipa")
    apart = pd.DataFrame(
        {
            "champion": champion,
            "model": new["model"].unique(),
            "points": [100 * (ipa[champion] - ipa[model]).mean() for model in new["model"].unique()],
        }
    )
    return merged, pd.concat([known[~known["model"].isin(new["model"])], apart], ignore_index=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=REPOSITORY.parent / "shared" / "data")
    parser.add_argument("--tables", nargs="+", default=list(TABLES), choices=TABLES, metavar="TABLE")
    parser.add_argument("--models", nargs="+", default=[*OURS, *PEERS], choices=[*OURS, *PEERS], metavar="MODEL")
    parser.add_argument("--champion", default="mixture", help="the model that is compared with all others")
    parser.add_argument("--add", action="store_true", help="keep the rows of accuracy.csv of models not run now")
    parser.add_argument("--repeats", type=int, default=5, help="repeats of the 5-fold cross-validation")
    parser.add_argument("--workers", type=int, default=2, help="processes, one thread each")
    parser.add_argument("--cache", type=Path, default=REPOSITORY / ".sequela" / "benchmark")
    parser.add_argument("--results", type=Path, default=REPOSITORY / "benchmarks" / "results")
    return parser.parse_args()


def _scores(subjects: dict[str, BenchmarkTable], models: list[str], jobs: list[Job]) -> list[Scored]:
    scored = []
    for name, subject in subjects.items():
        for model in models:
            found = predictions(subject, model, jobs)
            if found is None:
                continue
            incidence, seconds = found
            scored.append(score(subject, model, incidence, seconds))
            if model == "cox" and (gap := check_against_library(subject, incidence[0])) > 1e-9:
                msg = f"{name}: the benchmark's IBS and the library's differ by {gap:.2g}"
                raise RuntimeError(msg)
    return scored


if __name__ == "__main__":
    sys.exit(main())
