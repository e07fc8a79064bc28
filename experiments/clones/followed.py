"""A cohort's clones, sample by sample of each patient, material and locus."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations, pairwise
from typing import Any

import numpy as np
import pandas as pd

from experiments.clones.oncogenes import Oncogenes
from features.clonality import INTEGRATION
from features.cohort import Cohort
from features.errors import SequelaError
from training.clonal_expansion import expansion

LEVEL = 0.05
"""False discovery rate at which a clone is said to expand."""
FEWEST = 20
"""Counted in each of two samples, for them to be compared."""


@dataclass(frozen=True, slots=True)
class Rule:
    """When a clone calls for a closer look. Conventions, not thresholds that anyone has shown to predict malignancy."""

    least_share: float = 0.05
    """Of the later sample."""
    least_ratio: float = 2.0
    """Of the shares: the low end of its interval must be above 1, and the ratio itself at least this."""
    dominant_share: float = 0.2
    """From which on a clone is told whether it expands or not."""


@dataclass(frozen=True, slots=True)
class Followed:
    """What was found."""

    cohort: Cohort
    rule: Rule
    samples: pd.DataFrame
    """patient_id, material, locus, sample_id, day, counted, clones, top_share: of each sample, ordered by day."""
    compared: int
    """Pairs of samples, each with the one of the day before it."""
    same_day: int
    """Pairs of samples of one day, in which no clone can have grown."""
    same_day_told: int
    """Of those, pairs in which the rule tells an expansion all the same: false alarms, from sampling and handling."""
    warnings: pd.DataFrame
    """patient_id, material, locus, clone, day_before, day, share_before, share, ratio, ratio_low, ratio_high, q,
    near_oncogene, gene (the oncogene; empty where there is none or its name is not known), why (``expands``,
    ``dominant``), the largest share first."""

    @property
    def n_patients(self) -> int:
        """With clones."""
        return int(self.samples["patient_id"].nunique())

    @property
    def n_followed(self) -> int:
        """With two samples or more of one material and locus."""
        sizes = self.samples.groupby(["patient_id", "material", "locus"]).size()
        return int(sizes[sizes > 1].reset_index()["patient_id"].nunique())


def follow(cohort: Cohort, rule: Rule, oncogenes: Oncogenes | None = None) -> Followed:
    """Compare the largest sample of each day with that of the day before it, and samples of one day with each other.

    Args:
        cohort: With clones.
        rule: Which clones are told.
        oncogenes: Sites of integration are near by these; None: by the cohort's ``near_oncogene``.

    Raises:
        SequelaError: The cohort has no clones, or their abundances are no counts.
    """
    clones = cohort.clones
    if clones.empty:
        msg = f"{cohort.folder}: has no clones; add clones.csv (sample_id, locus, clone, abundance)"
        raise SequelaError(msg)
    if (clones["abundance"] != np.floor(clones["abundance"])).any():
        msg = f"{cohort.folder}/clones: abundance must be counts (cells, or distinct fragments) to be compared"
        raise SequelaError(msg)
    dated = clones.merge(cohort.samples[["sample_id", "patient_id", "day", "material"]], on="sample_id")
    dated["gene"] = ""
    if oncogenes is not None:
        sites = dated.loc[dated["locus"] == INTEGRATION, "clone"]
        dated["near_oncogene"] = np.nan
        near, genes = oncogenes.nearest(sites.tolist())
        dated.loc[sites.index, "near_oncogene"], dated.loc[sites.index, "gene"] = near, genes
    keys = ["patient_id", "material", "locus"]
    samples, found = [], []
    compared = same_day = same_day_told = 0
    for key, own in dated.groupby(keys, sort=True):
        of_days = [
            [part for _, part in one.groupby("sample_id", sort=True)] for _, one in own.groupby("day", sort=True)
        ]
        samples += [(*key, part["sample_id"].iloc[0], part["day"].iloc[0], *_size(part)) for d in of_days for part in d]
        for one, other in (pair for parts in of_days for pair in combinations(parts, 2) if _comparable(*pair)):
            same_day += 1
            same_day_told += any("expands" in line[-1] for line in _warnings(one, other, rule))
        largest = [max(parts, key=lambda part: part["abundance"].sum()) for parts in of_days]
        for one, other in (pair for pair in pairwise(largest) if _comparable(*pair)):
            compared += 1
            between = one["day"].iloc[0], other["day"].iloc[0]
            found += [(*key, *between, *line) for line in _warnings(one, other, rule)]
    columns = [*keys, "day_before", "day", "clone", "share_before", "share", "ratio", "ratio_low", "ratio_high", "q"]
    warnings = pd.DataFrame(found, columns=[*columns, "near_oncogene", "gene", "why"])
    told = ["sample_id", "day", "counted", "clones", "top_share"]
    return Followed(
        cohort,
        rule,
        pd.DataFrame(samples, columns=[*keys, *told]),
        compared,
        same_day,
        same_day_told,
        warnings.sort_values("share", ascending=False, ignore_index=True, kind="stable"),
    )


def _comparable(one: pd.DataFrame, other: pd.DataFrame) -> bool:
    return bool(min(one["abundance"].sum(), other["abundance"].sum()) >= FEWEST)


def _size(part: pd.DataFrame) -> tuple[int, int, float]:
    counted = int(part["abundance"].sum())
    return counted, len(part), float(part["abundance"].max() / counted)


def _warnings(earlier: pd.DataFrame, later: pd.DataFrame, rule: Rule) -> Iterator[tuple[Any, ...]]:
    """Clones of the later sample that expand, or dominate it."""
    both = pd.concat([part.set_index("clone")["abundance"] for part in (earlier, later)], axis=1).fillna(0).astype(int)
    before, after = both.iloc[:, 0].to_numpy(), both.iloc[:, 1].to_numpy()
    one = expansion(before, after, rule.least_share)
    of_clone = pd.concat([later, earlier]).drop_duplicates("clone").set_index("clone").reindex(both.index[one.clone])
    near, gene = of_clone.get("near_oncogene", pd.Series(np.nan, index=of_clone.index)), of_clone["gene"]
    expands = (one.q <= LEVEL) & (one.low > 1) & (one.ratio >= rule.least_ratio)
    for i in np.flatnonzero(expands | (one.share_after >= rule.dominant_share)):
        why = " and ".join(
            [*(["expands"] if expands[i] else []), *(["dominant"] if one.share_after[i] >= rule.dominant_share else [])]
        )
        numbers = (one.share_before, one.share_after, one.ratio, one.low, one.high, one.q)
        yield (
            both.index[one.clone[i]],
            *(float(values[i]) for values in numbers),
            float(near.iloc[i]),
            gene.iloc[i],
            why,
        )
