"""An in-context network: it reads the patients of a cohort, and what became of them, and fits nothing to them.

It was trained once, on simulated cohorts (`training.prior`): a prior-data fitted network (Müller et al., ICLR 2022;
Hollmann et al., Nature 2025), here for the hazard of one cause among others that compete.

Rows (patients) and columns (features) have a state each. In every block columns gather from the rows of the cohort,
and rows from the columns, both weighted by learnt functions of the cell's value; then rows attend to the rows of the
cohort. With a martingale residual in a row's first state, the first two are a step of gradient descent of a generalised
additive hazards model; attention adds what patients like this one lived through. The order of rows and columns does
not matter, and who else is asked about does not change an answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from training.models.cohort_context import CohortContext
from training.models.layers import Dense

LARGEST_SHIFT = 6.0
"""Log hazard ratios against the cohort's own hazards are held within ±."""


@dataclass(frozen=True, slots=True)
class InContextSizes:
    """All that determines the shape of the network's parameters."""

    width: int = 96
    """Of the state of a row or column."""
    blocks: int = 5
    heads: int = 4
    messages: int = 24
    """Width of what rows and columns tell each other."""
    functions: int = 8
    """Functions of a cell's value."""
    bins: int = 24
    """Of follow-up."""
    shapes: int = 8
    """Cosines over the bins, of which a log hazard ratio is made."""


@dataclass(frozen=True, slots=True)
class BlockMemory:
    """What a block has to know of a cohort to answer for other rows."""

    answers: Tensor
    """(tables, columns · functions, messages): what each column tells a row, by function of its value there."""
    key: Tensor
    value: Tensor
    """(tables, heads, rows, width / heads): of the cohort's rows."""


@dataclass(frozen=True, slots=True)
class Memory:
    """What the network has to know of a cohort to answer for other rows."""

    ordered: Tensor
    """(tables, columns, rows): the cohort's values in order, for ranks."""
    there: Tensor
    """(tables, columns)."""
    blocks: tuple[BlockMemory, ...]


class InContextModule(nn.Module):
    """Log hazard ratios of one cause, against `CohortContext.base_hazards`."""

    shapes: Tensor

    def __init__(self, sizes: InContextSizes) -> None:
        """Parameters are left empty: see `initialise`."""
        super().__init__()
        self.sizes = sizes
        self.value = nn.Sequential(Dense(2, 32), nn.GELU(), Dense(32, sizes.functions))
        self.column = Dense(3, sizes.width)
        self.outcome = Dense(3 * sizes.bins + 2, sizes.width)
        self.asked = nn.Parameter(torch.empty(sizes.width))
        self.blocks = nn.ModuleList(Block(sizes) for _ in range(sizes.blocks))
        self.norm = nn.LayerNorm(sizes.width)
        self.head = Dense(sizes.width, sizes.shapes)
        places = (torch.arange(sizes.bins) + 0.5) / sizes.bins
        self.register_buffer(
            "shapes", torch.cos(torch.pi * torch.arange(sizes.shapes)[:, None] * places), persistent=False
        )

    def forward(self, known: Tensor, there: Tensor, context: CohortContext, asked: Tensor) -> Tensor:
        """`answer` with the memory that `read` gives."""
        return self.answer(self.read(known, there, context), asked)

    def read(self, known: Tensor, there: Tensor, context: CohortContext) -> Memory:
        """Read the cohort.

        Args:
            known: (tables, rows, columns): standardised.
            there: (tables, columns): which columns are there.
            context: What became of the rows.
        """
        ordered = known.transpose(1, 2).contiguous().sort(dim=-1).values
        functions = self._functions(known, ordered, there)
        rows, columns = self.outcome(context.told()), self.column(_described(ordered))
        blocks = []
        for block in self._blocks:
            rows, columns, memory = block.read(rows, columns, functions, there)
            blocks.append(memory)
        return Memory(ordered, there, tuple(blocks))

    def answer(self, memory: Memory, asked: Tensor) -> Tensor:
        """Log hazard ratios (tables, rows, bins) of the rows asked about (tables, rows, columns)."""
        functions = self._functions(asked, memory.ordered, memory.there)
        rows = self.asked.expand(*asked.shape[:2], -1)
        for block, known in zip(self._blocks, memory.blocks, strict=True):
            rows = block.step(rows, functions, known, memory.there)
        shift = self.head(self.norm(rows)) @ self.shapes
        return LARGEST_SHIFT * torch.tanh(shift / LARGEST_SHIFT)

    @property
    def _blocks(self) -> list[Block]:
        return cast("list[Block]", list(self.blocks))

    def _functions(self, x: Tensor, ordered: Tensor, there: Tensor) -> Tensor:
        """(tables, rows, columns · functions): of each value and its rank in the cohort; 0 in columns not there."""
        values = x.transpose(1, 2).contiguous()
        below = torch.searchsorted(ordered, values) + torch.searchsorted(ordered, values, right=True)
        rank = below.transpose(1, 2).to(x.dtype) / ordered.shape[-1] - 1.0
        functions: Tensor = self.value(torch.stack([x, rank], dim=-1)) * there[:, None, :, None].to(x.dtype)
        return functions.flatten(2)

    @torch.no_grad()
    def initialise(self, generator: torch.Generator) -> None:
        """Draw the weights; what is added to a state begins small, and log hazard ratios with 0."""
        for name, value in self.named_parameters():
            if value.ndim < 2:
                value.fill_(1.0 if "norm" in name and name.endswith("weight") else 0.0)
            else:
                small = 0.2 if name.endswith("out.weight") else 1.0
                value.copy_(torch.randn(value.shape, generator=generator) * small / value.shape[1] ** 0.5)
        self.head.weight.zero_()


class Block(nn.Module):
    """Columns gather from rows, rows from columns, rows attend to rows."""

    def __init__(self, sizes: InContextSizes) -> None:
        super().__init__()
        width, n_told = sizes.width, sizes.functions * sizes.messages
        self.row_norm, self.told_by_row = nn.LayerNorm(width), Dense(width, sizes.messages)
        self.column_out = Dense(2 * n_told, width)
        self.column_attention, self.column_step = Attention(width, sizes.heads), Step(width)
        self.column_norm, self.told_by_column = nn.LayerNorm(width), Dense(width, n_told)
        self.row_out = Dense(sizes.messages, width)
        self.row_attention, self.row_step = Attention(width, sizes.heads), Step(width)

    def read(
        self, rows: Tensor, columns: Tensor, functions: Tensor, there: Tensor
    ) -> tuple[Tensor, Tensor, BlockMemory]:
        """New states of the cohort's rows (tables, rows, width) and columns (tables, columns, width)."""
        n_rows = rows.shape[1]
        told = functions.transpose(1, 2) @ self.told_by_row(self.row_norm(rows)) / n_rows
        gathered = told.reshape(*columns.shape[:2], self.column_out.weight.shape[1] // 2)
        surely = torch.tanh(gathered * n_rows**0.5 / 3.0)  # how far from what chance gives, however many rows there are
        columns = columns + self.column_out(torch.cat([gathered, surely], dim=-1))
        columns = self.column_attention(columns, *self.column_attention.known(columns), there)
        columns = self.column_step(columns)
        answers = self.told_by_column(self.column_norm(columns)).view(len(rows), functions.shape[2], told.shape[2])
        rows = self._gather(rows, functions, answers, there)
        memory = BlockMemory(answers, *self.row_attention.known(rows))
        return self._attend(rows, memory), columns, memory

    def step(self, rows: Tensor, functions: Tensor, memory: BlockMemory, there: Tensor) -> Tensor:
        """New states of rows that are not of the cohort."""
        return self._attend(self._gather(rows, functions, memory.answers, there), memory)

    def _gather(self, rows: Tensor, functions: Tensor, answers: Tensor, there: Tensor) -> Tensor:
        share = there.sum(dim=1).clamp(min=1).to(rows.dtype).sqrt()[:, None, None]
        gathered: Tensor = self.row_out(functions @ answers / share)
        return rows + gathered

    def _attend(self, rows: Tensor, memory: BlockMemory) -> Tensor:
        attended: Tensor = self.row_step(self.row_attention(rows, memory.key, memory.value))
        return attended


class Attention(nn.Module):
    """Multi-head attention, normalised before, added to what was there."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(width)
        self.query, self.key_value, self.out = Dense(width, width), Dense(width, 2 * width), Dense(width, width)

    def known(self, states: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values (tables, heads, n, width / heads) of states (tables, n, width)."""
        key, value = self.key_value(self.norm(states)).chunk(2, dim=-1)
        return self._split(key), self._split(value)

    def forward(self, states: Tensor, key: Tensor, value: Tensor, there: Tensor | None = None) -> Tensor:
        """States (tables, m, width) after attending to what is known, where that is there (tables, n)."""
        mask = None if there is None else there[:, None, None]
        query = self._split(self.query(self.norm(states)))
        seen = nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        added: Tensor = self.out(seen.transpose(1, 2).flatten(2))
        return states + added

    def _split(self, states: Tensor) -> Tensor:
        return states.view(*states.shape[:2], self.heads, states.shape[2] // self.heads).transpose(1, 2)


class Step(nn.Module):
    """A layer for each state by itself, normalised before, added to what was there."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.hidden, self.out = Dense(width, 2 * width), Dense(2 * width, width)

    def forward(self, states: Tensor) -> Tensor:
        """New states of the same shape."""
        added: Tensor = self.out(nn.functional.gelu(self.hidden(self.norm(states))))
        return states + added


def _described(ordered: Tensor) -> Tensor:
    """(tables, columns, 3): how skewed and heavy-tailed a column is, and how much of it has its neighbour's value."""
    skewness = ordered.pow(3).mean(dim=-1).clamp(-5.0, 5.0)
    tails = ordered.pow(4).mean(dim=-1).clamp(max=20.0).sqrt()
    same = (ordered[..., 1:] == ordered[..., :-1]).to(ordered.dtype).mean(dim=-1)
    return torch.stack([skewness, tails, same], dim=-1)
