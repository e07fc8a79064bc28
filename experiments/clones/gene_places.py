"""Where human genes lie in the genome GRCh38 (hg38), as packaged in ``data/``, and which are named proto-oncogenes.

Where the facts come from: `experiments.clones.build_gene_places`, which writes the file, and docs/how-to/clones.md.
"""

from __future__ import annotations

import gzip
import zlib
from functools import cache
from pathlib import Path
from typing import NamedTuple

from features.errors import SequelaError

PLACES_FILE = Path(__file__).parent / "data" / "gene_places_hg38.tsv.gz"


class Gene(NamedTuple):
    """A gene and one of its places; few have several."""

    chromosome: str
    start: int
    """0-based, as BED has it."""
    end: int
    name: str


class Places(NamedTuple):
    """What is known of the places of genes."""

    of_symbol: dict[str, list[Gene]]
    proto_oncogenes: tuple[str, ...]
    """Symbols whose official name says so, in alphabetical order."""


@cache
def gene_places() -> Places:
    """The packaged table, read once a process.

    Raises:
        SequelaError: The file is absent or damaged.
    """
    try:
        lines = gzip.decompress(PLACES_FILE.read_bytes()).decode().splitlines()
        rows = [line.split("\t") for line in lines if not line.startswith("#")]
        genes = [
            (Gene(chromosome, int(start), int(end), name), int(is_one)) for name, chromosome, start, end, is_one in rows
        ]
    except (OSError, EOFError, zlib.error, ValueError) as error:
        msg = f"{PLACES_FILE.name}: the table of genes' places is absent or damaged ({error}); install Sequela again"
        raise SequelaError(msg) from error
    of_symbol: dict[str, list[Gene]] = {}
    for gene, _ in genes:
        of_symbol.setdefault(gene.name, []).append(gene)
    return Places(of_symbol, tuple(sorted({gene.name for gene, is_one in genes if is_one})))
