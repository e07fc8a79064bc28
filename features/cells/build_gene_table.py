"""Makes the packaged tables of genes and synonyms again from their two public sources; nothing else runs this.

``python -m features.cells.build_gene_table CELLTYPIST.whl org.Hs.eg.sqlite FOLDER``

1. GENCODE release 44 (Frankish et al., Nucleic Acids Res 2023;51:D942): Ensembl gene ids and symbols, in the order of
   the genome, as ``GENCODEv44_Gene_id2name.csv`` in the wheel of celltypist 1.7.1.
2. NCBI Gene of 12 September 2022: symbols, aliases (former symbols among them) and Ensembl ids, as ``org.Hs.eg.sqlite``
   in Bioconductor's org.Hs.eg.db 3.16.0, which Debian has as r-bioc-org.hs.eg.db (``dpkg-deb -x`` unpacks it).

Both must have the sha256 below, which the headers of the tables repeat.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import re
import sqlite3
import sys
import zipfile
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence, Set
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from features.cells.gene_table import GENES_FILE, SYNONYMS_FILE, Gene
from features.errors import SequelaError
from features.files import written_beside

GENCODE_CSV = "celltypist/data/samples/GENCODEv44_Gene_id2name.csv"
GENCODE_SHA256 = "0a8d9b07cf63f9ef70e65f3c7afc9d2092a7d9890281172df770003827912f53"
NCBI_SHA256 = "bba36057dd3100a099e8054511b34d831349761971829a72b84859d2efe34605"

Y_COPIES = range(292327, 292374)
"""Numbers of the Ensembl ids that release 44 gave to the copies on Y of 47 pseudoautosomal genes."""

FIELD = {"CD20": "MS4A1", "CD25": "IL2RA", "GARP": "LRRC32", "PD-1": "PDCD1", "PD1": "PDCD1"}
"""Names that NCBI lists for several genes and that mean one in immunology. Nothing else ambiguous is mapped."""

KEPT = ("CD3", "CD8", "CD16", "HLA-DR", "TCR", "TCF1", "CAR", "EGFRT", "FMC63", "GFP", "EGFP", "LUC", "SCFV", "WPRE")
"""Names that stay as they are whatever a source says: complexes and pairs of proteins, TCF1 (a former symbol of HNF1A,
and the common name of the protein of TCF7), and names of transgenes."""

_SYNONYM = re.compile(r"[A-Z0-9][A-Z0-9./@-]+(?:orf\d+[A-Z]*)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class NcbiGene:
    """One gene of NCBI Gene."""

    symbol: str
    aliases: frozenset[str]
    ensembl_ids: frozenset[str]


def main(arguments: Sequence[str]) -> None:
    """Write both tables into a folder.

    Raises:
        SequelaError: A source is not the one that this script was written for.
    """
    wheel, sqlite, folder = map(Path, arguments)
    with zipfile.ZipFile(wheel) as archive:
        gencode = archive.read(GENCODE_CSV)
    _check(GENCODE_CSV, gencode, GENCODE_SHA256)
    _check(sqlite.name, sqlite.read_bytes(), NCBI_SHA256)
    genes = gencode_genes(list(csv.reader(gencode.decode().splitlines())))
    synonyms = unambiguous(ncbi_genes(sqlite), genes)
    sources = [f"GENCODE release 44: {GENCODE_CSV} of celltypist 1.7.1, sha256 {GENCODE_SHA256}"]
    write_table(folder / GENES_FILE, sources, ((gene.gene_id, gene.symbol, gene.x_copy) for gene in genes))
    sources += [f"NCBI Gene, 2022-09-12: org.Hs.eg.sqlite of org.Hs.eg.db 3.16.0, sha256 {NCBI_SHA256}"]
    write_table(folder / SYNONYMS_FILE, sources, sorted(synonyms.items()))
    sys.stdout.write(f"{len(genes):,} genes, {len(synonyms):,} synonyms\n")


def _check(name: str, content: bytes, expected: str) -> None:
    digest = hashlib.sha256(content).hexdigest()
    if digest != expected:
        msg = f"{name}: sha256 {digest}, expected {expected}; take the version named in this script"
        raise SequelaError(msg)


def write_table(path: Path, sources: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Write rows, under one comment line a source, so that equal rows make equal bytes."""
    lines = [*(f"# {source}" for source in sources), *("\t".join(row) for row in rows)]
    with written_beside(path) as beside:
        beside.write_bytes(gzip.compress("\n".join([*lines, ""]).encode(), compresslevel=9, mtime=0))


def gencode_genes(rows: Sequence[Sequence[str]], y_copies: Iterable[int] = Y_COPIES) -> list[Gene]:
    """The genes of GENCODE, sorted by id; the source writes an id for a symbol where there is none.

    The rows are in the order of the genome, so that a run of copies on Y repeats a run of genes on X.

    Raises:
        SequelaError: A run of copies on Y repeats no run before it.
    """
    symbols = {gene_id: "" if symbol == gene_id else symbol for gene_id, symbol in rows}
    order = list(symbols)
    place = {gene_id: i for i, gene_id in enumerate(order)}
    x_copy: dict[str, str] = {}
    for run in _runs(sorted(place[f"ENSG{number:011d}"] for number in y_copies)):
        shift = _shift([symbols[gene_id] for gene_id in order], run)
        x_copy |= {order[i]: order[i - shift] for i in run}
    return [Gene(gene_id, symbols[gene_id], x_copy.get(gene_id, "")) for gene_id in sorted(order)]


def _runs(places: Iterable[int]) -> list[list[int]]:
    """Runs of consecutive places."""
    runs: list[list[int]] = []
    for i in places:
        if runs and runs[-1][-1] == i - 1:
            runs[-1].append(i)
        else:
            runs.append([i])
    return runs


def _shift(symbols: Sequence[str], run: Sequence[int]) -> int:
    """How far before a run the same symbols stand in the same order."""
    wanted = [symbols[i] for i in run]
    for start in range(run[0]):
        if symbols[start : start + len(run)] == wanted:
            return run[0] - start
    msg = f"rows {run[0] + 1} to {run[-1] + 1}: copies on Y whose symbols no genes on X have; is this GENCODE 44?"
    raise SequelaError(msg)


def ncbi_genes(path: Path) -> list[NcbiGene]:
    """All genes of org.Hs.eg.sqlite."""
    with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as database:
        symbols: dict[int, str] = dict(database.execute("SELECT _id, symbol FROM gene_info"))
        aliases = _grouped(database.execute("SELECT _id, alias_symbol FROM alias"))
        ids = _grouped(database.execute("SELECT _id, ensembl_id FROM ensembl"))
    return [NcbiGene(symbols[i], frozenset(aliases[i]), frozenset(ids[i])) for i in sorted(symbols)]


def _grouped(rows: Iterable[tuple[int, str]]) -> defaultdict[int, set[str]]:
    groups: defaultdict[int, set[str]] = defaultdict(set)
    for key, value in rows:
        groups[key].add(value)
    return groups


def unambiguous(ncbi: Sequence[NcbiGene], genes: Sequence[Gene]) -> dict[str, str]:
    """Current symbol by synonym, for the names that one gene alone claims.

    A gene claims the name that it has as symbol or alias, and with it all names that differ only in capitals and
    punctuation. A name that is a current symbol, or does not look like one, is no synonym.
    """
    symbols = {gene.gene_id: gene.symbol for gene in genes if gene.symbol}
    current = set(symbols.values())
    claims: defaultdict[str, set[str]] = defaultdict(set)
    for symbol in current:
        claims[plain(symbol)].add(symbol)
    named: dict[str, str] = {}
    free = free_ids(ncbi, symbols)
    for gene in ncbi:
        now = symbol_now(gene, symbols, current, free)
        for name in gene.aliases | {gene.symbol}:
            claims[plain(name)].add(now or f"{gene.symbol} of NCBI")
            named[name] = now
    kept = set(map(plain, KEPT))
    return FIELD | {
        name: now
        for name, now in named.items()
        if claims[plain(name)] == {now} and name not in current and plain(name) not in kept and _looks_right(name)
    }


def plain(name: str) -> str:
    """A name without capitals and punctuation: PD-1 and PD1 are one name to whoever reads them."""
    return "".join(filter(str.isalnum, name.casefold()))


def _looks_right(name: str) -> bool:
    """Whether a name is long enough, and written as a human symbol, not as a mouse's, a number or an Ensembl id."""
    long_enough = len(plain(name)) >= 3 and any(map(str.isalpha, name))
    return long_enough and bool(_SYNONYM.fullmatch(name)) and not name.startswith("ENS")


def symbol_now(gene: NcbiGene, symbols: Mapping[str, str], current: Set[str], free: Set[str]) -> str:
    """The symbol that GENCODE gives to a gene of NCBI; empty where the two do not tell one gene.

    Args:
        gene: The gene.
        symbols: GENCODE's symbols by Ensembl id.
        current: The same symbols, as a set.
        free: Ensembl ids that are certainly of one gene of NCBI, see `free_ids`.
    """
    ids = gene.ensembl_ids & symbols.keys()
    by_id = {symbols[gene_id] for gene_id in ids}
    if gene.symbol in current:
        return gene.symbol if not by_id or gene.symbol in by_id else ""
    return by_id.pop() if len(by_id) == 1 and ids <= free else ""


def free_ids(ncbi: Sequence[NcbiGene], symbols: Mapping[str, str]) -> set[str]:
    """Ensembl ids that one gene of NCBI has, and whose symbol in GENCODE no gene of NCBI has.

    Others belong to clusters of copies, to parts of a read-through, or to two genes in one place.
    """
    n_genes = Counter(gene_id for gene in ncbi for gene_id in gene.ensembl_ids)
    taken = {gene.symbol for gene in ncbi}
    return {gene_id for gene_id, n in n_genes.items() if n == 1 and symbols.get(gene_id) not in taken}


if __name__ == "__main__":
    main(sys.argv[1:])
