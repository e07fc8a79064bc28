"""The sections on cells: samples, quality, composition, map and batches."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from experiments.cohort_report.cell_sample import QUALITY, SampledCells, read_cells
from experiments.cohort_report.embedding_map import Explained, explained, nearest, plane
from experiments.cohort_report.figures_cells import (
    OTHER,
    TypeColors,
    cells_figure,
    composition_figure,
    explained_figure,
    group_colors,
    map_figure,
    quality_figure,
    robust_limits,
)
from experiments.cohort_report.tables import sample_rows
from experiments.page.drawing import listed
from experiments.page.privacy import SMALLEST, Disclosure
from experiments.page.shell import Section, absent, figures, paragraph
from experiments.page.tables import html_table, median_iqr, number
from features.cells.bag import UNLABELLED
from features.cohort import Cohort
from features.patients import FloatArray, IntArray, Patients, Samples, TextArray

MOST_MATERIALS = 6
AXES_SHOWN = 10
NO_CELLS = "The cohort has no cells."
FEW_PATIENTS = f"No material comes from {SMALLEST} patients or more, and samples of fewer real ones are not shown."


@dataclass(frozen=True, slots=True)
class CellViews:
    """The cells of a cohort, read once for all sections."""

    samples: Samples
    materials: tuple[str, ...]
    """Those with most cells, and of real patients those of enough of them, since samples are shown one by one."""
    colors: TypeColors
    sampled: SampledCells | None
    numbers: Mapping[str, FloatArray]
    """(samples,) each."""
    site: TextArray | None
    """(samples,): site of the patient."""


def view_cells(
    cohort: Cohort,
    patients: Patients,
    shown: Disclosure,
    rng: np.random.Generator,
    progress: Callable[[int, int], None],
) -> CellViews | None:
    """Read the cells; None where there are none."""
    samples = patients.samples
    if samples is None or not len(samples.summary.n_cells):
        return None
    by_type = samples.summary.cells_by_type
    cells = {name: float(by_type[samples.material == name].sum()) for name in sorted(set(samples.material))}
    of_patients = {name: len(np.unique(samples.row[samples.material == name])) for name in cells}
    named = [name for name in cells if cells[name] and not shown.small(of_patients[name])]
    materials = tuple(sorted(named, key=lambda name: -cells[name]))
    counts = cohort.card.cells is None or cohort.card.cells.values == "counts"
    sampled, numbers = read_cells(samples, counts=counts, rng=rng, progress=progress)
    site = None
    if "site" in cohort.patients:
        site = cohort.patients["site"].astype(object).fillna("unknown").astype(str).to_numpy(dtype=object)[samples.row]
    colors = TypeColors.of(samples.summary.cell_types, by_type.sum(axis=0))
    return CellViews(samples, materials[:MOST_MATERIALS], colors, sampled, numbers, site)


def samples_section(patients: Patients, cells: CellViews | None, shown: Disclosure) -> Section:
    """Samples and cells by material."""
    title = "Samples and cells"
    if patients.samples is None:
        return Section("samples", title, absent("The cohort has no samples with cells or clones."))
    columns = ("material", "patients", "samples", "with cells", "cells", "cells per sample", "day")
    rows = sample_rows(patients.samples, shown)
    body = html_table("Samples by material; medians with quartiles", columns, rows)
    if cells is None:
        return Section("samples", title, body + absent(NO_CELLS))
    n_cells = cells.samples.summary.cells_by_type.sum(axis=1)
    if not cells.materials:
        return Section("samples", title, body + absent(FEW_PATIENTS))
    words = f"Cells per sample: median with quartiles {median_iqr(n_cells[n_cells > 0])}."
    body += figures([(cells_figure(cells.samples, cells.materials), words, words)], "cells")
    return Section("samples", title, body)


def quality_section(cells: CellViews | None, rng: np.random.Generator) -> Section:
    """What quality control measured of each sample, against robust limits."""
    title = "Quality of samples"
    if cells is None:
        return Section("quality", title, absent(NO_CELLS))
    if not cells.materials:
        return Section("quality", title, absent(FEW_PATIENTS))
    if not cells.numbers:
        return Section("quality", title, absent("Nothing was measured of the samples (intensities of markers)."))
    body = paragraph(
        "A dot is a sample, the upright line the median of the material, and the grey area the median ± 3 scaled "
        "median absolute deviations; samples outside are orange diamonds. The limits need five samples that differ."
    )
    parts = []
    for name, values in cells.numbers.items():
        n = sum(_n_outside(cells.samples, material, values) for material in cells.materials)
        known = int(np.isfinite(values).sum())
        words = f"{QUALITY[name]}: {n:,} of {known:,} samples lie outside the limits of their material."
        figure = quality_figure(cells.samples, cells.materials, values, QUALITY[name], rng)
        parts.append((figure, words, words))
    missing = [QUALITY[name] for name in QUALITY if name not in cells.numbers]
    body += figures(parts, "qc", small=True)
    body += absent(f"Not measured in this cohort: {', '.join(missing)}.") if missing else ""
    return Section("quality", title, body)


def _n_outside(samples: Samples, material: str, values: FloatArray) -> int:
    limits = robust_limits(values[samples.material == material])
    return 0 if limits is None else limits.n_outside


def composition_section(cells: CellViews | None) -> Section:
    """Shares of cell types in every sample."""
    title = "Composition"
    if cells is None:
        return Section("composition", title, absent(NO_CELLS))
    if not cells.materials:
        return Section("composition", title, absent(FEW_PATIENTS))
    if not cells.colors.names:
        return Section("composition", title, absent("The cells carry no labels of type."))
    types, totals = cells.samples.summary.cell_types, cells.samples.summary.cells_by_type.sum(axis=0)
    parts = []
    for material in cells.materials:
        of_it = cells.samples.summary.cells_by_type[cells.samples.material == material].sum(axis=0)
        order = np.argsort(-of_it)[:4]
        shares = ", ".join(f"{types[i]} {of_it[i] / of_it.sum():.0%}" for i in order if of_it[i])
        words = f"{material}, all cells together: {shares}."
        parts.append((composition_figure(cells.samples, material, cells.colors), words, words))
    body = paragraph(
        "A column is a sample; samples are ordered by day, and within a day by the share of the main type."
    )
    rest = [types[i] for i in np.argsort(-totals) if types[i] not in (*cells.colors.names, UNLABELLED) and totals[i]]
    body += figures(parts, "mix")
    body += paragraph(f"In grey, as other types: {listed(rest)}.") if rest else ""
    return Section("composition", title, body)


def map_and_batch_sections(cells: CellViews | None, seed: int, rng: np.random.Generator) -> list[Section]:
    """The map of cells, and what goes with where they lie."""
    titles = ("Map of cells", "Batches")
    if cells is None or cells.sampled is None:
        why = NO_CELLS if cells is None else "There are too few cells, or they cannot be read here."
        return [Section("map", titles[0], absent(why)), Section("batches", titles[1], absent(why))]
    near = nearest(cells.sampled.components)
    xy, method = plane(cells.sampled, near, seed)
    groupings = _groupings(cells, cells.sampled)
    rows = explained(cells.sampled, near, groupings, rng)
    return [
        Section("map", titles[0], _map_body(cells, cells.sampled, xy, method)),
        Section("batches", titles[1], _batch_body(rows, cells.sampled) if rows else absent("There is only one group.")),
    ]


def _groupings(cells: CellViews, sampled: SampledCells) -> dict[str, IntArray]:
    """(cells,) codes by name of the grouping."""

    def codes(values: TextArray) -> IntArray:
        return np.unique(values.astype(str), return_inverse=True)[1].astype(np.int64)

    groupings = {"cell type": codes(sampled.cell_type), "material": codes(cells.samples.material[sampled.sample])}
    if cells.site is not None:
        groupings["site"] = codes(cells.site[sampled.sample])
    return groupings | {"patient": cells.samples.row[sampled.sample], "sample": sampled.sample}


def _map_body(cells: CellViews, sampled: SampledCells, xy: FloatArray, method: str) -> str:
    n, n_samples = len(xy), len(np.unique(sampled.sample))
    how = "log-normalised expression of the variable genes" if method == "UMAP" else "variable genes"
    text = (
        f"{n:,} cells, drawn evenly over {n_samples:,} samples; {method} of the principal axes of {how} "
        f"({sampled.n_genes:,}). Distances between islands mean little; read it for mixing, not for measure."
    )
    if method != "UMAP":
        text += " UMAP is drawn where the package umap-learn is installed and there are enough cells."
    kept = (*cells.colors.names, UNLABELLED)
    types = np.where(np.isin(sampled.cell_type.astype(str), kept), sampled.cell_type, OTHER)
    type_colors = {name: cells.colors[name] for name in (*kept, OTHER)}
    material = cells.samples.material[sampled.sample]
    patient = cells.samples.row[sampled.sample].astype(str).astype(object)
    views: list[tuple[str, TextArray, dict[str, str], bool]] = [
        ("cell type", types, type_colors, True),
        ("material", material, group_colors(material), True),
    ]
    if cells.site is not None:
        site = cells.site[sampled.sample]
        views.append(("site", site, group_colors(site), len(set(site)) <= 12))
    views.append(("patient", patient, group_colors(patient), False))
    parts = [
        (map_figure(xy, group, colors, f"By {name}", method, named=named), _caption(name), f"Map of cells by {name}.")
        for name, group, colors, named in views
    ]
    return paragraph(text) + figures(parts, "map")


def _caption(name: str) -> str:
    if name == "patient":
        return (
            "Patients are not named, and some share a colour. An island of one colour would be cells of few patients."
        )
    return (
        "Types that differ lie apart."
        if name == "cell type"
        else f"Cells of a {name} that lie apart differ from the others."
    )


def _batch_body(rows: Sequence[Explained], sampled: SampledCells) -> str:
    by_name = {row.grouping: row for row in rows}
    sentences = [
        f"{name.capitalize()} explains {row.overall:.0%} of the variance on the leading axes"
        + (f" ({row.within_types:.0%} within cell types)" if name != "cell type" else "")
        + f", and a cell's neighbourhood holds {number(row.lisi)} {name}s where chance would bring "
        f"{number(row.lisi_by_chance)}."
        for name, row in by_name.items()
        if name in ("cell type", "site", "sample")
    ]
    columns = ("grouping", "groups", "variance explained", "within cell types", "LISI", "LISI by chance", "mixing")
    table = [
        (
            row.grouping,
            f"{row.n_levels:,}",
            f"{row.overall:.1%}",
            "–" if np.isnan(row.within_types) else f"{row.within_types:.1%}",
            number(row.lisi),
            number(row.lisi_by_chance),
            f"{row.lisi / row.lisi_by_chance:.0%}",
        )
        for row in rows
    ]
    words = f"Adjusted R² of the first {min(AXES_SHOWN, sampled.components.shape[1])} principal axes by grouping."
    axes_share = float(sampled.explained.sum())
    how = (
        f"Variance explained is the adjusted R² of a one-way analysis on each of {sampled.components.shape[1]} "
        f"principal axes (which hold {axes_share:.0%} of the variance of the variable genes), weighted by their "
        "variance: 0 % if the groups do not differ, 100 % if all cells of a group are alike. LISI is the effective "
        "number of groups around a cell; mixing is its median over that of groups dealt at random, 100 % if the "
        "grouping leaves no trace. Cell types should explain much and mix little; a site or a sample that explains "
        "much within cell types, and mixes little, is a batch to be modelled, or a difference between its patients: "
        "the cells alone cannot tell. Büttner et al., Nat Methods 2019;16:43–49; Korsunsky et al., Nat Methods "
        "2019;16:1289–1296."
    )
    return (
        "".join(paragraph(sentence) for sentence in sentences)
        + html_table("Groupings of the cells", columns, table)
        + figures([(explained_figure(rows, AXES_SHOWN), words, words)], "pcr")
        + paragraph(how)
    )


__all__ = [
    "CellViews", "composition_section", "map_and_batch_sections", "quality_section", "samples_section",
    "view_cells",
]  # fmt: skip
