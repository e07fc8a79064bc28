"""Vector integration sites of the CTL019/CART19 patients as clones."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pyarrow as pa

from features.clonality import INTEGRATION
from features.errors import SequelaError
from features.importers.upenn_cart19_specimens import Specimens

_COLUMNS = ("patient", "gtsp", "chr", "strand", "site", "n_fragments")


def read_clones(path: Path, specimens: Specimens) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Samples, ordered by patient and day, and their clones: sample_id, locus, clone, abundance.

    A clone is a site of integration such as ``chr17+7669662``; its abundance is the number of distinct fragments.

    Raises:
        SequelaError: The file is missing or damaged, a specimen is unknown or of another patient, a site stands twice
            in a specimen, or a number of fragments is not above 0.
    """
    sites = _read(path)
    specimen = sites["gtsp"].astype(str)
    owner = pd.Series(specimens.samples["patient_id"].to_numpy(), index=specimens.samples["sample_id"].to_numpy())
    foreign = specimen.map(owner).fillna("") != sites["patient"].astype(str)
    clone = sites["chr"].astype(str) + sites["strand"].astype(str) + sites["site"].astype(str)
    clones = pd.DataFrame(
        {"sample_id": specimen, "locus": INTEGRATION, "clone": clone, "abundance": sites["n_fragments"]}
    )
    for wrong, rule in (
        (foreign, "a specimen is of the same patient as in specimen_ml_features_569.csv.gz"),
        (clones.duplicated(["sample_id", "clone"]), "a site stands once in a specimen"),
        (~(clones["abundance"] > 0), "n_fragments is above 0"),
    ):
        if wrong.any():
            row = clones[wrong].iloc[0]
            msg = f"{path.name}: {row['sample_id']}, {row['clone']}: {rule}. Take the file as published."
            raise SequelaError(msg)
    samples = specimens.samples.sort_values(["patient_id", "day", "sample_id"], ignore_index=True)
    return samples, clones.sort_values(["sample_id", "clone"], ignore_index=True)


def _read(path: Path) -> pd.DataFrame:
    try:
        sites = pd.read_parquet(path)
    except (OSError, ValueError, pa.ArrowException) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else " ".join(str(error).split())[:120]
        msg = f"{path}: cannot be read ({reason}); take the Parquet file as published"
        raise SequelaError(msg) from error
    for column in _COLUMNS:
        if column not in sites.columns:
            msg = f"{path.name}: column {column!r} is missing; it has {', '.join(map(str, sites.columns))}"
            raise SequelaError(msg)
    return sites[list(_COLUMNS)]
