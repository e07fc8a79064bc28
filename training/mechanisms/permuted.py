"""Is what a network of cells leans on more than chance gives? The same network, fitted to outcomes dealt anew.

A network always leans on some cells and some genes. So the whole of it is done again, folds and fit included, on
outcomes exchanged between the patients, after which no cell can tell anything: what is found then is what chance gives.
The test is exact (Ojala & Garriga, J Mach Learn Res 2010;11:1833, test 1; see `training.evaluation.permutation`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from features.outcomes import Outcomes
from features.patients import FloatArray, Patients
from training.evaluation.brier import brier_score
from training.evaluation.intervals import Interval, percentile_interval, resample_patients
from training.evaluation.ipcw import ScoringWeights, scoring_weights
from training.evaluation.permutation import exchangeable, exchanged
from training.mechanisms.reading import Asked, Reading, read
from training.models.risk_model import FittedRiskModel
from training.splits import patient_folds

Fit = Callable[[Patients, Outcomes], FittedRiskModel]
"""Fits a network to training rows, drawing the same random numbers each time."""
N_BOOTSTRAP = 500


@dataclass(frozen=True, slots=True)
class AgainstPermuted:
    """A number for each of some things, beside what permuted patients give."""

    observed: FloatArray
    """(things,)."""
    permuted: FloatArray
    """(permutations, things)."""

    @property
    def p(self) -> FloatArray:
        """(things,): (1 + permuted ≥ observed) / (1 + permutations)."""
        return self._p(self.permuted)

    def p_of_largest(self, among: NDArray[np.bool_]) -> FloatArray:
        """(things,): as `p`, against the largest of all `among` (things,) which corrects for their number; else NaN."""
        if not among.any():
            return np.full(len(self.observed), np.nan)
        return np.where(among, self._p(self.permuted[:, among].max(axis=1)[:, None]), np.nan)

    def _p(self, permuted: FloatArray) -> FloatArray:
        found: FloatArray = (1 + (permuted >= self.observed).sum(axis=0)) / (1 + len(self.permuted))
        return found


@dataclass(frozen=True, slots=True)
class Mechanisms:
    """What the cells carry of a network's risk, out of fold."""

    asked: Asked
    rows: NDArray[np.int64]
    """(rows,): those read, in the order of `readings`."""
    readings: tuple[Reading, ...]
    """One a fold."""
    spread: AgainstPermuted
    """By state: standard deviation over patients of what its cells move the risk by."""
    gain: AgainstPermuted
    """By state: Brier score at the horizon without its cells, less that with them; above 0: they help."""
    gain_interval: tuple[Interval, ...]
    genes: tuple[str, ...]
    gene_spread: AgainstPermuted
    """By gene: standard deviation over patients of what it moves the risk by, in all cells."""
    raises: FloatArray
    """(genes,): share of the patients in whom the risk rises with the gene."""
    effect: AgainstPermuted
    """By change: |mean change of the risk|."""
    effect_interval: tuple[Interval, ...]
    """By change: mean change of the risk."""


def mechanisms(
    patients: Patients,
    outcomes: Outcomes,
    fit: Fit,
    asked: Asked,
    *,
    n_folds: int,
    n_permutations: int,
    seed: int,
    progress: Callable[[int, int], None] | None = None,
) -> Mechanisms:
    """Read a network out of fold, and again on permuted patients.

    Args:
        patients: Rows; those of one patient at several landmarks stay together.
        outcomes: What happened to them.
        fit: Fits the network.
        asked: What is asked.
        n_folds: Of the patients: each is read by a network that has not seen him.
        n_permutations: One or more.
        seed: Of folds, permutations and resamples.
        progress: Told how many networks of how many were fitted and read.

    Raises:
        SequelaError: Too few patients for the folds, or the network is of no kind that can be read.
    """
    rng = np.random.default_rng([seed, 1])
    groups = exchangeable(len(outcomes), patients.patient_id, patients.landmark_day, None)
    total, done = (1 + n_permutations) * n_folds, 0

    def told() -> None:
        nonlocal done
        done += 1
        if progress is not None:
            progress(done, total)

    observed = _readings(patients, outcomes, fit, asked, n_folds, seed, told, described=True)
    found = [_numbers(observed, outcomes, asked)]
    for _ in range(n_permutations):
        dealt = outcomes.take(exchanged(groups, len(outcomes), rng))
        found.append(
            _numbers(_readings(patients, dealt, fit, asked, n_folds, seed, told, described=False), dealt, asked)
        )
    genes = tuple(dict.fromkeys(gene for one in found for gene in one.genes))
    rows = np.concatenate([one.rows for one in observed])
    ids, drawn = patients.patient_id[rows], np.random.default_rng([seed, 2])
    return Mechanisms(
        asked,
        rows,
        observed,
        _tested([one.spread for one in found]),
        _tested([one.gain for one in found]),
        _gain_intervals(observed, outcomes.take(rows), asked, ids, drawn),
        genes,
        _tested([one.over(genes) for one in found]),
        _raises(observed, genes),
        _tested([np.abs(one.effect) for one in found]),
        _mean_intervals(_changes(observed, asked), ids, drawn),
    )


@dataclass(frozen=True, slots=True)
class _Numbers:
    """What is compared with permuted patients."""

    spread: FloatArray
    gain: FloatArray
    genes: tuple[str, ...]
    gene_spread: FloatArray
    effect: FloatArray

    def over(self, genes: Sequence[str]) -> FloatArray:
        """`gene_spread` of these genes; 0 for those that the networks did not see."""
        own = dict(zip(self.genes, self.gene_spread.tolist(), strict=True))
        return np.array([own.get(gene, 0.0) for gene in genes])


def _readings(
    patients: Patients,
    outcomes: Outcomes,
    fit: Fit,
    asked: Asked,
    n_folds: int,
    seed: int,
    told: Callable[[], None],
    *,
    described: bool,
) -> tuple[Reading, ...]:
    found = []
    for fold in patient_folds(patients.patient_id, outcomes.cause, n_folds=n_folds, n_repeats=1, seed=seed):
        train = patients.take(fold.train)
        model = fit(train, outcomes.take(fold.train))
        found.append(read(model, train, patients.take(fold.test), fold.test, asked, described=described))
        told()
    return tuple(found)


def _numbers(readings: Sequence[Reading], outcomes: Outcomes, asked: Asked) -> _Numbers:
    rows = np.concatenate([one.rows for one in readings])
    by_state = np.concatenate([one.moved.sum(axis=-1, dtype=np.float64) for one in readings])
    genes = tuple(dict.fromkeys(gene for one in readings for gene in one.genes))
    weights = scoring_weights(outcomes.take(rows), np.array([asked.horizon_days]))
    return _Numbers(
        by_state.std(axis=0),
        _gains(readings, outcomes.take(rows), asked, weights),
        genes,
        gene_moves(readings, genes, asked).std(axis=0),
        _changes(readings, asked).mean(axis=0),
    )


def gene_moves(readings: Sequence[Reading], genes: Sequence[str], asked: Asked, state: int | None = None) -> FloatArray:
    """(rows, genes): what each gene moves the risk by, in the cells of one state, or in all cells of all materials.

    Args:
        readings: Of all folds.
        genes: In this order; 0 where a fold's network does not see one.
        asked: What was asked.
        state: Number of the state; None: all.
    """
    whole = [i for i, one in enumerate(asked.states) if one.cell_type is None] if state is None else [state]
    return np.concatenate(
        [_onto(genes, one.genes, one.moved[:, whole].sum(axis=1, dtype=np.float64), 0.0) for one in readings]
    )


def _raises(readings: Sequence[Reading], genes: Sequence[str]) -> FloatArray:
    parts = [_onto(genes, one.genes, one.raises.astype(np.float64), np.nan) for one in readings]
    table = np.concatenate(parts)
    seen = np.isfinite(table)
    found: FloatArray = np.where(seen, table, 0.0).sum(axis=0) / np.maximum(seen.sum(axis=0), 1)
    return found


def _onto(genes: Sequence[str], own: Sequence[str], values: FloatArray, absent: float) -> FloatArray:
    """(rows, genes): columns (rows, own) put in the places of other genes."""
    place = {gene: j for j, gene in enumerate(genes)}
    seen = [i for i, gene in enumerate(own) if gene in place]
    table = np.full((len(values), len(genes)), absent)
    table[:, [place[own[i]] for i in seen]] = values[:, seen]
    return table


def _gains(readings: Sequence[Reading], outcomes: Outcomes, asked: Asked, weights: ScoringWeights) -> FloatArray:
    """(…, states): Brier score without the cells of each state, less that with them."""
    at = np.array([asked.horizon_days])

    def score(incidence: FloatArray) -> FloatArray:
        return brier_score(incidence[..., None], at, outcomes, weights)[..., asked.cause - 1, 0]

    own = score(np.concatenate([one.incidence for one in readings]))
    absent = [np.concatenate([one.without[j] for one in readings]) for j in range(len(asked.states))]
    return np.stack([score(one) - own for one in absent], axis=-1)


def _changes(readings: Sequence[Reading], asked: Asked) -> FloatArray:
    """(rows, changes): how much the risk changes with the cells."""
    return np.concatenate([(one.changed - one.incidence[:, asked.cause - 1]).T for one in readings])


def _tested(found: Sequence[FloatArray]) -> AgainstPermuted:
    return AgainstPermuted(found[0], np.stack(found[1:]))


def _gain_intervals(
    readings: Sequence[Reading],
    outcomes: Outcomes,
    asked: Asked,
    patient_id: NDArray[np.object_],
    rng: np.random.Generator,
) -> tuple[Interval, ...]:
    at = np.array([asked.horizon_days])

    def gains(resamples: NDArray[np.float64] | None) -> FloatArray:
        return _gains(readings, outcomes, asked, scoring_weights(outcomes, at, resamples=resamples))

    point = gains(None)
    draws = np.concatenate([gains(one) for one in resample_patients(patient_id, N_BOOTSTRAP, rng)])
    return tuple(percentile_interval(float(point[j]), draws[:, j]) for j in range(len(point)))


def _mean_intervals(
    values: FloatArray, patient_id: NDArray[np.object_], rng: np.random.Generator
) -> tuple[Interval, ...]:
    """Of the mean over rows (rows, things), patients being drawn."""
    draws = np.concatenate(
        [one @ values / one.sum(axis=1, keepdims=True) for one in resample_patients(patient_id, N_BOOTSTRAP, rng)]
    )
    point = values.mean(axis=0)
    return tuple(percentile_interval(float(point[j]), draws[:, j]) for j in range(len(point)))
