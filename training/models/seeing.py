"""Predictors that look at cells, wherever they stand: alone, in a mixture, recalibrated, with intervals.

A predictor's `incidence` takes the encoder's matrix alone. `seeing` shows it the samples of the rows it is about to be
asked about, down to the innermost network; around it, whatever only asks for incidences works as for any predictor.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, Self, TypeGuard, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from features.patients import Patients
from training.models.predictor import (
    Arrays,
    CellAttention,
    CellEmbedder,
    CellPredictor,
    KnownSamples,
    Predictor,
    Sizes,
)


@runtime_checkable
class Composite(Predictor, Protocol):
    """A predictor made of others."""

    @property
    def parts(self) -> tuple[Predictor, ...]:
        """The predictors that it asks."""
        ...

    @property
    def shares(self) -> NDArray[np.float64]:
        """(parts,): how much each part's answer counts in its own; they sum to 1."""
        ...

    def with_parts(self, parts: Sequence[Predictor]) -> Self:
        """The same around other predictors."""
        ...


@dataclass(frozen=True, slots=True)
class Seen:
    """A predictor that answers about rows of whom these samples are known."""

    kind: ClassVar[str] = "seen"

    predictor: CellPredictor
    samples: KnownSamples

    def incidence(
        self, x: NDArray[np.float64], landmark_day: NDArray[np.float64], times_days: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Incidences (rows, causes, times); the rows are those of the samples."""
        return self.predictor.incidence_of_cells(x, landmark_day, times_days, self.samples)

    def state(self) -> tuple[Sizes, dict[str, NDArray[Any]]]:
        """That of the predictor: what was shown to it is no part of it."""
        return self.predictor.state()

    @classmethod
    def from_state(cls, sizes: Sizes, arrays: Arrays) -> Self:
        """A view is made by `seeing`, and never stored.

        Raises:
            TypeError: Always.
        """
        msg = "a view of a predictor is made by `seeing`, and never stored"
        raise TypeError(msg)


def seeing(predictor: Predictor, patients: Patients) -> Predictor:
    """The predictor as it answers about these rows, and no others; the same predictor where it looks at no cells.

    Raises:
        SequelaError: It looks at single cells, and only sums over them are at hand.
    """
    return _shown(predictor, KnownSamples.of(patients)) if materials_of(predictor) else predictor


def materials_of(predictor: Predictor) -> tuple[str, ...]:
    """Materials of the samples whose cells a predictor looks at, in its own order; none for most."""
    if looks_at_cells(predictor):
        return predictor.materials
    found = [materials_of(part) for part in predictor.parts] if is_composite(predictor) else []
    return tuple(dict.fromkeys(material for part in found for material in part))


def looks_at_cells(predictor: Predictor) -> TypeGuard[CellPredictor]:
    """Whether a predictor is a `CellPredictor`."""
    return _protocols(predictor)[0]


def is_composite(predictor: Predictor) -> TypeGuard[Composite]:
    """Whether a predictor is a `Composite`."""
    return _protocols(predictor)[1]


_PROTOCOLS: dict[type, tuple[bool, bool]] = {}
"""By class: asking a protocol takes 0.1 ms, and every answer asks ten times."""


def _protocols(predictor: Predictor) -> tuple[bool, bool]:
    kind = type(predictor)
    if kind not in _PROTOCOLS:
        _PROTOCOLS[kind] = isinstance(predictor, CellPredictor), isinstance(predictor, Composite)
    return _PROTOCOLS[kind]


def attention_of(predictor: Predictor, samples: KnownSamples) -> CellAttention:
    """How much each cell, and each sample, counted: the mean over the parts that look at cells, by their shares."""
    if looks_at_cells(predictor):
        return predictor.attention(samples)
    if not is_composite(predictor):
        msg = f"{predictor.kind} pays no attention to single cells"
        raise TypeError(msg)
    shares = [
        share if materials_of(part) else 0.0 for part, share in zip(predictor.parts, predictor.shares, strict=True)
    ]
    looked = np.flatnonzero(shares)
    weights = np.array(shares)[looked] / np.sum(shares)
    found = [attention_of(predictor.parts[i], samples) for i in looked]
    cells = tuple(
        sum((w * one.cells[i] for w, one in zip(weights, found, strict=True)), start=np.zeros(len(samples.bags[i])))
        for i in range(len(samples))
    )
    sample = np.tensordot(weights, np.stack([one.sample for one in found]), axes=1)
    return CellAttention(samples.row, sample, cells)


def embedding_of(predictor: Predictor, samples: KnownSamples) -> NDArray[np.float64]:
    """(rows, widths): what the parts that look at cells, and count, make of the samples; NaN of rows without any."""
    if looks_at_cells(predictor) and isinstance(predictor, CellEmbedder):
        return predictor.embedding(samples)
    found = [np.empty((samples.n_rows, 0))]
    if is_composite(predictor):
        counting = np.flatnonzero(predictor.shares)
        found += [embedding_of(predictor.parts[i], samples) for i in counting]
    return np.hstack(found)


def _shown(predictor: Predictor, samples: KnownSamples) -> Predictor:
    if looks_at_cells(predictor):
        return Seen(predictor, samples)
    if is_composite(predictor):
        return predictor.with_parts([_shown(part, samples) for part in predictor.parts])
    return predictor
