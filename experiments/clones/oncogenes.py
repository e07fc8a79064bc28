"""Which sites of vector integration lie near an oncogene, by a list of genes and their places in the genome."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from experiments.clones.gene_places import Gene, gene_places
from features.cells.gene_table import gene_table
from features.errors import SequelaError
from features.patients import FloatArray, IntArray

SITE = re.compile(r"^(?P<chromosome>[^:+-]+)[:+-](?P<position>\d+)[+-]?$")
"""Names of clones that say where they are: ``chr4+105272458``, ``chr4:105272458``."""
CHROMOSOMES = frozenset(f"chr{name}" for name in (*range(1, 23), "X", "Y", "M"))
WITHIN_BASES = 50_000
"""Of a gene; a convention."""
BUNDLED = "bundled"
"""In place of a file: the genes of `bundled`."""

DROVE_CLONES = {
    "LMO2": "Hacein-Bey-Abina et al., Science 2003;302:415",
    "BMI1": "Hacein-Bey-Abina et al., J Clin Invest 2008;118:3132",
    "CCND2": "Hacein-Bey-Abina et al., J Clin Invest 2008;118:3132",
    "MECOM": "Ott et al., Nat Med 2006;12:401",
    "PRDM16": "Ott et al., Nat Med 2006;12:401",
    "SETBP1": "Ott et al., Nat Med 2006;12:401",
    "HMGA2": "Cavazzana-Calvo et al., Nature 2010;467:318",
    "MN1": "Braun et al., Sci Transl Med 2014;6:227ra33",
    "TET2": "Fraietta et al., Nature 2018;558:307",
    "CBL": "Shah et al., Blood Adv 2019;3:2317",
}
"""Genes in or near which a vector's integration went with a dominant or malignant clone of a patient, and who told."""


@dataclass(frozen=True, slots=True)
class Oncogenes:
    """Genes, and from which distance on a site is not near them any more."""

    genes: tuple[Gene, ...]
    within_bases: int
    source: str
    """Where the list is from, in words."""
    placed: bool
    """Whether the places are those of the packaged table, GRCh38, so that those of all other genes are known, too."""
    unplaced: tuple[str, ...] = ()
    """Symbols of the list whose place is not known."""

    def nearest(self, clones: Sequence[str]) -> tuple[FloatArray, list[str]]:
        """Whether each clone is near one (1, 0; NaN where its name is no known place), and which, the nearest.

        Args:
            clones: Names of sites of integration.
        """
        least, which = self._away(self.genes, clones)
        near = np.where(np.isnan(least), np.nan, (which >= 0).astype(float))
        return near, [self.genes[i].name if i >= 0 else "" for i in which.tolist()]

    def near_any_gene(self, clones: Sequence[str]) -> FloatArray:
        """Whether each clone is near any gene, oncogene or not; NaN where its name is no place, or if not `placed`.

        Args:
            clones: Names of sites of integration.
        """
        if not self.placed:
            return np.full(len(clones), np.nan)
        least, which = self._away([place for own in gene_places().of_symbol.values() for place in own], clones)
        return np.where(np.isnan(least), np.nan, (which >= 0).astype(float))

    def _away(self, genes: Sequence[Gene], clones: Sequence[str]) -> tuple[FloatArray, IntArray]:
        """Bases to the nearest gene, infinite where none is near; and which it is, or −1.

        NaN without a place, and on what is neither a chromosome nor named by the list.
        """
        places = [SITE.match(name) for name in clones]
        chromosome = np.array([chromosome_name(place["chromosome"]) if place else "" for place in places], dtype=object)
        named = CHROMOSOMES | {gene.chromosome for gene in genes}
        known = np.array([name in named for name in chromosome.tolist()], dtype=bool)
        position = np.array([float(place["position"]) if place else np.nan for place in places])
        position[~known] = np.nan
        least, which = np.where(np.isnan(position), np.nan, np.inf), np.full(len(clones), -1, dtype=np.int64)
        ordered = {}
        for name in {gene.chromosome for gene in genes}:
            own = np.flatnonzero(known & (chromosome == name))
            ordered[name] = own[np.argsort(position[own], kind="stable")]
        sorted_positions = {name: position[own] for name, own in ordered.items()}
        for number, gene in enumerate(genes):
            there = sorted_positions[gene.chromosome]
            first = np.searchsorted(there, gene.start + 1 - self.within_bases)
            own = ordered[gene.chromosome][first : np.searchsorted(there, gene.end + self.within_bases, side="right")]
            away = np.maximum(np.maximum(gene.start + 1 - position[own], position[own] - gene.end), 0.0)
            closer = away < least[own]
            least[own[closer]], which[own[closer]] = away[closer], number
        return least, which


def chromosome_name(text: str) -> str:
    """As UCSC names it: ``4`` and ``Chr4`` are ``chr4``, ``MT`` is ``chrM``."""
    bare = re.sub(r"^chr", "", text, flags=re.IGNORECASE)
    return "chrM" if bare.upper() in {"M", "MT"} else f"chr{bare.upper() if bare.upper() in {'X', 'Y'} else bare}"


def read_oncogenes(path: Path, within_bases: int = WITHIN_BASES) -> Oncogenes:
    """Read a list of genes; the path ``bundled`` stands for the packaged one.

    Args:
        path: A BED file, named ``.bed``; any other file holds one symbol a line, in the first of columns with tabs
            between, perhaps under the heading ``symbol``. Symbols get their places in GRCh38.
        within_bases: Of a gene, for a site to be near it.

    Raises:
        SequelaError: It cannot be read, a line is no gene with its place, or no symbol has a place.
    """
    if str(path) == BUNDLED:
        return bundled(within_bases)
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        msg = (
            f"--oncogenes {path}: cannot be read; give {BUNDLED}, a BED file (chromosome, start, end, gene) or symbols"
        )
        raise SequelaError(msg) from error
    if path.suffix.lower() == ".bed":
        return Oncogenes(_bed(path, lines), within_bases, path.name, placed=False)
    symbols = [line.split("\t")[0].strip() for line in lines if line.strip() and not line.startswith("#")]
    genes, unplaced = _placed(symbols[1:] if symbols[:1] == ["symbol"] else symbols)
    if not genes:
        msg = f"--oncogenes {path}: none of its {len(symbols):,} symbols is a human gene of known place"
        raise SequelaError(f"{msg}; write one symbol a line, or name a BED file .bed")
    return Oncogenes(genes, within_bases, path.name, placed=True, unplaced=unplaced)


def bundled(within_bases: int = WITHIN_BASES) -> Oncogenes:
    """Human genes that NCBI Gene names proto-oncogenes, and `DROVE_CLONES`, by their places in GRCh38."""
    genes, _ = _placed([*gene_places().proto_oncogenes, *DROVE_CLONES])
    return Oncogenes(genes, within_bases, "the bundled list", placed=True)


def _placed(symbols: Iterable[str]) -> tuple[tuple[Gene, ...], tuple[str, ...]]:
    """The places of genes, and the symbols that have none; former symbols are those of today."""
    of_symbol, synonyms = gene_places().of_symbol, gene_table().synonyms
    now = {symbol: symbol if symbol in of_symbol else synonyms.get(symbol, symbol) for symbol in symbols}
    known = dict.fromkeys(symbol for symbol in now.values() if symbol in of_symbol)
    unplaced = tuple(symbol for symbol, today in now.items() if today not in of_symbol)
    return tuple(place for symbol in known for place in of_symbol[symbol]), unplaced


def _bed(path: Path, lines: Sequence[str]) -> tuple[Gene, ...]:
    """Chromosome, start, end, name of the gene; tabs between, ``#`` before comments."""
    genes = []
    for number, line in enumerate(lines, start=1):
        if not line.strip() or line.startswith(("#", "track", "browser")):
            continue
        cells = line.split("\t")
        if len(cells) < 4 or not (cells[1].isdecimal() and cells[2].isdecimal()) or int(cells[1]) >= int(cells[2]):
            msg = f"--oncogenes {path}: line {number}: is not chromosome, start, end, gene, start before end"
            raise SequelaError(f"{msg}; separate them by tabs")
        genes.append(Gene(cells[0], int(cells[1]), int(cells[2]), cells[3].strip()))
    if not genes:
        msg = f"--oncogenes {path}: holds no gene; give one a line: chromosome, start, end, gene"
        raise SequelaError(msg)
    return tuple(genes)
