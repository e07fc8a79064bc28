"""Deep links into MLflow's pages."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import urlencode, urlsplit, urlunsplit

from mlflow import MlflowClient
from mlflow.entities import Experiment, Run

from experiments.home import Home
from experiments.store import every
from experiments.ui_views import view_key, viewed_endpoints
from features.errors import SequelaError

MODE = {"workflowType": "machine_learning"}
"""Without it MLflow opens in its mode for chat applications."""
PAGES = {"runs": "TABLE", "charts": "CHART", "horizons": "ARTIFACT"}
"""Names of the runs page's modes, and MLflow's."""


@dataclass(frozen=True, slots=True)
class Link:
    """What a page shows, and where it is."""

    subject: str
    page: str
    url: str


def remote_address(home: Home) -> str | None:
    """The address of the MLflow server that the store is, without a password; None where we start one ourselves."""
    uri = urlsplit(home.tracking_uri)
    if uri.scheme not in {"http", "https"}:
        return None
    return urlunsplit((uri.scheme, uri.netloc.rpartition("@")[2], uri.path.rstrip("/"), "", ""))


def experiment_links(client: MlflowClient, address: str) -> list[Link]:
    """For each endpoint of each experiment the runs, the charts, and the scores by horizon."""
    return [link for one in every(client.search_experiments) for link in _links(address, one)]


def _links(address: str, experiment: Experiment) -> Iterator[Link]:
    page = f"{address}/#/experiments/{experiment.experiment_id}/runs"
    endpoints = viewed_endpoints(experiment.tags)
    if not endpoints:
        yield Link(experiment.name, "runs", f"{page}?{urlencode(MODE)}")
    for endpoint in endpoints:
        for name, mode in PAGES.items():
            query = MODE | {"compareRunsMode": mode, "viewStateShareKey": view_key(endpoint)}
            yield Link(f"{experiment.name}: {endpoint}", name, f"{page}?{urlencode(query)}")


def run_link(address: str, run: Run) -> Link:
    """The page of one run."""
    url = f"{address}/#/experiments/{run.info.experiment_id}/runs/{run.info.run_id}?{urlencode(MODE)}"
    return Link(str(run.info.run_name), "run", url)


def compare_link(address: str, runs: Sequence[Run]) -> Link:
    """The page that sets runs side by side.

    Raises:
        SequelaError: A run is named twice.
    """
    ids = [run.info.run_id for run in runs]
    names = ", ".join(str(run.info.run_name) for run in runs)
    if len(set(ids)) < len(ids):
        msg = f"ui: {names}: the same run is named twice; `sequela leaderboard EXPERIMENT --all` lists their ids"
        raise SequelaError(msg)
    experiments = sorted({run.info.experiment_id for run in runs})
    query = {"runs": _compact(ids), "experiments": _compact(experiments)} | MODE
    return Link(names, "compare", f"{address}/#/compare-runs?{urlencode(query)}")


def _compact(ids: Sequence[str]) -> str:
    return json.dumps(ids, separators=(",", ":"))
