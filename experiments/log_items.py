"""What is logged about a run: a pure stream of typed items, testable without a server.

`experiments.tracking` keeps the stream in the run's folder, `experiments.store` interprets it for MLflow.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from experiments.ui_views import saved_view

if TYPE_CHECKING:  # whoever delivers items needs nothing of what trains
    from experiments.config import RunConfig
    from experiments.count_records import CountFindings
    from experiments.data import TrainingRows
    from features.schema import Endpoint
    from training.evaluation.scores import Scores

Status: TypeAlias = Literal["FINISHED", "FAILED", "KILLED", "PRUNED"]
"""How a run ended; a pruned one was stopped because others do better."""


@dataclass(frozen=True, slots=True)
class Started:
    """A run begins, or goes on after it was killed or failed."""

    experiment: str
    name: str
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Ended:
    """A run ended."""

    status: Status


@dataclass(frozen=True, slots=True)
class Params:
    """Parameters of a run, flat."""

    values: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Metrics:
    """Metrics with short, stable names."""

    values: Mapping[str, float]
    step: int = 0


@dataclass(frozen=True, slots=True)
class Tags:
    """Tags, among them MLflow's own such as the note."""

    values: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ExperimentTags:
    """Tags of the run's experiment, among them MLflow's saved views."""

    values: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Dataset:
    """The cohort a run was trained on."""

    name: str
    digest: str
    source: str
    profile: Mapping[str, Any]
    context: Mapping[str, str] = field(default_factory=dict)
    """How the run uses it: endpoint, features."""


@dataclass(frozen=True, slots=True)
class Table:
    """Rows for MLflow's artifact view, where runs are compared side by side."""

    name: str
    columns: Mapping[str, list[Any]]


@dataclass(frozen=True, slots=True)
class File:
    """A file or folder, copied under `folder` of the artifacts (root when empty).

    A relative path counts from the run's folder.
    """

    path: Path
    folder: str = ""


@dataclass(frozen=True, slots=True)
class Model:
    """An artifact folder, which becomes a LoggedModel; a relative path counts from the run's folder."""

    path: Path
    requirements: tuple[str, ...]
    """Of pip, with the versions that fitted it."""


LogItem: TypeAlias = Started | Ended | Params | Metrics | Tags | ExperimentTags | Dataset | Table | File | Model


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested values as ``a.b`` → text."""
    flat: dict[str, str] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = str(value)
    return flat


def run_description(config: RunConfig, rows: TrainingRows) -> Iterator[LogItem]:
    """What is known of a run before it is fitted."""
    card = rows.cohort.card
    yield Params(flatten(config.model_dump(mode="json", exclude={"cohort", "endpoint", "also", "name", "experiment"})))
    yield Params({"endpoint": rows.endpoint.name, "cohort": card.title})
    if config.also:
        yield Params({"also": ", ".join(sorted(path.stem for path in config.also))})
    yield Tags(
        {
            "sequela.model": config.model.kind,
            "sequela.endpoint": rows.endpoint.name,
            "sequela.endpoint_digest": endpoint_digest(rows.endpoint),
            "sequela.cause": rows.endpoint.event.name,
            "sequela.provenance": card.provenance,
            "sequela.cohort": rows.cohort.fingerprint,
            "mlflow.note.content": _note(config, rows),
        }
    )
    yield ExperimentTags(saved_view(rows.endpoint))
    yield Dataset(
        name=card.title[:100],
        digest=rows.cohort.fingerprint[:12],
        source=config.cohort.name,
        profile={"patients": len(rows.cohort.patients), "rows": len(rows.patients)} | rows.outcomes.counts(),
        context={
            "mlflow.data.context": "training",
            "sequela.endpoint": rows.endpoint.name,
            "sequela.features": config.features.model_dump_json(exclude_defaults=True),
            "sequela.fingerprint": rows.cohort.fingerprint,
        },
    )


def endpoint_digest(endpoint: Endpoint) -> str:
    """What tells two definitions of one name apart; what is decided by a risk changes nothing of what is predicted."""
    return hashlib.sha256(endpoint.model_dump_json(exclude={"decision"}).encode()).hexdigest()[:12]


def _note(config: RunConfig, rows: TrainingRows) -> str:
    """The run's description, shown at the top of its page."""
    card, endpoint = rows.cohort.card, rows.endpoint
    counts = ", ".join(f"{name} {n}" for name, n in rows.outcomes.counts().items())
    return (
        f"**{config.model.kind}** for **{endpoint.name}** on {card.title} ({card.provenance} patients).\n\n"
        f"Landmark days {', '.join(f'{d:g}' for d in endpoint.landmark_days)}; horizons "
        f"{', '.join(f'{d:g}' for d in endpoint.horizons_days)} days. Rows by cause: {counts}.\n\n{card.citation}"
    )


HEADLINE = ("ibs", "ipa", "c")


def headline_metrics(scores: Mapping[float, Scores]) -> dict[str, float]:
    """The few metrics that MLflow's tables and charts show; everything else is in the tables.

    Args:
        scores: By landmark day. The first one's metrics have plain names (``ibs/infection``), those of later ones carry
            the day (``ibs_from30/infection``).
    """
    named: dict[str, float] = {}
    for number, (day, of_day) in enumerate(scores.items()):
        suffix = "" if number == 0 else f"_from{day:g}"
        for row in of_day.table():
            overall = row["horizon_days"] is None and row["metric"] in HEADLINE
            if not overall and row["metric"] != "auc":
                continue
            metric = row["metric"] if overall else f"auc_{row['horizon_days']:g}d"
            named |= {
                f"{metric}{part}{suffix}/{row['cause']}": value
                for part, value in (("", row["point"]), ("_lo", row["low"]), ("_hi", row["high"]))
                if isfinite(value) and (overall or part == "")
            }
    return named


def count_metrics(found: CountFindings) -> dict[str, float]:
    """What expected numbers of events are worth, named as `headline_metrics` are: ``counts_explained_365d/infection``.

    Without those that are not known, or withheld.
    """
    first, named = found.scores[0].landmark_day, dict[str, float]()
    for one in found.scores:
        suffix = "" if one.landmark_day == first else f"_from{one.landmark_day:g}"
        measures = (("counts_explained", one.explained), ("counts_o_e", one.observed_over_expected))
        for metric, value in measures:
            parts = () if value is None else (("", value.point), ("_lo", value.low), ("_hi", value.high))
            of = f"{one.horizon_days:g}d"
            named |= {f"{metric}_{of}{part}{suffix}/{found.event}": end for part, end in parts if end is not None}
    return named
