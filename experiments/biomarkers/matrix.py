"""The markers of a cohort as columns: clinic, measurements, cell types, programs, pathways, genes, clonality."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from experiments.biomarkers.pathway_markers import PathwayMarkers, pathway_markers
from experiments.biomarkers.question import Question
from features.cells.gene_sets import GeneSets
from features.cells.samples import SampleFeatures
from features.config import FeatureConfig
from features.encoder import PatientEncoder
from features.errors import SequelaError
from features.landmark import Statistic
from features.patients import FloatArray, Patients
from features.scaling import ColumnScaler

STATISTICS: tuple[Statistic, ...] = ("last", "max", "slope")
"""Of each measured variable up to the landmark."""
GENES = 500
"""Most variable genes whose pseudobulks are markers."""
SCREENED_CELLS = ("composition", "programs", "car_positive", "clonality")
CLINIC, MEASUREMENT, HISTORY, CELL_TYPE, PROGRAM, GENE, CLONALITY, PATHWAY = KINDS = (
    "clinic", "measurement", "history", "cell type", "program", "gene", "clonality", "pathway",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Marker:
    """One column."""

    name: str
    """E.g. ``age``, ``crp:last``, ``blood:clr(NK)``, ``blood:NK:GZMB``."""
    kind: str
    """One of `KINDS`."""
    unit: str
    """What a hazard ratio is of: ``SD``, ``SD of log``, or ``1 against 0`` where there are two values."""
    source: str
    """The place in a patient's record, e.g. ``baseline.age``."""


@dataclass(frozen=True, slots=True)
class MarkerMatrix:
    """Markers of the patients at risk."""

    markers: tuple[Marker, ...]
    values: FloatArray
    """(patients, markers), in units of `Marker.unit`, NaN where not measured."""
    raw: FloatArray
    """(patients, markers), as they came."""
    n_left_out: int
    """Columns that do not vary, or repeat another."""
    samples: SampleFeatures | None
    patients: Patients
    """Those at risk, seen from the landmark."""
    pathways: PathwayMarkers | None
    """None where none were asked for."""

    def expressed(self, marker: Marker) -> tuple[str, tuple[str, ...]]:
        """What a gene, program or pathway is in words, and its genes; nothing of other kinds."""
        if marker.kind == GENE:
            gene = marker.name.rpartition(":")[2]
            return f"expression of {gene}", (gene,)
        if marker.kind == PROGRAM and self.samples is not None:
            name = marker.name.partition(":")[2]
            return f"the program {name}", self.samples.programs[name]
        if marker.kind == PATHWAY and self.pathways is not None:
            one = self.pathways.set_of[marker.name]
            return f"the genes of {one.name}", one.genes
        return "", ()


def marker_matrix(
    question: Question,
    everyone: Patients,
    *,
    statistics: Sequence[Statistic] = STATISTICS,
    n_genes: int = GENES,
    pathways: GeneSets | None = None,
) -> MarkerMatrix:
    """Compute every marker known by the landmark.

    Args:
        question: Who is at risk, and when.
        everyone: All patients of the cohort, with their cells where they are wanted.
        statistics: Of each measured variable.
        n_genes: Most variable genes whose pseudobulk in each cell type is a marker; 0: none.
        pathways: Gene sets whose activity in each cell type is a marker.

    Raises:
        SequelaError: Nothing varies among these patients, or there are no counts of genes to tell activities from.
    """
    patients = everyone.take(question.rows).at_landmark(question.landmark_day)
    config = FeatureConfig(
        statistics=tuple(dict.fromkeys(statistics)), cells=SCREENED_CELLS, variable_genes=max(n_genes, 1)
    )
    encoder = PatientEncoder.fit(patients, question.cohort.card, config)
    columns = encoder.columns(patients)
    kind_of = {name: _kind(name, encoder) for name in columns}
    source_of = {name: encoder.source(name) for name in columns}
    if encoder.samples is not None and n_genes:
        genes = _genes(encoder.samples, patients)
        columns |= genes
        kind_of |= dict.fromkeys(genes, GENE)
        source_of |= {name: f"samples.{name.partition(':')[0]}" for name in genes}
    activity = None if pathways is None else pathway_markers(patients, pathways, question.cohort.card.cells)
    if activity is not None:
        columns |= activity.columns
        kind_of |= dict.fromkeys(activity.columns, PATHWAY)
        source_of |= {name: f"samples.{name.partition(':')[0]}" for name in activity.columns}
    scaler = ColumnScaler.fit(columns, minimum_observed=0.0)
    if not scaler.kept:
        msg = f"{question.cohort.folder}: no column varies among the patients at risk; nothing can be screened"
        raise SequelaError(msg)
    raw = scaler.values(columns)
    transformed = np.where(np.isfinite(raw), scaler.matrix(raw)[:, : len(scaler.kept)], np.nan)
    two = _two_values(transformed)
    values = np.where(two, _zero_one(transformed), _standardised(transformed))
    units = [
        "1 against 0" if pair else "SD of log" if c.logarithm else "SD"
        for c, pair in zip(scaler.kept, two, strict=True)
    ]
    markers = tuple(
        Marker(c.name, kind_of[c.name], unit, source_of[c.name]) for c, unit in zip(scaler.kept, units, strict=True)
    )
    return MarkerMatrix(markers, values, raw, len(columns) - len(markers), encoder.samples, patients, activity)


def _kind(column: str, encoder: PatientEncoder) -> str:
    source = encoder.source(column)
    if source.startswith("samples."):
        name = column.partition(":")[2]
        if name.startswith("clr(") or name == "car_positive":
            return CELL_TYPE
        programs: Mapping[str, tuple[str, ...]] = {} if encoder.samples is None else encoder.samples.programs
        return PROGRAM if name in programs else CLONALITY
    place = source.partition(".")[0]
    return {"measurements": MEASUREMENT, "events": HISTORY}.get(place, CLINIC)


def _genes(samples: SampleFeatures, patients: Patients) -> dict[str, FloatArray]:
    """Pseudobulk columns by name: material, cell type, gene."""
    bulk = samples.pseudobulks(patients)
    names = [
        f"{material}:{cell_type}:{gene}"
        for material in samples.materials
        for cell_type in samples.cell_types
        for gene in samples.variable_genes
    ]
    return {name: bulk[:, j] for j, name in enumerate(names) if np.isfinite(bulk[:, j]).any()}


def _two_values(values: FloatArray) -> NDArray[np.bool_]:
    """(columns,): whether a column has two values."""
    low, high = np.nanmin(values, axis=0), np.nanmax(values, axis=0)
    between = (values > low) & (values < high)
    found: NDArray[np.bool_] = ~between.any(axis=0) & (low < high)
    return found


def _zero_one(values: FloatArray) -> FloatArray:
    return np.where(np.isfinite(values), (values == np.nanmax(values, axis=0)).astype(float), np.nan)


def _standardised(values: FloatArray) -> FloatArray:
    spread = np.nanstd(values, axis=0)
    found: FloatArray = (values - np.nanmean(values, axis=0)) / np.where(spread > 0, spread, 1.0)
    return found
