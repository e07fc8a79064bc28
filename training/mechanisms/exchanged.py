"""Is what a network leans on in the cells more than chance gives? The same network, fitted to one another's cells.

A network always leans on some cells and some genes. So all of it is done again, folds and fit included, on patients who
have exchanged their cells, clinic and outcomes staying where they are: what is found then is what cells that tell
nothing beside the clinic give. See `training.evaluation.cell_exchange` for when that is exact.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from features.outcomes import Outcomes
from features.patients import FloatArray, IntArray, Patients
from training.evaluation.brier import brier_score
from training.evaluation.cell_exchange import CellExchange
from training.evaluation.intervals import Interval, percentile_interval, resample_patients
from training.evaluation.ipcw import ScoringWeights, scoring_weights
from training.evaluation.permutation import exchanged
from training.mechanisms.against import AgainstExchanged, mean_of_known
from training.mechanisms.agreement import first_order_gain
from training.mechanisms.reading import Asked, Reading, read
from training.models.risk_model import FittedRiskModel
from training.splits import patient_folds

Fit = Callable[[Patients, Outcomes], FittedRiskModel]
"""Fits a network to training rows, drawing the same random numbers each time."""
N_BOOTSTRAP = 500


@dataclass(frozen=True, slots=True)
class Mechanisms:
    """What the cells carry of a network's risk, out of fold."""

    asked: Asked
    rows: IntArray
    """(rows,): those read, in the order of `readings`."""
    readings: tuple[Reading, ...]
    """One a fold."""
    spread: FloatArray
    """(states,): standard deviation over rows of what their cells move the risk by."""
    agreement: AgainstExchanged
    """By state: first-order gain of what its cells move the risk by (`training.mechanisms.agreement`)."""
    agreement_interval: tuple[Interval, ...]
    gain: AgainstExchanged
    """By state: Brier score at the horizon with its cells from other patients, less that with one's own; above 0: they
    help. Mean over landmarks."""
    gain_interval: tuple[Interval, ...]
    genes: tuple[str, ...]
    gene_spread: FloatArray
    """(genes,): standard deviation over rows of what they move the risk by, in all cells."""
    gene_agreement: AgainstExchanged
    """By gene: first-order gain of what it moves the risk by, in all cells."""
    gene_agreement_interval: tuple[Interval, ...]
    raises: FloatArray
    """(genes,): share of the rows with cells in which the risk rises with the gene; NaN where no network sees it."""
    effect: AgainstExchanged
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
    n_exchanges: int,
    seed: int,
    sites: NDArray[np.object_] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Mechanisms:
    """Read a network out of fold, and again on patients with one another's cells.

    Args:
        patients: Rows; those of one patient at several landmarks stay together.
        outcomes: What happened to them, all being observed from the landmark on.
        fit: Fits the network.
        asked: What is asked.
        n_folds: Of the patients: each is read by a network that has not seen him.
        n_exchanges: One or more.
        seed: Of folds, exchanges and resamples.
        sites: (rows,), within which cells are exchanged; None: everywhere.
        progress: Told how many networks of how many were fitted and read.

    Raises:
        SequelaError: Too few patients for the folds, or no two of them can exchange cells.
    """
    exchange = CellExchange.of(patients, sorted(set(patients.landmark_day.tolist())), sites)
    total, done = (1 + n_exchanges) * n_folds, 0

    def told() -> None:
        nonlocal done
        done += 1
        if progress is not None:
            progress(done, total)

    def readings(given: Patients, *, described: bool) -> tuple[Reading, ...]:
        return _readings(given, outcomes, fit, asked, n_folds, seed, told, described=described)

    observed = readings(patients, described=True)
    subject = _Subject(observed, outcomes, patients, asked)
    found, rng = [subject.numbers(observed)], np.random.default_rng([seed, 1])
    for _ in range(n_exchanges):
        source = exchanged(exchange.groups, len(exchange.first_row), rng)
        found.append(subject.numbers(readings(exchange.exchanged(patients, source), described=False)))
    genes = tuple(dict.fromkeys(gene for one in found for gene in one.genes))
    drawn = np.random.default_rng([seed, 2])
    by_state, by_gene = _state_moves(observed), gene_moves(observed, genes, asked)
    return Mechanisms(
        asked,
        subject.rows,
        observed,
        by_state.std(axis=0),
        _against([one.agreement for one in found]),
        subject.intervals(lambda weights: subject.agreement(observed, by_state, weights), drawn),
        _against([one.gain for one in found]),
        subject.intervals(lambda weights: subject.gains(observed, weights), drawn),
        genes,
        by_gene.std(axis=0),
        _against([one.over(genes) for one in found]),
        subject.intervals(lambda weights: subject.agreement(observed, by_gene, weights), drawn),
        _raises(observed, genes),
        _against([np.abs(one.effect) for one in found]),
        _mean_intervals(_changes(observed, asked), subject.patient_id, drawn),
    )


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
        model, own = fit(train, outcomes.take(fold.train)), (seed, 3, fold.number)
        found.append(read(model, train, patients.take(fold.test), fold.test, asked, own, described=described))
        told()
    return tuple(found)


@dataclass(frozen=True, slots=True)
class _Numbers:
    """What is compared."""

    agreement: FloatArray
    gain: FloatArray
    genes: tuple[str, ...]
    gene_agreement: FloatArray
    effect: FloatArray

    def over(self, genes: Sequence[str]) -> FloatArray:
        """`gene_agreement` of these genes; NaN for those that the networks did not see."""
        own = dict(zip(self.genes, self.gene_agreement.tolist(), strict=True))
        return np.array([own.get(gene, np.nan) for gene in genes])


class _Subject:
    """The rows that were read, what happened to them, and what the answers come to."""

    def __init__(self, readings: Sequence[Reading], outcomes: Outcomes, patients: Patients, asked: Asked) -> None:
        self.rows = np.concatenate([one.rows for one in readings])
        self.asked, self.outcomes = asked, outcomes.take(self.rows)
        self.patient_id, self.landmark_day = patients.patient_id[self.rows], patients.landmark_day[self.rows]

    def numbers(self, readings: Sequence[Reading]) -> _Numbers:
        """What is compared, of readings of the same rows."""
        genes = tuple(dict.fromkeys(gene for one in readings for gene in one.genes))
        return _Numbers(
            self.agreement(readings, _state_moves(readings)),
            self.gains(readings),
            genes,
            self.agreement(readings, gene_moves(readings, genes, self.asked)),
            _changes(readings, self.asked).mean(axis=0),
        )

    def intervals(
        self, of: Callable[[FloatArray | None], FloatArray], rng: np.random.Generator
    ) -> tuple[Interval, ...]:
        """Of something (…, things) that follows from how often each row is drawn; patients are drawn."""
        point = of(None)
        draws = np.concatenate([of(one) for one in resample_patients(self.patient_id, N_BOOTSTRAP, rng)])
        return tuple(percentile_interval(float(point[j]), draws[:, j]) for j in range(len(point)))

    def agreement(
        self, readings: Sequence[Reading], moved: FloatArray, resamples: FloatArray | None = None
    ) -> FloatArray:
        """(…, things): first-order gain of moves (rows, things) of the risk, mean over landmarks."""
        own = np.concatenate([one.incidence[:, self.asked.cause - 1] for one in readings])
        alike = own - _state_moves(readings)[:, _whole(self.asked)].sum(axis=1)
        return self._by_landmark(
            lambda here, outcomes, drawn: first_order_gain(
                moved[here], alike[here], outcomes, self.asked.cause, self.asked.horizon_days, drawn
            ),
            resamples,
        )

    def gains(self, readings: Sequence[Reading], resamples: FloatArray | None = None) -> FloatArray:
        """(…, states): Brier score with cells of others less that with one's own, mean over landmarks and circles."""
        own = np.concatenate([one.incidence for one in readings])
        others = np.concatenate([one.others for one in readings], axis=2)

        def gained(here: IntArray, outcomes: Outcomes, drawn: FloatArray | None) -> FloatArray:
            weights = scoring_weights(outcomes, np.array([self.asked.horizon_days]), resamples=drawn)
            mine = self._score(own[here], outcomes, weights)
            gains = [
                np.mean([self._score(one[here], outcomes, weights) - mine for one in circles], axis=0)
                for circles in others
            ]
            return np.stack(gains, axis=-1)

        return self._by_landmark(gained, resamples)

    def _by_landmark(
        self, of: Callable[[IntArray, Outcomes, FloatArray | None], FloatArray], resamples: FloatArray | None
    ) -> FloatArray:
        """Mean over landmarks of something of their rows."""
        found = []
        for day in np.unique(self.landmark_day):
            here = np.flatnonzero(self.landmark_day == day)
            found.append(of(here, self.outcomes.take(here), None if resamples is None else resamples[:, here]))
        mean: FloatArray = np.mean(found, axis=0)
        return mean

    def _score(self, incidence: FloatArray, outcomes: Outcomes, weights: ScoringWeights) -> FloatArray:
        at = np.array([self.asked.horizon_days])
        score: FloatArray = brier_score(incidence[..., None], at, outcomes, weights)[..., self.asked.cause - 1, 0]
        return score


def gene_moves(readings: Sequence[Reading], genes: Sequence[str], asked: Asked, state: int | None = None) -> FloatArray:
    """(rows, genes): what each gene moves the risk by, in the cells of one state, or in all cells of all materials.

    Args:
        readings: Of all folds.
        genes: In this order; 0 where a fold's network does not see one.
        asked: What was asked.
        state: Number of the state; None: all.
    """
    whole = _whole(asked) if state is None else [state]
    return np.concatenate(
        [_onto(genes, one.genes, one.moved[:, whole].sum(axis=1, dtype=np.float64), 0.0) for one in readings]
    )


def _state_moves(readings: Sequence[Reading]) -> FloatArray:
    """(rows, states): what the cells of each move the risk by."""
    return np.concatenate([one.moved.sum(axis=-1, dtype=np.float64) for one in readings])


def _whole(asked: Asked) -> list[int]:
    """Numbers of the states that are all cells of a material."""
    return [i for i, one in enumerate(asked.states) if one.cell_type is None]


def _raises(readings: Sequence[Reading], genes: Sequence[str]) -> FloatArray:
    table = np.concatenate([_onto(genes, one.genes, one.raises, np.nan) for one in readings])
    return mean_of_known(table)


def _onto(genes: Sequence[str], own: Sequence[str], values: FloatArray, absent: float) -> FloatArray:
    """(rows, genes): columns (rows, own) put in the places of other genes."""
    place = {gene: j for j, gene in enumerate(genes)}
    seen = [i for i, gene in enumerate(own) if gene in place]
    table = np.full((len(values), len(genes)), absent)
    table[:, [place[own[i]] for i in seen]] = values[:, seen]
    return table


def _changes(readings: Sequence[Reading], asked: Asked) -> FloatArray:
    """(rows, changes): how much the risk changes with the cells."""
    return np.concatenate([(one.changed - one.incidence[:, asked.cause - 1]).T for one in readings])


def _against(found: Sequence[FloatArray]) -> AgainstExchanged:
    return AgainstExchanged(found[0], np.stack(found[1:]))


def _mean_intervals(
    values: FloatArray, patient_id: NDArray[np.object_], rng: np.random.Generator
) -> tuple[Interval, ...]:
    """Of the mean over rows (rows, things), patients being drawn."""
    draws = np.concatenate(
        [one @ values / one.sum(axis=1, keepdims=True) for one in resample_patients(patient_id, N_BOOTSTRAP, rng)]
    )
    point = values.mean(axis=0)
    return tuple(percentile_interval(float(point[j]), draws[:, j]) for j in range(len(point)))
