"""What MLflow's pages show of Sequela's runs: columns, charts, tables by horizon, and the experiment's description."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from typing import Any

from experiments.interval_text import interval_text
from features.schema import Endpoint
from training.evaluation.intervals import Interval
from training.evaluation.scores import CauseScores, HorizonScores, Scores

SHARED_VIEW = "mlflow.sharedViewState."
"""Experiment tags under which MLflow keeps saved views; the rest of the tag's name opens one."""
KEY = "sequela-"
CHARTS = ("ibs", "ipa", "c")
SCORE_WIDTH = 165
"""Pixels that ``0.0850 [0.0683, 0.1038]`` needs."""
NOTE = """\
Runs of Sequela: competing-risks models of late complications after CAR-T. The saved view of an endpoint (top right) \
holds the columns below; scores are out of fold, of the endpoint's event, from the first landmark, with 95 % intervals.

| column | meaning | better |
|---|---|---|
| IBS | integrated Brier score | lower |
| IPA | 1 − IBS / IBS of the Aalen–Johansen estimate: 0 is no better than the same risk for everyone | higher |
| C | concordance of the risk at the last horizon, between patients of one fold; 0.5 is chance | higher |
| AUC day N | time-dependent area under the ROC curve by day N after the landmark | higher |
| sequela.provenance | `simulated`: invented patients, no evidence about any real one; `real`: observed patients | |

Compare runs only on the same cohort: tag `sequela.cohort`. Metrics `…_from30` are of the landmark on day 30, `…_lo` \
and `…_hi` the ends of intervals. `by_horizon.json` in the artifact view has the scores of each horizon.
"""


def view_key(endpoint: str) -> str:
    """What opens the saved view of an endpoint, as the query's `viewStateShareKey`."""
    return KEY + re.sub(r"[^\w.-]", "-", endpoint)


def viewed_endpoints(experiment_tags: Mapping[str, str]) -> list[str]:
    """The endpoints of which an experiment has a saved view."""
    begin = SHARED_VIEW + KEY
    return sorted(tag.removeprefix(begin) for tag in experiment_tags if tag.startswith(begin))


def saved_view(endpoint: Endpoint) -> dict[str, str]:
    """The experiment tag that is MLflow's saved view of an endpoint: runs by IBS, few columns and few charts.

    The format is that of MLflow 3.17's own pages, where it is called a saved view.
    """
    state = json.dumps(_state(endpoint))
    now = int(time.time() * 1000)
    view = {"name": f"Sequela: {endpoint.name}", "createdAt": now, "updatedAt": now, "state": state}
    return {SHARED_VIEW + view_key(endpoint.name): json.dumps(view)}


def _state(endpoint: Endpoint) -> dict[str, Any]:
    """Rows, columns and charts of the runs page."""
    event = endpoint.event.name
    scores = [f"tags.`{name}`" for name in ("IBS", "IPA", "C", *map(_auc, endpoint.horizons_days))]
    widths = {"tags.`sequela.model`": 120} | dict.fromkeys(scores, SCORE_WIDTH)
    columns = [*widths, "attributes.`Duration`", "params.`cohort`", "tags.`sequela.provenance`"]
    return {
        "searchFilter": f"tags.`sequela.endpoint` = '{endpoint.name}'",  # also leaves the folds away
        "orderByKey": f"metrics.`ibs/{event}`",
        "orderByAsc": True,
        "selectedColumns": columns,
        "columnOrder": columns,
        "columnWidths": widths,
        "compareRunCharts": [_bars(f"{metric}/{event}") for metric in CHARTS],
        "compareRunSections": [{"uuid": KEY + "scores", "name": f"Scores of {event}", "display": True, "columns": 3}],
        # MLflow adds a chart for every other metric: they are there once this is cleared
        "chartsSearchFilter": f"^({'|'.join(CHARTS)})/{re.escape(event)}$",
    }


def _bars(metric: str) -> dict[str, Any]:
    """A bar for each run."""
    return {
        "type": "BAR",
        "uuid": KEY + metric,
        "metricSectionId": KEY + "scores",
        "metricKey": metric,
        "runsCountToCompare": 20,
        "deleted": False,
        "isGenerated": True,
    }


def score_tags(scores: Mapping[float, Scores]) -> dict[str, str]:
    """IBS, IPA, C and AUC of the event from the first landmark, as text with intervals: columns of the runs table.

    Args:
        scores: By landmark day, the first one first.
    """
    event = _event(next(iter(scores.values())))
    overall = {"IBS": _text(event.ibs, digits=4), "IPA": _text(event.ipa), "C": _text(event.c)}
    return overall | {_auc(at.horizon_days): _text(at.auc) for at in event.horizons}


def horizon_table(scores: Mapping[float, Scores]) -> dict[str, list[str]]:
    """Scores of the event at each horizon, one text a horizon: MLflow's artifact view sets those of runs side by side.

    Args:
        scores: By landmark day.

    Returns:
        Columns ``horizon`` and ``scores``; the view groups by the first and compares the second.
    """
    cells = [(day, at) for day, of_day in scores.items() for at in _event(of_day).horizons]
    return {
        "horizon": [f"by day {at.horizon_days:g}, from day {day:g}" for day, at in cells],
        "scores": [_horizon_text(at) for _, at in cells],
    }


def _horizon_text(at: HorizonScores) -> str:
    named = {"AUC": at.auc, "Brier": at.brier, "IPA": at.ipa, "O/E": at.o_e, "ICI": at.ici}
    return "; ".join([*(f"{name} {_text(value)}" for name, value in named.items()), f"events {at.n_events}"])


def _text(value: Interval, digits: int = 3) -> str:
    return interval_text(value.point, value.low, value.high, digits=digits)


def _event(scores: Scores) -> CauseScores:
    """The event of interest comes first among the causes."""
    return scores.causes[0]


def _auc(horizon_days: float) -> str:
    return f"AUC day {horizon_days:g}"
