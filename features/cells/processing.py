"""From the cells of a sample as they were read to those that become features: the same in training and in serving.

Quality control, doublets, cell types, CAR-positive cells; each cell or each sample by itself, nothing fitted here. Only
the doublets need more than numpy, and they are looked for only when features are built, never in serving.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from features.cells.annotation import marker_labels, require_parents
from features.cells.bag import UNLABELLED, CellBag
from features.cells.quality import CellQuality, measure, select_cells
from features.cells.reference_mapping import ReferenceMapper
from features.cells.transgene import car_positive
from features.errors import SequelaError
from features.patients import FloatArray
from features.schema import Frozen

Share = Annotated[float, Field(ge=0, le=1)]


class CellProcessing(Frozen):
    """How the cells of a sample are processed; part of a run's configuration and of the artifact."""

    min_counts: Annotated[int, Field(ge=0)] = 0
    """Cells with fewer counts are left out."""
    min_genes: Annotated[int, Field(ge=0)] = 0
    """Cells with fewer genes are left out."""
    max_mitochondrial: Share = 1.0
    """Cells with a larger mitochondrial share of their counts are left out."""
    doublets: Literal["keep", "flag", "drop"] = "keep"
    """Whether doublets are looked for (needs scanpy and scikit-image), and left out. Never in serving."""
    annotation: Literal["given", "markers", "reference"] = "given"
    """Where cell types come from: obs.cell_type, markers, or a fitted reference mapper."""
    markers: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """Markers by type, ``{T: [CD3D, CD3E], T/CD8: [CD8A, CD8B]}``; none: the built-in ones."""
    reference: Path | None = None
    """File of a fitted reference mapper."""
    reference_sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    """Digest that the file must have; `resolved` fills it in."""
    transgene: tuple[str, ...] = ()
    """Names of the CAR construct's columns."""
    cofactor: Annotated[float, Field(gt=0)] | None = None
    """Intensities become arcsinh(value / cofactor), customarily with 5 for mass and 150 for flow cytometry; None leaves
    them as they are."""
    minimum_overlap: Share = 0.5
    """Cells are refused whose panel has a smaller share of the genes of the markers or of the reference."""

    @model_validator(mode="after")
    def _consistent(self) -> CellProcessing:
        if (self.annotation == "reference") != (self.reference is not None):
            msg = "annotation: reference goes with the file of a fitted mapper in reference, and only with one"
            raise ValueError(msg)
        if self.markers and self.annotation != "markers":
            msg = "markers are given and annotation is not markers: set annotation: markers, or leave them out"
            raise ValueError(msg)
        if self.cofactor is not None and _needs_counts(self):
            msg = f"{_needs_counts(self)} needs raw counts, and a cofactor says that values are intensities"
            raise ValueError(msg)
        return self

    def resolved(self) -> CellProcessing:
        """The same with the digest of the reference's file, so that equal configurations mean equal results.

        Raises:
            SequelaError: The file cannot be read.
        """
        return self if self.reference is None else self.model_copy(update={"reference_sha256": _sha256(self.reference)})


class CellProcessor:
    """Processes one sample after the other; it can be pickled for worker processes.

    Args:
        config: What to do.
        counts: Whether values are raw counts, or intensities.

    Raises:
        SequelaError: The reference cannot be read or has another digest, or a step needs counts and there are none.
    """

    def __init__(self, config: CellProcessing, *, counts: bool = True) -> None:
        counts = counts and config.cofactor is None
        mapper = None
        if config.reference is not None:
            if config.reference_sha256 not in (None, _sha256(config.reference)):
                msg = f"reference: {config.reference.name} is not the file that was used; restore it, or build anew"
                raise SequelaError(msg)
            mapper = ReferenceMapper.load(config.reference)
        self._set(config, mapper, counts=counts)

    def _set(self, config: CellProcessing, mapper: ReferenceMapper | None, *, counts: bool) -> None:
        require_parents(config.markers)
        if not counts and _needs_counts(config):
            msg = f"{_needs_counts(config)} needs raw counts, and the cells hold intensities; leave it out"
            raise SequelaError(msg)
        if mapper is not None and mapper.counts != counts:
            kinds = ("intensities", "raw counts")
            msg = f"reference: fitted on {kinds[mapper.counts]}, and the cells hold {kinds[counts]}; fit another"
            raise SequelaError(msg)
        self.config, self.mapper, self.counts = config, mapper, counts

    def __call__(self, bag: CellBag) -> tuple[CellBag, dict[str, float]]:
        """Process the cells of one sample, whose genes are canonical; the panel stays as it is.

        Returns:
            The cells that are kept, with their types; and numbers of the sample, NaN where one is not known:
            ``n_cells_read``, ``n_cells_kept``; of the cells kept, ``median_counts``, ``median_genes``,
            ``mitochondrial_share`` (median), ``car_positive_share`` and ``labelled_share``; and of the cells that pass
            the thresholds, ``doublet_share``.

        Raises:
            SequelaError: A value is impossible, or too few genes are on the panel.
        """
        if not np.isfinite(bag.values).all() or (self.counts and (bag.values < 0).any()):
            msg = "cells: every value must be finite, and every raw count at least 0; check the expression matrix"
            raise SequelaError(msg)
        n_read = len(bag)
        quality = measure(bag)
        kept = quality.passing(self.config.min_counts, self.config.min_genes, self.config.max_mitochondrial)
        bag = select_cells(bag, kept)
        bag, doublet_share, single = self._without_doublets(bag)
        kept[kept] = single
        if self.config.cofactor is not None:
            bag = replace(bag, values=np.arcsinh(bag.values / self.config.cofactor))
        bag = self._annotated(bag)
        numbers = {"n_cells_read": float(n_read), "n_cells_kept": float(len(bag))}
        return bag, numbers | self._numbers(bag, quality, kept) | {"doublet_share": doublet_share}

    def _without_doublets(self, bag: CellBag) -> tuple[CellBag, float, NDArray[np.bool_]]:
        """Cells, share of doublets, and which cells are kept."""
        every = np.ones(len(bag), dtype=bool)
        if self.config.doublets == "keep":
            return bag, float("nan"), every
        from features.cells.doublets import doublets

        called = doublets(bag)
        if called is None:
            return bag, float("nan"), every
        single = ~called if self.config.doublets == "drop" else every
        return select_cells(bag, single), float(called.mean()), single

    def _annotated(self, bag: CellBag) -> CellBag:
        if self.config.annotation == "markers":
            return replace(bag, cell_type=marker_labels(bag, self.config.markers, self.config.minimum_overlap))
        if self.mapper is not None:
            return replace(bag, cell_type=self.mapper.assign(bag, self.config.minimum_overlap))
        return bag

    def _numbers(self, bag: CellBag, quality: CellQuality, kept: NDArray[np.bool_]) -> dict[str, float]:
        positive = car_positive(bag, self.config.transgene) if self.counts else None
        return {
            "median_counts": _median(quality.counts[kept]) if self.counts else float("nan"),
            "median_genes": _median(quality.genes[kept]),
            "mitochondrial_share": _median(quality.mitochondrial[kept]) if self.counts else float("nan"),
            "car_positive_share": float("nan") if positive is None or not len(bag) else float(positive.mean()),
            "labelled_share": float((bag.cell_type != UNLABELLED).mean()) if len(bag) else float("nan"),
        }

    def state(self) -> tuple[dict[str, Any], dict[str, FloatArray]]:
        """Plain JSON and named arrays that `from_state` rebuilds the processor from; of a path only the file's name."""
        config = self.config
        if config.reference is not None:
            config = config.model_copy(update={"reference": Path(config.reference.name)})
        sizes: dict[str, Any] = {"config": config.model_dump(mode="json"), "counts": self.counts}
        if self.mapper is None:
            return sizes, {}
        mapper, arrays = self.mapper.state()
        return sizes | {"mapper": mapper}, arrays

    @classmethod
    def from_state(cls, sizes: Mapping[str, Any], arrays: Mapping[str, FloatArray]) -> CellProcessor:
        """Rebuild what `state` described, for serving: doublets are kept, for a request may be a handful of cells."""
        processor = cls.__new__(cls)
        config = CellProcessing.model_validate(sizes["config"]).model_copy(update={"doublets": "keep"})
        mapper = ReferenceMapper.from_state(sizes["mapper"], arrays) if "mapper" in sizes else None
        processor._set(config, mapper, counts=sizes["counts"])
        return processor


def _needs_counts(config: CellProcessing) -> str | None:
    """The first step that only makes sense on raw counts."""
    asked = {
        "min_counts": config.min_counts > 0,
        "max_mitochondrial": config.max_mitochondrial < 1,
        "doublets": config.doublets != "keep",
        "annotation: markers": config.annotation == "markers",
        "transgene": bool(config.transgene),
    }
    return next((name for name, wanted in asked.items() if wanted), None)


def _sha256(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        msg = f"reference: {path.name} cannot be read; name the file of a fitted reference mapper"
        raise SequelaError(msg) from error


def _median(values: FloatArray) -> float:
    return float(np.median(values)) if len(values) else float("nan")
