"""Networks read out of fold, and again on patients with one another's cells."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from experiments.crossval import sites_of
from experiments.mechanisms.question import Question
from features.outcomes import Outcomes
from features.patients import FloatArray, IntArray, Patients
from training.fit import fit_risk_model
from training.mechanisms.against import mean_of_known
from training.mechanisms.exchanged import Mechanisms, gene_moves, mechanisms
from training.models.risk_model import FittedRiskModel

LEVEL = 0.05


@dataclass(frozen=True, slots=True)
class Found:
    """What was found."""

    question: Question
    mechanisms: Mechanisms
    n_folds: int
    n_exchanges: int

    @property
    def least_p(self) -> float:
        """The least that a p-value can be."""
        return 1 / (1 + self.n_exchanges)

    @property
    def is_type(self) -> NDArray[np.bool_]:
        """(states,): whether a state is one type of cells, and not all cells of a material."""
        return np.array([one.cell_type is not None for one in self.question.asked.states], dtype=bool)

    @property
    def gene_order(self) -> IntArray:
        """(genes,): those whose moves agree best with what happened first."""
        order: IntArray = np.argsort(-self.mechanisms.gene_agreement.observed, kind="stable")
        return order

    @property
    def gene_p(self) -> FloatArray:
        """(genes,): p against the largest of all genes."""
        tested = self.mechanisms.gene_agreement
        return tested.p_of_largest(np.ones(len(tested.observed), dtype=bool))

    def attention(self) -> tuple[FloatArray, FloatArray]:
        """(states,) each: mean share of the cells of the material, and of the attention to them."""
        parts = self.mechanisms.readings
        shares, looked = (np.concatenate(table) for table in zip(*((o.share, o.attention) for o in parts), strict=True))
        return mean_of_known(shares), mean_of_known(looked)

    def strange(self) -> FloatArray:
        """(changes, 2): share of strange cells before and after, mean over the folds that have any; else NaN."""
        return mean_of_known(np.stack([one.strange for one in self.mechanisms.readings]))

    def seen(self) -> tuple[int, ...]:
        """By change: how many of its genes every network sees."""
        everywhere = set.intersection(*(set(one.genes) for one in self.mechanisms.readings))
        return tuple(len(everywhere & set(one.genes)) for one in self.question.asked.changes)

    def by_state(self, genes: tuple[str, ...]) -> FloatArray:
        """(states, genes): standard deviation over patients of what genes move the risk by in the cells of a state."""
        own = self.mechanisms
        return np.stack(
            [gene_moves(own.readings, genes, own.asked, j).std(axis=0) for j in range(len(own.asked.states))]
        )


def analyse(
    question: Question,
    *,
    n_folds: int,
    n_exchanges: int,
    progress: Callable[[int, int], None] | None = None,
) -> Found:
    """Answer the question.

    Args:
        question: What is asked.
        n_folds: Of the patients.
        n_exchanges: One or more.
        progress: Told how many networks of how many were fitted and read.
    """
    config, rows = question.config, question.rows

    def fit(patients: Patients, outcomes: Outcomes) -> FittedRiskModel:
        return fit_risk_model(
            patients, outcomes, rows.cohort.card, config.features, config.model, config.trainer, seed=config.seed
        )

    found = mechanisms(
        rows.patients,
        rows.outcomes,
        fit,
        question.asked,
        n_folds=n_folds,
        n_exchanges=n_exchanges,
        seed=config.seed,
        sites=sites_of(rows, config.validation) if config.validation.scheme == "site" else None,
        progress=progress,
    )
    return Found(question, found, n_folds, n_exchanges)
