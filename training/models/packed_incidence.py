"""Incidences of all members of a hazard network at once, laid out for speed: for services, one thread, many patients.

Two things make it several times faster than logits, softmax and sums bin by bin of each row. What takes features is one
matrix product, in which a column that is alike in all rows (cells, where nobody sent any) is multiplied once. And since
a logit is linear in the bin's place (see `network`), the odds of the next bin are those of this one times a factor: two
exponentials a row, member and cause, whatever the number of bins. For a few rows neither pays.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from training.models.bins import bins_of, interpolate, log_hazards

if TYPE_CHECKING:
    from training.models.network import PackedHazards  # which predicts by this module

ROWS_AT_ONCE = 512
"""Much more is not faster: memory that large is asked of the system each time."""
FEW_TO_MULTIPLY, FEW_TO_FOLLOW = 64, 8
"""Rows up to which it takes longer to take the weights of some columns apart, and to go from bin to bin."""
LARGEST = 300.0
"""Of a logit; exponentials of twice that are finite. Where one is larger, which sound features never give, logarithms
are taken instead, at leisure."""


class _Columns(NamedTuple):
    """Which columns are multiplied row by row, and with what; all others have been."""

    features: Tensor
    pieces: Tensor
    """(n,) each: their numbers."""
    weights: Tensor
    """(columns, outputs)."""
    others: Tensor
    """(outputs,): the bias, and what the other columns give."""


class PackedIncidence:
    """What a fitted network predicts.

    Args:
        module: Of the network.
        edges_days: (bins + 1,): edges of its bins.
    """

    def __init__(self, module: PackedHazards, edges_days: NDArray[np.float64]) -> None:
        self._pieces, self._edges_days = module.pieces, edges_days
        self._members, self._causes, columns = module.linear.shape
        self._width = module.hidden.shape[3]
        self._n_outputs = self._causes * self._members
        shape = (self._members, self._causes)  # causes may share their hidden layer
        hidden = module.hidden.detach().expand(*shape, columns, self._width).permute(2, 3, 1, 0)
        linear = [layer.detach().permute(2, 1, 0) for layer in (module.linear, module.linear_by_time)]
        flat = [hidden.reshape(columns, self._width * self._n_outputs)]
        flat += [layer.reshape(columns, self._n_outputs) for layer in linear]  # no feature at all will do
        bias = module.hidden_bias.detach().expand(*shape, self._width).permute(2, 1, 0).flatten()
        self._all = _Columns(
            torch.arange(module.sizes.n_features),
            torch.arange(module.sizes.n_pieces),
            torch.cat(flat, dim=1).contiguous(),
            torch.cat([bias, bias.new_zeros(2 * self._n_outputs)]),
        )
        self._piece_feature = module.piece_feature if module.sizes.n_pieces else self._all.pieces
        self._out, self._out_by_time = (
            layer.detach().permute(2, 1, 0).reshape(self._width, self._n_outputs)
            for layer in (module.out, module.out_by_time)
        )
        self._base = module.base.detach().double().transpose(0, 1).unsqueeze(1)  # (causes, 1, members, bins)
        self._odds = self._base.exp().movedim(-1, 0).contiguous().unbind(0)

    def of_members(self, x: NDArray[np.float64], times_days: NDArray[np.float64]) -> NDArray[np.float64]:
        """Incidences (members, rows, causes, times) of features (rows, features), in double precision."""
        with torch.inference_mode():
            values: NDArray[np.float64] = torch.cat(list(self._parts(x, times_days)), dim=1).permute(2, 1, 0, 3).numpy()
            return values

    def mean(self, x: NDArray[np.float64], times_days: NDArray[np.float64]) -> NDArray[np.float64]:
        """The mean over members (rows, causes, times)."""
        with torch.inference_mode():
            parts = [part.mean(dim=2) for part in self._parts(x, times_days)]
            values: NDArray[np.float64] = torch.cat(parts, dim=1).transpose(0, 1).contiguous().numpy()
            return values

    def _parts(self, x: NDArray[np.float64], times_days: NDArray[np.float64]) -> Iterator[Tensor]:
        """(causes, rows, members, times) of some rows at a time."""
        features = torch.as_tensor(x, dtype=torch.float32)
        columns = None if len(x) <= FEW_TO_MULTIPLY else self._varying(features)
        for start in range(0, max(1, len(x)), ROWS_AT_ONCE):
            some = features[start : start + ROWS_AT_ONCE]
            level, trend = map(self._by_cause, self.level_and_trend(some, columns))
            moderate = len(level[0]) > FEW_TO_FOLLOW and (level.abs() + trend.abs()).amax() <= LARGEST
            yield (self._incidence if moderate else self._carefully)(level, trend, times_days)

    def _by_cause(self, of_logits: Tensor) -> Tensor:
        """(causes, rows, members), in double precision."""
        apart = of_logits.view(-1, self._causes, self._members).transpose(0, 1)
        return apart.contiguous().double()

    def _varying(self, features: Tensor) -> _Columns:
        """Columns that are not alike in all rows."""
        of_all, one = self._all, features[:1]
        varies = (features != one).any(dim=0)
        kept = torch.cat([varies, varies[self._piece_feature]])
        alike = torch.cat([one, self._pieces(one, of_all.pieces)], dim=1).masked_fill(kept, 0.0)
        return _Columns(
            torch.nonzero(varies)[:, 0],
            torch.nonzero(kept[len(varies) :])[:, 0],
            of_all.weights[kept],
            torch.addmv(of_all.others, of_all.weights.T, alike[0]),
        )

    def level_and_trend(self, features: Tensor, columns: _Columns | None = None) -> tuple[Tensor, Tensor]:
        """(rows, causes · members) each, of the logits, for features (rows, features)."""
        columns = columns or self._all
        given = torch.cat([features[:, columns.features], self._pieces(features, columns.pieces)], dim=1)
        own = torch.addmm(columns.others, given, columns.weights)
        wide = self._width * self._n_outputs
        active = nn.functional.silu(own[:, :wide], inplace=True).view(len(own), self._width, self._n_outputs)
        level, trend = torch.split(own[:, wide:], self._n_outputs, dim=1)
        return level + (active * self._out).sum(dim=1), trend + (active * self._out_by_time).sum(dim=1)

    def _incidence(self, level: Tensor, trend: Tensor, times_days: NDArray[np.float64]) -> Tensor:
        """Incidences (causes, rows, members, times): as `bins.interpolate`, bin by bin until the last that is asked.

        Args:
            level: (causes, rows, members), of the logits.
            trend: Likewise.
            times_days: (times,).
        """
        bin_of, gone = bins_of(self._edges_days, times_days)
        change = (trend * (2 / max(len(self._odds) - 1, 1))).exp_()  # places run from −1 to 1
        own = (level - trend).exp_()
        free, before = torch.ones_like(level[0]), torch.zeros_like(level)
        odds, of_any = torch.empty_like(level), torch.empty_like(free)  # memory that stays at hand
        found = torch.empty(len(times_days), *level.shape, dtype=torch.float64)
        for number in range(int(bin_of.max(initial=0)) + 1):
            torch.mul(own, self._odds[number], out=odds)
            torch.sum(odds, dim=0, out=of_any)
            for at in np.flatnonzero(bin_of == number):
                lost = free * (1 - (1 + of_any) ** -gone[at])
                torch.addcmul(before, odds, lost.div_(of_any.clamp(min=1e-300)), out=found[at])
            free.div_(of_any.add_(1))
            before.addcmul_(odds, free)
            own.mul_(change)
        return found.movedim(0, -1)

    def _carefully(self, level: Tensor, trend: Tensor, times_days: NDArray[np.float64]) -> Tensor:
        """The same, of any logits."""
        place = torch.linspace(-1.0, 1.0, len(self._odds), dtype=torch.float64)
        logits = self._base + level[..., None] + trend[..., None] * place  # (causes, rows, members, bins)
        cause, none = log_hazards(logits.permute(1, 2, 0, 3))
        found = interpolate(cause.exp().numpy(), none.numpy(), self._edges_days, times_days)
        return torch.as_tensor(found).permute(2, 0, 1, 3)
