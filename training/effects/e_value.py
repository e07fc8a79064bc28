"""How strong a confounder that nobody measured would have to be."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite, sqrt

from training.effects.estimates import NAN, Estimate


@dataclass(frozen=True, slots=True)
class EValue:
    """VanderWeele & Ding, Ann Intern Med 2017;167:268–274.

    The least ratio of risks by which a confounder, beyond those adjusted for, would have to go with the arm and with
    the outcome to explain the estimate away, and to move its interval to no effect. 1: nothing need be explained.
    """

    point: float
    limit: float
    """Of the end of the interval next to 1."""


def e_value(risk_ratio: Estimate) -> EValue:
    """Of a ratio of risks and its interval; NaN where there is none."""
    if not isfinite(risk_ratio.point):
        return EValue(NAN, NAN)
    near = risk_ratio.low if risk_ratio.point >= 1 else risk_ratio.high
    crosses = not isfinite(near) or (near - 1) * (risk_ratio.point - 1) <= 0
    return EValue(_explained(risk_ratio.point), 1.0 if crosses else _explained(near))


def _explained(ratio: float) -> float:
    above = max(ratio, 1 / ratio)
    return above + sqrt(above * (above - 1))
