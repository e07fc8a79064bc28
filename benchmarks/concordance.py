"""Time of the competing-risks concordance at 10⁴ to 10⁶ patients, beside those of other libraries, on one core.

Writes ``results/concordance.md``. A peer is left out at a size at which it would take more than two minutes if its
time went on growing as between the two sizes before.

    python benchmarks/concordance.py
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Iterator
from functools import partial
from importlib.metadata import version
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # one core, before numpy is loaded

import numpy as np
import pandas as pd
from hazardous.metrics import concordance_index_incidence
from lifelines.utils import concordance_index
from numpy.typing import NDArray
from sksurv.metrics import concordance_index_ipcw
from sksurv.util import Surv

from features.outcomes import Outcomes
from training.evaluation.discrimination import concordance
from training.evaluation.ipcw import scoring_weights

RESULT = Path(__file__).parent / "results" / "concordance.md"
SIZES = (10_000, 100_000, 1_000_000)
TAU_DAYS = 700.0
LONGEST_SECONDS = 120.0
N_RESAMPLES = 200
PEERS = ("sksurv concordance_index_ipcw", "lifelines concordance_index", "hazardous concordance_index_incidence")
Timed = tuple[float, float]
"""Seconds, and the index found."""


def study(n: int, *, competing: bool, seed: int = 0) -> tuple[NDArray[np.float64], Outcomes]:
    """A risk that tells something, and exponential times to the event, to another cause and to censoring."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=n)
    latent = np.column_stack(
        [rng.exponential(900, n), rng.exponential(600 * np.exp(-0.5 * x)), rng.exponential(800, n)]
    )
    latent = latent if competing else latent[:, :2]
    names = ("infection", "death") if competing else ("infection",)
    return 1 / (1 + np.exp(-x)), Outcomes(latent.min(axis=1), latent.argmin(axis=1), names)


def timed(measure: Callable[[], float]) -> Timed:
    """Seconds and value of one call."""
    start = time.perf_counter()
    value = measure()
    return time.perf_counter() - start, value


def ours(risk: NDArray[np.float64], outcomes: Outcomes) -> float:
    """Of the first cause, the weights included."""
    columns = np.column_stack([risk, 1 - risk])[:, : len(outcomes.causes)]
    return float(concordance(columns, outcomes, TAU_DAYS)[0])


def peer(name: str, risk: NDArray[np.float64], outcomes: Outcomes) -> float:
    """A peer's index; those of sksurv and lifelines know one event only."""
    if name.startswith("sksurv"):
        target = Surv.from_arrays(outcomes.cause == 1, outcomes.duration_days)
        return float(concordance_index_ipcw(target, target, risk, tau=TAU_DAYS)[0])
    if name.startswith("lifelines"):
        return float(concordance_index(outcomes.duration_days, -risk, outcomes.cause == 1))
    table = pd.DataFrame({"event": outcomes.cause, "duration": outcomes.duration_days})
    times = np.array([0.0, TAU_DAYS])
    predicted = np.column_stack([np.zeros_like(risk), risk])
    found = concordance_index_incidence(
        table, predicted, table, event_of_interest=1, time_grid=times, taus=[TAU_DAYS], ipcw_estimator="km"
    )
    return float(np.squeeze(found))


def rows_of_sizes() -> Iterator[str]:
    """A row of the table for each size and kind of outcomes."""
    before: dict[str, list[float]] = {name: [] for name in PEERS}
    for n in SIZES:
        for competing in (False, True):
            risk, outcomes = study(n, competing=competing)
            cells = [shown(timed(partial(ours, risk, outcomes)))]
            for name in PEERS:
                if name.startswith("hazardous") != competing:
                    cells.append("")
                elif (expected := expected_seconds(before[name])) > LONGEST_SECONDS:
                    cells.append(f"about {expected:.0f} s, not run")
                else:
                    found = timed(partial(peer, name, risk, outcomes))
                    before[name].append(found[0])
                    cells.append(shown(found))
            yield f"| {n:,} | {'two causes' if competing else 'one event'} | " + " | ".join(cells) + " |"


def expected_seconds(before: list[float]) -> float:
    """At the next size, from the last two; 0 if there are not two."""
    return before[-1] ** 2 / before[-2] if len(before) > 1 else 0.0


def shown(found: Timed) -> str:
    """Seconds, and the index."""
    return f"{found[0]:.2f} s ({found[1]:.4f})"


def resampled_seconds() -> float:
    """Median of five, at 1,000 patients."""
    risk, outcomes = study(1000, competing=True)
    counts = np.random.default_rng(0).multinomial(1000, np.full(1000, 1e-3), size=N_RESAMPLES).astype(np.float64)
    weights = scoring_weights(outcomes, np.array([TAU_DAYS]), resamples=counts)
    columns = np.column_stack([risk, 1 - risk])
    return float(
        np.median([timed(lambda: float(concordance(columns, outcomes, TAU_DAYS, weights)[0, 0]))[0] for _ in range(5)])
    )


def main() -> None:
    """Measure, and write the page."""
    table = "\n".join(rows_of_sizes())
    packages = ", ".join(f"{name} {version(name)}" for name in ("numpy", "scikit-survival", "lifelines", "hazardous"))
    RESULT.write_text(
        f"""# Concordance: time by number of patients

Written by `benchmarks/concordance.py`; Python {platform.python_version()}, {packages}, one core.

Seconds of one call, and the index found in brackets. Ours is exact and in O(n log n): Wolbers et al. 2014 with
weights for censoring, up to day {TAU_DAYS:g}, the estimation of the weights included; where there are two causes, it
computes the index of both, and the first is shown. The peers measure related but not the same things: scikit-survival
weights one event by 1/G(T)² (Uno), lifelines has no weights and no end (Harrell), hazardous has competing causes. "Not
run": the time expected from its growth between the two sizes before is more than two minutes.

| patients | outcomes | ours | {" | ".join(PEERS)} |
| ---: | --- | ---: | ---: | ---: | ---: |
{table}

{N_RESAMPLES} resamples of 1,000 patients, both causes: {resampled_seconds():.3f} s.
"""
    )


if __name__ == "__main__":
    main()
