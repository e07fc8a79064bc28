"""The built-in markers of cell types, for cells without labels.

A name is a path: ``T/CD8`` is looked for among the cells called ``T``. A type without markers takes the cells of its
parent that none of its siblings claims.

Lineages and their markers: Ding et al., Nat Biotechnol 2020;38:737, positive markers used there to assign cell types of
blood, without those that several lineages share (NKG7 and GNLY, which cytotoxic T cells express as well).
States of T cells: LEF1, CCR7, SELL and TCF7 of naive and central memory cells, GZMK with EOMES of effector memory ones,
CX3CR1 and the cytotoxic molecules of effector ones, FOXP3 of regulatory ones (Zhang L et al., Nature 2018;564:268);
inhibitory receptors of exhausted ones (Wherry & Kurachi, Nat Rev Immunol 2015;15:486); genes of the cell cycle (Tirosh
et al., Science 2016;352:189).
"""

from __future__ import annotations

_STATES: dict[str, tuple[str, ...]] = {
    "naive_or_central_memory": ("CCR7", "SELL", "TCF7", "LEF1"),
    "effector_memory": ("GZMK", "EOMES", "CXCR3", "CCL5", "GZMA"),
    "effector": ("GZMB", "GZMH", "PRF1", "GNLY", "FGFBP2", "CX3CR1"),
    "exhausted": ("PDCD1", "HAVCR2", "LAG3", "TIGIT", "CTLA4", "TOX", "ENTPD1"),
}
_REGULATORY = ("FOXP3", "IL2RA", "IKZF2", "CTLA4", "RTKN2")

MARKERS: dict[str, tuple[str, ...]] = {
    "T": ("CD3D", "CD3E", "CD3G", "TRAC", "TRBC1", "TRBC2"),
    "NK": ("NCAM1", "KLRF1", "KLRC1", "FCER1G", "SH2D1B"),
    "B": ("CD19", "MS4A1", "CD79A", "CD79B"),
    "plasma": ("MZB1", "JCHAIN", "DERL3", "TNFRSF17"),
    "monocyte": ("CD14", "FCN1", "VCAN", "LYZ", "S100A8", "S100A9", "CSF3R"),
    "dendritic": ("FCER1A", "CD1C", "CLEC10A"),
    "plasmacytoid_dendritic": ("LILRA4", "CLEC4C", "IL3RA", "TCF4"),
    "erythroid": ("HBA1", "HBA2", "HBB", "ALAS2"),
    "platelet": ("PF4", "PPBP", "GP9", "ITGA2B", "TUBB1"),
    "T/proliferating": ("MKI67", "TOP2A", "CDK1", "TYMS", "BIRC5", "RRM2", "UBE2C"),
    "T/gamma_delta": ("TRDC", "TRDV1", "TRDV2", "TRGV9"),
    "T/CD4": ("CD4", "CD40LG"),
    "T/CD8": ("CD8A", "CD8B"),
    "T/double_negative": (),
    "T/CD4/regulatory": _REGULATORY,
    **{
        f"T/{subset}/{state}": genes for subset in ("CD4", "CD8", "double_negative") for state, genes in _STATES.items()
    },
}
"""Markers by the path of the type."""

OVERRIDING = frozenset({"proliferating", "gamma_delta", "regulatory"})
"""Last parts of types that decide as soon as enough of their markers are read: these programs come on top of another
type's, whose transcripts are more abundant."""
