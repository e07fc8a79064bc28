"""Which genes are these? Told from the names of a panel's columns: species, current name, overlap with another panel.

`panel` judges the species from the writing alone. Its heuristic, per name: ``ENSG…`` is human, ``ENSMUSG…`` and every
other Ensembl prefix is not. HGNC writes symbols in capitals (Bruford et al., Nat Genet 2020;52:754, guideline 1.3;
``C1orf112`` is the exception); MGI and RGD write mouse and rat symbols with one capital (``Cd3e``), ZFIN writes
zebrafish ones in small letters. What it cannot tell: species whose symbols are capitals too (macaque, pig, dog), a
mouse panel turned into capitals, and names that follow no convention, such as a CAR construct's.

`resolve` gives each column the name that its gene has in GENCODE release 44 (`features.cells.gene_table`), so that
panels of different annotations meet; `overlap` and `require_overlap` compare two panels that way.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from features.cells.gene_table import GeneTable, gene_table
from features.errors import SequelaError

NameKind = Literal["human Ensembl id", "foreign id", "human symbol", "foreign symbol", "other"]
Way = Literal["symbol", "Ensembl id", "synonym", "synonym kept", "unknown"]

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


@dataclass(frozen=True, slots=True)
class Resolution:
    """What became of the names of a panel."""

    canonical: tuple[str, ...]
    """The name of each column's gene, in the order of the columns."""
    ways: dict[Way, int]
    """Columns by how they were named: a current symbol, an Ensembl id of release 44, a synonym of a gene that no other
    column names, a synonym kept because another column names its gene too, or no name of a known gene."""
    merged: dict[str, tuple[str, ...]]
    """By canonical name: the columns that share it, as they were named. Their counts belong together."""

    @property
    def known_share(self) -> float:
        """Share of the columns that name a gene of release 44; 0 for an empty panel."""
        n_genes = len(self.canonical)
        return 1.0 - self.ways.get("unknown", 0) / n_genes if n_genes else 0.0

    def __str__(self) -> str:
        n_genes = len(self.canonical)
        ways = ", ".join(
            f"{n:,} by {way}" for way, n in self.ways.items() if way in {"symbol", "Ensembl id", "synonym"}
        )
        text = f"{n_genes:,} columns: {ways or 'no known gene'}; {self.ways.get('unknown', 0):,} unknown, kept as named"
        if kept := self.ways.get("synonym kept"):
            text += f"; {kept:,} by synonym of a gene that another column names, kept as named"
        if self.merged:
            genes = "gene" if len(self.merged) == 1 else "genes"
            text += f"; {len(self.merged):,} {genes} in several columns ({_some(list(self.merged))})"
        return text


@dataclass(frozen=True, slots=True)
class GeneMap:
    """Names columns by the genes of a table."""

    table: GeneTable

    def resolve(self, names: Sequence[str]) -> Resolution:
        """The current name of the gene of each column.

        A current symbol stays. An Ensembl id, whatever its version, becomes the symbol of its gene, but stays an id
        where the gene has no symbol or shares it. A pseudoautosomal gene's copy on Y is named as the gene on X. A
        synonym becomes the symbol if it can mean that gene alone and no other column names the gene: whoever made a
        file with both ``PTPRC`` and ``CD45`` in it measured two things, such as a transcript and a protein. So synonyms
        never merge columns. What is not known, a CAR construct among it, stays.

        Resolving twice changes nothing, and the order of the columns does not matter.
        """
        stripped = [name.strip() for name in names]
        found = {name: self._named(name) for name in dict.fromkeys(stripped)}
        taken = Counter(name for name, _ in found.values())
        for old, (name, way) in found.items():
            if way == "synonym" and taken[name] > 1:
                found[old] = old, "synonym kept"
        canonical = tuple(found[name][0] for name in stripped)
        ways = Counter(found[name][1] for name in stripped)
        return Resolution(canonical, dict(ways.most_common()), _merged(canonical, names))

    def _named(self, name: str) -> tuple[str, Way]:
        """The current name of one column's gene, whatever the other columns are."""
        if name in self.table.symbols:
            return name, "symbol"
        ensembl = _ENSEMBL.fullmatch(name)
        if ensembl is not None:
            known = self.table.name_of_id.get(ensembl["id"])
            return (canonical(name), "unknown") if known is None else (known, "Ensembl id")
        if name in self.table.synonyms:
            return self.table.synonyms[name], "synonym"
        hyphens = name.replace(".", "-")  # R's make.names writes HLA.DRA
        return (hyphens, "synonym") if hyphens in self.table.symbols else (name, "unknown")


def resolve(names: Sequence[str]) -> Resolution:
    """The current name, in GENCODE release 44, of the gene of each column; see `GeneMap.resolve`."""
    return GeneMap(gene_table()).resolve(names)


def _merged(canonical_names: Sequence[str], names: Sequence[str]) -> dict[str, tuple[str, ...]]:
    if len(set(canonical_names)) == len(names):
        return {}
    columns: defaultdict[str, list[str]] = defaultdict(list)
    for current, name in zip(canonical_names, names, strict=True):
        columns[current].append(name)
    return {current: tuple(several) for current, several in columns.items() if len(several) > 1}


@dataclass(frozen=True, slots=True)
class Overlap:
    """How much of a panel another one has."""

    n_panel: int
    """Genes of the panel; one named twice counts once."""
    absent: tuple[str, ...]
    """Canonical names of the genes that are not there, in the order of the panel."""

    @property
    def n_found(self) -> int:
        """Genes of the panel that are there."""
        return self.n_panel - len(self.absent)

    @property
    def share(self) -> float:
        """Share of the panel that is there; 1 for an empty panel, which lacks nothing."""
        return self.n_found / self.n_panel if self.n_panel else 1.0

    def __str__(self) -> str:
        text = f"{self.n_found:,} of {self.n_panel:,} genes of the panel ({self.share:.0%}) are there"
        return f"{text}; absent: {_some(self.absent)}" if self.absent else text


def overlap(panel: Sequence[str], have: Sequence[str]) -> Overlap:
    """How many genes of a panel are among those at hand; both are resolved first, so names may differ."""
    wanted = dict.fromkeys(resolve(panel).canonical)
    there = set(resolve(have).canonical)
    return Overlap(len(wanted), tuple(gene for gene in wanted if gene not in there))


def require_overlap(panel: Sequence[str], have: Sequence[str], minimum_share: float, where: str) -> Overlap:
    """The overlap, if it is enough.

    Args:
        panel: Genes that are needed.
        have: Genes at hand.
        minimum_share: Smallest share of the panel, in [0, 1], that must be there.
        where: What `have` names the columns of, as the message says it, e.g. ``cells.h5ad``.

    Raises:
        SequelaError: The share is smaller.
    """
    found = overlap(panel, have)
    if found.share < minimum_share:
        msg = f"{where}: {found}. At least {minimum_share:.0%} must be. {_remedy(have)}"
        raise SequelaError(msg)
    return found


def _remedy(have: Sequence[str]) -> str:
    judged = panel(have)
    if judged.n_genes and not judged.is_human:
        return f"Only {judged}: map them to human symbols or Ensembl ids."
    return "Name the genes by their symbols or Ensembl ids, or use what was made for the genes measured here."


def _some(names: Sequence[str], n: int = 5) -> str:
    """The first few names, and how many more there are."""
    more = f" and {len(names) - n:,} more" if len(names) > n else ""
    return ", ".join(names[:n]) + more
