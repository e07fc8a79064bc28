"""The network behind `features.cells.cell_encoder`: a denoising autoencoder of single cells, in plain torch.

Some genes of each cell are hidden, and all are to be reconstructed (Vincent et al., Extracting and composing robust
features with denoising autoencoders, ICML 2008). Counts are negative binomial with mean depth · share, where the depth
of the cell is given and not encoded, as in scVI (Lopez et al., Nat Methods 2018;15:1053); intensities are Gaussian.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from training.models.layers import Dense

TARGET_SUM = 1e4


class CellAutoencoder(nn.Module):
    """Encoder and decoder of cells; names of the encoder's parameters are those of `CellEncoder.arrays`."""

    center: Tensor
    scale: Tensor

    def __init__(
        self, n_genes: int, n_hidden: int, n_dimensions: int, *, counts: bool, generator: torch.Generator
    ) -> None:
        """Initialise from the generator; the decoder starts at the mean profile that `start_at` sets."""
        super().__init__()
        self.counts = counts
        self.hidden = _linear(n_genes, n_hidden, generator)
        self.norm = nn.LayerNorm(n_hidden)
        self.bottleneck = _linear(n_hidden, n_dimensions, generator)
        self.decoder_hidden = _linear(n_dimensions, n_hidden, generator)
        self.decoder_out = _linear(n_hidden, n_genes, generator)
        self.log_dispersion = nn.Parameter(torch.zeros(n_genes))
        self.register_buffer("center", torch.zeros(n_genes))
        self.register_buffer("scale", torch.ones(n_genes))

    def start_at(self, profile: Tensor, center: Tensor, scale: Tensor) -> None:
        """Set the mean profile of the training cells (genes,), and mean and spread of intensities (genes,).

        Args:
            profile: Shares of counts; not used for intensities, which are reconstructed standardised.
            center: 0 for counts.
            scale: 1 for counts.
        """
        with torch.no_grad():
            if self.counts:
                self.decoder_out.bias.copy_(profile.clamp(min=1e-8).log())
            self.center.copy_(center)
            self.scale.copy_(scale)

    def expression(self, values: Tensor) -> Tensor:
        """(cells, genes): log1p of 10⁴ times the share of the cell's counts; intensities as they are."""
        if not self.counts:
            return values
        depth = values.sum(dim=1, keepdim=True)
        return torch.log1p(values * (TARGET_SUM / depth.clamp(min=1e-12)))

    def encode(self, expression: Tensor, kept: Tensor | None = None) -> Tensor:
        """(cells, dimensions) from expression (cells, genes); genes that are not kept read as the mean (counts: 0)."""
        standard = (expression - self.center) / self.scale
        if kept is not None:
            standard = standard * kept
        return torch.as_tensor(self.bottleneck(nn.functional.silu(self.norm(self.hidden(standard)))))

    def decode(self, z: Tensor, values: Tensor) -> Tensor:
        """(cells, genes): expected counts given the depth of the cells, or expected standardised intensities."""
        out = self.decoder_out(nn.functional.silu(self.decoder_hidden(z)))
        return torch.as_tensor(values.sum(dim=1, keepdim=True) * out.softmax(dim=1) if self.counts else out)

    def loss(self, values: Tensor, kept: Tensor | None = None) -> Tensor:
        """(cells,): negative log-likelihood of counts, or squared error of standardised intensities, over all genes."""
        expected = self.decode(self.encode(self.expression(values), kept), values)
        if self.counts:
            return negative_binomial(values, expected, self.log_dispersion).sum(dim=1)
        return ((values - self.center) / self.scale - expected).square().sum(dim=1)

    def deviance(self, values: Tensor, profile: Tensor) -> tuple[Tensor, Tensor]:
        """(cells,) twice: deviance of the reconstruction, and of the mean profile (genes,).

        For counts the Poisson deviance given the depth, 2 Σ x log(x/μ), which does not depend on the dispersions; for
        intensities the sum of squares, standardised.
        """
        expected = self.decode(self.encode(self.expression(values)), values)
        if not self.counts:
            standard = (values - self.center) / self.scale
            return (standard - expected).square().sum(dim=1), standard.square().sum(dim=1)
        mean = values.sum(dim=1, keepdim=True) * profile
        return _poisson_deviance(values, expected), _poisson_deviance(values, mean)


def negative_binomial(values: Tensor, expected: Tensor, log_dispersion: Tensor) -> Tensor:
    """−log P(x) for mean μ and variance μ + μ²/θ, θ = exp(log_dispersion) by gene; same shape as `values`."""
    theta = log_dispersion.clamp(-10.0, 10.0).exp()
    expected = expected.clamp(min=1e-8)
    log_total = (theta + expected).log()
    combinations = torch.lgamma(values + theta) - torch.lgamma(theta) - torch.lgamma(values + 1.0)
    return -(combinations + theta * (theta.log() - log_total) + values * (expected.log() - log_total))


def _poisson_deviance(values: Tensor, expected: Tensor) -> Tensor:
    expected = expected.clamp(min=1e-8)
    return 2.0 * (torch.xlogy(values, values / expected) - values + expected).sum(dim=1)


def _linear(n_in: int, n_out: int, generator: torch.Generator) -> Dense:
    layer = Dense(n_in, n_out)
    with torch.no_grad():
        layer.weight.normal_(0.0, n_in**-0.5, generator=generator)
        layer.bias.zero_()
    return layer
