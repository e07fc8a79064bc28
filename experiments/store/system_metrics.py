"""Processor, memory, disk, network and GPU, sampled on long runs only: in short ones they would hide the metrics."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress

from mlflow.environment_variables import MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL
from mlflow.system_metrics.metrics.base_metrics_monitor import BaseMetricsMonitor
from mlflow.system_metrics.metrics.cpu_monitor import CPUMonitor
from mlflow.system_metrics.metrics.disk_monitor import DiskMonitor
from mlflow.system_metrics.metrics.gpu_monitor import GPUMonitor
from mlflow.system_metrics.metrics.network_monitor import NetworkMonitor

from features.errors import SequelaError

AFTER = "SEQUELA_SYSTEM_METRICS_AFTER"
"""Environment variable: seconds after which a run is long, or ``off``."""
LONG_RUN_SECONDS = 300.0


class SystemMetrics:
    """Samples with MLflow's monitors, but not in its thread: that one may wait for ever for an import."""

    def __init__(self, log: Callable[[Mapping[str, float], int], None], began: float) -> None:
        """`log` is told values and the run's age in seconds; `began` is when the run began, in seconds since 1970.

        Raises:
            SequelaError: The environment variable is no number.
        """
        self._log, self._began = log, began
        self._after = _seconds()
        self._monitors = [] if self._after is None else _monitors()
        self.interval_seconds = float(MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL.get() or 10)
        self._due = 0.0

    def sample(self) -> None:
        """Sample, if the run is long and the last sample old enough."""
        age = time.time() - self._began
        if self._after is None or age < self._after or time.monotonic() < self._due:
            return
        self._due = time.monotonic() + self.interval_seconds
        values: dict[str, float] = {}
        for monitor in self._monitors:
            monitor.collect_metrics()
            values |= {f"system/{name}": float(value) for name, value in monitor.aggregate_metrics().items()}
            monitor.clear_metrics()
        self._log(values, int(age))


def _monitors() -> list[BaseMetricsMonitor]:
    monitors = [CPUMonitor(), DiskMonitor(), NetworkMonitor()]
    with suppress(ImportError, RuntimeError):  # there is no GPU
        monitors.append(GPUMonitor())
    return monitors


def _seconds() -> float | None:
    text = os.environ.get(AFTER, str(LONG_RUN_SECONDS))
    if text == "off":
        return None
    try:
        return float(text)
    except ValueError:
        msg = f"{AFTER} = {text}: must be a number of seconds, or off"
        raise SequelaError(msg) from None
