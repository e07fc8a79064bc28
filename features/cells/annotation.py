"""Cell types from markers, each cell by itself: no other cell matters, so nothing can leak between patients.

The score of a set of markers is a normalised Mann–Whitney U of their ranks in the cell (UCell: Andreatta & Carmona,
Comput Struct Biotechnol J 2021;19:3796). Ranks weigh CD4, of which a cell has two transcripts, almost as much as GNLY,
of which it has two hundred.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from features.cells.bag import UNLABELLED, CellBag
from features.cells.markers import MARKERS, OVERRIDING
from features.errors import SequelaError
from features.patients import FloatArray, IntArray

MAX_RANK = 1500
"""Ranks beyond it, and genes that were not read, count as this rank; UCell's default."""
MINIMUM_LIFT = 0.1
"""A type is given only if its score exceeds that of an arbitrary gene of the panel in the same cell by this much."""
OVERRIDING_LIFT = 0.3
"""The same for the types in `OVERRIDING`, which need no other comparison."""
_LEVELS = 256  # counts are told apart up to here; few genes of a cell have more
_CELLS_AT_ONCE = 2048


def marker_labels(
    bag: CellBag, markers: Mapping[str, Sequence[str]] | None = None, minimum_overlap: float = 0.0
) -> NDArray[np.object_]:
    """(cells,): the most specific type whose markers the cell shows; `UNLABELLED` where it shows none.

    From the top of the hierarchy: among the children of the type a cell has, one in `OVERRIDING` is taken if its score
    is `OVERRIDING_LIFT` above chance; otherwise the other child with the highest score, if that is `MINIMUM_LIFT` above
    chance and no sibling ties; otherwise the child without markers; otherwise the cell keeps the type it has.

    Args:
        bag: Cells with raw counts.
        markers: Markers by path (``T/CD8``); every parent is named, too. None: `MARKERS`.
        minimum_overlap: Share of all markers that must be on the panel.

    Raises:
        SequelaError: Too few markers are on the panel, or a parent is not named.
    """
    markers = markers or MARKERS
    require_parents(markers)
    require_overlap("markers", [gene for genes in markers.values() for gene in genes], bag.genes, minimum_overlap)
    names, scores, chance = marker_scores(bag, markers)
    lift = scores - chance[:, None]
    labels = np.full(len(bag), UNLABELLED, dtype=object)
    for parent in sorted({_parent(name) for name in markers}, key=lambda path: (path.count("/"), path)):
        at = np.flatnonzero(labels == (parent or UNLABELLED))
        children = [i for i, name in enumerate(names) if _parent(name) == parent]
        rest = next((name for name, genes in markers.items() if not genes and _parent(name) == parent), None)
        best = _best(lift[at][:, children], [names[i] for i in children])
        choices = np.array([*(names[i] for i in children), rest or parent or UNLABELLED], dtype=object)
        labels[at] = choices[best]
    return labels


def require_parents(markers: Mapping[str, Sequence[str]]) -> None:
    """Every type but those at the top lies below one that is named.

    Raises:
        SequelaError: One does not.
    """
    for name in markers:
        if _parent(name) and _parent(name) not in markers:
            msg = f"markers: {name} lies below {_parent(name)}, which is not named; add it with its markers"
            raise SequelaError(msg)


def _best(lift: FloatArray, names: Sequence[str]) -> IntArray:
    """(cells,): the column that wins, -1 for none; `lift` has shape (cells, types)."""
    best = np.full(len(lift), -1)
    overriding = np.array([name.rsplit("/", 1)[-1] in OVERRIDING for name in names], dtype=bool)
    for columns in (np.flatnonzero(~overriding), np.flatnonzero(overriding)):
        if len(columns):
            bar = OVERRIDING_LIFT if overriding[columns[0]] else MINIMUM_LIFT
            among = lift[:, columns]
            highest = among.max(axis=1)
            alone = (among == highest[:, None]).sum(axis=1) == 1
            decided = (highest >= bar) & alone
            best[decided] = columns[among[decided].argmax(axis=1)]
    return best


def _parent(path: str) -> str:
    return path.rpartition("/")[0]


def require_overlap(what: str, genes: Sequence[str], panel: Sequence[str], minimum: float) -> float:
    """Share of different `genes` that are on the panel.

    Raises:
        SequelaError: It is below `minimum`.
    """
    wanted = set(genes)
    share = len(wanted & set(panel)) / len(wanted) if wanted else 1.0
    if share < minimum:
        msg = (
            f"{what}: {share:.0%} of {len(wanted)} genes are on the panel of the cells, and {minimum:.0%} are needed; "
            "check that both name genes alike (symbols or Ensembl ids), or lower minimum_overlap"
        )
        raise SequelaError(msg)
    return share


def marker_scores(
    bag: CellBag, markers: Mapping[str, Sequence[str]], max_rank: int = MAX_RANK
) -> tuple[list[str], FloatArray, FloatArray]:
    """UCell scores of sets of markers; genes that are not on the panel are left out, as are sets without any other.

    With ranks r (1 = highest, ties averaged; `max_rank` for genes that were not read) of the n genes of a set,
    1 − (Σ r − n(n+1)/2) / (n·max_rank − n(n+1)/2), in [0, 1] (Andreatta & Carmona 2021, Methods).

    Returns:
        Names of the sets; scores of shape (cells, sets); and the mean score of a single gene of the panel, (cells,).
    """
    place = {gene: i for i, gene in enumerate(bag.genes)}
    sets = {name: [place[g] for g in dict.fromkeys(genes) if g in place] for name, genes in markers.items()}
    sets = {name: columns for name, columns in sets.items() if columns}
    used = np.unique(np.array([c for columns in sets.values() for c in columns], dtype=np.int64))
    member = np.zeros((len(used), len(sets)))
    for j, columns in enumerate(sets.values()):
        member[np.searchsorted(used, columns), j] = 1.0
    size = member.sum(axis=0)
    least = size * (size + 1) / 2
    parts, chances = [np.zeros((0, len(sets)))], [np.zeros(0)]
    for gain, chance in _gains(bag, used, max_rank):
        parts.append(1.0 - (size * max_rank - gain @ member - least) / (size * max_rank - least))
        chances.append(chance)
    return list(sets), np.concatenate(parts), np.concatenate(chances)


def _gains(bag: CellBag, used: IntArray, max_rank: int) -> Iterator[tuple[FloatArray, FloatArray]]:
    """``max_rank − rank`` of some genes, (cells, genes), at least 0, and the chance score; block of cells by block."""
    column = np.full(len(bag.genes), -1)
    column[used] = np.arange(len(used))
    for start in range(0, len(bag), _CELLS_AT_ONCE):
        indptr = bag.indptr[start : start + _CELLS_AT_ONCE + 1]
        n_cells, part = len(indptr) - 1, slice(int(indptr[0]), int(indptr[-1]))
        level = np.minimum(np.ceil(bag.values[part]), _LEVELS - 1).astype(np.int64)
        level += np.repeat(np.arange(n_cells) * _LEVELS, np.diff(indptr))
        equal = np.bincount(level, minlength=n_cells * _LEVELS).reshape(n_cells, _LEVELS)
        equal[:, 0] = 0  # stored zeros were not read
        above = equal[:, ::-1].cumsum(axis=1)[:, ::-1] - equal
        of_level = np.maximum(max_rank - (above + (equal + 1) / 2), 0.0)
        of_level[:, 0] = 0.0
        chance = (equal * of_level).sum(axis=1) / (max(len(bag.genes), 1) * (max_rank - 1))
        at = column[bag.indices[part]]
        chosen = np.flatnonzero(at >= 0)
        gain = np.zeros((n_cells, len(used)))
        gain[level[chosen] // _LEVELS, at[chosen]] = of_level.ravel()[level[chosen]]
        yield gain, chance
