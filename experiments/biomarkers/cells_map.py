"""Cells on a plane in the colours of a marker: expression of its gene or program, else the thirds of patients."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from matplotlib.figure import Figure

from experiments.biomarkers.matrix import Marker, MarkerMatrix
from experiments.cohort_report.cell_sample import SampledCells, read_cells
from experiments.cohort_report.embedding_map import nearest, plane
from experiments.cohort_report.figures_cells import TypeColors, map_figure, value_map_figure
from experiments.page.drawing import color_of
from experiments.page.privacy import Disclosure
from features.cells.programs import score_cells
from features.patients import FloatArray, Patients, Samples, TextArray
from training.effects.arms import Arms

NOT_MEASURED = "not measured"


@dataclass(frozen=True, slots=True)
class CellsMap:
    """Some cells of the samples known by the landmark."""

    samples: Samples
    sampled: SampledCells
    xy: FloatArray
    """(cells, 2)."""
    method: str
    counts: bool
    colors: TypeColors
    shown: Disclosure

    def by_type(self) -> Figure:
        """Every type in a colour."""
        names = self.sampled.cell_type
        colors = {name: self.colors[name] for name in self.colors.names}
        return map_figure(self.xy, names, colors, "By cell type", self.method, named=True)

    def by_marker(self, marker: Marker, matrix: MarkerMatrix, arms: Arms | None) -> tuple[Figure, str] | None:
        """Cells in the colours of a marker, and what these are; None where the cells do not show it."""
        what, genes = matrix.expressed(marker)
        if genes:
            figure = value_map_figure(self.xy, self._expression(genes), f"By {what}", self.method)
            return figure, f"Cells by {what}, log-normalised, less the mean of all genes of the cell."
        if arms is None:
            return None
        group = self._groups(matrix.raw[:, matrix.markers.index(marker)], arms)
        patient = self.samples.row[self.sampled.sample]
        if any(self.shown.small(len(np.unique(patient[group == name]))) for name in set(group)):
            return None
        colors = {name: color_of(k) for k, name in enumerate(arms.names)}
        figure = map_figure(self.xy, group, colors, f"By {marker.name} of the patient", self.method, named=True)
        return figure, f"Cells by {marker.name} of the patient that they come from."

    def _expression(self, genes: tuple[str, ...]) -> FloatArray:
        """(cells,): see `score_cells`; NaN in samples whose panel has none of the genes."""
        assert self.samples.bags is not None  # noqa: S101 - for the type checker
        found = np.full(len(self.xy), np.nan)
        for sample in np.unique(self.sampled.sample):
            bag, own = self.samples.bags[int(sample)], self.sampled.sample == sample
            if set(genes) & set(bag.genes):
                found[own] = score_cells(bag, genes, counts=self.counts)[self.sampled.cell[own]]
        return found

    def _groups(self, raw: FloatArray, arms: Arms) -> TextArray:
        """(cells,): name of the group of the patient."""
        of_patient = np.full(len(raw), NOT_MEASURED, dtype=object)
        of_patient[np.isfinite(raw)] = np.array(arms.names, dtype=object)[arms.arm]
        found: TextArray = of_patient[self.samples.row[self.sampled.sample]]
        return found


def cells_map(
    patients: Patients, shown: Disclosure, *, counts: bool, seed: int, progress: Callable[[int, int], None]
) -> CellsMap | None:
    """Read cells of the samples known by each patient's landmark; None with too few cells or, of real, patients.

    Args:
        patients: Those at risk.
        shown: What may be shown of real patients.
        counts: Whether values are raw counts.
        seed: Of the cells that are drawn, and of the plane.
        progress: Told how many samples of how many were read.
    """
    samples = None if patients.samples is None else _known_by_landmark(patients.samples, patients.landmark_day)
    if samples is None or not len(samples.sample_id):
        return None
    by_type = samples.summary.cells_by_type
    if shown.small(len(np.unique(samples.row[by_type.sum(axis=1) > 0]))):
        return None
    sampled, _ = read_cells(samples, counts=counts, rng=np.random.default_rng(seed), progress=progress)
    if sampled is None:
        return None
    xy, method = plane(sampled, nearest(sampled.components), seed)
    colors = TypeColors.of(samples.summary.cell_types, by_type.sum(axis=0))
    return CellsMap(samples, sampled, xy, method, counts, colors, shown)


def _known_by_landmark(samples: Samples, landmark_day: FloatArray) -> Samples:
    row = samples.row
    kept = np.flatnonzero(samples.day <= landmark_day[row])
    offsets = np.concatenate([[0], np.cumsum(np.bincount(row[kept], minlength=len(landmark_day)))]).astype(np.int64)
    return replace(
        samples,
        offsets=offsets,
        sample_id=samples.sample_id[kept],
        day=samples.day[kept],
        material=samples.material[kept],
        summary=samples.summary.take(kept),
        clones=None,
        bags=None if samples.bags is None else samples.bags.take(kept),
    )
