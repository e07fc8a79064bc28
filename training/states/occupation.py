"""Who is in which state when, for how long, and who ever was: the Aalen–Johansen estimate of a multi-state process."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from features.states import StateHistories

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Transitions:
    """Who moved and who could have, at every distinct time at which somebody moved."""

    times_days: FloatArray
    """(times,), ascending."""
    at_risk: FloatArray
    """(times, states): patients in each state just before."""
    moves: FloatArray
    """(times, states, states): from one to another; 0 on the diagonal."""

    @property
    def hazards(self) -> FloatArray:
        """(times, states, states): increments of the Nelson–Aalen estimates; 0 on the diagonal and where nobody is."""
        whole = np.broadcast_to(self.at_risk[:, :, None], self.moves.shape)
        return np.divide(self.moves, whole, out=np.zeros_like(self.moves), where=whole > 0)


@dataclass(frozen=True, slots=True)
class Occupation:
    """Of a group at some times, everyone being in the first state at time 0."""

    times_days: FloatArray
    """(times,)"""
    probability: FloatArray
    """(times, states): of being in each state; they sum to 1."""
    entered: FloatArray
    """(times, states): expected number of entries into each state by then, which is the probability of ever having been
    in it if nobody returns to a state; 0 for the first."""
    days: FloatArray
    """(times, states): expected days in each state up to then; they sum to the time (restricted mean)."""
    covariance: FloatArray | None = None
    """(times, 3 × states, 3 × states): of the three above, one after the other; None where it is not estimated."""

    def errors(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """(times, states) each: standard errors of `probability`, `entered` and `days`."""
        assert self.covariance is not None  # noqa: S101 - for the type checker
        spread = np.sqrt(np.maximum(np.diagonal(self.covariance, axis1=1, axis2=2), 0.0))
        n = self.probability.shape[1]
        return spread[:, :n], spread[:, n : 2 * n], spread[:, 2 * n :]


def transitions(histories: StateHistories, weights: FloatArray | None = None) -> Transitions:
    """Count who is in each state, and who leaves it for which, at each time at which somebody does.

    Args:
        histories: Stays.
        weights: (patients,): how much each counts; None: once.
    """
    weight = np.ones(len(histories.patient)) if weights is None else weights[histories.patient]
    goes = histories.next_state >= 0
    times = np.unique(histories.stop_days[goes])
    n = len(histories.states)
    moves = np.zeros((len(times), n, n))
    place = np.searchsorted(times, histories.stop_days[goes])
    np.add.at(moves, (place, histories.state[goes], histories.next_state[goes]), weight[goes])
    at_risk = np.zeros((len(times), n))
    for state in range(n):
        own = histories.state == state
        n_begun, begun = _before(histories.start_days[own], weight[own], times)
        n_ended, ended = _before(histories.stop_days[own], weight[own], times)
        at_risk[:, state] = np.where(n_begun > n_ended, begun - ended, 0.0)
    return Transitions(times, at_risk, moves)


def _before(days: FloatArray, weight: FloatArray, times: FloatArray) -> tuple[IntArray, FloatArray]:
    """(times,) each: how many of the days are before each time, and their weight."""
    order = np.argsort(days, kind="stable")
    n = np.searchsorted(days[order], times, side="left")
    return n, np.concatenate([[0.0], np.cumsum(weight[order])])[n]


def occupation(histories: StateHistories, times_days: FloatArray, weights: FloatArray | None = None) -> Occupation:
    """State occupation probabilities p(t), expected entries and expected days, with their covariance.

    p(t) = p(0) Π_{s≤t} (I + dA(s)), A being the matrix of Nelson–Aalen estimates of the transition hazards (Aalen &
    Johansen, Scand J Stat 1978;5:141–150; Andersen, Borgan, Gill & Keiding 1993, section IV.4). Under right censoring
    that is independent of the process, p(t) is consistent whether the process is Markov or not (Datta & Satten, Stat
    Probab Lett 2001;55:403–411); under late entry it takes a Markov process. Expected days are ∫₀ᵗ p(u) du (Beyersmann
    & Putter, Stat Med 2014;33:4270; Grand & Putter, Stat Med 2016;35:1175), expected entries Σ_{s≤t} p(s−) dA(s) off
    the diagonal. The probability of a state stays where it is once nobody in it is followed any more.

    The covariance is that of the infinitesimal jackknife over patients, as in R's `survival::survfit`. With c = p/Y,
    Y patients at risk in each state, dN_i the moves of patient i and Y_i where it was, ∂p/∂w_i follows
    U(t) = U(t−)(I + dA) + c (dN_i − Y_i dA), and so do entries; days are its integral.

    With weights, moves and patients at risk are sums of them, and the covariance is Σ_i w_i² (∂/∂w_i)(∂/∂w_i)ᵀ. It
    takes the weights as known: where they are inverse probabilities from a model, it is too large rather than too
    small (Robins, Hernán & Brumback, Epidemiology 2000;11:550; Lunceford & Davidian, Stat Med 2004;23:2937).

    Args:
        histories: Stays of independent patients.
        times_days: (times,): from the landmark, at least 0, ascending.
        weights: (patients,): above 0; None: everyone counts once.
    """
    counted = transitions(histories, weights)
    grid = np.union1d(counted.times_days, times_days)
    wanted = np.isin(grid, times_days)
    hazards = counted.hazards
    walk = _Walk(histories, weights)
    found, step = [], 0
    for time, is_wanted in zip(grid, wanted, strict=True):
        walk.wait_until(float(time))
        if step < len(counted.times_days) and counted.times_days[step] == time:
            walk.move(float(time), hazards[step], counted.at_risk[step])
            step += 1
        if is_wanted:
            found.append(walk.now())
    points, covariance = (np.stack(column) for column in zip(*found, strict=True))
    return Occupation(np.asarray(times_days, dtype=float), points[:, 0], points[:, 1], points[:, 2], covariance)


class _Walk:
    """The recursion of `occupation`, at one time after the other: estimates, and each patient's weighted influence."""

    def __init__(self, histories: StateHistories, weights: FloatArray | None) -> None:
        n, m = len(histories), len(histories.states)
        self._weight = np.ones(n) if weights is None else weights
        self.time = 0.0
        self.values = np.zeros((3, m))
        """Probability, entries, days."""
        self.values[0, 0] = 1.0
        self.influence = np.zeros((3, n, m))
        self._present = _Present(histories)
        goes = np.flatnonzero(histories.next_state >= 0)
        self._goes = goes[np.argsort(histories.stop_days[goes], kind="stable")]
        self._histories = histories
        self._gone = 0

    def wait_until(self, time: float) -> None:
        """Days pass; nobody moves."""
        passed = time - self.time
        self.values[2] += passed * self.values[0]
        self.influence[2] += passed * self.influence[0]
        self.time = time

    def move(self, time: float, hazard: FloatArray, at_risk: FloatArray) -> None:
        """Patients move at a time, by hazards (states, states) among those at risk (states,)."""
        probability, change = self.values[0], self.influence[0]
        present = self._present.just_before(time)
        each = np.divide(probability, at_risk, out=np.zeros_like(probability), where=at_risk > 0)
        stays = hazard - np.diag(hazard.sum(axis=1))
        nobody, weight = np.zeros((1, len(each))), self._weight[:, None]
        expected = weight * np.concatenate([each[:, None] * stays, nobody])[present]
        expected_entries = weight * np.concatenate([each[:, None] * hazard, nobody])[present]
        who, origin, target = self._movers(time)
        moved = self._weight[who] * each[origin]
        self.influence[1] += change @ hazard - expected_entries
        self.influence[1][who, target] += moved
        change += change @ stays - expected
        change[who, target] += moved
        change[who, origin] -= moved
        self.values[1] += probability @ hazard
        self.values[0] = probability + probability @ stays

    def _movers(self, time: float) -> tuple[IntArray, IntArray, IntArray]:
        """Patients that move at a time, and their states before and after."""
        first = self._gone
        while self._gone < len(self._goes) and self._histories.stop_days[self._goes[self._gone]] <= time:
            self._gone += 1
        rows = self._goes[first : self._gone]
        return self._histories.patient[rows], self._histories.state[rows], self._histories.next_state[rows]

    def now(self) -> tuple[FloatArray, FloatArray]:
        """Estimates (3, states) and their covariance (3 × states, 3 × states)."""
        flat = self.influence.transpose(1, 0, 2).reshape(self.influence.shape[1], -1)
        return self.values.copy(), flat.T @ flat


class _Present:
    """In which state each patient is observed, as time goes on; −1: in none."""

    def __init__(self, histories: StateHistories) -> None:
        n_rows = len(histories.patient)
        time = np.concatenate([histories.stop_days, histories.start_days])
        begins = np.repeat([0, 1], n_rows)  # on one day, stays end before others begin
        order = np.lexsort((begins, time))
        self._time = time[order]
        self._patient = np.tile(histories.patient, 2)[order]
        self._state = np.concatenate([np.full(n_rows, -1), histories.state])[order]
        self._now = np.full(len(histories), -1)
        self._done = 0

    def just_before(self, time: float) -> IntArray:
        """(patients,): of a time not before that asked for last."""
        until = int(np.searchsorted(self._time, time, side="left"))
        part = slice(self._done, until)
        self._now[self._patient[part]] = self._state[part]  # of several changes of a patient the last one holds
        self._done = until
        return self._now
