"""Commands that compare runs: leaderboard, compare, added-value."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

Cohort = Annotated[Path | None, typer.Option(metavar="DIR", help="Where the runs' cohort lies now, if it was moved.")]
EndpointFile = Annotated[
    Path | None, typer.Option(metavar="YAML", help="Where the runs' endpoint lies now, if it was moved.")
]
EndpointName = Annotated[
    str | None, typer.Option(metavar="NAME", help="Whose runs are meant, where runs of several have one name.")
]
Bootstrap = Annotated[int, typer.Option(min=100, help="Resamples of patients for the intervals.")]
Seed = Annotated[int, typer.Option(min=0, help="Of the resamples.")]


def leaderboard(
    experiment: Annotated[str, typer.Argument(metavar="EXPERIMENT", help="Name of the experiment.")],
    csv: Annotated[Path | None, typer.Option(metavar="FILE", help="Also write every column to a CSV file.")] = None,
    every_run: Annotated[bool, typer.Option("--all", help="Also earlier runs of the same name.")] = False,
    sort: Annotated[
        str, typer.Option(metavar="METRIC", help="Rank by: ibs, ipa, c, auc_180d, ipa/death, seconds, …")
    ] = "ibs",
    endpoint: Annotated[str | None, typer.Option(metavar="NAME", help="Only runs of this endpoint.")] = None,
    top: Annotated[int, typer.Option(min=0, help="How many runs are shown; 0: all.")] = 50,
) -> None:
    """Rank the runs of an experiment, with 95 % intervals, and what they cost.

    Intervals of two runs overlap even where one is better: `sequela compare` tells, on the same patients.

    Example: sequela leaderboard demo --sort ipa --csv leaderboard.csv
    """
    from experiments.comparing.leaderboard import leaderboards, write_csv
    from experiments.comparing.leaderboard_shown import print_leaderboard
    from experiments.home import Home

    boards = leaderboards(Home.current(), experiment, every_run=every_run, sort=sort, endpoint=endpoint)
    for board in boards:
        print_leaderboard(board, top)
    if csv is not None:
        write_csv(boards, csv)


def compare(
    runs: Annotated[list[str], typer.Argument(metavar="RUN RUN…", help="Names, ids, or beginnings of ids.")],
    baseline: Annotated[
        str | None, typer.Option(metavar="RUN", help="Compare the others with this one; default the first.")
    ] = None,
    metric: Annotated[Literal["ibs", "ipa", "c"], typer.Option(help="What the verdict rests on.")] = "ibs",
    all_causes: Annotated[bool, typer.Option("--all-causes", help="Also the competing events.")] = False,
    csv: Annotated[Path | None, typer.Option(metavar="FILE", help="Also write the table to a CSV file.")] = None,
    figure: Annotated[Path | None, typer.Option(metavar="FILE.png", help="Also draw a forest plot.")] = None,
    bootstrap: Bootstrap = 1000,
    seed: Seed = 0,
    endpoint: EndpointName = None,
    cohort: Cohort = None,
    endpoint_file: EndpointFile = None,
) -> None:
    """Say whether runs differ on the same patients: paired differences with intervals, corrected for their number.

    Refuses runs on different patients, endpoints or splits.

    Example: sequela compare cox network mixture --csv differences.csv --figure differences.png
    """
    from features.errors import SequelaError

    if len({*runs, baseline or runs[0]}) < 2:
        msg = "compare: name two or more runs; `sequela leaderboard EXPERIMENT` lists them"
        raise SequelaError(msg)
    from experiments.cli.output import progress_bars, stderr
    from experiments.comparing.compared_runs import Place, load_compared
    from experiments.comparing.comparison import compare as differences
    from experiments.comparing.comparison import write_comparison
    from experiments.comparing.shown import print_comparison
    from experiments.home import Home
    from experiments.store import find_run, open_store

    home = Home.current()
    client = open_store(home)
    if baseline is not None:
        wanted = find_run(client, baseline, endpoint).info.run_id
        runs = [baseline, *(run for run in runs if find_run(client, run, endpoint).info.run_id != wanted)]
    compared = load_compared(client, home, runs, Place(cohort, endpoint_file), endpoint)
    with progress_bars() as bar:
        found = differences(
            compared, all_causes=all_causes, n_bootstrap=bootstrap, seed=seed, progress=bar("comparing")
        )
    print_comparison(found, metric)
    if csv is not None:
        write_comparison(found, csv)
        stderr.print(f"wrote {csv}", highlight=False, soft_wrap=True)
    if figure is not None:
        from experiments.comparing.figure import write_figure

        write_figure(found, figure)
        stderr.print(f"wrote {figure}", highlight=False, soft_wrap=True)


def added_value(
    runs: Annotated[
        list[str],
        typer.Argument(metavar="CLINIC_RUN CELLS_RUN | RUN.yaml", help="Two runs; or a configuration with cells."),
    ],
    permutations: Annotated[
        int, typer.Option(min=0, help="How often cells are exchanged between patients, 19 or more; 0: not tested.")
    ] = 39,
    overrides: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override a key of RUN.yaml.")
    ] = None,
    bootstrap: Bootstrap = 1000,
    seed: Seed = 0,
    endpoint: EndpointName = None,
    cohort: Cohort = None,
    endpoint_file: EndpointFile = None,
) -> None:
    """Do the cells add anything over the clinic? One answer: gain in IPA, AUC and net benefit, and a permutation p.

    Of a RUN.yaml with cells, the run and its twin without cells are trained and tracked first. Every exchange of cells
    costs a whole cross-validation; an interrupted command goes on where it stopped when it is given again.

    Examples: sequela added-value leipzig_clinic leipzig_all --permutations 99

              sequela added-value configs/run/cox.yaml --set cohort=cohorts/mine
    """
    from experiments.cli.output import progress_bars, stderr
    from experiments.comparing.compared_runs import Place
    from experiments.comparing.question import Question, ask, trained_pair
    from experiments.comparing.shown import print_added_value
    from experiments.home import Home

    question = Question(permutations, bootstrap, seed, endpoint, Place(cohort, endpoint_file))
    with progress_bars() as bar:
        home = Home.current()
        pair = trained_pair(runs, overrides or [], home, question, bar)
        answer, path = ask(pair, home, question, bar)
    print_added_value(answer)
    stderr.print(f"the answer stands with run {pair[1]} in the store, and in {path}", highlight=False, soft_wrap=True)
