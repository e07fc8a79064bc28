"""Weighted means of other predictors' incidences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from training.models.aalen_johansen import AalenJohansen
from training.models.bag_network import AttentionNetwork, SetTransformer
from training.models.boosting import Boosting
from training.models.conformal import WithIntervals
from training.models.cox import CauseSpecificCox
from training.models.custom import custom_predictor
from training.models.deephit import DeepHit
from training.models.fine_gray import FineGray
from training.models.forest import Forest
from training.models.in_context_predictor import InContext
from training.models.network import HazardNetwork
from training.models.predictor import Arrays, Predictor, Sizes
from training.models.recalibration import Recalibrated


class Mixture:
    """The linear opinion pool: a weighted mean of incidences keeps every invariant of an incidence."""

    kind: ClassVar[str] = "mixture"

    def __init__(self, members: Sequence[Predictor], weights: Sequence[float]) -> None:
        """Weights are at least 0 and are normalised to sum to 1."""
        self.members = tuple(members)
        self.weights = np.asarray(weights, dtype=float) / float(np.sum(weights))

    def incidence(
        self, x: NDArray[np.float64], landmark_day: NDArray[np.float64], times_days: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Incidences (rows, causes, times)."""
        used = np.flatnonzero(self.weights)
        answers = np.stack([self.members[i].incidence(x, landmark_day, times_days) for i in used])
        mean: NDArray[np.float64] = np.tensordot(self.weights[used], answers, axes=1)
        return mean

    @property
    def parts(self) -> tuple[Predictor, ...]:
        """The members."""
        return self.members

    @property
    def shares(self) -> NDArray[np.float64]:
        """The weights."""
        return self.weights

    def with_parts(self, parts: Sequence[Predictor]) -> Self:
        """Other members with the same weights."""
        return type(self)(parts, self.weights.tolist())

    def state(self) -> tuple[Sizes, dict[str, NDArray[Any]]]:
        """Kinds, sizes and weights; arrays of member i are named ``i/…``."""
        sizes: list[dict[str, Any]] = []
        arrays: dict[str, NDArray[Any]] = {}
        for i, member in enumerate(self.members):
            member_sizes, member_arrays = member.state()
            sizes.append({"kind": member.kind, "sizes": member_sizes})
            arrays |= {f"{i}/{name}": value for name, value in member_arrays.items()}
        return {"weights": self.weights.tolist(), "members": sizes}, arrays

    @classmethod
    def from_state(cls, sizes: Sizes, arrays: Arrays) -> Self:
        """Rebuild what `state` described."""
        members = []
        for i, member in enumerate(sizes["members"]):
            own = {name.removeprefix(f"{i}/"): a for name, a in arrays.items() if name.startswith(f"{i}/")}
            members.append(rebuild(member["kind"], member["sizes"], own))
        return cls(members, sizes["weights"])


PREDICTORS: dict[str, type[Predictor]] = {
    predictor.kind: predictor
    for predictor in (
        AalenJohansen,
        CauseSpecificCox,
        FineGray,
        HazardNetwork,
        Forest,
        Boosting,
        DeepHit,
        InContext,
        Mixture,
        Recalibrated,
        WithIntervals,
        AttentionNetwork,
        SetTransformer,
    )
}
"""Every predictor of ours that an artifact may hold, by kind; installed packages may provide more."""


def predictor_of(kind: str) -> type[Predictor]:
    """The predictor class of a kind, ours or an installed package's.

    Raises:
        SequelaError: There is none, or the package that provides it is broken.
    """
    return PREDICTORS[kind] if kind in PREDICTORS else custom_predictor(kind)


def rebuild(kind: str, sizes: Sizes, arrays: Arrays) -> Predictor:
    """The predictor of a kind from its state.

    Raises:
        SequelaError: The kind is unknown.
        KeyError: An array is absent.
    """
    return predictor_of(kind).from_state(sizes, arrays)
