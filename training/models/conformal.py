"""A model with its uncertainty: intervals for the risk at a horizon, and days that a patient will outlast.

Two different questions. *How well is this patient's risk known?* is answered by the spread of refits of the model
(`WithIntervals.interval`). *How long will nothing happen to this patient?* is answered by a lower bound of the time to
the first event (`WithIntervals.event_free_days`), which says something about the patient's fate, not about the model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import NormalDist
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from features.patients import FloatArray
from training.models.predictor import Arrays, Predictor, Sizes
from training.models.stretch import MOST_APART, Stretch, log_cumulative_hazard, risk_of

STRETCH = "stretch"
WITHOUT = "without"
"""Arrays of the model that a refit does not have; all others that it does not name are the model's."""


@dataclass(frozen=True, slots=True)
class Uncertainty:
    """What is learnt about a model's errors."""

    misfit: FloatArray
    """(causes,): variance of errors that refits do not show, on the scale of log(−log(1 − F))."""
    times_days: FloatArray
    """(times,): days that a bound may fall on, ascending; the last of them is as far as anything was learnt."""
    levels: FloatArray
    """(levels,): probabilities of outlasting the bound, ascending."""
    thresholds: FloatArray
    """(levels,): the bound is where the predicted risk of any event passes the threshold of its level."""


class WithIntervals:
    """A predictor, refits of it on outcomes simulated from it, and what was learnt out of fold about its errors."""

    kind: ClassVar[str] = "with_intervals"

    def __init__(
        self,
        model: Predictor,
        refits: tuple[Predictor, ...],
        uncertainty: Uncertainty,
        stretch: Stretch | None = None,
    ) -> None:
        """The predictor answers; the refits, of the predictor stretched, say how far it may be off."""
        self.model = model
        self.refits = refits
        self.uncertainty = uncertainty
        self.stretch = stretch or Stretch.none(len(uncertainty.misfit))

    def incidence(
        self, x: NDArray[np.float64], landmark_day: NDArray[np.float64], times_days: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Incidences (rows, causes, times) of the predictor itself."""
        return self.model.incidence(x, landmark_day, times_days)

    def interval(
        self,
        x: NDArray[np.float64],
        landmark_day: NDArray[np.float64],
        horizons_days: NDArray[np.float64],
        level: float = 0.9,
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Low and high ends (rows, causes, horizons) of an interval for the true risk given the model's features.

        On the scale θ = log(−log(1 − F)) it is θ ± z √(s² + v): s² is the mean squared difference of the refits to
        what they were to recover, the predictor stretched (each `MOST_APART` at most), so it holds both the variance
        and the bias of fitting; v is the misfit found out of fold (see `training.out_of_fold.conformal`). It covers the
        risk with probability `level` on average over patients, as far as both are known; it is no promise for each one.

        Raises:
            ValueError: A level outside (0, 1).
        """
        if not 0 < level < 1:
            msg = f"level = {level:g}; must lie between 0 and 1"
            raise ValueError(msg)
        centre = log_cumulative_hazard(self.model.incidence(x, landmark_day, horizons_days))
        truth, squared = self.stretch.theta(centre, landmark_day, horizons_days), np.zeros_like(centre)
        for refit in self.refits:
            apart = log_cumulative_hazard(refit.incidence(x, landmark_day, horizons_days)) - truth
            squared += np.clip(apart, -MOST_APART, MOST_APART) ** 2
        variance = squared / max(len(self.refits), 1) + self.uncertainty.misfit[:, None]
        reach = NormalDist().inv_cdf((1 + level) / 2) * np.sqrt(variance)
        return risk_of(centre - reach), risk_of(centre + reach)

    def event_free_days(
        self, x: NDArray[np.float64], landmark_day: NDArray[np.float64], level: float = 0.9
    ) -> NDArray[np.float64]:
        """Days (rows,) that each patient outlasts without any event, with probability `level` or more.

        Raises:
            ValueError: A level for which nothing was learnt.
        """
        known = self.uncertainty
        found = np.flatnonzero(np.isclose(known.levels, level))
        if not len(found):
            msg = f"level = {level:g}; known are {', '.join(f'{one:g}' for one in known.levels)}"
            raise ValueError(msg)
        incidence = self.model.incidence(x, landmark_day, known.times_days)
        return bound_days(incidence, known.times_days, float(known.thresholds[found[0]]))

    @property
    def parts(self) -> tuple[Predictor, ...]:
        """The predictor, and its refits."""
        return (self.model, *self.refits)

    @property
    def shares(self) -> NDArray[np.float64]:
        """(1 + refits,): the predictor answers alone."""
        shares = np.zeros(1 + len(self.refits))
        shares[0] = 1.0
        return shares

    def with_parts(self, parts: Sequence[Predictor]) -> Self:
        """The same uncertainty around another predictor and its refits."""
        return type(self)(parts[0], tuple(parts[1:]), self.uncertainty, self.stretch)

    def state(self) -> tuple[Sizes, dict[str, NDArray[Any]]]:
        """Kinds and sizes; arrays are named ``model/…``, and ``i/…`` of refit i where they are not the model's."""
        of_model, common = self.model.state()
        sizes: dict[str, Any] = {"model": {"kind": self.model.kind, "sizes": of_model}}
        arrays = {f"model/{key}": value for key, value in common.items()}
        for number, refit in enumerate(self.refits):
            own, named = refit.state()
            without = sorted(common.keys() - named.keys())
            sizes[str(number)] = {"kind": refit.kind, "sizes": own, WITHOUT: without}
            arrays |= {f"{number}/{key}": a for key, a in named.items() if not _same(a, common.get(key))}
        known = self.uncertainty
        arrays |= {"misfit": known.misfit, "times_days": known.times_days}
        arrays |= {"levels": known.levels, "thresholds": known.thresholds}
        arrays |= {f"{STRETCH}/{name}": value for name, value in asdict(self.stretch).items()}
        return sizes, arrays

    @classmethod
    def from_state(cls, sizes: Sizes, arrays: Arrays) -> Self:
        """Rebuild what `state` described."""
        from training.models.mixture import rebuild  # which knows this class

        def named(name: str) -> dict[str, NDArray[Any]]:
            return {key.removeprefix(f"{name}/"): a for key, a in arrays.items() if key.startswith(f"{name}/")}

        common = named("model")

        def part(name: str) -> Predictor:
            held = sizes[name]
            shared = {key: a for key, a in common.items() if key not in held[WITHOUT]} if WITHOUT in held else {}
            return rebuild(held["kind"], held["sizes"], shared | named(name))

        refits = tuple(part(str(i)) for i in range(len(sizes) - 1))
        known = [arrays[name] for name in ("misfit", "times_days", "levels", "thresholds")]
        stretch = named(STRETCH)
        return cls(part("model"), refits, Uncertainty(*known), Stretch(**stretch) if stretch else None)


def _same(one: NDArray[Any], other: NDArray[Any] | None) -> bool:
    return other is not None and one.dtype == other.dtype and np.array_equal(one, other)


def bound_days(incidence: NDArray[np.float64], times_days: FloatArray, threshold: float) -> NDArray[np.float64]:
    """(rows,): the last of the days by which the predicted risk of any event (rows, causes, times) is ≤ threshold.

    0 where the first is too late already.
    """
    passed = (incidence.sum(axis=1) <= threshold).sum(axis=1)  # which does not decrease, so these come first
    days: NDArray[np.float64] = np.concatenate([[0.0], times_days])[passed]
    return days
