"""Gene programs: small named sets of human genes whose mean expression is a feature.

The sets are short lists of canonical markers, kept short so that a targeted panel still covers them. Whole samples are
scored by `features.cells.samples`, single cells here, both by the same rule.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from features.cells.bag import CellBag
from features.cells.quality import row_sums
from features.cells.summary import TARGET_SUM
from features.errors import SequelaError
from features.patients import FloatArray

PROGRAMS: dict[str, tuple[str, ...]] = {
    # Wherry & Kurachi, Nat Rev Immunol 2015;15:486: inhibitory receptors and TOX of exhausted T cells.
    "exhaustion": ("PDCD1", "HAVCR2", "LAG3", "TIGIT", "CTLA4", "TOX", "ENTPD1"),
    # Deng et al., Nat Med 2020;26:1878: CD8 memory signature of infusion products of complete responders.
    "memory": ("CCR7", "SELL", "TCF7", "LEF1", "IL7R", "CD27"),
    # Cytolytic effector molecules (Szabo et al., Nat Commun 2019;10:4706, cytotoxic module).
    "cytotoxic": ("GZMA", "GZMB", "PRF1", "NKG7", "GNLY", "GZMH"),
    # Tirosh et al., Science 2016;352:189: cell-cycle genes.
    "proliferation": ("MKI67", "TOP2A", "CDK1", "PCNA", "TYMS", "BIRC5"),
    # Interferon-stimulated genes (Szabo et al. 2019, IFN-response module).
    "interferon": ("ISG15", "IFI6", "IFIT3", "MX1", "STAT1", "IFIT1"),
    # Regulatory T cells (Good et al., Nat Med 2022;28:1860: FOXP3, IKZF2 = Helios).
    "treg": ("FOXP3", "IL2RA", "IKZF2", "CTLA4", "TNFRSF18"),
    # Deng et al. 2020: ICANS-associated cells with monocyte-like transcription.
    "monocyte_like": ("LYZ", "CD14", "S100A8", "S100A9", "FCN1", "VCAN"),
}
MINIMUM_GENES = 3
"""A program with fewer of its genes on the panel is not scored."""


def score_cells(
    bag: CellBag, genes: Sequence[str], *, counts: bool, control: Sequence[str] | None = None
) -> FloatArray:
    """(cells,): mean log-normalised expression of a program's genes, less that of control genes.

    With the same control genes this is ``scanpy.tl.score_genes`` (after Tirosh et al. 2016). That draws the control at
    random from genes expressed alike in the whole data set, so that a cell's score depends on the other cells; ours is
    the whole panel unless genes are named, and does not.

    Args:
        bag: Cells.
        genes: The program; genes that are not on the panel are passed over.
        counts: Whether values are raw counts, to be normalised to 10⁴ a cell and log1p-transformed, or intensities.
        control: Control genes; None: the whole panel.

    Raises:
        SequelaError: No gene of the program, or of the control, is on the panel.
    """
    values = bag.values
    if counts:
        totals = row_sums(bag, values)
        factor = np.divide(TARGET_SUM, totals, out=np.zeros_like(totals), where=totals > 0)
        values = np.log1p(values * np.repeat(factor, np.diff(bag.indptr)))
    return _mean(bag, values, genes) - _mean(bag, values, bag.genes if control is None else control)


def _mean(bag: CellBag, values: FloatArray, genes: Sequence[str]) -> FloatArray:
    """(cells,): mean over those of the genes that are on the panel."""
    wanted = set(genes)
    chosen = np.array([gene in wanted for gene in bag.genes], dtype=bool)
    if not chosen.any():
        msg = "program: none of its genes is on the panel; check that both name genes alike (symbols or Ensembl ids)"
        raise SequelaError(msg)
    return row_sums(bag, values * chosen[bag.indices]) / float(chosen.sum())
