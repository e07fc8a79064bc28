"""The in-context model as a predictor: the network's weights, and the cohort that it has read."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from features.outcomes import Outcomes
from features.scaling import CLIP
from training.models.bins import interpolate
from training.models.cohort_context import CohortContext, event_edges
from training.models.in_context import InContextModule, InContextSizes, Memory
from training.models.predictor import Arrays, Predictor, Sizes
from training.models.seeing import is_composite

BLOCK_ROWS = 2048
"""Rows that are asked about at once."""
WEIGHT = "network."


@dataclass(frozen=True, slots=True)
class Cohort:
    """The rows that the network reads: they are in the artifact, encoded, with no identifier."""

    x: NDArray[np.float32]
    """(rows, features)."""
    duration_days: NDArray[np.float64]
    cause: NDArray[np.int64]
    entry_days: NDArray[np.float64]
    """(rows,) each."""
    n_causes: int

    @classmethod
    def of(cls, x: NDArray[np.float64], outcomes: Outcomes) -> Cohort:
        """The rows of a training fold."""
        cause = outcomes.cause.astype(np.int64)
        return cls(x.astype(np.float32), outcomes.duration_days, cause, outcomes.entered, len(outcomes.causes))

    @property
    def longest_days(self) -> float:
        """Of follow-up: the network's unit of time."""
        return float(self.duration_days.max())

    def course(self) -> tuple[Tensor, Tensor, Tensor]:
        """Time, cause and entry (rows,) as the network reads them."""
        time, entry = (
            torch.from_numpy(days / self.longest_days).float() for days in (self.duration_days, self.entry_days)
        )
        return time, torch.from_numpy(self.cause), entry


@dataclass(frozen=True, slots=True)
class Scaling:
    """Columns of a cohort, standardised by its own means and standard deviations."""

    mean: Tensor
    sd: Tensor
    """(features,) each."""

    @classmethod
    def of(cls, x: Tensor) -> Self:
        """That of rows (rows, features)."""
        mean = x.mean(dim=0)
        return cls(mean, (x - mean).square().mean(dim=0).sqrt())

    @property
    def there(self) -> Tensor:
        """(features,): columns that are not the same in all rows."""
        return self.sd > 1e-6

    def __call__(self, x: Tensor) -> Tensor:
        """Rows (rows, features), standardised; 0 in columns that are not there."""
        return ((x - self.mean) / self.sd.clamp(min=1e-6)).clamp(-CLIP, CLIP) * self.there


@dataclass(slots=True)
class InContext:
    """Hazards of all causes, each read from the cohort by the same network; incidences follow from them together."""

    kind: ClassVar[str] = "in_context"
    module: InContextModule
    cohort: Cohort
    _memories: list[Memory] = field(init=False, repr=False)
    _log_base: Tensor = field(init=False, repr=False)
    """(causes, bins)."""
    _edges_days: NDArray[np.float64] = field(init=False, repr=False)
    _scaling: Scaling = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Read the cohort."""
        self.module.eval()
        raw = torch.from_numpy(self.cohort.x)
        self._scaling = Scaling.of(raw)
        self._read(self._scaling(raw)[None])

    @torch.no_grad()
    def _read(self, x: Tensor) -> None:
        cohort = self.cohort
        time, cause, entry = (one[None] for one in cohort.course())
        edges = event_edges(time, cause, self.module.sizes.bins)
        self._edges_days = edges[0].double().numpy() * cohort.longest_days
        there = self._scaling.there[None]
        contexts = [CohortContext.of(edges, time, cause, entry, k + 1) for k in range(cohort.n_causes)]
        self._log_base = torch.cat([context.base_hazards()[0] for context in contexts]).log()
        self._memories = [self.module.read(x, there, context) for context in contexts]

    @torch.no_grad()
    def incidence(
        self, x: NDArray[np.float64], landmark_day: NDArray[np.float64], times_days: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Incidences (rows, causes, times); smooth within bins, constant after the last event of the cohort."""
        del landmark_day  # a feature, where there are several
        parts = []
        for rows in np.array_split(np.arange(len(x)), max(1, -(-len(x) // BLOCK_ROWS))):
            asked = self._scaling(torch.from_numpy(x[rows].astype(np.float32)))[None]
            shift = torch.cat([self.module.answer(memory, asked) for memory in self._memories]).transpose(0, 1)
            expected = (self._log_base + shift).exp().double().numpy()
            parts.append(interpolate(expected, -expected.sum(axis=1), self._edges_days, times_days))
        return np.concatenate(parts)

    def state(self) -> tuple[Sizes, dict[str, NDArray[Any]]]:
        """The network's sizes and weights, and the cohort."""
        weights = {WEIGHT + name: value.numpy() for name, value in self.module.state_dict().items()}
        cohort = asdict(self.cohort)
        n_causes = cohort.pop("n_causes")
        return {**asdict(self.module.sizes), "n_causes": n_causes}, weights | cohort

    @classmethod
    def from_state(cls, sizes: Sizes, arrays: Arrays) -> Self:
        """Rebuild what `state` described."""
        network = dict(sizes)
        n_causes = network.pop("n_causes")
        module = InContextModule(InContextSizes(**network))
        weights = {name.removeprefix(WEIGHT): value for name, value in arrays.items() if name.startswith(WEIGHT)}
        module.load_state_dict({name: torch.from_numpy(np.array(value)) for name, value in weights.items()})
        cohort = {name: value for name, value in arrays.items() if not name.startswith(WEIGHT)}
        return cls(module, Cohort(**cohort, n_causes=n_causes))


def rows_held(predictor: Predictor) -> int:
    """Rows of the training cohort that a predictor carries, those of the part that carries most; 0 for most kinds."""
    if isinstance(predictor, InContext):
        return len(predictor.cohort.x)
    return max(map(rows_held, predictor.parts), default=0) if is_composite(predictor) else 0
