"""Gene sets, such as pathways: those packaged in ``data/``, or anybody's in a .gmt file.

The packaged ones are a subset of Reactome; where they come from and how they were chosen:
`features.cells.build_gene_sets`, which writes the file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from features.cells.gene_table import DATA
from features.cells.genes import resolve
from features.errors import SequelaError

BUNDLED = "bundled"
"""What options call the packaged sets."""
BUNDLED_FILE = "reactome_v59_subset.gmt"
FEWEST_GENES = 5
"""Measured, below which a set is left out: decoupler's default."""


@dataclass(frozen=True, slots=True)
class GeneSet:
    """One set."""

    name: str
    genes: tuple[str, ...]
    """Canonical names (`features.cells.genes.resolve`), each once."""


@dataclass(frozen=True, slots=True)
class GeneSets:
    """Sets of one source."""

    source: str
    """As people should read it."""
    sets: tuple[GeneSet, ...]

    def measured(self, genes: Sequence[str]) -> GeneSets:
        """Those with at least `FEWEST_GENES` of the given genes, and no gene but these; all genes at once tell nothing.

        Args:
            genes: Canonical names of the genes that were measured.
        """
        there = set(genes)
        own = [GeneSet(one.name, tuple(gene for gene in one.genes if gene in there)) for one in self.sets]
        return GeneSets(self.source, tuple(one for one in own if FEWEST_GENES <= len(one.genes) < len(there)))


def gene_sets(source: str) -> GeneSets:
    """The packaged sets (`BUNDLED`), or those of a .gmt file.

    Raises:
        SequelaError: The file is absent, or holds no gene sets.
    """
    return _bundled() if source == BUNDLED else read_gene_sets(Path(source))


@cache
def _bundled() -> GeneSets:
    return GeneSets("Reactome v59, a subset (CC BY 4.0)", read_gene_sets(DATA / BUNDLED_FILE).sets)


def read_gene_sets(path: Path) -> GeneSets:
    """Read a .gmt file: name, description and genes by tabulators, one set a line; # begins a line of comment.

    Raises:
        SequelaError: The file is absent, or a line is none of these, or two sets share a name.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        msg = f"gene sets {path}: cannot be read ({error}); name a .gmt file, or {BUNDLED}"
        raise SequelaError(msg) from error
    sets: dict[str, GeneSet] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip() or line.startswith("#"):
            continue
        name, *rest = (field.strip() for field in line.split("\t"))
        genes = [gene for gene in rest[1:] if gene]
        if not name or not genes or name in sets:
            rule = "names a set again" if name in sets else "must be name, description and genes, with tabulators"
            msg = f"gene sets {path}, line {number}: {rule}; correct the line"
            raise SequelaError(msg)
        sets[name] = GeneSet(name, tuple(dict.fromkeys(resolve(genes).canonical)))
    if not sets:
        msg = f"gene sets {path}: holds none; name a .gmt file, or {BUNDLED}"
        raise SequelaError(msg)
    return GeneSets(path.name, tuple(sets.values()))
