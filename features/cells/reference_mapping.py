"""Cell types by reference mapping: a linear classifier fitted on cells that somebody has labelled.

A multinomial logistic regression with a ridge penalty on log-normalised expression. Simple linear classifiers are hard
to beat at annotating cells (Abdelaal et al., Genome Biol 2019;20:194), and one is a table of coefficients that anyone
can read. To apply it needs numpy alone; to fit it, scipy as well (`features.cells.reference_fit`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from features.cells.annotation import require_overlap
from features.cells.bag import UNLABELLED, CellBag
from features.cells.summary import TARGET_SUM
from features.errors import SequelaError
from features.files import written_beside
from features.patients import FloatArray

_CELLS_AT_ONCE = 4096
_FORMAT = "sequela-reference-mapper/1"
_ARRAYS = ("coefficients", "intercept")


@dataclass(frozen=True, slots=True)
class ReferenceMapper:
    """A fitted classifier of cells."""

    genes: tuple[str, ...]
    labels: tuple[str, ...]
    coefficients: FloatArray
    """(labels, genes), on what `expression` gives."""
    intercept: FloatArray
    """(labels,)."""
    counts: bool = True
    """Whether it takes raw counts, or intensities."""
    threshold: float = 0.5
    """A cell whose most probable label is less probable stays `UNLABELLED`."""
    patients: frozenset[str] = frozenset()
    """sha256 of the identifier of each patient it was fitted on: of whom it knows, it may not be asked in a study."""

    @classmethod
    def fit(
        cls,
        bags: Sequence[CellBag],
        labels: Sequence[ArrayLike] | None = None,
        *,
        groups: Sequence[str] | None = None,
        counts: bool = True,
        n_genes: Sequence[int] = (150,),
        penalty: Sequence[float] = (0.01,),
        balance: float = 0.5,
        threshold: float = 0.5,
        exclude: Collection[str] = (),
    ) -> ReferenceMapper:
        """Fit on labelled cells; those labelled `UNLABELLED` are left out.

        With `groups`, the number of genes, the penalty, and a temperature by which all logits are divided (Guo et al.,
        ICML 2017, section 4.2) are those that give the cells of groups held out the highest mean log-likelihood.
        Without, the first of each is taken and the probabilities are as the fit gives them, usually too sure.

        Args:
            bags: The reference, a sample each.
            labels: Label of each cell, by bag; None: the bags' own.
            groups: Patient of each bag.
            counts: Whether values are raw counts, or intensities.
            n_genes: Numbers of genes to try: those whose mean differs most between labels, relative to the variance
                within them.
            penalty: Ridge penalties to try, on coefficients of standardised genes, relative to the mean log-likelihood.
            balance: Cells weigh in inverse proportion to their label's number to this power: 0 takes the labels'
                frequencies from the reference, 1 counts all labels alike.
            threshold: See `ReferenceMapper.threshold`.
            exclude: Genes never to select, e.g. those of the CAR construct.

        Raises:
            SequelaError: Fewer than two labels, labels that do not match the cells, or no gene common to all samples.
        """
        from features.cells.reference_fit import LabelledCells, fit_softmax

        cells = LabelledCells.of(bags, labels, groups, exclude, counts=counts)
        genes, slopes, intercept = fit_softmax(cells, n_genes, penalty, balance)
        return cls(genes, cells.labels, slopes, intercept, counts, threshold, frozenset(map(_digest, groups or ())))

    def require_unseen(self, patient_ids: Iterable[str]) -> None:
        """Refuse to label patients that the mapper was fitted on: what it says of them would be optimistic.

        Raises:
            SequelaError: It has seen some of them.
        """
        ids = set(map(str, patient_ids))
        seen = self.patients & set(map(_digest, ids))
        if seen:
            msg = (
                f"reference: it was fitted on cells of {len(seen)} of these {len(ids)} patients, so that a fold would "
                "know its test patients; fit it on other patients"
            )
            raise SequelaError(msg)

    def probabilities(self, bag: CellBag) -> FloatArray:
        """(cells, labels): probability of each label, rows sum to 1; genes that are not on the panel count as zero."""
        parts = [np.zeros((0, len(self.labels)))]
        blocks = expression(bag, self.genes, counts=self.counts)
        parts.extend(softmax(x @ self.coefficients.T + self.intercept) for x in blocks)
        return np.concatenate(parts)

    def overlap(self, bag: CellBag) -> float:
        """Share of the mapper's genes that are on the panel of the cells."""
        return len(set(self.genes) & set(bag.genes)) / len(self.genes)

    def assign(self, bag: CellBag, minimum_overlap: float = 0.5) -> NDArray[np.object_]:
        """(cells,): the most probable label; `UNLABELLED` below the threshold, and without a value for any gene.

        Raises:
            SequelaError: Fewer than `minimum_overlap` of the mapper's genes are on the panel.
        """
        require_overlap("reference", self.genes, bag.genes, minimum_overlap)
        parts = [np.zeros(0, dtype=object)]
        names = np.array([*self.labels, UNLABELLED], dtype=object)
        for x in expression(bag, self.genes, counts=self.counts):
            probability = softmax(x @ self.coefficients.T + self.intercept)
            best = probability.argmax(axis=1)
            best[(probability.max(axis=1) < self.threshold) | ~x.any(axis=1)] = -1
            parts.append(names[best])
        return np.concatenate(parts)

    def state(self) -> tuple[dict[str, Any], dict[str, FloatArray]]:
        """Plain JSON and named arrays that `from_state` rebuilds the mapper from."""
        sizes = {
            "format": _FORMAT,
            "genes": list(self.genes),
            "labels": list(self.labels),
            "counts": self.counts,
            "threshold": self.threshold,
            "patients": sorted(self.patients),
        }
        return sizes, {"coefficients": self.coefficients, "intercept": self.intercept}

    @classmethod
    def from_state(cls, sizes: Mapping[str, Any], arrays: Mapping[str, FloatArray]) -> ReferenceMapper:
        """Rebuild what `state` described.

        Raises:
            SequelaError: It describes no mapper, or shapes do not agree.
        """
        genes, labels = tuple(sizes.get("genes", ())), tuple(sizes.get("labels", ()))
        shapes = [np.shape(arrays[name]) if name in arrays else None for name in _ARRAYS]
        if sizes.get("format") != _FORMAT or shapes != [(len(labels), len(genes)), (len(labels),)]:
            msg = f"reference: this is no {_FORMAT} with a coefficient for each label and gene; fit and save it again"
            raise SequelaError(msg)
        slopes, intercept = (np.asarray(arrays[name], dtype=np.float64) for name in _ARRAYS)
        threshold, patients = float(sizes["threshold"]), frozenset(sizes.get("patients", ()))
        return cls(genes, labels, slopes, intercept, bool(sizes["counts"]), threshold, patients)

    def save(self, path: Path) -> None:
        """Write one safetensors file, whole or not at all."""
        from safetensors.numpy import save

        sizes, arrays = self.state()
        contiguous = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
        with written_beside(path) as beside:
            beside.write_bytes(save(contiguous, metadata={"mapper": json.dumps(sizes)}))

    @classmethod
    def load(cls, path: Path) -> ReferenceMapper:
        """Read what `save` wrote.

        Raises:
            SequelaError: The file is absent, damaged, or something else.
        """
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(path, framework="numpy") as file:
                sizes = json.loads((file.metadata() or {}).get("mapper", "{}"))
                arrays = {name: file.get_tensor(name) for name in _ARRAYS if name in set(file.keys())}
        except (OSError, SafetensorError, ValueError) as error:
            msg = f"reference: {path.name} cannot be read as safetensors; fit the mapper and save it again"
            raise SequelaError(msg) from error
        return cls.from_state(sizes, arrays)


def _digest(patient_id: str) -> str:
    return hashlib.sha256(patient_id.encode()).hexdigest()


def expression(bag: CellBag, genes: Sequence[str], *, counts: bool) -> Iterator[NDArray[np.float32]]:
    """(cells, genes), block of cells by block of cells; genes that are not on the panel are zero.

    Counts become log1p of 10⁴ times their share of the cell's counts **of these genes**, so that what else is on the
    panel does not matter; intensities are as they are.
    """
    place = {gene: i for i, gene in enumerate(genes)}
    column = np.array([place.get(gene, -1) for gene in bag.genes], dtype=np.int64)
    for start in range(0, len(bag), _CELLS_AT_ONCE):
        indptr = bag.indptr[start : start + _CELLS_AT_ONCE + 1]
        part = slice(int(indptr[0]), int(indptr[-1]))
        at = column[bag.indices[part]]
        chosen = at >= 0
        cell = np.repeat(np.arange(len(indptr) - 1), np.diff(indptr))[chosen]
        x = np.zeros((len(indptr) - 1, len(genes)), dtype=np.float32)
        x[cell, at[chosen]] = bag.values[part][chosen]
        if counts:
            depth = x.sum(axis=1, keepdims=True)
            x = np.log1p(np.divide(x * np.float32(TARGET_SUM), depth, out=np.zeros_like(x), where=depth > 0))
        yield x


def softmax(logits: FloatArray) -> FloatArray:
    """Rows of probabilities."""
    weights = np.exp(logits - logits.max(axis=1, keepdims=True))
    rows: FloatArray = weights / weights.sum(axis=1, keepdims=True)
    return rows
