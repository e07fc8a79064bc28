"""Patients unlike those the model was trained on, though each of their values alone may be usual.

The squared Mahalanobis distance d²(x) = (x − m)ᵀ Σ⁻¹ (x − m) from the training mean m, with the covariance shrunk
towards a multiple of the identity, Σ = (1 − δ) S + δ μ I, δ and μ = tr(S)/p after Ledoit & Wolf (J Multivar Anal
2004;88:365–411) so that there may be more columns than patients. The limit comes from the distances of
training patients to the mean and covariance of the others: distances within the sample would be too small, most of
all with many columns.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from features.patients import FloatArray

SHARE_FLAGGED = 0.01
"""Share of patients like those of training that are flagged."""
Z_SHARE = 2.3263478740408408
"""Upper 1 % point of the standard normal distribution."""
LEAST_SHRINKAGE = 1e-6
"""Keeps Σ invertible where columns are linearly dependent."""


@dataclass(frozen=True, slots=True)
class Novelty:
    """Distance from the training cohort, and the one beyond which patients are flagged; learnt from training rows."""

    mean: FloatArray
    """(features,)"""
    axes: FloatArray
    """(axes, features): orthonormal principal axes of the training rows."""
    variance: FloatArray
    """(axes,): shrunk variance along each."""
    floor: float
    """Shrunk variance in every other direction."""
    limit: float
    """Distance above which a patient is flagged; infinite without columns."""

    @classmethod
    def fit(cls, x: FloatArray, patient_id: NDArray[np.object_]) -> Self:
        """Learn mean, covariance and limit from the matrix of training patients.

        The limit is the 99 % quantile of leave-one-patient-out distances, the order statistic ⌈0.99 (n + 1)⌉ of n rows,
        which a new row of the same distribution exceeds with a probability of at most 1 % (Vovk, Gammerman & Shafer,
        Algorithmic Learning in a Random World, 2005; exact for one row a patient). Below 99 rows there is none: the
        upper 99 % prediction limit for the cube root of d², which is nearly normal for normal x (Wilson & Hilferty,
        PNAS 1931;17:684–688), stands in, and the largest distance where that is larger.

        Args:
            x: (rows, features), the encoder's matrix.
            patient_id: (rows,): all rows of a patient are left out together.

        Raises:
            ValueError: Fewer than 3 patients, or a value that is not finite.
        """
        x = np.asarray(x, dtype=np.float64)
        _, patient = np.unique(patient_id.astype(str), return_inverse=True)
        if len(x) != len(patient) or not np.isfinite(x).all() or patient.max(initial=0) < 2:
            msg = (
                f"novelty: {len(x)} rows of {len(patient)} patient ids; finite values of at least 3 patients are needed"
            )
            raise ValueError(msg)
        mean = x.mean(axis=0)
        centred = x - mean
        axes, scatter = principal_axes(centred)
        delta, target = shrinkage(centred)
        if target <= 0:
            return cls(mean, np.zeros((0, x.shape[1])), np.zeros(0), 1.0, float("inf"))
        delta = max(delta, LEAST_SHRINKAGE)
        floor = delta * target
        left_out = _left_out(centred @ axes.T, scatter, patient, delta, floor)
        variance = (1 - delta) * scatter / len(x) + floor
        return cls(mean, axes, variance, float(floor), float(np.sqrt(_upper(left_out))))

    def distance(self, x: FloatArray) -> FloatArray:
        """(rows,): Mahalanobis distances of encoded patients x (rows, features)."""
        distance: FloatArray = np.sqrt(np.maximum(self.parts(x).sum(axis=1), 0.0))
        return distance

    def outside(self, x: FloatArray) -> NDArray[np.bool_]:
        """(rows,): whether patients are farther from the training cohort than 99 % of its like."""
        flagged: NDArray[np.bool_] = self.distance(x) > self.limit
        return flagged

    def parts(self, x: FloatArray) -> FloatArray:
        """(rows, features): (x − m)_j [Σ⁻¹ (x − m)]_j, which sum to the squared distance: where it comes from."""
        centred = np.asarray(x, dtype=np.float64) - self.mean
        along = centred @ self.axes.T
        weighed = (along * (1 / self.variance - 1 / self.floor)) @ self.axes + centred / self.floor
        parts: FloatArray = centred * weighed
        return parts

    def state(self) -> tuple[dict[str, Any], dict[str, FloatArray]]:
        """Plain JSON (a limit that is infinite as None) and named arrays that `from_state` rebuilds it from."""
        sizes = {"floor": self.floor, "limit": self.limit if np.isfinite(self.limit) else None}
        return sizes, {"mean": self.mean, "axes": self.axes, "variance": self.variance}

    @classmethod
    def from_state(cls, sizes: Mapping[str, Any], arrays: Mapping[str, FloatArray]) -> Self:
        """Rebuild what `state` described."""
        limit = float("inf") if sizes["limit"] is None else float(sizes["limit"])
        return cls(arrays["mean"], arrays["axes"], arrays["variance"], float(sizes["floor"]), limit)


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


def _upper(squared: FloatArray) -> float:
    """Squared distance that a new row exceeds with a probability of about 1 %."""
    n = len(squared)
    place = int(np.ceil((1 - SHARE_FLAGGED) * (n + 1)))
    if place <= n:
        return float(np.partition(squared, place - 1)[place - 1])
    root = np.cbrt(np.maximum(squared, 0.0))
    student = Z_SHARE + (Z_SHARE**3 + Z_SHARE) / (4 * (n - 1))  # Cornish–Fisher, of Student's t with n − 1 degrees
    bound = root.mean() + student * root.std(ddof=1) * np.sqrt(1 + 1 / n)
    return float(max(bound**3, squared.max()))
