"""Networks read out of fold, and again on permuted patients."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from experiments.mechanisms.question import Question
from features.outcomes import Outcomes
from features.patients import FloatArray, IntArray, Patients
from training.fit import fit_risk_model
from training.mechanisms.permuted import Mechanisms, gene_moves, mechanisms
from training.models.risk_model import FittedRiskModel

LEVEL = 0.05


@dataclass(frozen=True, slots=True)
class Found:
    """What was found."""

    question: Question
    mechanisms: Mechanisms
    n_folds: int
    n_permutations: int

    @property
    def is_type(self) -> NDArray[np.bool_]:
        """(states,): whether a state is one type of cells, and not all cells of a material."""
        return np.array([one.cell_type is not None for one in self.question.asked.states], dtype=bool)

    @property
    def gene_order(self) -> IntArray:
        """(genes,): those that move the risk most first."""
        order: IntArray = np.argsort(-self.mechanisms.gene_spread.observed, kind="stable")
        return order

    @property
    def gene_p(self) -> FloatArray:
        """(genes,): p against the largest of all genes."""
        tested = self.mechanisms.gene_spread
        return tested.p_of_largest(np.ones(len(tested.observed), dtype=bool))

    def attention(self) -> tuple[FloatArray, FloatArray]:
        """(states,) each: mean share of the cells of the material, and of the attention to them."""
        parts = self.mechanisms.readings
        with np.errstate(invalid="ignore"):
            shares = np.concatenate([one.share for one in parts])
            looked = np.concatenate([one.attention for one in parts])
        known = np.isfinite(shares) & np.isfinite(looked)
        n = np.maximum(known.sum(axis=0), 1)
        return np.where(known, shares, 0.0).sum(axis=0) / n, np.where(known, looked, 0.0).sum(axis=0) / n

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
    n_permutations: int,
    progress: Callable[[int, int], None] | None = None,
) -> Found:
    """Answer the question.

    Args:
        question: What is asked.
        n_folds: Of the patients.
        n_permutations: One or more.
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
        n_permutations=n_permutations,
        seed=config.seed,
        progress=progress,
    )
    return Found(question, found, n_folds, n_permutations)
