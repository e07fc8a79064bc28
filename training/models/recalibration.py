"""Recalibration: another model's cause-specific hazards, their level and their spread set right.

The hazard of cause k is multiplied by exp(α_k) ρ^(β_k − 1), where ρ is the patient's cumulative hazard Λ_k(t|x) over
the training patients' mean Λ̄_k(t), a quarter of that of the whole follow-up added to both: of the first days, where
hardly anything has happened, the ratio would be noise. Where hazards are proportional, ρ does not change with time, and
this is the calibration intercept and slope of a hazard model, log Λ_new = log Λ̄ + α + β log ρ (van Houwelingen, Stat
Med 2000;19:3401; Royston & Altman, BMC Med Res Methodol 2013;13:33): α sets right how many events there are, β ≥ 0 how
far patients are apart. Because hazards are multiplied by something positive, incidences begin at 0, do not decrease,
and their sum stays below 1, for every α and β.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from features.patients import FloatArray
from training.models.predictor import Arrays, Predictor, Sizes

MOST_SPREAD = 5.0
"""|log ρ| is held below, so that no patient overflows."""
ADDED = 0.25
"""Share of the hazard of the whole follow-up that steadies ρ."""
SMALLEST = 1e-12
FEWEST_FREE = 1e-8
"""The event-free share is held above: nearer to 0 its logarithm is made of rounding."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """What is learnt."""

    edges_days: FloatArray
    """(bins + 1,): bins of follow-up, the first edge 0."""
    mean_log_hazard: NDArray[np.float64]
    """(causes, bins): log of Λ̄ at the bins' ends, a quarter of its last value added."""
    level: NDArray[np.float64]
    """(causes,): α; 0 changes nothing."""
    spread: NDArray[np.float64]
    """(causes,): β; 1 changes nothing."""
    covariance: NDArray[np.float64]
    """(causes, 2, 2): of α and β, how well they are known."""

    def drawn(self, rng: np.random.Generator) -> Calibration:
        """As it might have been learnt from other patients: normal draws of α and β."""
        root = np.linalg.cholesky(self.covariance)
        change = np.einsum("kij,kj->ki", root, rng.standard_normal((len(self.level), 2)))
        spread = np.maximum(self.spread + change[:, 1], 0.0)
        return replace(self, level=self.level + change[:, 0], spread=spread)

    def log_ratio(self, hazards: NDArray[np.float64]) -> NDArray[np.float64]:
        """Log ρ (rows, causes, bins) at the ends of the bins, of increments of the hazards (rows, causes, bins)."""
        ratio = np.log(steadied(hazards)) - self.mean_log_hazard
        held: NDArray[np.float64] = np.clip(ratio, -MOST_SPREAD, MOST_SPREAD)
        return held

    def apply(self, hazards: NDArray[np.float64]) -> NDArray[np.float64]:
        """Recalibrated increments (rows, causes, bins)."""
        power = self.level[:, None] + (self.spread[:, None] - 1) * self.log_ratio(hazards)
        new: NDArray[np.float64] = hazards * np.exp(power)
        return new


def steadied(hazards: NDArray[np.float64]) -> NDArray[np.float64]:
    """Cumulative hazards (…, bins) at the bins' ends, a share of that of the whole follow-up added."""
    cumulative = np.cumsum(hazards, axis=-1)
    added: NDArray[np.float64] = np.maximum(cumulative + ADDED * cumulative[..., -1:], SMALLEST)
    return added


def cause_hazards(incidence: NDArray[np.float64]) -> NDArray[np.float64]:
    """Increments (…, causes, bins) of the cumulative cause-specific hazards behind incidences (…, causes, edges).

    Within a bin the share of a cause in the total hazard is its share in the total incidence, as for hazards that are
    proportional to one another within the bin.
    """
    gained = np.maximum(np.diff(incidence, axis=-1), 0.0)
    free = np.maximum(1.0 - incidence.sum(axis=-2), FEWEST_FREE)
    lost = gained.sum(axis=-2)
    total = np.maximum(np.log(free[..., :-1] / free[..., 1:]), 0.0)
    share = np.divide(gained, lost[..., None, :], out=np.zeros_like(gained), where=lost[..., None, :] > 0)
    hazards: NDArray[np.float64] = share * total[..., None, :]
    return hazards


def gained_incidence(hazards: NDArray[np.float64]) -> NDArray[np.float64]:
    """Incidence gained in each bin (…, causes, bins), the inverse of `cause_hazards`."""
    total = hazards.sum(axis=-2)
    left = np.exp(-np.cumsum(total, axis=-1))
    start = np.concatenate([np.ones_like(left[..., :1]), left[..., :-1]], axis=-1)
    lost = start * -np.expm1(-total)
    share = np.divide(hazards, total[..., None, :], out=np.zeros_like(hazards), where=total[..., None, :] > 0)
    gained: NDArray[np.float64] = share * lost[..., None, :]
    return gained


class Recalibrated:
    """A predictor whose hazards are recalibrated; constant after the last edge."""

    kind: ClassVar[str] = "recalibrated"

    def __init__(self, model: Predictor, calibration: Calibration) -> None:
        """The predictor, and what was learnt about its out-of-fold predictions."""
        self.model = model
        self.calibration = calibration

    def incidence(
        self, x: NDArray[np.float64], landmark_day: NDArray[np.float64], times_days: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Incidences (rows, causes, times); within a bin, each cause gains as fast as in the predictor below."""
        edges = self.calibration.edges_days
        within = np.clip(times_days, 0.0, edges[-1])
        asked = np.unique(np.concatenate([edges, within]))
        base = self.model.incidence(x, landmark_day, asked)
        at_edges = base[..., np.searchsorted(asked, edges)]
        gained = gained_incidence(self.calibration.apply(cause_hazards(at_edges)))
        bin_of = np.clip(np.searchsorted(edges, within, side="right") - 1, 0, len(edges) - 2)
        whole = np.diff(at_edges, axis=-1)[..., bin_of]
        part = base[..., np.searchsorted(asked, within)] - at_edges[..., bin_of]
        progress = np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)
        before = np.concatenate([np.zeros_like(gained[..., :1]), np.cumsum(gained, axis=-1)], axis=-1)
        values: NDArray[np.float64] = before[..., bin_of] + np.clip(progress, 0.0, 1.0) * gained[..., bin_of]
        return values

    @property
    def parts(self) -> tuple[Predictor, ...]:
        """The predictor below."""
        return (self.model,)

    @property
    def shares(self) -> NDArray[np.float64]:
        """It counts alone."""
        return np.ones(1)

    def with_parts(self, parts: Sequence[Predictor]) -> Self:
        """The same calibration of another predictor."""
        (model,) = parts
        return type(self)(model, self.calibration)

    def state(self) -> tuple[Sizes, dict[str, NDArray[Any]]]:
        """Kind and sizes of the predictor below; its arrays are named ``model/…``."""
        sizes, arrays = self.model.state()
        named = {f"model/{name}": value for name, value in arrays.items()}
        learnt = self.calibration
        named |= {"edges_days": learnt.edges_days, "mean_log_hazard": learnt.mean_log_hazard}
        named |= {"level": learnt.level, "spread": learnt.spread, "covariance": learnt.covariance}
        return {"kind": self.model.kind, "sizes": sizes}, named

    @classmethod
    def from_state(cls, sizes: Sizes, arrays: Arrays) -> Self:
        """Rebuild what `state` described."""
        from training.models.mixture import rebuild  # which knows this class

        below = {name.removeprefix("model/"): a for name, a in arrays.items() if name.startswith("model/")}
        own = [arrays[name] for name in ("edges_days", "mean_log_hazard", "level", "spread", "covariance")]
        return cls(rebuild(sizes["kind"], sizes["sizes"], below), Calibration(*own))
