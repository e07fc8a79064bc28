"""Binary trees as plain arrays: what forest and boosting are made of when they serve."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from training.models.predictor import Arrays

BLOCK_ROWS = 256
"""Rows that are answered at once: bounds the memory of a prediction."""


class GrownTree(Protocol):
    """A tree as a library hands it over: nodes in one order in all arrays, parents before children, the root first."""

    feature: NDArray[Any]
    threshold: NDArray[Any]
    children_left: NDArray[Any]
    """−1 in leaves."""
    children_right: NDArray[Any]

    def apply(self, values: NDArray[np.float32]) -> NDArray[np.int64]:
        """(rows,): node of the leaf in which each row of values (rows, features) ends."""
        ...


class Stump:
    """A tree that is one leaf: what grows where there is nothing to split on."""

    def __init__(self) -> None:
        self.feature = self.children_left = self.children_right = np.array([-1])
        self.threshold = np.zeros(1)

    def apply(self, values: NDArray[np.float32]) -> NDArray[np.int64]:
        """(rows,): all in the one leaf."""
        return np.zeros(len(values), dtype=np.int64)


@dataclass(frozen=True, slots=True)
class Trees:
    """Many trees in one set of arrays; a leaf points at itself, so that rows may walk on while others are under way."""

    feature: NDArray[np.int32]
    """(nodes,): column that decides; 0 in leaves."""
    threshold: NDArray[np.float64]
    """(nodes,): a row goes left if its value is at most this."""
    left: NDArray[np.int32]
    """(nodes,)"""
    right: NDArray[np.int32]
    """(nodes,)"""
    root: NDArray[np.int32]
    """(trees,): each tree's first node."""
    leaf: NDArray[np.int32]
    """(nodes,): number of the leaf, counted over all trees in the order of nodes; −1 elsewhere."""
    depth: int
    """Steps from the root to the deepest leaf."""

    @classmethod
    def of(
        cls,
        feature: NDArray[np.int32],
        threshold: NDArray[np.float64],
        left: NDArray[np.int32],
        right: NDArray[np.int32],
        root: NDArray[np.int32],
    ) -> Self:
        """Number the leaves and measure the depth.

        Raises:
            ValueError: The nodes are no trees: a child does not come after its parent, or is beyond the arrays.
        """
        node = np.arange(len(feature))
        is_leaf = (left == node) & (right == node)
        children, parent = np.stack([left, right])[:, ~is_leaf], node[~is_leaf]
        if not ((children > parent) & (children < len(feature))).all():
            msg = "trees: the children of a node must come after it"
            raise ValueError(msg)
        leaf = np.where(is_leaf, np.cumsum(is_leaf) - 1, -1).astype(np.int32)
        return cls(feature, threshold, left, right, root, leaf, _depth(left, right, root, is_leaf))

    @classmethod
    def pack(cls, trees: Sequence[GrownTree]) -> Self:
        """All trees of a library in one set of arrays."""
        ends = np.cumsum([len(tree.feature) for tree in trees], dtype=np.int64)
        starts = np.concatenate([np.zeros(1, dtype=np.int64), ends])[: len(trees)]
        nodes: list[list[NDArray[Any]]] = [[], [], [], []]
        for tree, start in zip(trees, starts, strict=True):
            here = np.arange(len(tree.feature))
            is_leaf = np.asarray(tree.children_left) < 0
            nodes[0].append(np.where(is_leaf, 0, tree.feature))
            nodes[1].append(np.where(is_leaf, 0.0, tree.threshold))
            nodes[2].append(start + np.where(is_leaf, here, tree.children_left))
            nodes[3].append(start + np.where(is_leaf, here, tree.children_right))
        feature, threshold, left, right = (np.concatenate([np.zeros(0), *parts]) for parts in nodes)
        i32 = np.int32
        return cls.of(feature.astype(i32), threshold, left.astype(i32), right.astype(i32), starts.astype(i32))

    @property
    def n_leaves(self) -> int:
        """Leaves of all trees together."""
        return int((self.leaf >= 0).sum())

    def leaves(self, x: NDArray[np.float64]) -> NDArray[np.int32]:
        """Number of the leaf (rows, trees) in which each row of x (rows, features) ends.

        The trees were grown on single-precision values, and their thresholds lie between those: a value is rounded to
        single precision before it is compared, or rows close to a threshold would go astray.
        """
        values = np.ascontiguousarray(x, dtype=np.float32)
        node = np.broadcast_to(self.root, (len(x), len(self.root)))
        row = np.arange(len(x))[:, None]
        for _ in range(self.depth):
            goes_left = values[row, self.feature[node]] <= self.threshold[node]
            node = np.where(goes_left, self.left[node], self.right[node])
        found: NDArray[np.int32] = self.leaf[node]
        return found

    def state(self) -> dict[str, NDArray[Any]]:
        """Arrays by name; `from_state` rebuilds the trees from them."""
        return {name: getattr(self, name) for name in ("feature", "threshold", "left", "right", "root")}

    @classmethod
    def from_state(cls, arrays: Arrays) -> Self:
        """Rebuild what `state` described.

        Raises:
            KeyError: An array is missing.
            ValueError: They are no trees.
        """
        return cls.of(*(arrays[name] for name in ("feature", "threshold", "left", "right", "root")))


def _depth(
    left: NDArray[np.int32], right: NDArray[np.int32], root: NDArray[np.int32], is_leaf: NDArray[np.bool_]
) -> int:
    depth, level = 0, root[~is_leaf[root]]
    while len(level):
        children = np.concatenate([left[level], right[level]])
        level = children[~is_leaf[children]]
        depth += 1
    return depth
