"""Which sites of vector integration lie near an oncogene, by a list of genes and their places in the genome."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from features.errors import SequelaError
from features.patients import FloatArray

SITE = re.compile(r"^(?P<chromosome>[^:+-]+)[:+-](?P<position>\d+)[+-]?$")
"""Names of clones that say where they are: ``chr4+105272458``, ``chr4:105272458``."""
WITHIN_BASES = 50_000
"""Of a gene; a convention."""


class Gene(NamedTuple):
    """A gene and its place."""

    chromosome: str
    start: int
    """0-based, as BED has it."""
    end: int
    name: str


@dataclass(frozen=True, slots=True)
class Oncogenes:
    """Genes, and from which distance on a site is not near them any more."""

    genes: tuple[Gene, ...]
    within_bases: int

    def nearest(self, clones: Sequence[str]) -> tuple[FloatArray, list[str]]:
        """Whether each clone is near one (1, 0; NaN where its name is no place), and which, the nearest.

        Args:
            clones: Names of sites of integration.
        """
        places = [SITE.match(name) for name in clones]
        chromosome = np.array([place["chromosome"] if place else "" for place in places], dtype=object)
        position = np.array([float(place["position"]) if place else np.nan for place in places])
        least, which = np.full(len(clones), np.inf), np.full(len(clones), -1)
        for number, gene in enumerate(self.genes):
            own = np.flatnonzero(chromosome == gene.chromosome)
            away = np.maximum(np.maximum(gene.start + 1 - position[own], position[own] - gene.end), 0.0)
            closer = (away <= self.within_bases) & (away < least[own])
            least[own[closer]], which[own[closer]] = away[closer], number
        near = np.where(np.isnan(position), np.nan, (which >= 0).astype(float))
        return near, [self.genes[i].name if i >= 0 else "" for i in which.tolist()]


def read_oncogenes(path: Path, within_bases: int = WITHIN_BASES) -> Oncogenes:
    """Read a BED file: chromosome, start, end, name of the gene; tabs between, ``#`` before comments.

    Raises:
        SequelaError: It cannot be read, or a line is no gene with its place.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        msg = f"--oncogenes {path}: cannot be read; give a BED file (chromosome, start, end, gene; tabs between)"
        raise SequelaError(msg) from error
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
    return Oncogenes(tuple(genes), within_bases)
