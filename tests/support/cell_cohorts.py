"""Cohorts whose cells differ between two arms in a known way: an interferon response in T cells, more NK cells."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from features.cells.anndata_io import write_cells
from features.cells.gene_sets import gene_sets
from features.cohort import write_cohort
from features.schema import CellsCard, CohortCard, Endpoint, EventRule, Variable

RAISED = "Interferon alpha/beta signaling"
SETS = (RAISED, "PD-1 signaling", "Glycolysis", "DNA strand elongation", "Respiratory electron transport")
TYPES = ("NK", "T", "monocyte")
ARMS = ("ide", "cilta")


def genes() -> tuple[str, ...]:
    """The genes of some bundled sets."""
    return tuple(dict.fromkeys(g for one in gene_sets("bundled").sets if one.name in SETS for g in one.genes))


def raised_genes() -> frozenset[str]:
    """Those doubled in T cells of the second arm: some of their pathway, for most genes must not change."""
    return frozenset(next(one.genes for one in gene_sets("bundled").sets if one.name == RAISED)[:20])


def pseudobulks(rng: np.random.Generator, change: NDArray[np.float64], group: NDArray[np.int64]) -> NDArray[np.float64]:
    """(patients, genes): overdispersed counts, whose means differ between two groups by a log₂ fold change (genes,)."""
    level = np.exp(rng.normal(3.0, 1.0, len(change)))
    depth = np.exp(rng.normal(0.0, 0.3, (len(group), 1)))
    mean = depth * level * 2.0 ** (change * group[:, None])
    shape = 1 / 0.15
    counts: NDArray[np.float64] = rng.poisson(mean * rng.gamma(shape, 1 / shape, mean.shape)).astype(float)
    return counts


def cell_cohort(folder: Path, provenance: Literal["real", "simulated"] = "simulated", n: int = 24) -> Path:
    """Two arms, a product sample each; infection by day 50 in the second arm but for the first four, see there."""
    rng = np.random.default_rng(11)
    names = genes()
    arm = np.arange(n) % 2
    ids = [f"P{i:03d}" for i in range(n)]
    level = np.exp(rng.normal(-0.5, 0.8, (len(TYPES), len(names))))
    raised = np.isin(names, list(raised_genes()))
    matrices, labels, owners = [], [], []
    for i in range(n):
        share = np.array([0.1 * 3.0 ** arm[i], 0.6, 0.3]) * rng.gamma(20, 1 / 20, 3)
        cells = rng.choice(len(TYPES), 120, p=share / share.sum())
        own = level * rng.gamma(15, 1 / 15, level.shape)
        own[1, raised] *= 2.0 ** arm[i]
        matrices.append(rng.poisson(own[cells]))
        labels += [TYPES[k] for k in cells]
        owners += [f"S{i:03d}"] * len(cells)
    day = np.where(arm == 1, 50.0, 400.0)
    day[:4] = [30.0, 20.0, 40.0, 400.0]  # censored, infected early, dead early, free of it in the second arm
    event = np.where(arm == 1, "infection", "")
    event[:4] = ["", "infection", "death", ""]
    patients = pd.DataFrame(
        {
            "patient_id": ids,
            "follow_up_days": day + (event != ""),
            "arm": np.array(ARMS)[arm],
            "age": rng.normal(60, 8, n).round(1),
            "third": np.array(["a", "b", "c"])[np.arange(n) % 3],
        }
    )
    variables = {
        "arm": Variable(kind="categorical", levels=ARMS),
        "age": Variable(kind="numeric"),
        "third": Variable(kind="categorical"),
    }
    card = CohortCard(
        title="Planted cells", citation="none", licence="CC0-1.0", provenance=provenance, variables=variables,
        cells=CellsCard(),
    )  # fmt: skip
    events = pd.DataFrame({"patient_id": ids, "day": day, "event": event})
    samples = pd.DataFrame(
        {"sample_id": [f"S{i:03d}" for i in range(n)], "patient_id": ids, "day": 0.0, "material": "product"}
    )
    endpoint = Endpoint(
        name="infection",
        event=EventRule(name="infection"),
        competing=(EventRule(name="death"),),
        horizons_days=(100.0, 365.0),
    )
    write_cohort(
        folder,
        card,
        {"patients": patients, "events": events[event != ""], "samples": samples},
        write_cells=lambda path: write_cells(
            path / "cells.h5ad", csr_matrix(np.vstack(matrices).astype(float)), names, owners, cell_type=labels
        ),
        endpoints={"infection": endpoint},
    )
    return folder
