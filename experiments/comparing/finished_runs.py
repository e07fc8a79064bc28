"""The finished runs of an experiment with what a leaderboard shows, thousands of them in a moment.

MLflow's client makes an object of every parameter, metric and tag: on thousands of runs that takes many seconds. Where
the store is a local sqlite file, its tables are read here instead, and MLflow is not even imported. Elsewhere, or if
the tables look otherwise than those of the version this was written for, the client is asked.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from experiments.home import Home
from features.errors import SequelaError

PARENTS = "attributes.status = 'FINISHED' and tags.`sequela.endpoint` LIKE '%'"
"""Runs of folds have no endpoint among their tags: so the server leaves them out."""
MOST = 50_000
"""Runs that MLflow gives at once."""


@dataclass(frozen=True, slots=True)
class FinishedRun:
    """One finished run, without the runs of its folds."""

    run_id: str
    name: str
    start_ms: int
    end_ms: int
    tags: Mapping[str, str]
    params: Mapping[str, str]
    metrics: Mapping[str, float]

    @property
    def seconds(self) -> float:
        """From start to end."""
        return (self.end_ms - self.start_ms) / 1000


def finished_runs(home: Home, experiment: str) -> list[FinishedRun]:
    """All finished runs of an experiment, in no particular order.

    Raises:
        SequelaError: There is no such experiment, or the store cannot be reached.
    """
    path = home.tracking_uri.removeprefix("sqlite:///")
    if home.tracking_uri.startswith("sqlite:///") and Path(path).is_file():
        try:
            return list(_from_sqlite(Path(path), experiment))
        except sqlite3.Error:  # another schema, or no database: MLflow says so
            pass
    return list(_from_client(home, experiment))


def _no_experiment(name: str, known: list[str]) -> SequelaError:
    return SequelaError(f"experiment {name}: no such experiment; there are: {', '.join(sorted(known)) or 'none'}")


def _from_client(home: Home, experiment: str) -> Iterator[FinishedRun]:
    from experiments.store import every, open_store  # MLflow takes seconds to import

    client = open_store(home)
    found = client.get_experiment_by_name(experiment)
    if found is None or found.lifecycle_stage != "active":
        raise _no_experiment(experiment, [one.name for one in every(client.search_experiments)])
    for run in client.search_runs([found.experiment_id], PARENTS, max_results=MOST):
        info, data = run.info, run.data
        yield FinishedRun(
            info.run_id, info.run_name, info.start_time, info.end_time, data.tags, data.params, data.metrics
        )


def _from_sqlite(database: Path, experiment: str) -> Iterator[FinishedRun]:
    store = sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True)
    try:
        active = store.execute("SELECT name, experiment_id FROM experiments WHERE lifecycle_stage = 'active'")
        experiments = dict(active.fetchall())
        if experiment not in experiments:
            raise _no_experiment(experiment, list(experiments))
        chosen = (
            "FROM runs JOIN tags AS parent ON parent.run_uuid = runs.run_uuid AND parent.key = 'sequela.endpoint' {} "
            "WHERE runs.experiment_id = ? AND runs.status = 'FINISHED' AND runs.lifecycle_stage = 'active'"
        )
        number = (experiments[experiment],)

        def values_of(table: str, value: str = "one.value") -> dict[str, dict[str, str | float]]:
            """By run and key."""
            join = f"JOIN {table} AS one ON one.run_uuid = runs.run_uuid"
            query = f"SELECT runs.run_uuid, one.key, {value} {chosen.format(join)}"
            by_run: dict[str, dict[str, str | float]] = {}
            for run_id, key, found in store.execute(query, number):
                by_run.setdefault(run_id, {})[key] = found
            return by_run

        tags, params = values_of("tags"), values_of("params")
        metrics = values_of("latest_metrics", "CASE WHEN one.is_nan THEN 'nan' ELSE one.value END")
        query = f"SELECT runs.run_uuid, runs.name, runs.start_time, runs.end_time {chosen.format('')}"
        for run_id, name, start, end in store.execute(query, number).fetchall():
            yield FinishedRun(
                run_id,
                name,
                start,
                end,
                {key: str(value) for key, value in tags[run_id].items()},
                {key: str(value) for key, value in params.get(run_id, {}).items()},
                {key: float(value) for key, value in metrics.get(run_id, {}).items()},
            )
    finally:
        store.close()
