"""Cell types from markers: the score against a slow, obvious version, the hierarchy by hand, real cells."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import scipy.stats
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from features.cells.annotation import MAX_RANK, marker_labels, marker_scores, require_overlap
from features.cells.bag import UNLABELLED, CellBag
from features.cells.markers import MARKERS, OVERRIDING
from features.errors import SequelaError

GENES = tuple("abcdefghij")
SETS = {"one": ("a",), "two": ("b", "d"), "three": ("c", "e", "j", "not on the panel")}
HIERARCHY = {
    "T": ("a", "b"),
    "B": ("c",),
    "T/CD4": ("d",),
    "T/CD8": ("e",),
    "T/neither": (),
    "T/CD8/effector": ("f", "g"),
    "T/CD8/proliferating": ("h", "i"),
}
COUNTS = arrays(np.float64, st.tuples(st.integers(1, 6), st.just(len(GENES))), elements=st.integers(0, 6))
PROPERTY = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def ucell(counts: np.ndarray, columns: list[int], max_rank: int) -> float:
    """UCell's score of one set in one cell, as published: ranks, their sum, the U statistic, normalised."""
    rank = scipy.stats.rankdata(-counts, method="average")
    rank[(counts == 0) | (rank > max_rank)] = max_rank
    n = len(columns)
    u = rank[columns].sum() - n * (n + 1) / 2
    return float(1 - u / (n * max_rank - n * (n + 1) / 2))


@PROPERTY
@given(COUNTS, st.sampled_from([4, 20, MAX_RANK]))
def test_scores_are_ucells(make_bag: Callable[..., CellBag], matrix: np.ndarray, max_rank: int) -> None:
    names, scores, chance = marker_scores(make_bag(matrix, GENES), SETS, max_rank)
    assert names == list(SETS)
    for i, counts in enumerate(matrix):
        for j, genes in enumerate(SETS.values()):
            columns = [GENES.index(gene) for gene in genes if gene in GENES]
            assert scores[i, j] == pytest.approx(ucell(counts, columns, max_rank), abs=1e-12)
        singles = [ucell(counts, [j], max_rank) for j in range(len(GENES))]
        assert chance[i] == pytest.approx(np.mean(singles), abs=1e-12)


@PROPERTY
@given(COUNTS, st.integers(0, 99))
def test_each_cell_is_labelled_by_itself(make_bag: Callable[..., CellBag], matrix: np.ndarray, seed: int) -> None:
    cells = np.random.default_rng(seed).permutation(len(matrix))
    genes = np.random.default_rng(seed).permutation(len(GENES))
    labels = marker_labels(make_bag(matrix, GENES), HIERARCHY)
    shuffled = make_bag(matrix[cells][:, genes], [GENES[i] for i in genes])
    assert marker_labels(shuffled, HIERARCHY).tolist() == labels[cells].tolist()
    alone = [marker_labels(make_bag(row[None], GENES), HIERARCHY)[0] for row in matrix]
    assert alone == labels.tolist()


@pytest.mark.parametrize(
    ("read", "label"),
    [
        ("", UNLABELLED),
        ("j", UNLABELLED),
        ("c", "B"),
        ("ab", "T/neither"),
        ("abd", "T/CD4"),
        ("abde", "T/neither"),
        ("abe", "T/CD8"),
        ("abefg", "T/CD8/effector"),
        ("abefghi", "T/CD8/proliferating"),
        ("defg", UNLABELLED),
    ],
    ids=lambda value: str(value) or "nothing",
)
def test_the_hierarchy_is_followed_from_the_top(make_bag: Callable[..., CellBag], read: str, label: str) -> None:
    # a panel large enough that few of its genes are read, as in any real one
    panel = (*GENES, *(f"x{i}" for i in range(90)))
    counts = [[float(gene in read) for gene in panel]]
    assert marker_labels(make_bag(counts, panel), HIERARCHY).tolist() == [label]


def test_an_abundant_marker_does_not_drown_a_rare_one(make_bag: Callable[..., CellBag]) -> None:
    panel = ("CD4", "CD40LG", "GNLY", *(f"x{i}" for i in range(97)))
    counts = np.zeros((1, 100))
    counts[0, :3] = 2, 1, 300
    markers = {"CD4": ("CD4", "CD40LG"), "NK": ("GNLY", "x1")}
    assert marker_labels(make_bag(counts, panel), markers).tolist() == ["CD4"]


def test_a_parent_must_be_named(make_bag: Callable[..., CellBag]) -> None:
    panel = ("CD4", *(f"x{i}" for i in range(99)))
    counts = np.eye(1, 100)
    with pytest.raises(SequelaError, match="markers: T/CD4 lies below T, which is not named"):
        marker_labels(make_bag(counts, panel), {"T/CD4": ("CD4",)})


def test_large_counts_do_not_spill_into_the_next_cell(make_bag: Callable[..., CellBag]) -> None:
    counts = np.zeros((3, 100))
    counts[0, 0], counts[2, 1] = 1e6, 70000
    labels = marker_labels(make_bag(counts), {"first": ("g0",), "second": ("g1",)})
    assert labels.tolist() == ["first", UNLABELLED, "second"]


def test_more_cells_than_are_ranked_at_once(make_bag: Callable[..., CellBag]) -> None:
    counts = np.tile(np.eye(2, 50), (2500, 1))
    labels = marker_labels(make_bag(counts), {"first": ("g0",), "second": ("g1",)})
    assert labels.tolist() == ["first", "second"] * 2500
    assert marker_labels(make_bag(np.zeros((0, 50))), {"first": ("g0",)}).shape == (0,)


def test_too_small_an_overlap_is_refused(make_bag: Callable[..., CellBag]) -> None:
    bag = make_bag([[1, 1]], ("CD3D", "ENSG00000010610"))
    with pytest.raises(
        SequelaError, match=r"markers: 50% of 2 genes are on the panel of the cells, and 60% are needed"
    ):
        marker_labels(bag, {"T": ("CD3D", "CD3E")}, minimum_overlap=0.6)
    assert marker_labels(bag, {"T": ("CD3D", "CD3E")}, minimum_overlap=0.5).shape == (1,)
    assert require_overlap("markers", ["CD3D", "CD3D"], bag.genes, 1.0) == 1.0


def test_the_built_in_types_hang_together() -> None:
    parents = {name.rpartition("/")[0] for name in MARKERS} - {""}
    assert parents <= set(MARKERS)
    assert {name.rsplit("/", 1)[-1] for name in MARKERS} >= OVERRIDING
    assert all(len(set(genes)) == len(genes) for genes in MARKERS.values())


def test_real_car_t_cells_are_called_t_cells_of_the_right_kind(carpall_bag: CellBag) -> None:
    labels = marker_labels(carpall_bag, minimum_overlap=0.5)
    theirs = carpall_bag.cell_type.astype(str)
    ours = labels.astype(str)
    annotated = theirs != UNLABELLED
    assert np.char.startswith(ours[annotated], "T/").mean() > 0.98
    cd8 = np.isin(theirs, ["CD8 CTL", "CD8 TEM", "CD8 Naive/TCM"])
    cd4 = np.char.startswith(theirs, "CD4")
    assert np.char.startswith(ours[cd8], "T/CD8").mean() > 0.9
    assert np.char.startswith(ours[cd4], "T/CD4").mean() > 0.7
    assert (ours[theirs == "Proliferating CAR T"] == "T/proliferating").mean() > 0.9
    assert 0.2 < (ours[~annotated] == "monocyte").mean() < 0.6
