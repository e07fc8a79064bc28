"""Activities of gene sets by decoupler's univariate linear model.

decoupler's authors (Badia-i-Mompel et al., Bioinform Adv 2022;2:vbac016) found its linear models the best of its
methods: `mlm`, one model of all sets together, and `ulm`, one model a set. Pathways overlap and are nested, and a panel
may have fewer genes than there are sets, so that `mlm` has no stable or unique fit: `ulm` it is.

Only used where cohorts are analysed. Requests are answered without it, so that decoupler is imported by name.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from importlib import import_module

import numpy as np
import pandas as pd

from features.cells.gene_sets import FEWEST_GENES, GeneSets
from features.errors import SequelaError
from features.patients import FloatArray


def activities(values: FloatArray, genes: Sequence[str], sets: GeneSets) -> FloatArray:
    """(rows, sets): how much higher the genes of each set are than the others, in each row by itself.

    The t-value of the slope when the values of a row are regressed on membership of the set (1 or 0), over all genes.
    As a test it would take genes as independent, which genes of a pathway are not (Wu & Smyth, Nucleic Acids Res
    2012;40:e133); and decoupler's p-values are adjusted over the sets already. So none is given.

    Args:
        values: (rows, genes), all known: log counts, or statistics of genes.
        genes: Canonical names, each once.
        sets: Those measured (`GeneSets.measured`); others are refused.

    Raises:
        SequelaError: decoupler is not installed, or nothing can be computed.
    """
    if not sets.sets or not len(values):
        return np.full((len(values), len(sets.sets)), np.nan)
    try:
        decoupler = import_module("decoupler")
    except ImportError as error:
        msg = f"pathways: {error.name} is not installed; pip install 'sequela[omics]', or leave pathways out"
        raise SequelaError(msg) from error
    names = [one.name for one in sets.sets]
    net = pd.DataFrame(
        [(one.name, gene, 1.0) for one in sets.sets for gene in one.genes], columns=["source", "target", "weight"]
    )
    table = pd.DataFrame(values, index=[str(i) for i in range(len(values))], columns=list(genes))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of anndata's versions to come; what is not finite is left as it is
        # `empty=False`: a gene that no row has stays, so that a row's activity does not depend on the other rows
        found, _ = decoupler.mt.ulm(table, net, tmin=FEWEST_GENES, empty=False)
    activity: FloatArray = found[names].to_numpy(dtype=np.float64)
    return activity
