"""Patients unlike those the model was trained on, though each of their values alone may be usual.

The squared Mahalanobis distance d²(x) = (x − m)ᵀ Σ⁻¹ (x − m) from the training mean m, with the covariance shrunk
towards a multiple of the identity, Σ = (1 − δ) S + δ μ I, δ and μ = tr(S)/p after Ledoit & Wolf (J Multivar Anal
2004;88:365–411) so that there may be more columns than patients. What a distance says is told by those of training
patients to the mean and covariance of the others: distances within the sample would be too small, most of all with
many columns. Patients are compared with those of the same landmark: later ones have more values and other spreads.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from features.patients import FloatArray

LEAST_SHRINKAGE = 1e-6
"""Keeps Σ invertible where columns are linearly dependent."""
FEWEST_PATIENTS = 3
"""To be compared with."""
DIGITS = 3
"""Of the distances that are kept, rounded up: no number is that of one patient."""


@dataclass(frozen=True, slots=True)
class Novelty:
    """Distance from the training cohort, and what those of training patients were; learnt from training rows."""

    mean: FloatArray
    """(features,)"""
    axes: FloatArray
    """(axes, features): orthonormal principal axes of the training rows."""
    variance: FloatArray
    """(axes,): shrunk variance along each."""
    floor: float
    """Shrunk variance in every other direction."""
    landmark_days: tuple[float, ...]
    """Of training, ascending."""
    left_out: tuple[FloatArray, ...]
    """For each landmark, distances of its training patients to all others, ascending; infinite without columns."""

    def __post_init__(self) -> None:
        n_axes, n_features = len(self.variance), len(self.mean)
        fits = self.axes.shape == (n_axes, n_features) and len(self.left_out) == len(self.landmark_days) > 0
        if not fits or not self.floor > 0:
            msg = f"novelty: axes {self.axes.shape} of {n_features} features, {n_axes} variances, floor {self.floor:g}"
            raise ValueError(msg)

    @classmethod
    def fit(cls, x: FloatArray, patient_id: NDArray[np.object_], landmark_day: FloatArray) -> Self:
        """Learn mean, covariance and distances from the matrix of training patients.

        Args:
            x: (rows, features), the encoder's matrix.
            patient_id: (rows,): all rows of a patient are left out together.
            landmark_day: (rows,): each patient at most once at each.

        Raises:
            ValueError: Fewer than 3 patients, or a value that is not finite.
        """
        x = np.asarray(x, dtype=np.float64)
        _, patient = np.unique(patient_id.astype(str), return_inverse=True)
        if len(x) != len(patient) or not np.isfinite(x).all() or patient.max(initial=-1) + 1 < FEWEST_PATIENTS:
            msg = (
                f"novelty: {len(x)} rows of {len(patient)} patient ids; finite values of at least {FEWEST_PATIENTS} "
                "patients are needed"
            )
            raise ValueError(msg)
        days = np.unique(landmark_day)
        mean = x.mean(axis=0)
        centred = x - mean
        axes, scatter = principal_axes(centred)
        delta, target = shrinkage(centred)
        if target <= 0:
            nothing = tuple(np.full(int((landmark_day == day).sum()), np.inf) for day in days)
            return cls(mean, np.zeros((0, x.shape[1])), np.zeros(0), 1.0, tuple(map(float, days)), nothing)
        delta = max(delta, LEAST_SHRINKAGE)
        floor = float(delta * target)
        distance = _rounded_up(np.sqrt(_left_out(centred @ axes.T, scatter, patient, delta, floor)))
        left_out = tuple(np.sort(distance[landmark_day == day]) for day in days)
        variance = (1 - delta) * scatter / len(x) + floor
        return cls(mean, axes, variance, floor, tuple(map(float, days)), left_out)

    def distance(self, x: FloatArray) -> FloatArray:
        """(rows,): Mahalanobis distances of encoded patients x (rows, features)."""
        centred = np.asarray(x, dtype=np.float64) - self.mean
        along = centred @ self.axes.T
        rest = centred - along @ self.axes
        distance: FloatArray = np.sqrt((along**2 / self.variance).sum(axis=1) + (rest**2).sum(axis=1) / self.floor)
        return distance

    def share(self, x: FloatArray, landmark_day: FloatArray) -> FloatArray:
        """(rows,): share of training patients of the same landmark at least as unlike the others, from 1/(n + 1) to 1.

        The conformal p-value (1 + #{d_i ≥ d}) / (n + 1) of n distances (Bates, Candès, Lei, Romano & Sesia, Ann Stat
        2023;51:149–178; an outlier by it: Laxhammar & Falkman, 2010), within the category of the landmark (Vovk,
        Gammerman & Shafer, Algorithmic Learning in a Random World, 2005, ch. 4). Of a patient like those of training
        it is ≤ a with a probability of at most about a: not exactly, for d_i are to all others but i itself, d is to
        all. NaN on any other day: ages of values are then others than of any training patient, who seem all strange.
        NaN also of a row of which a feature is not known.

        Args:
            x: (rows, features), the encoder's matrix.
            landmark_day: (rows,).
        """
        distance = self.distance(x)
        share = np.full(len(distance), np.nan)
        for day, left_out in zip(self.landmark_days, self.left_out, strict=True):
            rows, n = (landmark_day == day) & ~np.isnan(distance), len(left_out)
            share[rows] = (1 + n - np.searchsorted(left_out, distance[rows])) / (1 + n)
        return share

    def state(self) -> dict[str, FloatArray]:
        """Named arrays; with `floor`, `landmark_days` and the lengths of `left_out`, `from_state` rebuilds it."""
        return {
            "mean": self.mean,
            "axes": self.axes,
            "variance": self.variance,
            "left_out": np.concatenate(self.left_out),
        }

    @classmethod
    def from_state(
        cls,
        floor: float,
        landmark_days: Sequence[float],
        n_patients: Sequence[int],
        arrays: Mapping[str, FloatArray],
    ) -> Self:
        """Rebuild what `state` described.

        Raises:
            ValueError: The parts do not fit together.
        """
        left_out = arrays["left_out"]
        if left_out.shape != (sum(n_patients),):
            msg = f"novelty: {len(left_out)} distances of {sum(n_patients)} patients"
            raise ValueError(msg)
        by_landmark = tuple(np.split(left_out, np.cumsum(n_patients)[:-1]))
        return cls(arrays["mean"], arrays["axes"], arrays["variance"], floor, tuple(landmark_days), by_landmark)


def shrinkage(centred: FloatArray) -> tuple[float, float]:
    """δ and μ of Ledoit & Wolf 2004, for centred rows (rows, features): 0 and 0 if nothing varies.

    μ = tr(S)/p, d² = ‖S − μI‖²/p, b² = min(d², Σ_i ‖x_i x_iᵀ − S‖² / (n² p)), δ = b²/d²; Frobenius norms, S of n.
    """
    n, p = centred.shape
    if not centred.any():
        return 0.0, 0.0
    gram = (centred @ centred.T if n < p else centred.T @ centred) / n
    squared_norm = float((gram**2).sum())  # ‖S‖², the same from either side
    lengths = (centred**2).sum(axis=1)
    target = float(lengths.mean()) / p
    spread = squared_norm / p - target**2
    noise = (float((lengths**2).sum()) - n * squared_norm) / (n**2 * p)
    return (min(1.0, noise / spread) if spread > 0 else 1.0), target


def principal_axes(centred: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Orthonormal axes (axes, features) of centred rows, and the sum of squares along each (axes,)."""
    n, p = centred.shape
    if p <= n:
        scatter, vectors = np.linalg.eigh(centred.T @ centred)
    else:
        scatter, left = np.linalg.eigh(centred @ centred.T)
    kept = scatter > 1e-12 * max(float(scatter.max(initial=0.0)), 0.0)
    scatter = scatter[kept]
    if p <= n:
        return vectors.T[kept], scatter
    return (centred.T @ left[:, kept] / np.sqrt(scatter)).T, scatter


def _left_out(
    along: FloatArray, scatter: FloatArray, patient: NDArray[np.int64], delta: float, floor: float
) -> FloatArray:
    """(rows,): squared distances of rows to mean and covariance of the other patients, with the same δ and μ.

    Without the r rows of a patient, of mean d̄, the scatter is W − U Uᵀ, U = [d_1 … d_r, r d̄ / √(n − r)], and the mean
    moves by −r d̄ / (n − r). The inverse is that of Sherman, Morrison & Woodbury, in the axes where W is diagonal.
    """
    n = len(along)
    squared = np.empty(n)
    order = np.argsort(patient, kind="stable")
    for rows in np.split(order, np.flatnonzero(np.diff(patient[order])) + 1):
        r = len(rows)
        own = along[rows]
        mean = own.mean(axis=0)
        moved = own + mean * (r / (n - r))
        u = np.vstack([own, mean * (r / np.sqrt(n - r))])
        c = (1 - delta) / (n - r)
        inverse = 1 / (c * scatter + floor)
        cross = (moved * inverse) @ u.T
        core = np.eye(r + 1) - c * (u * inverse) @ u.T
        squared[rows] = (moved**2 * inverse).sum(axis=1) + c * (cross * np.linalg.solve(core, cross.T).T).sum(axis=1)
    return squared


def _rounded_up(distance: FloatArray) -> FloatArray:
    """To `DIGITS` significant digits, upwards, so that no share comes out too small."""
    step = 10.0 ** (np.floor(np.log10(np.maximum(distance, 1e-9))) - DIGITS + 1)
    rounded: FloatArray = np.ceil(distance / step) * step
    return rounded
