"""Gene programs: small named sets of human genes whose mean expression is a feature.

The sets are short lists of canonical markers, kept short so that a targeted panel still covers them.
"""

from __future__ import annotations

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
