"""Is this panel human? Told from the names of its genes alone.

The heuristic, per name: ``ENSG…`` is human, ``ENSMUSG…`` and every other Ensembl prefix is not. HGNC writes symbols
in capitals (Bruford et al., Nat Genet 2020;52:754, guideline 1.3; ``C1orf112`` is the exception); MGI and RGD write
mouse and rat symbols with one capital (``Cd3e``), ZFIN writes zebrafish ones in small letters. What it cannot tell:
species whose symbols are capitals too (macaque, pig, dog), a mouse panel turned into capitals, and names that follow no
convention, such as a CAR construct's.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

NameKind = Literal["human Ensembl id", "foreign id", "human symbol", "foreign symbol", "other"]

MINIMUM_HUMAN = 0.8
"""Share of human names below which a panel is refused: a human panel stays far above it with its constructs and odd
names, a panel of human and mouse genes together stays below."""

_ENSEMBL = re.compile(r"(?P<id>(?P<species>ENS[A-Z]*)G\d{11})(?:\.\d+)?(?P<copy>_PAR_Y)?", re.ASCII)
_NOT_A_GENE = re.compile(r"ENS[A-Z]*[TPE]\d{11}(?:\.\d+)?", re.ASCII)  # transcripts, proteins, exons
_FOREIGN_ID = re.compile(r"FBgn\d{7}|WBGene\d{8}|MGI:\d+|RGD:\d+", re.ASCII)
_HUMAN = re.compile(r"(?!H2-)(?:C(?:\d{1,2}|X|Y)orf\d+[A-Z]*|[A-Z][A-Z0-9]*(?:[-./][A-Z0-9]+)*|7SK)", re.ASCII)
_RODENT = re.compile(r"(?:[A-Z][a-z0-9]*[a-z][A-Za-z0-9]*|mt-[A-Z]\w*|H2-\w+|\d+[A-Z]\d+Rik)(?:[-.]\w+)*", re.ASCII)
_FISH = re.compile(r"[a-z][a-z0-9]*(?:[-.:][a-z0-9]+)*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Panel:
    """What the names of a panel say."""

    n_genes: int
    kinds: dict[NameKind, int]

    @property
    def human_share(self) -> float:
        """Share of the names that are human symbols or ids; 0 for an empty panel."""
        n_human = self.kinds.get("human symbol", 0) + self.kinds.get("human Ensembl id", 0)
        return n_human / self.n_genes if self.n_genes else 0.0

    @property
    def is_human(self) -> bool:
        """Whether enough names are human."""
        return self.human_share >= MINIMUM_HUMAN

    @property
    def is_mixed(self) -> bool:
        """Whether human symbols and Ensembl ids both make up more than a tenth: they never match one another."""
        symbols, ids = self.kinds.get("human symbol", 0), self.kinds.get("human Ensembl id", 0)
        return min(symbols, ids) > 0.1 * self.n_genes

    def __str__(self) -> str:
        kinds = ", ".join(f"{n:,} {kind}{'s' if n != 1 else ''}" for kind, n in self.kinds.items())
        return f"{self.human_share:.0%} of {self.n_genes:,} names are human ({kinds})"


def panel(genes: Sequence[str]) -> Panel:
    """Judge the names of a panel."""
    return Panel(len(genes), dict(Counter(map(name_kind, genes)).most_common()))


def name_kind(gene: str) -> NameKind:
    """Which convention a gene's name follows."""
    gene = gene.strip()
    ensembl = _ENSEMBL.fullmatch(gene)
    if ensembl is not None:
        return "human Ensembl id" if ensembl["species"] == "ENS" else "foreign id"
    if _NOT_A_GENE.fullmatch(gene):
        return "other"
    if _FOREIGN_ID.fullmatch(gene):
        return "foreign id"
    if _HUMAN.fullmatch(gene):
        return "human symbol"
    if _RODENT.fullmatch(gene) or _FISH.fullmatch(gene):
        return "foreign symbol"
    return "other"


def canonical(gene: str) -> str:
    """A gene's name without surrounding space, and an Ensembl id without its version (``ENSG00000198851.10``).

    The copy of a pseudoautosomal gene on Y keeps its suffix ``_PAR_Y`` (GENCODE), for it is another column of counts.
    """
    gene = gene.strip()
    ensembl = _ENSEMBL.fullmatch(gene)
    return gene if ensembl is None else ensembl["id"] + (ensembl["copy"] or "")
