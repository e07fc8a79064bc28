"""The cells of a sample: cell types by the patient's true composition, counts by a negative binomial."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import anndata as ad
import h5py
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from features.patients import FloatArray, IntArray
from features.simulator.clinic import Clinic
from features.simulator.config import Cells, SimulatorConfig, Trait

SAMPLES_AT_ONCE = 64
"""Samples gathered in memory before they are written."""


@dataclass(frozen=True, slots=True)
class CellModel:
    """What all samples share: names, and mean log expression of each cell type."""

    cell_types: tuple[str, ...]
    genes: tuple[str, ...]
    log_mean: FloatArray
    """(cell types, genes), up to a constant of the cell."""
    program_slopes: Mapping[Trait, FloatArray]
    """(genes,) for each trait: change of log expression per standard deviation."""

    @classmethod
    def of(cls, cells: Cells) -> CellModel:
        """The panel's model, the same in every cohort of a configuration."""
        program = np.repeat(np.arange(len(cells.programs)), [len(genes) for genes in cells.programs.values()])
        own = np.random.default_rng(cells.panel_seed).normal(0.0, cells.gene_sd, len(cells.genes))
        above = np.array([[t.expression.get(name, 0.0) for name in cells.programs] for t in cells.types.values()])
        traits = {trait for loadings in cells.program_loadings.values() for trait in loadings}
        slopes = {
            trait: np.array([cells.program_loadings.get(name, {}).get(trait, 0.0) for name in cells.programs])[program]
            for trait in sorted(traits)
        }
        log_mean = cells.background_log_expression + above[:, program] + own
        return cls(tuple(cells.types), cells.genes, log_mean, slopes)


def blood_log_shares(config: SimulatorConfig, clinic: Clinic, rng: np.random.Generator) -> FloatArray:
    """(patients, cell types): log shares in blood, correlated with those in the product, up to a constant."""
    cells = config.cells
    typical = {
        material: np.array([t.log_share[material] for t in cells.types.values()])
        for material in ("infusion_product", "blood")
    }
    deviation = clinic.population.product_log_shares - typical["infusion_product"]
    spread = [np.linalg.norm([t.sd, *t.loadings.values()]) for t in cells.types.values()]
    fresh = rng.standard_normal(deviation.shape) * np.array(spread)
    kept = cells.blood_retains
    return np.asarray(typical["blood"] + kept * deviation + np.sqrt(1.0 - kept**2) * fresh)


def draw_cells(
    config: Cells,
    model: CellModel,
    log_shares: FloatArray,
    log_factor: FloatArray,
    n_cells: int,
    rng: np.random.Generator,
) -> tuple[sparse.csr_matrix, IntArray]:
    """Cells of one sample.

    Types are multinomial; counts are gamma-Poisson, hence negative binomial (Grün, Kester & van Oudenaarden, Nat
    Methods 2014;11:637), with a log-normal number of counts per cell.

    Args:
        config: How counts arise.
        model: Mean expression.
        log_shares: (cell types,), up to a constant.
        log_factor: (genes,): the sample's log deviation from the mean expression, and of its depth.
        n_cells: How many.
        rng: Of this sample.

    Returns:
        Counts (cells, genes) as float32, and the type of each cell.
    """
    share = np.exp(log_shares - log_shares.max())
    cell_type = rng.choice(len(share), size=n_cells, p=share / share.sum())
    expression = np.exp(model.log_mean + log_factor)
    per_type = expression / np.exp(model.log_mean).sum(axis=1, keepdims=True)
    depth = config.median_counts_per_cell * np.exp(config.counts_sd * rng.standard_normal(n_cells))
    mean = per_type[cell_type] * depth[:, None]
    noisy = mean * rng.standard_gamma(config.dispersion, mean.shape) / config.dispersion
    return sparse.csr_matrix(rng.poisson(noisy).astype(np.float32)), cell_type


def write_cells(
    path: Path,
    config: SimulatorConfig,
    clinic: Clinic,
    samples: pd.DataFrame,
    cells_per_sample: int,
    seed: np.random.SeedSequence,
    progress: Callable[[int], None],
) -> None:
    """Write cells.h5ad, a few samples in memory at a time.

    Samples hold between half and one and a half times `cells_per_sample` cells. Each sample has its own generator, so
    it does not change when another is left out.

    Args:
        path: The file.
        config: The numbers of the simulator.
        clinic: The patients.
        samples: The samples table.
        cells_per_sample: Mean number of cells.
        seed: Parent of every sample's seed.
        progress: Called with the number of samples done.
    """
    model = CellModel.of(config.cells)
    blood_seed, *seeds = seed.spawn(1 + len(samples))
    shares = {
        "infusion_product": clinic.population.product_log_shares,
        "blood": blood_log_shares(config, clinic, np.random.default_rng(blood_seed)),
    }
    patient = pd.Index(clinic.patient_ids).get_indexer(pd.Index(samples["patient_id"]))
    sizes, types, waiting = [], [], []
    with h5py.File(path, "w") as file:
        for i, (row, material) in enumerate(zip(patient, samples["material"], strict=True)):
            rng = np.random.default_rng(seeds[i])
            factor = _log_factor(config, model, clinic, int(row), rng)
            n_cells = int(rng.integers(max(1, cells_per_sample // 2), cells_per_sample * 3 // 2 + 1))
            counts, cell_type = draw_cells(config.cells, model, shares[material][row], factor, n_cells, rng)
            sizes.append(n_cells)
            types.append(cell_type.astype(np.int8))
            waiting.append(counts)
            if len(waiting) == SAMPLES_AT_ONCE or i + 1 == len(samples):
                _append(file, waiting)
                waiting = []
                progress(i + 1)
        _annotate(
            file, model, config.cells.panel, np.repeat(samples["sample_id"].to_numpy(), sizes), np.concatenate(types)
        )


def _log_factor(
    config: SimulatorConfig, model: CellModel, clinic: Clinic, patient: int, rng: np.random.Generator
) -> FloatArray:
    """(genes,): programs by the patient's traits, depth by site, batch effect of the sample."""
    factor = config.cells.sample_gene_sd * rng.standard_normal(len(model.genes))
    factor += np.log(list(config.site_depth.values())[clinic.population.site[patient]])
    for trait, slope in model.program_slopes.items():
        factor += slope * clinic.population.traits[trait][patient]
    return factor


def _append(file: h5py.File, parts: list[sparse.csr_matrix]) -> None:
    """Write the first block of X, or append to it; 64-bit offsets, as large cohorts need them."""
    block = sparse.vstack(parts, format="csr")
    block.indptr = block.indptr.astype(np.int64)
    if "X" in file:
        ad.io.sparse_dataset(file["X"]).append(block)
    else:
        ad.io.write_elem(file, "X", block, dataset_kwargs={"compression": "lzf"})


def _annotate(
    file: h5py.File, model: CellModel, panel: str, sample_id: NDArray[np.object_], cell_type: NDArray[np.int8]
) -> None:
    """Complete the AnnData file: obs, var, uns, and the root's encoding."""
    within = pd.Series(sample_id).groupby(sample_id, sort=False).cumcount()
    obs = pd.DataFrame(
        {
            "sample_id": pd.Categorical(sample_id),
            "cell_type": pd.Categorical.from_codes(cell_type, categories=pd.Index(model.cell_types)),
        },
        index=pd.Index(sample_id + "-" + within.astype(str).to_numpy(dtype=object)),
    )
    ad.io.write_elem(file, "obs", obs)
    ad.io.write_elem(file, "var", pd.DataFrame(index=pd.Index(model.genes, name="gene_symbol")))
    ad.io.write_elem(file, "uns", {"panel": panel, "simulated": True})
    file.attrs.update({"encoding-type": "anndata", "encoding-version": "0.1.0"})
