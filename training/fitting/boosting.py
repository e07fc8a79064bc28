"""Boosting the hazards of competing risks: trees by scikit-learn, steps by Newton, rounds by patients held out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.tree import DecisionTreeRegressor  # type: ignore[import-untyped]

from features.errors import SequelaError
from features.outcomes import Outcomes
from training.config import BoostingConfig
from training.fitting.binning import bin_edges, require_events
from training.models.boosting import Boosting, places, shifts_of
from training.models.trees import GrownTree, Trees
from training.splits import patient_folds

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
PRIOR_EVENTS = 0.5
"""Events in each bin that are taken to be of the cause in its usual share: keeps bins without its events finite."""
SMALLEST_SHARE = 1e-9
"""Share in the events of a cause that never happened."""
SMALLEST_EXPOSURE = 0.5
"""Bins at risk: bounds the hazard of a bin that hardly any training patient reached."""
LARGEST_STEP = 2.0
"""Of a leaf's log hazard ratio, before the learning rate."""


@dataclass(frozen=True, slots=True)
class BinnedFollowUp:
    """Events and time at risk by bin, the sufficient statistics of a piecewise-exponential model."""

    exposure: FloatArray
    """(rows, bins): share of the bin spent under observation."""
    event_bin: IntArray
    """(rows,): bin of the event, 0 where there was none."""
    cause: IntArray
    """(rows,)"""

    @classmethod
    def of(cls, outcomes: Outcomes, edges_days: FloatArray) -> BinnedFollowUp:
        """Bins (start, end] hold the events up to and including their end."""
        width = np.diff(edges_days)
        exposure = np.clip((outcomes.duration_days[:, None] - edges_days[:-1]) / width, 0.0, 1.0)
        if outcomes.entry_days is not None:
            exposure = exposure - np.clip((outcomes.entry_days[:, None] - edges_days[:-1]) / width, 0.0, 1.0)
        event_bin = np.clip(np.searchsorted(edges_days, outcomes.duration_days) - 1, 0, len(width) - 1)
        return cls(exposure, np.where(outcomes.cause > 0, event_bin, 0), outcomes.cause)

    def take(self, rows: IntArray) -> BinnedFollowUp:
        """The given rows, in that order."""
        return BinnedFollowUp(self.exposure[rows], self.event_bin[rows], self.cause[rows])

    def base(self, shifts: FloatArray, cause: int) -> FloatArray:
        """(bins,): log expected events of a cause in each bin for a row without a shift, given all rows' shifts."""
        at_risk = np.maximum((self.exposure * np.exp(shifts)).sum(axis=0), SMALLEST_EXPOSURE)
        events, of_any_cause = (
            np.bincount(self.event_bin[rows], minlength=len(at_risk)) for rows in (self.cause == cause, self.cause > 0)
        )
        share = max(events.sum() / max(of_any_cause.sum(), 1), SMALLEST_SHARE)
        usual = np.maximum(of_any_cause, 1) * share
        base: FloatArray = np.log((events + PRIOR_EVENTS) * usual / (usual + PRIOR_EVENTS) / at_risk)
        return base


class _Side:
    """One part of the rows, training or held out, in the boosting of one cause."""

    def __init__(self, values: NDArray[np.float32], follow_up: BinnedFollowUp, cause: int) -> None:
        self.values = values
        self.follow_up = follow_up
        self.event = (follow_up.cause == cause).astype(float)
        self.place = places(follow_up.exposure.shape[1])
        self.event_place = self.event * self.place[follow_up.event_bin]
        self.effect = np.zeros((len(values), 2))
        """Level and trend so far."""

    def shifts(self) -> FloatArray:
        """Log hazard ratios (rows, bins) against the base."""
        return shifts_of(self.effect, self.place)

    def expected(self, base: FloatArray) -> FloatArray:
        """Events (rows, bins) that the model expects."""
        return self.follow_up.exposure * np.exp(base + self.shifts())

    def deviance(self, base: FloatArray) -> float:
        """Negative log-likelihood of the cause, up to a constant: Σ expected − Σ log hazard at events."""
        events = self.event @ base[self.follow_up.event_bin] + self.event @ self.effect[:, 0]
        return float(self.expected(base).sum() - events - self.event_place @ self.effect[:, 1])


def fit_boosting(
    x: FloatArray, outcomes: Outcomes, patient_id: NDArray[np.object_], config: BoostingConfig, *, seed: int
) -> Boosting:
    """Fit the boosted hazards on encoded patients.

    With hazards constant in bins the likelihood of competing risks is a product over causes of Poisson likelihoods
    (Holford, Biometrics 1980;36:299–305), censoring and late entry within a bin included; each cause is boosted on its
    own (Friedman, Ann Stat 2001;29:1189–1232). The patients are parted into `config.members` groups; each member leaves
    one out and stops where that one's likelihood is best. The log hazard is the mean over members; the base is
    estimated again, given it, from all rows.

    Args:
        x: Standardised features (rows, features).
        outcomes: Outcomes of the rows.
        patient_id: (rows,): rows of one patient are trained on, or held out, together.
        config: The boosting.
        seed: Of everything random.

    Raises:
        SequelaError: No event of any cause, or fewer patients than members.
    """
    require_events(outcomes, "boosting")
    if (n_patients := len(np.unique(patient_id.astype(str)))) < config.members:
        msg = f"boosting: members = {config.members} for {n_patients} patients; set at most as many members as patients"
        raise SequelaError(msg)
    edges = bin_edges(outcomes, config.bins)
    follow_up = BinnedFollowUp.of(outcomes, edges)
    values = np.ascontiguousarray(x, dtype=np.float32)
    folds = patient_folds(patient_id, outcomes.cause, n_folds=config.members, n_repeats=1, seed=seed)
    rng = np.random.default_rng(seed)
    grown: list[_Grown] = []
    for fold in folds:
        for k in range(1, len(outcomes.causes) + 1):
            train = _Side(values[fold.train], follow_up.take(fold.train), k)
            held_out = _Side(values[fold.test], follow_up.take(fold.test), k)
            grown += _boost(train, held_out, k, config, rng)
    return _assemble(x, grown, follow_up, len(outcomes.causes), edges, config)


@dataclass(frozen=True, slots=True)
class _Grown:
    """One tree of one cause."""

    tree: GrownTree
    """The library's arrays."""
    steps: FloatArray
    """(nodes, 2): change of level and trend in each leaf."""
    cause: int


def _boost(train: _Side, held_out: _Side, cause: int, config: BoostingConfig, rng: np.random.Generator) -> list[_Grown]:
    """The trees up to the best round on the rows held out."""
    if not train.values.shape[1] or not train.event.any():
        return []
    base = train.follow_up.base(train.shifts(), cause)
    grown: list[_Grown] = []
    best, kept = held_out.deviance(base), 0
    for number in range(config.rounds):
        tree, steps = _one_tree(train, base, config, rng)
        grown.append(_Grown(tree, steps, cause))
        for side in (train, held_out):
            side.effect += steps[tree.apply(side.values)]
        deviance = held_out.deviance(base)
        if deviance < best:
            best, kept = deviance, number + 1
        elif number + 1 - kept >= config.patience:
            break
    return grown[:kept]


def _one_tree(
    side: _Side, base: FloatArray, config: BoostingConfig, rng: np.random.Generator
) -> tuple[GrownTree, FloatArray]:
    """A tree grown on half of the rows (Friedman, Comput Stat Data Anal 2002;38:367), and its leaves' Newton steps."""
    expected = side.expected(base)
    by_place = [expected @ side.place**power for power in range(3)]
    gradient = np.column_stack([side.event - by_place[0], side.event_place - by_place[1]])
    n = len(gradient)
    half = np.sort(rng.choice(n, max(1, n // 2), replace=False))
    grower = DecisionTreeRegressor(
        max_leaf_nodes=config.leaves,
        min_samples_leaf=config.min_leaf,
        max_features=config.max_features,
        random_state=int(rng.integers(2**31)),
    )
    tree = grower.fit(side.values[half], gradient[half] * [1.0, config.trend]).tree_
    leaf = tree.apply(side.values)
    level, trend, a, b, c = (_by_leaf(leaf, rows, tree.node_count) for rows in (*gradient.T, *by_place))
    a, c = a + config.ridge, c + config.ridge / config.trend**2
    steps = np.column_stack([c * level - b * trend, a * trend - b * level]) / (a * c - b**2)[:, None]
    return tree, config.learning_rate * np.clip(steps, -LARGEST_STEP, LARGEST_STEP)


def _by_leaf(leaf: IntArray, rows: FloatArray, n_nodes: int) -> FloatArray:
    """Sums (nodes,) over the rows of each leaf."""
    return np.bincount(leaf, weights=rows, minlength=n_nodes).astype(np.float64)


def _assemble(
    x: FloatArray,
    grown: list[_Grown],
    follow_up: BinnedFollowUp,
    n_causes: int,
    edges: FloatArray,
    config: BoostingConfig,
) -> Boosting:
    leaves = [one.steps[one.tree.children_left < 0] / config.members for one in grown]
    trees = Trees.pack([one.tree for one in grown])
    cause = np.array([one.cause - 1 for one in grown], dtype=np.int32)
    n_bins = len(edges) - 1
    model = Boosting(trees, np.concatenate([np.zeros((0, 2)), *leaves]), cause, np.zeros((n_causes, n_bins)), edges)
    shifts = model.shifts(x)
    model.base = np.stack([follow_up.base(shifts[:, k], k + 1) for k in range(n_causes)])
    return model
