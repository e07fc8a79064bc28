"""Judgements of a model in use as metrics: a file that Prometheus' node exporter picks up (its textfile collector)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path

from prometheus_client import CollectorRegistry, Gauge, write_to_textfile

from experiments import drift, follow_up
from experiments.drift import Judgement
from experiments.follow_up import Judged
from features.errors import SequelaError


@dataclass(frozen=True, slots=True)
class Sample:
    """One value of one metric."""

    name: str
    help: str
    labels: dict[str, str]
    value: float


def write_gauges(path: Path, samples: Iterable[Sample]) -> None:
    """Write a file, beside and then renamed.

    Raises:
        SequelaError: It cannot be written.
    """
    registry = CollectorRegistry()
    gauges: dict[str, Gauge] = {}
    for one in samples:
        if one.name not in gauges:
            gauges[one.name] = Gauge(one.name, one.help, list(one.labels), registry=registry)
        gauges[one.name].labels(**one.labels).set(one.value)
    try:
        write_to_textfile(str(path), registry)
    except OSError as error:
        msg = f"{path}: cannot be written ({error.strerror}); name a file in a folder that exists and is ours"
        raise SequelaError(msg) from error


def drift_gauges(judged: Sequence[Judgement]) -> Iterator[Sample]:
    """Of the last window, whose alerts `sequela drift` ends with."""
    now = drift.latest(judged)
    for one in now:
        labels = {"model": one.model, "what": one.what, "name": one.name}
        if isfinite(one.stability_index):
            yield Sample("sequela_drift_index", "Population stability index.", labels, one.stability_index)
    yield from _alerts("sequela_drift_alerts", "Inputs and risks that have drifted.", now)


def follow_up_gauges(judged: Sequence[Judged]) -> Iterator[Sample]:
    """Of what was judged last, whose alerts `sequela follow-up` ends with."""
    now = follow_up.latest(judged)
    for one in now:
        labels = {"model": one.model, "cause": one.cause, "horizon_days": f"{one.horizon_days:g}"}
        for name, said, value in (
            ("sequela_observed_over_expected", "Observed over expected incidence.", one.o_e.point),
            ("sequela_auc", "Area under the curve at the horizon.", one.auc.point),
            ("sequela_brier", "Brier score at the horizon.", one.brier.point),
        ):
            if isfinite(value):
                yield Sample(name, said, labels, value)
    yield from _alerts("sequela_follow_up_alerts", "Causes and horizons whose predictions do not come true.", now)


def _alerts(name: str, said: str, judged: Sequence[Judgement] | Sequence[Judged]) -> Iterator[Sample]:
    alerts = Counter({one.model: 0 for one in judged})
    alerts.update(one.model for one in judged if one.alert)
    for model, n in alerts.items():
        yield Sample(name, said, {"model": model}, float(n))
