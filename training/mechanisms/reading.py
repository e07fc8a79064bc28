"""What a fitted model makes of the cells of patients it has never seen: by state, by gene, and with cells changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from features.patients import FloatArray, IntArray, Patients
from training.mechanisms.changed_cells import with_cells_of_others
from training.mechanisms.genes import gene_contributions
from training.mechanisms.perturbation import Perturbation, perturbed
from training.mechanisms.states import CellState, rows_with
from training.models.bag_network import BagNetwork
from training.models.predictor import CellAttention, KnownSamples
from training.models.risk_model import FittedRiskModel
from training.models.sample_layout import CellBatch

MOST_CELLS = 500
"""Of each sample, through which gradients go; which ones follows from the cells, as good as at random."""
FAR = 0.99
"""Quantile of the training cells' distances from their middle beyond which a cell is strange."""
CIRCLES = 4
"""How often cells of a state are exchanged between the patients who are read."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked of a model."""

    states: tuple[CellState, ...]
    changes: tuple[Perturbation, ...]
    cause: int
    horizon_days: float
    counts: bool
    """Whether values of cells are raw counts, or intensities; changes are of counts."""


@dataclass(frozen=True, slots=True)
class Reading:
    """Of some rows, risks being of one cause at one horizon."""

    rows: IntArray
    """(rows,): numbers of the rows."""
    incidence: FloatArray
    """(rows, causes): at the horizon."""
    others: FloatArray
    """(states, circles, rows, causes): with the cells of each state from other patients."""
    share: FloatArray
    """(rows, states): of the cells of the state's material."""
    attention: FloatArray
    """(rows, states): of the attention to the cells of the state's material; NaN without any such cell."""
    genes: tuple[str, ...]
    """Those that the network sees."""
    moved: NDArray[np.float32]
    """(rows, states, genes): see `training.mechanisms.genes`."""
    raises: FloatArray
    """(rows, genes): likewise."""
    gap: float
    """Error of the integral of `moved`, at worst."""
    changed: FloatArray
    """(changes, rows): risk with changed cells."""
    strange: FloatArray
    """(changes, 2): share of the changed cells that lie further out than training cells do: before, and after."""


def read(
    model: FittedRiskModel,
    train: Patients,
    patients: Patients,
    rows: IntArray,
    asked: Asked,
    seed: Sequence[int],
    *,
    described: bool = True,
) -> Reading:
    """Ask a model about patients it was not fitted to.

    Args:
        model: Of a network of single cells alone.
        train: Those it was fitted to.
        patients: Others.
        rows: (rows,): their numbers, kept with the answers.
        asked: What is asked.
        seed: Of the exchanges of cells, which are the same for every state of a material.
        described: Also say what the model looked at and which changed cells are strange; else these are NaN.

    Raises:
        TypeError: The model is none of single cells, or is made of others.
    """
    network = model.predictor
    if not isinstance(network, BagNetwork):
        msg = f"{network.kind} is not a network of single cells"
        raise TypeError(msg)
    fewer = _of_fewer_cells(network)
    samples, x = KnownSamples.of(patients), model.encoder.transform(patients)
    by_gene = gene_contributions(fewer, x, samples, asked.states, asked.cause, asked.horizon_days)
    nothing = np.full((len(rows), len(asked.states)), np.nan)
    share, looked = _looked_at(network.attention(samples), samples, asked.states) if described else (nothing, nothing)
    answers = _Answers(model, patients, asked)
    limit = _furthest(fewer, train) if described else np.nan
    changes = [answers.changed(change, fewer, limit) for change in asked.changes]
    return Reading(
        rows,
        answers.own,
        np.array([[answers.of_others(state, [*seed, i]) for i in range(CIRCLES)] for state in asked.states]),
        share,
        looked,
        by_gene.genes,
        by_gene.values.astype(np.float32),
        by_gene.raises,
        by_gene.gap,
        np.array([risk for risk, _ in changes]).reshape(len(changes), len(rows)),
        np.array([strange for _, strange in changes]).reshape(len(changes), 2),
    )


class _Answers:
    """A model's risks of some patients, and what becomes of them with other cells."""

    def __init__(self, model: FittedRiskModel, patients: Patients, asked: Asked) -> None:
        self.model, self.patients, self.asked = model, patients, asked
        samples = model.encoder.samples
        self.sums = samples is not None and bool(samples.features)
        self.own = self._incidence(patients)

    def of_others(self, state: CellState, seed: Sequence[int]) -> FloatArray:
        """(rows, causes): with the cells of a state from other patients."""
        rng = np.random.default_rng(seed)
        changed = with_cells_of_others(self.patients, state, rng, counts=self.asked.counts, sums=self.sums)
        whole = CellState(state.material, None)  # who has no such cell gets those of another
        return self._where_changed(changed, rows_with(self.patients, whole))

    def changed(
        self, change: Perturbation, network: BagNetwork, limit: float
    ) -> tuple[FloatArray, tuple[float, float]]:
        """(rows,): risk with changed cells; share of these that are strange, before and after."""
        changed = perturbed(self.patients, change, sums=self.sums)
        risk = self._where_changed(changed, rows_with(self.patients, change.state))[:, self.asked.cause - 1]
        if np.isnan(limit):
            return risk, (np.nan, np.nan)
        before, after = (_beyond(network, one, change.state, limit) for one in (self.patients, changed))
        return risk, (before, after)

    def _where_changed(self, changed: Patients, rows: IntArray) -> FloatArray:
        found = self.own.copy()
        found[rows] = self._incidence(changed.take(rows))
        return found

    def _incidence(self, patients: Patients) -> FloatArray:
        return self.model.predict_incidence(patients, np.array([self.asked.horizon_days])).values[..., 0]


def _of_fewer_cells(network: BagNetwork) -> BagNetwork:
    cells = replace(network.cells, most_cells=min(network.cells.most_cells, MOST_CELLS))
    return BagNetwork(network.module, cells, network.materials, network.edges_days)


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


def _furthest(network: BagNetwork, train: Patients) -> float:
    """How far from the middle most training cells lie at most."""
    parts = [_distances(network, train, CellState(material, None)) for material in network.materials]
    every = np.concatenate([np.zeros(0), *parts])
    return float(np.quantile(every, FAR)) if len(every) else np.nan


def _beyond(network: BagNetwork, patients: Patients, state: CellState, limit: float) -> float:
    distances = _distances(network, patients, state)
    return float((distances > limit).mean()) if len(distances) else np.nan


@torch.inference_mode()
def _distances(network: BagNetwork, patients: Patients, state: CellState) -> FloatArray:
    """How far from the middle each cell of a state lies, all different samples one after the other.

    (cells,): the root mean square over the axes, in standard deviations of training cells.
    """
    samples = KnownSamples.of(patients)
    _, first = np.unique(samples.bags.sample, return_index=True)
    parts = [np.zeros(0)]
    for i in first.tolist():
        if samples.material[i] == state.material:
            bag = samples.bags[i]
            prepared = network.cells.prepare(bag)
            table = torch.as_tensor(prepared.rows(np.arange(len(prepared)), len(network.cells.genes)))
            known = torch.ones((1, len(table)), dtype=torch.bool)
            z = network.module.located(CellBatch(table[None], known, torch.zeros(1, dtype=torch.long)))
            far = (z / network.module.spread).square().mean(dim=(0, -1)).sqrt()[0].double().numpy()
            parts.append(far[state.of(bag)[prepared.order]])
    return np.concatenate(parts)
