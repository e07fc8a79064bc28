"""Sample features: what the latest sample of each material says, up to the landmark.

Composition, program scores and pseudobulk follow from the `CellSummary`; only the pseudobulk's principal components
are fitted, inside the fold.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from features.cells.bag import UNLABELLED
from features.cells.programs import MINIMUM_GENES, PROGRAMS
from features.cells.summary import CellSummary
from features.patients import FloatArray, IntArray, Patients

SampleFeature = Literal["composition", "pseudobulk", "programs"]
PSEUDOCOUNT = 0.5
"""Cells added to each type before the log ratio, so that an absent type stays finite."""
PSEUDOBULK = "pseudobulk"
"""First part of the names of pseudobulk components, which come from all materials together."""
MINIMUM_CELLS = 5
"""A pseudobulk of fewer cells counts as missing."""


def latest_samples(patients: Patients, material: str) -> IntArray:
    """(rows,): index of each row's latest sample of a material with day ≤ its landmark day, or −1."""
    latest = np.full(len(patients), -1, dtype=np.int64)
    if patients.samples is not None:
        row = patients.samples.row
        usable = (patients.samples.material == material) & (patients.samples.day <= patients.landmark_day[row])
        latest[row[usable]] = np.flatnonzero(usable)  # samples ascend by day: the last assignment wins
    return latest


@dataclass(frozen=True, slots=True)
class SampleFeatures:
    """Composition, program scores and pseudobulk components of samples; the fitted part is the components."""

    features: tuple[SampleFeature, ...]
    materials: tuple[str, ...]
    cell_types: tuple[str, ...]
    genes: tuple[str, ...]
    counts: bool
    """Whether sums are of raw counts (else of intensities)."""
    programs: Mapping[str, tuple[str, ...]]
    center: FloatArray
    """(pseudobulk columns,): training means, which also fill in missing pseudobulks."""
    scale: FloatArray
    components: FloatArray
    """(components, pseudobulk columns)."""

    @classmethod
    def fit(
        cls,
        patients: Patients,
        features: Sequence[SampleFeature],
        n_components: int,
        *,
        counts: bool,
        programs: Mapping[str, tuple[str, ...]] | None = None,
    ) -> SampleFeatures | None:
        """Learn vocabulary and components from training patients; None when they have no sample by their landmark."""
        if patients.samples is None or not features:
            return None
        latest = {name: latest_samples(patients, name) for name in sorted(set(patients.samples.material))}
        materials = tuple(name for name, samples in latest.items() if (samples >= 0).any())
        if not materials:
            return None
        summary = patients.samples.summary
        used = np.unique(np.concatenate([samples[samples >= 0] for samples in latest.values()]))
        seen = (summary.n_cells[used] > 0).any(axis=0)  # a type that appears only after the landmark is not known yet
        cell_types = tuple(name for name, known in zip(summary.cell_types, seen, strict=True) if known)
        chosen = PROGRAMS | dict(programs or {})
        usable = {name: genes for name, genes in chosen.items() if _n_shared(genes, summary.genes) >= MINIMUM_GENES}
        empty = np.zeros(0)
        unfitted = cls(tuple(features), materials, cell_types, summary.genes, counts, usable, empty, empty, empty)
        return unfitted._with_components(patients, n_components) if "pseudobulk" in features else unfitted

    def _with_components(self, patients: Patients, n_components: int) -> SampleFeatures:
        """Fit the principal components of the pseudobulks (singular value decomposition of standardised columns)."""
        bulk = self._pseudobulk(patients)
        bulk = bulk[np.isfinite(bulk).any(axis=1)]
        observed = np.isfinite(bulk)
        n = np.maximum(observed.sum(axis=0), 1)
        center = np.where(observed, bulk, 0.0).sum(axis=0) / n
        deviation = np.where(observed, bulk - center, 0.0)
        spread = np.sqrt((deviation**2).sum(axis=0) / n)
        scale = np.where(spread > 1e-8, spread, np.inf)  # constant columns drop out
        kept = principal_axes(deviation / scale, min(n_components, max(1, len(bulk) // 10)))
        return SampleFeatures(
            self.features, self.materials, self.cell_types, self.genes, self.counts, self.programs, center, scale, kept
        )

    def columns(self, patients: Patients) -> dict[str, FloatArray]:
        """Columns of shape (rows,) by name; NaN where a row has no sample of the material by its landmark."""
        columns: dict[str, FloatArray] = {}
        n = len(patients)
        for material in self.materials:
            summary, present = self._latest(patients, material)
            if "composition" in self.features:
                shares = self._composition(summary)
                columns |= {f"{material}:clr({name})": _spread(v, present, n) for name, v in shares.items()}
            if "programs" in self.features:
                scores = self._program_scores(summary)
                columns |= {f"{material}:{name}": _spread(v, present, n) for name, v in scores.items()}
        if "pseudobulk" in self.features:
            bulk = self._pseudobulk(patients)
            centred = np.where(np.isfinite(bulk), (bulk - self.center) / self.scale, 0.0)
            components = np.where(np.isfinite(bulk).any(axis=1, keepdims=True), centred @ self.components.T, np.nan)
            columns |= {f"{PSEUDOBULK}:pc{j + 1}": components[:, j] for j in range(components.shape[1])}
        return columns

    def _latest(self, patients: Patients, material: str) -> tuple[CellSummary, IntArray]:
        """The latest summaries of a material over our vocabulary, and the rows that have one."""
        latest = latest_samples(patients, material)
        present = np.flatnonzero(latest >= 0)
        if patients.samples is None:
            none = np.zeros((0, len(self.cell_types), len(self.genes)))
            return CellSummary(self.cell_types, self.genes, none[:, :, 0], none, none), present
        summary = patients.samples.summary.take(latest[present])
        return summary.aligned(self.cell_types, self.genes), present

    def _composition(self, summary: CellSummary) -> dict[str, FloatArray]:
        """Centred log ratios of the shares of cell types (Aitchison, J R Stat Soc B 1982;44:139)."""
        labelled = [i for i, name in enumerate(self.cell_types) if name != UNLABELLED]
        if len(labelled) < 2:
            return {}
        log_share = np.log(summary.n_cells[:, labelled] + PSEUDOCOUNT)
        ratio = log_share - log_share.mean(axis=1, keepdims=True)
        ratio[summary.n_cells[:, labelled].sum(axis=1) == 0] = np.nan  # no labelled cell says nothing about shares
        return {self.cell_types[i]: ratio[:, j] for j, i in enumerate(labelled)}

    def _program_scores(self, summary: CellSummary) -> dict[str, FloatArray]:
        """Mean log-normalised expression of a program's genes, less that of the whole panel."""
        cells = np.maximum(summary.n_cells.sum(axis=1), 1.0)
        mean = summary.lognorm.sum(axis=1) / cells[:, None]
        place = {gene: i for i, gene in enumerate(self.genes)}
        background = mean.mean(axis=1)
        return {
            name: mean[:, [place[gene] for gene in genes if gene in place]].mean(axis=1) - background
            for name, genes in self.programs.items()
        }

    def _pseudobulk(self, patients: Patients) -> FloatArray:
        """(rows, materials · types · genes): log1p counts per million of summed counts, or mean intensities."""
        blocks = []
        for material in self.materials:
            summary, present = self._latest(patients, material)
            block = np.full((len(patients), len(self.cell_types), len(self.genes)), np.nan)
            if self.counts:
                depth = summary.total.sum(axis=2, keepdims=True)
                bulk = np.log1p(1e6 * summary.total / np.maximum(depth, 1.0))
            else:
                bulk = summary.total / np.maximum(summary.n_cells, 1.0)[:, :, None]
            block[present] = np.where(summary.n_cells[:, :, None] >= MINIMUM_CELLS, bulk, np.nan)
            blocks.append(block.reshape(len(patients), len(self.cell_types) * len(self.genes)))
        return np.concatenate(blocks, axis=1)

    def state(self) -> tuple[dict[str, Any], dict[str, FloatArray]]:
        """Plain JSON and named arrays that `from_state` rebuilds the features from."""
        sizes = {
            "features": list(self.features),
            "materials": list(self.materials),
            "cell_types": list(self.cell_types),
            "genes": list(self.genes),
            "counts": self.counts,
            "programs": {name: list(genes) for name, genes in self.programs.items()},
        }
        return sizes, {"center": self.center, "scale": self.scale, "components": self.components}

    @classmethod
    def from_state(cls, sizes: Mapping[str, Any], arrays: Mapping[str, FloatArray]) -> SampleFeatures:
        """Rebuild what `state` described."""
        return cls(
            tuple(sizes["features"]),
            tuple(sizes["materials"]),
            tuple(sizes["cell_types"]),
            tuple(sizes["genes"]),
            sizes["counts"],
            {name: tuple(genes) for name, genes in sizes["programs"].items()},
            arrays["center"],
            arrays["scale"],
            arrays["components"],
        )


def _n_shared(genes: Sequence[str], panel: Sequence[str]) -> int:
    return len(set(genes) & set(panel))


def principal_axes(x: FloatArray, n_axes: int) -> FloatArray:
    """The leading right singular vectors of x (rows, columns), at most `n_axes`, each with its largest entry positive.

    They come from the smaller of the two Gram matrices: pseudobulks have far more columns than rows.
    """
    wide = x.shape[1] > x.shape[0]
    values, vectors = np.linalg.eigh(x @ x.T if wide else x.T @ x)
    leading = np.argsort(values)[::-1][:n_axes]
    leading = leading[values[leading] > 1e-10 * max(float(values.max(initial=0.0)), 1e-300)]
    axes = vectors[:, leading].T
    if wide:
        axes = axes @ x / np.sqrt(values[leading])[:, None]
    sign = np.sign(axes[np.arange(len(axes)), np.abs(axes).argmax(axis=1)])
    signed: FloatArray = axes * sign[:, None]
    return signed


def _spread(values: FloatArray, present: IntArray, n_rows: int) -> FloatArray:
    """(n_rows,): `values` at the rows `present`, NaN elsewhere."""
    column = np.full(n_rows, np.nan)
    column[present] = values
    return column
