"""Runs of an experiment, ranked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

import pandas as pd

from experiments.comparing.finished_runs import FinishedRun, finished_runs
from experiments.home import Home
from features.errors import SequelaError

ABOUT = ("rank", "run", "model", "run_id", "seconds", "fits")
"""Columns that are not scores."""
SMALLER_IS_BETTER = ("ibs", "brier", "permutation_p", "seconds", "fits")


@dataclass(frozen=True, slots=True)
class Leaderboard:
    """Runs on the same patients and endpoint, best first."""

    endpoint: str
    cohort: str
    provenance: str
    cause: str
    """The event of interest."""
    sorted_by: str
    """The column ranked by."""
    table: pd.DataFrame
    """The columns of `ABOUT`, and each metric with its interval."""


def leaderboards(
    home: Home, experiment: str, *, every_run: bool = False, sort: str = "ibs", endpoint: str | None = None
) -> list[Leaderboard]:
    """One leaderboard for each definition of an endpoint and cohort of an experiment: only those can be compared.

    Args:
        home: Names the store.
        experiment: Its name.
        every_run: Also earlier runs of the same name.
        sort: What to rank by: a metric of the event of interest from the first landmark (``ibs``, ``ipa``, ``c``,
            ``auc_180d``), any logged metric in full (``ipa_from30/death``), or ``seconds`` or ``fits``.
        endpoint: Only this endpoint; None: all.

    Raises:
        SequelaError: There is no such experiment, no finished run in it, or nothing to sort by.
    """
    groups: dict[tuple[str, str, str], list[FinishedRun]] = {}
    names: dict[tuple[str, str, str], set[str]] = {}
    for run in sorted(finished_runs(home, experiment), key=lambda run: -run.start_ms):
        tags = run.tags
        key = (tags["sequela.endpoint"], tags.get("sequela.endpoint_digest", ""), tags["sequela.cohort"])
        group, seen = groups.setdefault(key, []), names.setdefault(key, set())
        if every_run or run.name not in seen:
            group.append(run)
            seen.add(run.name)
    if not groups:
        msg = f"experiment {experiment}: no finished run; `sequela train RUN.yaml` makes one"
        raise SequelaError(msg)
    boards = [_board(key[0], runs, sort) for key, runs in groups.items() if endpoint in (None, key[0])]
    if not boards:
        known = ", ".join(sorted({key[0] for key in groups}))
        msg = f"--endpoint {endpoint}: no finished run of experiment {experiment} studies it; there are runs of {known}"
        raise SequelaError(msg)
    return boards


def _board(endpoint: str, runs: list[FinishedRun], sort: str) -> Leaderboard:
    tags, params = runs[0].tags, runs[0].params
    table = pd.DataFrame([_row(run) for run in runs])
    column = _column(sort, tags["sequela.cause"], table)
    ascending = column.partition("/")[0].split("_")[0] in SMALLER_IS_BETTER or column in SMALLER_IS_BETTER
    table = table.sort_values(column, ascending=ascending, ignore_index=True, kind="stable")
    table.insert(0, "rank", table.index + 1)
    return Leaderboard(endpoint, params["cohort"], tags["sequela.provenance"], tags["sequela.cause"], column, table)


def _column(sort: str, cause: str, table: pd.DataFrame) -> str:
    """The column that a word means: a metric of the event of interest, unless the cause is named."""
    for column in (sort, f"{sort}/{cause}"):
        if column in table and column not in ("run", "model", "run_id"):
            return column
    known = [
        name.removesuffix(f"/{cause}") for name in map(str, table) if name not in ABOUT or name in ("seconds", "fits")
    ]
    points = [name for name in known if not name.partition("/")[0].endswith(("_lo", "_hi"))]
    near = get_close_matches(sort, points, n=1)
    msg = f"--sort {sort}: no run has this metric; "
    raise SequelaError(msg + (f"did you mean {near[0]}?" if near else f"there are {', '.join(sorted(points))}"))


def _row(run: FinishedRun) -> dict[str, object]:
    about = {
        "run": run.name,
        "model": run.tags["sequela.model"],
        "run_id": run.run_id,
        "seconds": round(run.seconds, 1),
        "fits": _fits(run.params),
    }
    return about | dict(sorted(run.metrics.items()))


def _fits(params: Mapping[str, str]) -> int | None:
    """How many times the model was fitted for scores and artifact; None where the number of centres decides.

    Each fold, and the final fit; where settings are tuned, each also for every trial and inner fold.
    """
    if params.get("validation.scheme") == "site" or "validation.folds" not in params:
        return None
    places = int(params["validation.folds"]) * int(params["validation.repeats"]) + 1
    inner = (int(params["tuning.trials"]) + 1) * int(params["tuning.folds"]) if "tuning.trials" in params else 0
    return places * (1 + inner)


def write_csv(boards: Iterable[Leaderboard], path: Path) -> None:
    """All leaderboards as one table, with endpoint and cohort in front."""
    parts = [board.table.assign(endpoint=board.endpoint, cohort=board.cohort) for board in boards]
    beside = path.with_name(path.name + ".part")
    pd.concat(parts, ignore_index=True).to_csv(beside, index=False)
    beside.rename(path)
