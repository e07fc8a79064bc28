"""Numbers beside what chance gives of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from features.patients import FloatArray
from training.evaluation.arrays import ratio


@dataclass(frozen=True, slots=True)
class AgainstExchanged:
    """A number for each of some things, beside what patients with one another's cells give."""

    observed: FloatArray
    """(things,)."""
    exchanged: FloatArray
    """(exchanges, things)."""

    @property
    def p(self) -> FloatArray:
        """(things,): (1 + exchanged ≥ observed) / (1 + exchanges), a NaN of these counting as reached."""
        return self._p(self.exchanged)

    def p_of_largest(self, among: NDArray[np.bool_]) -> FloatArray:
        """(things,): as `p`, against the largest known of all `among` (things,), which corrects for their number.

        NaN for others; an exchange of which none is known counts as reached.
        """
        if not among.any():
            return np.full(len(self.observed), np.nan)
        own = self.exchanged[:, among]
        known = np.isfinite(own)
        largest = np.where(known.any(axis=1), np.where(known, own, -np.inf).max(axis=1), np.nan)
        return np.where(among, self._p(largest[:, None]), np.nan)

    def _p(self, exchanged: FloatArray) -> FloatArray:
        reached = (~(exchanged < self.observed)).sum(axis=0)
        return np.where(np.isfinite(self.observed), (1 + reached) / (1 + len(exchanged)), np.nan)


def mean_of_known(values: FloatArray) -> FloatArray:
    """Mean over the first axis of what is not NaN; NaN where nothing is."""
    known = np.isfinite(values)
    mean: FloatArray = ratio(np.where(known, values, 0.0).sum(axis=0), known.sum(axis=0))
    return mean
