"""Sample features: what the latest sample of each material says, up to the landmark.

Composition, program scores, pseudobulks, dispersion and the share of CAR-positive cells follow from the `CellSummary`,
clonality from the clones; vocabulary, variable genes and components are fitted, inside the fold.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from features.cells.bag import UNLABELLED, Bags
from features.cells.density import DensityEmbedding, Means
from features.cells.dispersion import log_dispersion
from features.cells.programs import MINIMUM_GENES, PROGRAMS
from features.cells.pseudobulk import PseudobulkComponents, columns_named, log_pseudobulk
from features.cells.summary import AlignedSums
from features.cells.variable_genes import variable_genes
from features.clonality import clonality_columns
from features.errors import SequelaError
from features.patients import Clones, FloatArray, IntArray, Patients, Samples

SampleFeature = Literal["composition", "pseudobulk", "programs", "dispersion", "car_positive", "clonality", "density"]
PSEUDOCOUNT = 0.5
"""Cells added to each type before the log ratio, so that an absent type stays finite."""
_DENSITY, _DISPERSION = "density.", "dispersion."
JOINT = ("pseudobulk", "dispersion")
"""First parts of the names of components that come from all materials together."""


def latest_samples(patients: Patients, material: str, usable: NDArray[np.bool_] | None = None) -> IntArray:
    """(rows,): index of each row's latest sample of a material with day ≤ its landmark day, or −1.

    Args:
        patients: The rows.
        material: The material.
        usable: (samples,): samples that count at all; None: all.
    """
    latest = np.full(len(patients), -1, dtype=np.int64)
    samples = patients.samples
    if samples is not None:
        row = samples.row
        known = (samples.material == material) & (samples.day <= patients.landmark_day[row])
        known &= True if usable is None else usable
        latest[row[known]] = np.flatnonzero(known)  # samples ascend by day: the last assignment wins
    return latest


@dataclass(frozen=True, slots=True)
class SampleFeatures:
    """Features of the latest sample of each material; the fitted part is vocabulary, variable genes and components."""

    features: tuple[SampleFeature, ...]
    materials: tuple[str, ...]
    cell_types: tuple[str, ...]
    genes: tuple[str, ...]
    """The panel: all genes measured in training."""
    counts: bool
    """Whether sums are of raw counts (else of intensities)."""
    programs: Mapping[str, tuple[str, ...]]
    variable_genes: tuple[str, ...]
    """The genes whose pseudobulks and dispersions enter the components."""
    pseudobulk: PseudobulkComponents | None = field(default=None)
    human_genes: bool = False
    """Whether names of genes are canonical (`features.cells.genes.resolve`), or used as they are."""
    density: DensityEmbedding | None = field(default=None)
    dispersion: PseudobulkComponents | None = field(default=None)

    @classmethod
    def fit(
        cls,
        patients: Patients,
        features: Sequence[SampleFeature],
        n_components: int,
        *,
        counts: bool,
        programs: Mapping[str, tuple[str, ...]] | None = None,
        n_variable_genes: int = 2000,
        human_genes: bool = False,
    ) -> SampleFeatures | None:
        """Learn from training patients; None when they have no sample by their landmark."""
        samples = patients.samples
        if samples is None or not features:
            return None
        latest = {name: latest_samples(patients, name) for name in sorted(set(samples.material))}
        materials = tuple(name for name, found in latest.items() if (found >= 0).any())
        if not materials:
            return None
        known = [latest_samples(patients, name, _has_cells(samples)) for name in materials]
        used = np.unique(np.concatenate([found[found >= 0] for found in known]))
        summary = samples.summary.take(used)
        seen = summary.cells_by_type.sum(axis=0) > 0  # a type that appears only after the landmark is not known yet
        cell_types = tuple(name for name, is_seen in zip(summary.cell_types, seen, strict=True) if is_seen)
        chosen = PROGRAMS | dict(programs or {})
        usable = {name: genes for name, genes in chosen.items() if _n_shared(genes, summary.genes) >= MINIMUM_GENES}
        variable = tuple(summary.genes[i] for i in variable_genes(summary, n_variable_genes, counts=counts))
        unfitted = cls(
            tuple(features), materials, cell_types, summary.genes, counts, usable, variable, human_genes=human_genes
        )
        density = dispersion = components = None
        if "pseudobulk" in features and len(used):
            components = PseudobulkComponents.fit(unfitted.pseudobulks(patients), n_components)
        if "dispersion" in features and len(used):
            dispersion = PseudobulkComponents.fit(unfitted.dispersions(patients), n_components)
        if "density" in features and len(used):
            cells = _bags(samples).take(used)
            density = DensityEmbedding.fit(
                cells, genes=variable, counts=counts, n_components=n_components, means=_means()
            )
        return replace(unfitted, pseudobulk=components, density=density, dispersion=dispersion)

    def columns(self, patients: Patients) -> dict[str, FloatArray]:
        """Columns of shape (rows,) by name; NaN where a row has no sample of the material by its landmark."""
        columns: dict[str, FloatArray] = {}
        for material in self.materials:
            found, sums, rows = self._latest(patients, material, self._program_genes)
            named: dict[str, FloatArray] = {}
            if "composition" in self.features:
                named |= {f"clr({name})": values for name, values in self._composition(sums).items()}
            if "programs" in self.features:
                named |= self._program_scores(sums)
            if "car_positive" in self.features:
                named |= {"car_positive": _car_positive(patients.samples, found)}
            if self.density is not None:
                cells = Bags.of([]) if patients.samples is None else _bags(patients.samples).take(found)
                named |= self.density.columns(cells, _means())
            columns |= {f"{material}:{name}": _spread(v, rows, len(patients)) for name, v in named.items()}
            if "clonality" in self.features:
                columns |= _clonality(patients, material)
        if self.pseudobulk is not None:
            columns |= columns_named("pseudobulk:pc", self.pseudobulk.transform(self.pseudobulks(patients)))
        if self.dispersion is not None:
            columns |= columns_named("dispersion:pc", self.dispersion.transform(self.dispersions(patients)))
        return columns

    @property
    def _program_genes(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(gene for genes in self.programs.values() for gene in genes))

    def _latest(
        self, patients: Patients, material: str, genes: Sequence[str]
    ) -> tuple[IntArray, AlignedSums, IntArray]:
        """The latest samples of a material that have cells, their sums over our vocabulary, and their rows."""
        samples = patients.samples
        if samples is None:
            empty = np.zeros((0, len(self.cell_types), len(genes)))
            flat = empty.sum(axis=2)
            none = np.zeros(0, dtype=np.int64)
            return none, AlignedSums(self.cell_types, tuple(genes), flat, empty, empty, flat, flat), none
        latest = latest_samples(patients, material, _has_cells(samples))
        rows = np.flatnonzero(latest >= 0)
        sums = samples.summary.take(latest[rows]).aligned(self.cell_types, genes, self.genes)
        return latest[rows], sums, rows

    def _composition(self, sums: AlignedSums) -> dict[str, FloatArray]:
        """Centred log ratios of the shares of cell types (Aitchison, J R Stat Soc B 1982;44:139)."""
        labelled = [i for i, name in enumerate(self.cell_types) if name != UNLABELLED]
        if len(labelled) < 2:
            return {}
        log_share = np.log(sums.n_cells[:, labelled] + PSEUDOCOUNT)
        ratio = log_share - log_share.mean(axis=1, keepdims=True)
        ratio[sums.n_cells[:, labelled].sum(axis=1) == 0] = np.nan  # no labelled cell says nothing about shares
        return {self.cell_types[i]: ratio[:, j] for j, i in enumerate(labelled)}

    def _program_scores(self, sums: AlignedSums) -> dict[str, FloatArray]:
        """Mean log-normalised expression of a program's genes that are on the panel, less that of the whole panel."""
        cells = np.maximum(sums.n_cells.sum(axis=1), 1.0)
        mean = sums.lognorm.sum(axis=1) / cells[:, None]
        background = sums.level.sum(axis=1) / cells / max(len(self.genes), 1)
        place = {gene: i for i, gene in enumerate(sums.genes)}
        panel = set(self.genes)
        return {
            name: mean[:, [place[gene] for gene in genes if gene in panel]].mean(axis=1) - background
            for name, genes in self.programs.items()
        }

    def pseudobulks(self, patients: Patients) -> FloatArray:
        """(rows, materials · types · variable genes): see `log_pseudobulk`; NaN where there is no sample."""
        width = len(self.cell_types) * len(self.variable_genes)
        found = (self._latest(patients, material, self.variable_genes) for material in self.materials)
        parts = ((rows, log_pseudobulk(sums, counts=self.counts)) for _, sums, rows in found)
        return _side_by_side(parts, len(patients), width)

    def dispersions(self, patients: Patients) -> FloatArray:
        """(rows, materials · variable genes): see `log_dispersion`; NaN where there is no sample."""
        samples, genes = patients.samples, self.variable_genes
        if samples is None:
            return np.full((len(patients), len(self.materials) * len(genes)), np.nan)
        found = (latest_samples(patients, material, _has_cells(samples)) for material in self.materials)
        there = ((np.flatnonzero(latest >= 0), samples.summary.take(latest[latest >= 0])) for latest in found)
        parts = ((rows, log_dispersion(summary, genes, counts=self.counts)) for rows, summary in there)
        return _side_by_side(parts, len(patients), len(genes))

    def state(self) -> tuple[dict[str, Any], dict[str, FloatArray]]:
        """Plain JSON and named arrays that `from_state` rebuilds the features from."""
        sizes = {
            "features": list(self.features),
            "materials": list(self.materials),
            "cell_types": list(self.cell_types),
            "genes": list(self.genes),
            "counts": self.counts,
            "programs": {name: list(genes) for name, genes in self.programs.items()},
            "variable_genes": list(self.variable_genes),
            "human_genes": self.human_genes,
        }
        arrays = {} if self.pseudobulk is None else self.pseudobulk.state()
        if self.density is not None:
            sizes["density"], of_density = self.density.state()
            arrays |= {f"{_DENSITY}{name}": array for name, array in of_density.items()}
        if self.dispersion is not None:
            arrays |= {f"{_DISPERSION}{name}": array for name, array in self.dispersion.state().items()}
        return sizes, arrays

    @classmethod
    def from_state(cls, sizes: Mapping[str, Any], arrays: Mapping[str, FloatArray]) -> SampleFeatures:
        """Rebuild what `state` described; artifacts of the first format name no variable genes and use all."""
        of_density, of_dispersion = (
            {n.removeprefix(prefix): a for n, a in arrays.items() if n.startswith(prefix)}
            for prefix in (_DENSITY, _DISPERSION)
        )
        return cls(
            tuple(sizes["features"]),
            tuple(sizes["materials"]),
            tuple(sizes["cell_types"]),
            tuple(sizes["genes"]),
            sizes["counts"],
            {name: tuple(genes) for name, genes in sizes["programs"].items()},
            tuple(sizes.get("variable_genes", sizes["genes"])),
            PseudobulkComponents.from_state(arrays) if "components" in arrays else None,
            sizes.get("human_genes", False),
            DensityEmbedding.from_state(sizes["density"], of_density) if "density" in sizes else None,
            PseudobulkComponents.from_state(of_dispersion) if of_dispersion else None,
        )


def _bags(samples: Samples) -> Bags:
    """The cells themselves.

    Raises:
        SequelaError: They are not at hand.
    """
    if samples.bags is None:
        msg = "features.cells: density looks at single cells, and only their sums are here; leave density out"
        raise SequelaError(msg)
    return samples.bags


def _means() -> Means:
    """On the accelerator in double precision where there is one; the log says once where there is none."""
    from features.cells.accelerate import Accelerator, device

    on_cpu = device().type == "cpu"
    return DensityEmbedding.means if on_cpu else Accelerator(double=device().type == "cuda").means


def _has_cells(samples: Samples) -> NDArray[np.bool_]:
    """(samples,): whether cells of the sample were measured."""
    return np.diff(samples.summary.offsets) > 0


def _car_positive(samples: Samples | None, found: IntArray) -> FloatArray:
    """Log odds of the share of CAR-positive cells, with `PSEUDOCOUNT` cells on either side."""
    if samples is None:
        return np.zeros(0)
    summary = samples.summary.take(found)
    n_cells = summary.cells_by_type.sum(axis=1)
    positive = summary.number("car_positive_share") * n_cells
    odds: FloatArray = np.log((positive + PSEUDOCOUNT) / (n_cells - positive + PSEUDOCOUNT))
    return odds


def _clonality(patients: Patients, material: str) -> dict[str, FloatArray]:
    """Clonality of each row's latest sample of the material that has clones."""
    samples = patients.samples
    rows, clones = np.zeros(0, dtype=np.int64), Clones.empty(0)
    if samples is not None and samples.clones is not None:
        latest = latest_samples(patients, material, np.diff(samples.clones.offsets) > 0)
        rows = np.flatnonzero(latest >= 0)
        clones = samples.clones.take(latest[rows])
    values = clonality_columns(clones, len(rows))
    return {f"{material}:{name}": _spread(column, rows, len(patients)) for name, column in values.items()}


def _n_shared(genes: Sequence[str], panel: Sequence[str]) -> int:
    return len(set(genes) & set(panel))


def _side_by_side(parts: Iterable[tuple[IntArray, FloatArray]], n_rows: int, width: int) -> FloatArray:
    """(n_rows, parts · width): for each part its values (rows, width) at some rows, NaN at the others."""
    blocks = []
    for rows, values in parts:
        block = np.full((n_rows, width), np.nan)
        block[rows] = values
        blocks.append(block)
    return np.concatenate(blocks, axis=1)


def _spread(values: FloatArray, rows: IntArray, n_rows: int) -> FloatArray:
    """(n_rows,): `values` at the given rows, NaN elsewhere."""
    column = np.full(n_rows, np.nan)
    column[rows] = values
    return column
