"""Makes the packaged table of genes' places again from its public source; nothing else runs this.

``python -m experiments.clones.build_gene_places org.Hs.eg.sqlite``

The source is ``org.Hs.eg.sqlite`` of Bioconductor's org.Hs.eg.db 3.16.0, the file that the table of synonyms is made
of (`features.cells.build_gene_table` says where it is had): symbols and names of NCBI Gene of 12 September 2022, and
places of their transcripts in hg38 by the UCSC Genome Browser of 31 August 2022, whose annotation is free for any use
(Kent et al., Genome Res 2002;12:996).
"""

from __future__ import annotations

import gzip
import hashlib
import re
import sqlite3
import sys
from collections.abc import Iterable, Sequence
from contextlib import closing
from itertools import groupby
from pathlib import Path

from experiments.clones.gene_places import PLACES_FILE
from features.cells.build_gene_table import NCBI_SHA256
from features.errors import SequelaError

CHROMOSOMES = frozenset([*map(str, range(1, 23)), "X", "Y"])
"""Others are alternative and unplaced sequences, and the mitochondrion, into whose genome no vector integrates."""
_TRANSCRIPTS = """
    SELECT symbol, gene_name, seqname, abs(start_location), abs(end_location)
    FROM gene_info JOIN chromosome_locations USING (_id) ORDER BY symbol, seqname, abs(start_location)
"""
_NAMED = re.compile(r"\bproto-oncogene\b")


def main(arguments: Sequence[str]) -> None:
    """Write the table.

    Raises:
        SequelaError: The source is not the one that this script was written for.
    """
    source = Path(arguments[0])
    digest = hashlib.sha256(source.read_bytes()).hexdigest()
    if digest != NCBI_SHA256:
        msg = f"{source.name}: sha256 {digest}, expected {NCBI_SHA256}; take the version named in this script"
        raise SequelaError(msg)
    with closing(sqlite3.connect(f"{source.resolve().as_uri()}?mode=ro", uri=True)) as database:
        rows = list(places(database.execute(_TRANSCRIPTS)))
    head = (
        f"# NCBI Gene, 2022-09-12, and UCSC hg38, 2022-08-31: org.Hs.eg.sqlite of org.Hs.eg.db 3.16.0, sha256 {digest}"
    )
    text = "\n".join([head, *("\t".join(map(str, row)) for row in rows), ""])
    PLACES_FILE.write_bytes(gzip.compress(text.encode(), compresslevel=9, mtime=0))
    sys.stdout.write(f"{len({row[0] for row in rows}):,} genes, {len(rows):,} places\n")


def places(transcripts: Iterable[tuple[str, str, str, int, int]]) -> Iterable[tuple[str, str, int, int, int]]:
    """Transcripts of a gene that overlap or meet are one place.

    Args:
        transcripts: Symbol, name, chromosome, start, end; ordered by symbol, chromosome and start.

    Yields:
        Symbol, ``chr`` and chromosome, start, end, and 1 where the name says proto-oncogene and no pseudogene.
    """
    for (symbol, chromosome), own in groupby(transcripts, key=lambda row: (row[0], row[2])):
        if chromosome not in CHROMOSOMES:
            continue
        transcript = list(own)
        name = transcript[0][1]
        merged: list[list[int]] = []
        for *_, start, end in transcript:
            if merged and start <= merged[-1][1]:
                merged[-1][1] = max(merged[-1][1], end)
            else:
                merged.append([start, end])
        is_one = int(bool(_NAMED.search(name)) and "pseudogene" not in name)
        for start, end in merged:
            yield symbol, f"chr{chromosome}", start, end, is_one


if __name__ == "__main__":
    main(sys.argv[1:])
