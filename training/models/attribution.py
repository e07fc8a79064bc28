"""The two ways in which `training.models.explanation` divides a difference of risks: along a path, and over orders."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from math import factorial
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from features.patients import FloatArray, IntArray
from training.models.bins import log_hazards
from training.models.network import HazardNetwork
from training.models.predictor import Predictor

TOLERANCE = 1e-4
"""Largest accepted |Σ contributions − (risk(x) − risk(0))|: a hundredth of a percentage point."""
NODES = (16, 64, 256)
"""Gauss–Legendre nodes along the path; more are taken for rows that the fewer leave outside the tolerance."""
STEP = 1e-5
"""Central differences along a source's part of x; errors of rounding and of truncation are about 1e-10 in float64."""
EXACT_SOURCES = 8
"""Up to so many sources that differ from the mean, Shapley's value is computed exactly (2⁸ predictions)."""
VALUES_AT_ONCE = 4_000_000
"""Numbers of x held at a time."""


@runtime_checkable
class Differentiable(Protocol):
    """A predictor whose risk torch can differentiate."""

    def risk_tensor(self, x: Tensor, landmark_day: Tensor, times_days: Tensor) -> Tensor:
        """Incidences (rows, causes, times) of x (rows, features), a function of x that autograd follows."""
        ...


@dataclass(frozen=True, slots=True)
class Subject:
    """What is explained."""

    x: FloatArray
    landmark_day: FloatArray
    horizons_days: FloatArray
    source: IntArray
    """(features,): index of each column's source."""
    n_sources: int

    def risk(self, predictor: Predictor, x: FloatArray, rows: IntArray | slice = slice(None)) -> FloatArray:
        """Risks (points, causes, horizons) of points x of as many rows."""
        return predictor.incidence(x, self.landmark_day[rows], self.horizons_days)

    def take(self, rows: IntArray) -> Subject:
        """The given rows."""
        return Subject(self.x[rows], self.landmark_day[rows], self.horizons_days, self.source, self.n_sources)

    def blocks(self, copies: int) -> Iterator[IntArray]:
        """Rows of which so many copies each are held at a time."""
        n_rows = max(1, VALUES_AT_ONCE // max(1, copies * self.x.shape[1]))
        for start in range(0, len(self.x), n_rows):
            yield np.arange(start, min(start + n_rows, len(self.x)))

    def summed(self, by_column: FloatArray) -> FloatArray:
        """Sums (..., sources) of (..., features) over the columns of each source."""
        return by_column @ np.eye(self.n_sources)[self.source]


def gap_of(values: FloatArray, difference: FloatArray) -> FloatArray:
    """(rows,): how far the sum of contributions is from the difference of risks, at worst."""
    gap: FloatArray = np.abs(values.sum(axis=-1) - difference).max(axis=(1, 2), initial=0.0)
    return gap


def adds_up(predictor: Predictor, subject: Subject, values: FloatArray) -> NDArray[np.bool_]:
    """(rows,): whether contributions add up to the difference of risks."""
    difference = subject.risk(predictor, subject.x) - subject.risk(predictor, np.zeros_like(subject.x))
    return gap_of(values, difference) <= TOLERANCE


def along_path(predictor: Predictor, subject: Subject) -> tuple[FloatArray, bool]:
    """Path integrals (rows, causes, horizons, sources), and whether any slope was found where x is not 0."""
    values = _integral(predictor, subject, NODES[0])
    for n_nodes in NODES[1:]:
        rows = np.flatnonzero(~adds_up(predictor, subject, values))
        if not len(rows):
            break
        values[rows] = _integral(predictor, subject.take(rows), n_nodes)
    return values, bool(values.any() or not subject.x.any())


def _integral(predictor: Predictor, subject: Subject, n_nodes: int) -> FloatArray:
    """∫₀¹ of the slope along each source's part of x, by Gauss–Legendre quadrature."""
    nodes, weights = np.polynomial.legendre.leggauss(n_nodes)
    slopes = _by_autograd if isinstance(predictor, HazardNetwork | Differentiable) else _by_differences
    return sum(
        (
            0.5 * weight * slopes(predictor, subject, 0.5 * (node + 1))
            for node, weight in zip(nodes, weights, strict=True)
        ),
        start=np.zeros(()),
    )


def _by_differences(predictor: Predictor, subject: Subject, share: float) -> FloatArray:
    """The slope of risk(share · x + h · x_g) at h = 0, (rows, causes, horizons, sources), by central differences."""
    own = subject.source == np.arange(subject.n_sources)[:, None]
    signs = np.array([STEP, -STEP])[:, None, None]
    scale = share + signs * own  # (2, sources, features)
    parts = []
    for rows in subject.blocks(scale.shape[0] * scale.shape[1]):
        points = subject.x[rows][:, None, None] * scale
        risk = subject.risk(predictor, points.reshape(-1, points.shape[-1]), np.repeat(rows, len(own) * 2))
        risk = risk.reshape(len(rows), 2, len(own), *risk.shape[1:])
        parts.append(np.moveaxis((risk[:, 0] - risk[:, 1]) / (2 * STEP), 1, -1))
    return np.concatenate(parts) if parts else no_contributions(predictor, subject)


def _by_autograd(predictor: Predictor, subject: Subject, share: float) -> FloatArray:
    """As `_by_differences`, from the gradient."""
    times = torch.as_tensor(subject.horizons_days)
    parts = []
    for rows in subject.blocks(256):
        x = torch.as_tensor(share * subject.x[rows], dtype=torch.float32).requires_grad_()
        if isinstance(predictor, Differentiable):
            risk = predictor.risk_tensor(x, torch.as_tensor(subject.landmark_day[rows]), times)
        else:
            assert isinstance(predictor, HazardNetwork)  # noqa: S101 - for the type checker
            risk = network_risk(predictor, x, times)
        totals = risk.sum(dim=0).reshape(-1)
        gradients = [torch.autograd.grad(total, x, retain_graph=True)[0].double().numpy() for total in totals]
        by_column = np.stack(gradients, axis=1).reshape(*risk.shape, x.shape[1]) * subject.x[rows][:, None, None]
        parts.append(subject.summed(by_column))
    return np.concatenate(parts) if parts else no_contributions(predictor, subject)


def network_risk(network: HazardNetwork, x: Tensor, times_days: Tensor) -> Tensor:
    """Incidences (rows, causes, times) of the network as autograd follows them."""
    return risk_of_logits(network.module(x), torch.as_tensor(network.edges_days), times_days)


def risk_of_logits(logits: Tensor, edges: Tensor, times_days: Tensor) -> Tensor:
    """Incidences (rows, causes, times) as autograd follows them, the mean over members; see `bins.interpolate`.

    Args:
        logits: (members, rows, causes, bins).
        edges: (bins + 1,), in days.
        times_days: (times,)
    """
    cause, none = log_hazards(logits.double())
    share = cause.exp() / cause.exp().sum(dim=-2, keepdim=True).clamp(min=1e-300)
    gone = ((times_days[:, None] - edges[:-1]) / edges.diff()).clamp(0.0, 1.0)  # (times, bins): gone of each bin
    start = (none.cumsum(dim=-1) - none).exp()
    lost = start[..., None, :] * -torch.expm1(none[..., None, :] * gone)  # (members, rows, times, bins)
    return torch.einsum("mnkb,mntb->nkt", share, lost) / len(lost)


def by_orders(
    predictor: Predictor, subject: Subject, orders: int, rng: np.random.Generator
) -> tuple[FloatArray, FloatArray]:
    """Shapley's values over sources and their standard errors, row by row."""
    found = []
    for row in range(len(subject.x)):
        one = subject.take(np.array([row]))
        active = np.unique(subject.source[one.x[0] != 0])
        exact = len(active) <= EXACT_SOURCES
        found.append(_exact(predictor, one, active) if exact else _sampled(predictor, one, active, orders, rng))
    if not found:
        nothing = no_contributions(predictor, subject)
        return nothing, nothing
    values, errors = (np.stack(part) for part in zip(*found, strict=True))
    return values, errors


def _exact(predictor: Predictor, one: Subject, active: IntArray) -> tuple[FloatArray, FloatArray]:
    """φ_g = Σ_S |S|! (m − |S| − 1)! / m! · [v(S ∪ g) − v(S)] (Shapley 1953), S over sets of the m active sources."""
    m = len(active)
    sets = [np.isin(np.arange(m), chosen) for size in range(m + 1) for chosen in combinations(range(m), size)]
    member = np.array(sets, dtype=bool).reshape(len(sets), m)
    risk = _risk_with(predictor, one, active, member)
    size = member.sum(axis=1)
    weight = np.array([factorial(s - 1) * factorial(m - s) / factorial(m) if s else 0.0 for s in range(m + 1)])
    without = np.array([factorial(s) * factorial(m - s - 1) / factorial(m) if s < m else 0.0 for s in range(m + 1)])
    signed = np.where(member, weight[size][:, None], -without[size][:, None])  # (sets, active)
    values = np.zeros((*risk.shape[1:], one.n_sources))
    values[..., active] = np.einsum("skh,sg->khg", risk, signed)
    return values, np.zeros_like(values)


def _sampled(
    predictor: Predictor, one: Subject, active: IntArray, orders: int, rng: np.random.Generator
) -> tuple[FloatArray, FloatArray]:
    """Mean gain of each source when sources join one after the other, over random orders and their reverses."""
    forward = np.stack([rng.permutation(len(active)) for _ in range(orders)])
    place = np.stack([forward, forward[:, ::-1]], axis=1).argsort(axis=2)  # (orders, 2, active)
    member = place[:, :, None] < np.arange(len(active) + 1)[:, None]  # (orders, 2, joined so far, active)
    risk = _risk_with(predictor, one, active, member.reshape(-1, len(active)))
    gains = np.diff(risk.reshape(*member.shape[:3], *risk.shape[1:]), axis=2)  # (orders, 2, place, causes, horizons)
    own = np.take_along_axis(gains, place[..., None, None], axis=2).mean(axis=1)
    pairs = np.zeros((orders, *risk.shape[1:], one.n_sources))
    pairs[..., active] = np.moveaxis(own, 1, -1)
    spread = pairs.std(axis=0, ddof=1) / np.sqrt(orders) if orders > 1 else np.full_like(pairs[0], np.nan)
    return pairs.mean(axis=0), spread


def _risk_with(predictor: Predictor, one: Subject, active: IntArray, member: NDArray[np.bool_]) -> FloatArray:
    """Risks (sets, causes, horizons) with the columns of each set's sources (sets, active) as they are, the rest 0."""
    known = np.zeros((len(member), one.n_sources), dtype=bool)
    known[:, active] = member
    n_parts = -(-known.shape[0] * one.x.shape[1] // VALUES_AT_ONCE)
    risks = [
        one.risk(predictor, one.x * part[:, one.source], np.zeros(len(part), dtype=np.int64))
        for part in np.array_split(known, max(1, n_parts))
    ]
    return np.concatenate(risks)


def no_contributions(predictor: Predictor, subject: Subject) -> FloatArray:
    """No contributions, for no rows."""
    return np.zeros((*subject.risk(predictor, subject.x).shape, subject.n_sources))
