"""A frozen encoder of single cells: the inference half of a self-supervised network, in plain numpy.

It is fitted by `training.cells.encoder_fit` on cells without labels, once, and then only applied. Since it has learnt
from patients, it may only be used where those are not the ones that a model is tested on: its card names them, hashed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationError

from features.cells.annotation import require_overlap
from features.cells.bag import CellBag
from features.cells.embedding import Expression, expression_blocks, require_possible
from features.cells.summary import TARGET_SUM
from features.errors import SequelaError
from features.files import written_beside
from features.schema import Frozen

Arrays = Mapping[str, NDArray[Any]]
FORMAT = "sequela-cell-encoder/1"
ARRAYS = (
    "center", "scale", "hidden.weight", "hidden.bias", "norm.weight", "norm.bias",
    "bottleneck.weight", "bottleneck.bias",
)  # fmt: skip
NORM_EPSILON = 1e-5
"""Added to the variance in layer normalisation, torch's default."""
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class CellEncoderCard(Frozen):
    """What is known of an encoder; it goes wherever the weights go."""

    format: Literal["sequela-cell-encoder/1"] = "sequela-cell-encoder/1"
    genes: tuple[str, ...]
    counts: bool
    """Whether it takes raw counts, or intensities."""
    cohort: str
    """Fingerprint of the cohort whose cells it has seen."""
    patients: tuple[Digest, ...]
    """`patient_digest` of each patient whose cells it has seen, also to stop early; ascending."""
    n_cells: Annotated[int, Field(ge=1)]
    """Cells that it was fitted on."""
    seed: int
    explained: float
    """Share of the deviance (counts) or variance (intensities) of cells of held-out patients that it reconstructs,
    relative to the mean profile of the training cells."""
    settings: dict[str, float | int | str] = Field(default_factory=dict)
    """The configuration of the fit."""


def patient_digest(cohort: str, patient_id: str) -> str:
    """SHA-256 of a patient's id, keyed by the cohort's fingerprint: equal ids in two cards do not give themselves away.

    It keeps ids from being read, not from being guessed: whoever has a list of ids can test them, as `require_unseen`
    does.
    """
    return hashlib.sha256(f"{cohort}\n{patient_id}".encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class CellEncoder:
    """z = V silu(norm(W x + b)) + c for standardised expression x; each cell by itself."""

    card: CellEncoderCard
    arrays: Arrays
    """By the names in `ARRAYS`: center and scale (genes,), hidden.weight (hidden, genes), bottleneck.weight
    (dimensions, hidden), and vectors."""

    @property
    def n_dimensions(self) -> int:
        """Length of the embedding of a cell."""
        return len(self.arrays["bottleneck.bias"])

    def require_unseen(self, patient_ids: Iterable[str]) -> None:
        """Refuse an encoder that has seen cells of these patients: what it tells of them would be optimistic.

        Ids are compared whatever cohort they come from: a patient of the same name elsewhere is refused too.

        Raises:
            SequelaError: It has.
        """
        ids = set(map(str, patient_ids))
        seen = {patient_digest(self.card.cohort, name) for name in ids} & set(self.card.patients)
        if seen:
            msg = (
                f"cell encoder: it was fitted on cells of {len(seen)} of these {len(ids)} patients, and may not be "
                "tested on them; fit one inside the fold, on training patients alone, or take one from another cohort"
            )
            raise SequelaError(msg)

    def transform(self, bag: CellBag, minimum_overlap: float = 0.5) -> NDArray[np.float32]:
        """(cells, dimensions); the panel may have its genes in any order, absent ones count as not expressed.

        Counts are normalised to the cell's counts of the encoder's genes, whatever else is on the panel.

        Raises:
            SequelaError: An impossible value, or fewer than `minimum_overlap` of the genes are on the panel.
        """
        embedded = np.empty((len(bag), self.n_dimensions), dtype=np.float32)
        if not len(bag):
            return embedded
        require_possible(bag, counts=self.card.counts)
        require_overlap("cell encoder", self.card.genes, bag.genes, minimum_overlap)
        start = 0
        for block in expression_blocks(bag, self.card.genes, counts=False):
            x = (share_of_genes(block) if self.card.counts else block).dense(len(self.card.genes))
            embedded[start : start + len(x)] = self.forward(x)
            start += len(x)
        return embedded

    def forward(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """(cells, dimensions) from expression (cells, genes): see `share_of_genes`, or intensities."""
        a = self.arrays
        h = ((x - a["center"]) / a["scale"]) @ a["hidden.weight"].T + a["hidden.bias"]
        h = h - h.mean(axis=1, keepdims=True)
        h = h / np.sqrt((h**2).mean(axis=1, keepdims=True) + np.float32(NORM_EPSILON))
        h = h * a["norm.weight"] + a["norm.bias"]
        h = h * (0.5 * (1.0 + np.tanh(0.5 * h)))  # silu; this form of the logistic function does not overflow
        z: NDArray[np.float32] = h @ a["bottleneck.weight"].T + a["bottleneck.bias"]
        return z

    def state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """Plain JSON and named arrays that `from_state` rebuilds the encoder from."""
        return self.card.model_dump(mode="json"), dict(self.arrays)

    @classmethod
    def from_state(cls, card: Mapping[str, Any], arrays: Arrays) -> CellEncoder:
        """Rebuild what `state` described.

        Raises:
            SequelaError: It describes no encoder of cells, or shapes do not agree.
        """
        try:
            read = CellEncoderCard.model_validate(dict(card))
        except ValidationError as error:
            msg = f"cell encoder: this is no card of a {FORMAT}; fit the encoder again"
            raise SequelaError(msg) from error
        found = {name: np.asarray(arrays[name], dtype=np.float32) for name in ARRAYS if name in arrays}
        if not _consistent(found, len(read.genes)):
            msg = f"cell encoder: arrays of this {FORMAT} are absent, not finite, or do not fit together; fit it again"
            raise SequelaError(msg)
        return cls(read, found)

    def save(self, path: Path) -> None:
        """Write one safetensors file with the card in its header, whole or not at all."""
        from safetensors.numpy import save

        card, arrays = self.state()
        contiguous = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
        with written_beside(path) as beside:
            beside.write_bytes(save(contiguous, metadata={"card": json.dumps(card)}))

    @classmethod
    def load(cls, path: Path) -> CellEncoder:
        """Read what `save` wrote.

        Raises:
            SequelaError: The file is absent, damaged, or something else.
        """
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(path, framework="numpy") as file:
                card = json.loads((file.metadata() or {}).get("card", "{}"))
                arrays = {name: file.get_tensor(name) for name in _present(file.keys())}
        except (OSError, SafetensorError, ValueError) as error:
            msg = f"cell encoder: {path.name} cannot be read as safetensors; fit the encoder and save it again"
            raise SequelaError(msg) from error
        return cls.from_state(card, arrays)


def share_of_genes(block: Expression) -> Expression:
    """Log1p of 10⁴ times the share of each count in the cell's counts of these genes."""
    depth = np.bincount(block.cell, weights=block.value, minlength=block.n_cells)
    scale = np.divide(TARGET_SUM, depth, out=np.zeros(block.n_cells), where=depth > 0)
    return replace(block, value=np.log1p(block.value * scale[block.cell]).astype(np.float32))


def _present(names: Collection[str]) -> list[str]:
    return [name for name in ARRAYS if name in set(names)]


def _consistent(arrays: Arrays, n_genes: int) -> bool:
    """Whether all arrays are there, of shapes that fit together, and finite."""
    if set(arrays) != set(ARRAYS) or not all(np.isfinite(array).all() for array in arrays.values()):
        return False
    hidden, dimensions = len(arrays["hidden.bias"]), len(arrays["bottleneck.bias"])
    shapes = [
        (n_genes,),
        (n_genes,),
        (hidden, n_genes),
        (hidden,),
        (hidden,),
        (hidden,),
        (dimensions, hidden),
        (dimensions,),
    ]
    return [arrays[name].shape for name in ARRAYS] == shapes
