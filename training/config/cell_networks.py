"""Networks that look at single cells."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from features.schema import Frozen


class CellNetworkConfig(Frozen):
    """What networks that look at single cells share."""

    members: Annotated[int, Field(ge=2)] = 6
    """Bootstrap members, all trained in one batched program."""
    bins: Annotated[int, Field(ge=2)] = 24
    """Bins of follow-up, of about equal numbers of events."""
    hidden: Annotated[int, Field(ge=1)] = 16
    """Hidden units of the clinical part, of each member and cause."""
    width: Annotated[int, Field(ge=1)] = 32
    """Length of what is known of a cell, a sample and a patient."""
    heads: Annotated[int, Field(ge=1)] = 4
    """Attention heads; they divide the width."""
    components: Annotated[int, Field(ge=1)] = 30
    """Principal components of cells, fitted in each fold: the axes on which cells are compared."""
    prototypes: Annotated[int, Field(ge=1)] = 32
    """Points among the cells whose neighbours are counted."""
    cells_per_sample: Annotated[int, Field(ge=16)] = 256
    """Cells drawn of each sample, afresh each epoch; halved where they do not fit in memory."""
    most_cells: Annotated[int, Field(ge=16)] = 10_000
    """Cells of a sample that are read at all; a prediction takes all of these."""
    modality_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.2
    """Share of the rows that lose all their cells in a training step, and of the samples that the others lose: so the
    same model serves patients of whom no cell was measured."""
    learning_rate: Annotated[float, Field(gt=0)] = 0.002
    """Of AdamW."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.05
    """AdamW's decoupled decay, of all weights but base hazards and biases."""
    batch_rows: Annotated[int, Field(ge=1)] = 64
    """Rows of a mini-batch, about: those of one patient stay together."""
    max_epochs: Annotated[int, Field(ge=1)] = 100
    """Passes over the patients, at most."""
    patience: Annotated[int, Field(ge=1)] = 15
    """Epochs without an out-of-bag gain in any member before training stops."""

    @model_validator(mode="after")
    def _heads_divide_width(self) -> Self:
        if self.width % self.heads:
            msg = f"width: {self.width} is no multiple of heads: {self.heads}; choose one that is"
            raise ValueError(msg)
        return self


class AttentionConfig(CellNetworkConfig):
    """Attention over bags of cells' frozen principal components."""

    kind: Literal["attention"] = "attention"
    genes: Annotated[int, Field(ge=1)] = 2000
    """Highly variable genes that the components are made of, chosen in each fold."""


class SetTransformerConfig(CellNetworkConfig):
    """A set transformer, trained from the genes of cells to the risk."""

    kind: Literal["set_transformer"] = "set_transformer"
    genes: Annotated[int, Field(ge=1)] = 500
    """Highly variable genes that the model sees, chosen in each fold."""
    blocks: Annotated[int, Field(ge=0)] = 1
    """Set-attention blocks."""
    points: Annotated[int, Field(ge=1)] = 16
    """Inducing points of each block."""
