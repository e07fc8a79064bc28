"""What a fitted model makes of the cells of patients it has never seen: by state, by gene, and with cells changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from features.errors import SequelaError
from features.patients import FloatArray, Patients
from training.mechanisms.genes import gene_contributions
from training.mechanisms.occlusion import CellState, rows_with, without
from training.mechanisms.perturbation import Perturbation, perturbed
from training.models.bag_network import BagNetwork
from training.models.predictor import CellAttention, KnownSamples
from training.models.risk_model import FittedRiskModel
from training.models.sample_layout import CellBatch

MOST_CELLS = 500
"""Of each sample, through which gradients go; which ones follows from the cells, as good as at random."""
FAR = 0.99
"""Quantile of the training cells' distances from their middle beyond which a cell is strange."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked of a model."""

    states: tuple[CellState, ...]
    changes: tuple[Perturbation, ...]
    cause: int
    horizon_days: float
    counts: bool
    """Whether values of cells are raw counts, or intensities."""


@dataclass(frozen=True, slots=True)
class Reading:
    """Of some rows, risks being of one cause at one horizon."""

    rows: NDArray[np.int64]
    """(rows,): numbers of the rows."""
    incidence: FloatArray
    """(rows, causes): at the horizon."""
    without: FloatArray
    """(states, rows, causes): without the cells of each state."""
    share: FloatArray
    """(rows, states): of the cells of the state's material."""
    attention: FloatArray
    """(rows, states): of the attention to the cells of the state's material; NaN without any such cell."""
    genes: tuple[str, ...]
    moved: NDArray[np.float32]
    """(rows, states, genes): see `training.mechanisms.genes`."""
    raises: NDArray[np.bool_]
    """(rows, genes): likewise."""
    gap: float
    """Error of the integral of `moved`, at worst."""
    changed: FloatArray
    """(changes, rows): risk with changed cells."""
    strange: FloatArray
    """(1 + changes,): share of the cells of the state beyond what training cells span: as they are, and changed."""


def read(
    model: FittedRiskModel,
    train: Patients,
    patients: Patients,
    rows: NDArray[np.int64],
    asked: Asked,
    *,
    described: bool = True,
) -> Reading:
    """Ask a model about patients it was not fitted to.

    Args:
        model: The model.
        train: Those it was fitted to.
        patients: Others.
        rows: (rows,): their numbers, kept with the answers.
        asked: What is asked.
        described: Also say what the model looked at and which changed cells are strange; else these are NaN.

    Raises:
        SequelaError: The model does not look at single cells, or is made of others.
    """
    network = model.predictor
    if not isinstance(network, BagNetwork):
        msg = f"model.kind: {network.kind} is not a network of single cells; choose attention or set_transformer"
        raise SequelaError(msg)
    at = np.array([asked.horizon_days])

    def incidence(of: Patients) -> FloatArray:
        return model.predict_incidence(of, at).values[..., 0]

    own = incidence(patients)

    def of_changed(changed: Patients, state: CellState) -> FloatArray:
        """Only rows that have such cells can change."""
        some, found = rows_with(patients, state), own.copy()
        found[some] = incidence(changed.take(some))
        return found

    samples = KnownSamples.of(patients)
    fewer = BagNetwork(
        network.module,
        replace(network.cells, most_cells=min(network.cells.most_cells, MOST_CELLS)),
        network.materials,
        network.edges_days,
    )
    x = model.encoder.transform(patients)
    by_gene = gene_contributions(fewer, x, samples, asked.states, asked.cause, asked.horizon_days)
    share, attention = (
        _looked_at(network.attention(samples), samples, asked.states) if described else _unknown(x, asked)
    )
    changed = [perturbed(patients, one, counts=asked.counts) for one in asked.changes]
    after = [
        of_changed(one, change.state)[:, asked.cause - 1] for one, change in zip(changed, asked.changes, strict=True)
    ]
    return Reading(
        rows,
        own,
        np.array([of_changed(without(patients, one), one) for one in asked.states]),
        share,
        attention,
        by_gene.genes,
        by_gene.values.astype(np.float32),
        by_gene.raises,
        by_gene.gap,
        np.array(after).reshape(len(changed), len(patients)),
        _strange(fewer, train, patients, changed) if described else np.full(1 + len(changed), np.nan),
    )


def _unknown(x: FloatArray, asked: Asked) -> tuple[FloatArray, FloatArray]:
    nothing = np.full((len(x), len(asked.states)), np.nan)
    return nothing, nothing


def _looked_at(
    found: CellAttention, samples: KnownSamples, states: Sequence[CellState]
) -> tuple[FloatArray, FloatArray]:
    """(rows, states) each: share of the cells of the material, and of the attention to them."""
    cells, looked = (np.zeros((samples.n_rows, len(states))) for _ in range(2))
    of_material, all_looked = np.zeros_like(cells), np.zeros_like(cells)
    for i in range(len(samples)):
        bag, row = samples.bags[i], int(samples.row[i])
        for j, state in enumerate(states):
            if state.material == samples.material[i]:
                own = state.of(bag)
                cells[row, j] += own.sum()
                of_material[row, j] += len(bag)
                looked[row, j] += found.sample[i] * found.cells[i][own].sum()
                all_looked[row, j] += found.sample[i] * found.cells[i].sum()
    with np.errstate(invalid="ignore"):
        return cells / of_material, looked / all_looked


def _strange(network: BagNetwork, train: Patients, patients: Patients, changed: Sequence[Patients]) -> FloatArray:
    known = KnownSamples.of(train)
    _, first = np.unique(known.bags.sample, return_index=True)
    limit = np.quantile(_distances(network, known, first), FAR) if len(first) else np.inf
    found = []
    for one in (patients, *changed):
        samples = KnownSamples.of(one)
        distances = _distances(network, samples, np.arange(len(samples)))
        found.append(float((distances > limit).mean()) if len(distances) else np.nan)
    return np.array(found)


@torch.inference_mode()
def _distances(network: BagNetwork, samples: KnownSamples, chosen: NDArray[np.int64]) -> FloatArray:
    """(cells,): root mean square over the axes of where each cell lies, in standard deviations of training cells."""
    parts = [np.zeros(0)]
    for i in chosen.tolist():
        if samples.material[i] in network.materials:
            prepared = network.cells.prepare(samples.bags[i])
            table = torch.as_tensor(prepared.rows(np.arange(len(prepared)), len(network.cells.genes)))
            known = torch.ones((1, len(table)), dtype=torch.bool)
            z = network.module.located(CellBatch(table[None], known, torch.zeros(1, dtype=torch.long)))
            parts.append((z / network.module.spread).square().mean(dim=(0, -1)).sqrt()[0].double().numpy())
    return np.concatenate(parts)
