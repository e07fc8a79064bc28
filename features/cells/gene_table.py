"""The genes of GENCODE release 44 and their synonyms, as packaged in ``data/``.

Release 44 is the annotation of Ensembl 110 and of CELLxGENE's schema 7. Where the facts come from, and how ambiguous
names are kept out: `features.cells.build_gene_table`, which writes the files, and docs/reference/genes.md.
"""

from __future__ import annotations

import gzip
import zlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from features.errors import SequelaError

DATA = Path(__file__).parent / "data"
GENES_FILE = "gencode_v44_genes.tsv.gz"
SYNONYMS_FILE = "gene_synonyms.tsv.gz"
RELEASE = "GENCODE v44"


@dataclass(frozen=True, slots=True)
class Gene:
    """One row of the table of genes."""

    gene_id: str
    """Ensembl id, without version."""
    symbol: str
    """Empty where release 44 has none."""
    x_copy: str = ""
    """Of the copy of a pseudoautosomal gene on Y: the id of the same gene on X; otherwise empty."""


@dataclass(frozen=True, slots=True)
class GeneTable:
    """What is known about the names of human genes."""

    name_of_id: dict[str, str]
    """By Ensembl id: the symbol if the gene has one to itself, or the id."""
    symbols: frozenset[str]
    synonyms: dict[str, str]
    """By former symbol or alias that can mean one gene only: its symbol."""


@cache
def gene_table() -> GeneTable:
    """The packaged table, read once a process.

    Raises:
        SequelaError: The files are absent or damaged.
    """
    genes = [Gene(*fields) for fields in _rows(GENES_FILE, 3)]
    synonyms = {name: symbol for name, symbol in _rows(SYNONYMS_FILE, 2)}  # noqa: C416 - lists, not pairs
    return GeneTable(names_of_ids(genes), frozenset(gene.symbol for gene in genes) - {""}, synonyms)


def names_of_ids(genes: Sequence[Gene]) -> dict[str, str]:
    """The name of each gene by Ensembl id: its symbol, or its id where it has none or shares it with another gene.

    A copy on Y has the name of the gene on X: their sequence is one, and no read tells them apart.
    """
    n_genes = Counter(gene.symbol for gene in genes if not gene.x_copy)
    names = {
        gene.gene_id: gene.symbol if gene.symbol and n_genes[gene.symbol] == 1 else gene.gene_id
        for gene in genes
        if not gene.x_copy
    }
    return names | {gene.gene_id: names[gene.x_copy] for gene in genes if gene.x_copy}


def _rows(name: str, n_fields: int) -> Iterable[list[str]]:
    try:
        text = gzip.decompress((DATA / name).read_bytes()).decode()
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        msg = f"features/cells/data/{name}: the table of genes is absent or damaged ({error}); install Sequela again"
        raise SequelaError(msg) from error
    rows = [line.split("\t") for line in text.splitlines() if not line.startswith("#")]
    if any(len(row) != n_fields for row in rows):
        msg = f"features/cells/data/{name}: each row must have {n_fields} fields; install Sequela again"
        raise SequelaError(msg)
    return rows
