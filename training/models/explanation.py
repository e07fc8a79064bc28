"""Why this risk: how much each part of a patient's record moves it away from the risk of the average patient.

The reference is x = 0, the training mean of every standardised column (for a missing-value indicator: not missing).
It needs no stored patients, so an artifact can explain without carrying anybody's data. The average patient is a point
of reference and nobody in particular: half of one product and half of another. A contribution speaks of the model, not
of causes in the body.

Two ways to divide the difference risk(x) − risk(0) among the sources of the columns:

- along the straight path from 0 to x, φ_g = ∫₀¹ Σ_{j∈g} x_j ∂risk(a·x)/∂x_j da: integrated gradients (Sundararajan,
  Taly & Yan, ICML 2017), the value of Aumann & Shapley (Values of Non-Atomic Games, 1974). For risks that are
  smooth in x; the contributions of a mixture are the weighted means of its members' contributions;
- by Shapley's value over the sources, each either the patient's or 0 (Lundberg & Lee, NeurIPS 2017), for risks that
  jump, as those of trees do: exactly for few sources, else over random orders and their reverses (Mitchell et al., J
  Mach Learn Res 2022;23(43)).

Both sum to the difference. That is checked for every row, and what does not hold is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from features.errors import SequelaError
from features.patients import FloatArray, Patients
from training.models.attribution import TOLERANCE, Subject, adds_up, along_path, by_orders, gap_of, no_contributions
from training.models.conformal import WithIntervals
from training.models.mixture import Mixture
from training.models.predictor import Predictor
from training.models.recalibration import Recalibrated
from training.models.risk_model import FittedRiskModel
from training.models.seeing import materials_of, seeing

Method = Literal["auto", "path", "permutation"]
JUMPING = frozenset({"forest", "boosting", "in_context"})
"""Kinds of predictors whose risk jumps: a step function of x, or one of its ranks in a cohort."""
SINGLE = frozenset({"network"})
"""Kinds that answer in single precision, too coarse for differences: by their gradient, or by orders inside another."""
ROUNDING = 1e-9
WORDS = 5e-4
"""Contributions below this would read 0.0 %."""
CELLS = "cells"
"""Source of what single cells add, for models that look at them."""


@dataclass(frozen=True, slots=True)
class Contributions:
    """What each source adds to, or takes from, the risk of the average patient at each horizon."""

    sources: tuple[str, ...]
    """As in `PatientEncoder.column_sources`, without repeats."""
    horizons_days: FloatArray
    """(horizons,)"""
    values: FloatArray
    """(rows, causes, horizons, sources): absolute risk, 0.041 for 4.1 percentage points."""
    risk: FloatArray
    """(rows, causes, horizons)."""
    reference: FloatArray
    """(rows, causes, horizons): risk at x = 0, from the row's landmark day."""
    standard_error: FloatArray
    """As `values`: of the sampling of orders; 0 where nothing was sampled."""

    def ranked(self, row: int, cause: int = 0, horizon: int = -1) -> list[tuple[str, float]]:
        """Sources with their contributions, the largest in absolute value first, without those that are 0 to 10⁻⁹."""
        named = zip(self.sources, map(float, self.values[row, cause, horizon]), strict=True)
        return sorted((pair for pair in named if abs(pair[1]) > ROUNDING), key=lambda pair: (-abs(pair[1]), pair[0]))

    def sentences(self, row: int, cause: int = 0, horizon: int = -1, *, most: int = 5) -> list[str]:
        """The largest contributions of at least 0.05 %, in percentage points: ``measurements.ferritin +4.1 %``."""
        return [
            f"{source} {100 * value:+.1f} %"
            for source, value in self.ranked(row, cause, horizon)[:most]
            if abs(value) >= WORDS
        ]


def explain_patients(
    model: FittedRiskModel,
    patients: Patients,
    horizons_days: Sequence[float] | FloatArray,
    *,
    rng: np.random.Generator,
    method: Method = "auto",
) -> Contributions:
    """Contributions of every source to the risks of patients; see `explain`.

    Where the model looks at single cells, the sources of columns divide the risk without cells, and the source
    ``cells`` is what the patient's cells add to it.
    """
    x, sources = model.encoder.transform(patients), model.encoder.column_sources
    found = explain(model.predictor, x, patients.landmark_day, horizons_days, sources, rng=rng, method=method)
    if not materials_of(model.predictor):
        return found
    risk = seeing(model.predictor, patients).incidence(x, patients.landmark_day, found.horizons_days)
    values = np.concatenate([found.values, (risk - found.risk)[..., None]], axis=-1)
    error = np.concatenate([found.standard_error, np.zeros((*risk.shape, 1))], axis=-1)
    return replace(found, sources=(*found.sources, CELLS), values=values, risk=risk, standard_error=error)


def explain(
    predictor: Predictor,
    x: FloatArray,
    landmark_day: FloatArray,
    horizons_days: Sequence[float] | FloatArray,
    column_sources: Sequence[str],
    *,
    rng: np.random.Generator,
    method: Method = "auto",
    orders: int = 64,
) -> Contributions:
    """Contributions of every source of columns to the risk at each horizon.

    Args:
        predictor: Any predictor.
        x: (rows, features), encoded patients.
        landmark_day: (rows,): held at the patient's own, also in the reference.
        horizons_days: (horizons,), days from the landmark.
        column_sources: (features,), the source of each column; a source's columns move together.
        rng: Draws the orders of sources; used by ``permutation`` alone.
        method: ``path`` and ``permutation`` as above. ``auto`` takes the path, with automatic differentiation where
            there is one and differences elsewhere; for kinds in `JUMPING`, and where the path does not add up, orders.
        orders: Random orders, each with its reverse: ``2 · orders`` in all.

    Raises:
        SequelaError: Contributions that do not add up to `TOLERANCE`.
        ValueError: As many names as there are columns are needed, and at least one order.
    """
    if len(column_sources) != x.shape[1] or orders < 1:
        msg = f"{len(column_sources)} column sources for {x.shape[1]} columns, {orders} orders; at least one order"
        raise ValueError(msg)
    sources = tuple(dict.fromkeys(column_sources))
    of_column = np.array([sources.index(name) for name in column_sources], dtype=np.int64)
    subject = Subject(x, landmark_day, np.asarray(horizons_days, dtype=np.float64), of_column, len(sources))
    risk, reference = subject.risk(predictor, x), subject.risk(predictor, np.zeros_like(x))
    values, error = _contributions(predictor, subject, method, orders, rng)
    _require_sum(values, risk - reference)
    return Contributions(sources, subject.horizons_days, values, risk, reference, error)


def _contributions(
    predictor: Predictor, subject: Subject, method: Method, orders: int, rng: np.random.Generator
) -> tuple[FloatArray, FloatArray]:
    """Contributions and their standard errors, (rows, causes, horizons, sources) each."""
    if subject.n_sources == 0:
        nothing = no_contributions(predictor, subject)
        return nothing, nothing
    if isinstance(predictor, WithIntervals):
        return _contributions(predictor.model, subject, method, orders, rng)
    if isinstance(predictor, Mixture):
        used = np.flatnonzero(predictor.weights)
        parts = [_contributions(predictor.members[i], subject, method, orders, rng) for i in used]
        values, errors = (np.stack(part) for part in zip(*parts, strict=True))
        squared = np.tensordot(predictor.weights[used] ** 2, errors**2, axes=1)
        return np.tensordot(predictor.weights[used], values, axes=1), np.sqrt(squared)
    if method == "permutation" or (method == "auto" and _needs_orders(predictor)):
        return by_orders(predictor, subject, orders, rng)
    values, sloped = along_path(predictor, subject)
    if method == "auto" and not (sloped and adds_up(predictor, subject, values).all()):
        return by_orders(predictor, subject, orders, rng)
    return values, np.zeros_like(values)


def _needs_orders(predictor: Predictor) -> bool:
    """Whether the risk jumps, or is a function of another's that jumps or is too coarse for differences."""
    if not isinstance(predictor, Recalibrated):
        return predictor.kind in JUMPING
    below: list[Predictor] = [predictor.model]
    kinds = set()
    while below:
        one = below.pop()
        kinds.add(one.kind)
        if isinstance(one, Recalibrated | WithIntervals):
            below.append(one.model)
        elif isinstance(one, Mixture):
            below += one.members
    return bool(kinds & (JUMPING | SINGLE))


def _require_sum(values: FloatArray, difference: FloatArray) -> None:
    gap = gap_of(values, difference)
    if not (gap <= TOLERANCE).all():  # also where it is NaN
        msg = (
            f"explanation: the contributions of row {int(np.nan_to_num(gap, nan=np.inf).argmax())} miss the difference "
            f"of its risk and that of the average patient by {gap.max():.2g}; at most {TOLERANCE:g} is accepted. "
            "Ask for the method 'permutation'."
        )
        raise SequelaError(msg)
