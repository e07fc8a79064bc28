"""A cohort's clones, sample by sample of each patient, material and locus."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import NamedTuple

import numpy as np
import pandas as pd

from experiments.clones.oncogenes import Oncogenes
from experiments.clones.rule import FEWEST, Rule, told
from features.clonality import INTEGRATION
from features.cohort import Cohort
from features.errors import SequelaError

KEYS = ["patient_id", "material", "locus"]
SAMPLES = [*KEYS, "sample_id", "day", "counted", "clones", "top_share"]
WARNINGS = [
    *KEYS,
    "sample_id",
    "day_before",
    "day",
    "clone",
    "share_before",
    "share",
    "ratio",
    "ratio_low",
    "ratio_high",
]


@dataclass(frozen=True, slots=True)
class Followed:
    """What was found."""

    cohort: Cohort
    rule: Rule
    samples: pd.DataFrame
    """patient_id, material, locus, sample_id, day, counted, clones, top_share: of each sample, ordered by day."""
    left_out: tuple[str, ...]
    """Loci whose abundances are no counts."""
    compared: int
    """Pairs of samples, each with every earlier one."""
    same_day: pd.Series
    """By patient_id: pairs of samples of one day, in which no clone can have grown."""
    same_day_told: pd.Series
    """Of those, pairs in which the rule tells an expansion all the same: false alarms, from sampling and handling."""
    warnings: pd.DataFrame
    """patient_id, material, locus, sample_id, day_before (NaN without an earlier sample), day, clone, share_before,
    share, ratio, ratio_low, ratio_high, q, why (``expands``, ``dominant``), near_oncogene, gene (the oncogene; empty
    where there is none or its name is not known), the largest share first."""
    sites: pd.DataFrame
    """patient_id, material, day, sample_id, clone, near_oncogene, near_gene (near any gene; NaN where that is not
    known): sites of integration of which it is known whether they are near an oncogene."""
    oncogenes: Oncogenes | None

    @property
    def n_patients(self) -> int:
        """With clones."""
        return int(self.samples["patient_id"].nunique())

    @property
    def n_followed(self) -> int:
        """With two samples or more of one material and locus."""
        sizes = self.samples.groupby(KEYS).size()
        return int(sizes[sizes > 1].reset_index()["patient_id"].nunique())


class _Part(NamedTuple):
    """A sample's clones of one locus."""

    sample_id: str
    day: float
    abundance: pd.Series
    """By clone."""


def follow(cohort: Cohort, rule: Rule, oncogenes: Oncogenes | None = None) -> Followed:
    """Compare the largest sample of each day with those of all earlier days, and samples of one day with each other.

    Args:
        cohort: With clones.
        rule: Which clones are told.
        oncogenes: Sites of integration are near by these; None: by the cohort's ``near_oncogene``.

    Raises:
        SequelaError: The cohort has no clones, or the abundances of no locus are counts.
    """
    clones, left_out = _counted(cohort)
    dated = clones.merge(cohort.samples[["sample_id", "patient_id", "day", "material"]], on="sample_id")
    dated["gene"], dated["near_gene"] = "", np.nan
    if oncogenes is not None:
        sites = dated.loc[dated["locus"] == INTEGRATION, "clone"]
        dated["near_oncogene"] = np.nan
        near, genes = oncogenes.nearest(sites.tolist())
        dated.loc[sites.index, "near_oncogene"], dated.loc[sites.index, "gene"] = near, genes
        dated.loc[sites.index, "near_gene"] = oncogenes.near_any_gene(sites.tolist())
    samples, found, same_day, same_day_told = [], [], [], []
    compared = 0
    for key, own in dated.groupby(KEYS, sort=True):
        days = [_parts(of_day) for _, of_day in own.groupby("day", sort=True)]
        samples += [(*key, part.sample_id, part.day, *_size(part)) for parts in days for part in parts]
        enough = [[part for part in parts if part.abundance.sum() >= FEWEST] for parts in days]
        for one, other in (pair for parts in enough for pair in combinations(parts, 2)):
            same_day.append(key[0])
            if any("expands" in line.why for line in told([one.abundance], other.abundance, rule)):
                same_day_told.append(key[0])
        earlier: list[_Part] = []
        for parts in filter(None, enough):
            largest = max(parts, key=lambda part: part.abundance.sum())
            for part in parts:
                before = earlier if part is largest else []
                found += [(*key, *line) for line in _lines(before, part, rule)]
            compared += len(earlier)
            earlier.append(largest)
    warnings = pd.DataFrame(found, columns=[*WARNINGS, "q", "why"])
    of_clone = dated[[*KEYS[1:], "sample_id", "clone", "near_oncogene", "gene"]]
    warnings = warnings.merge(of_clone, on=[*KEYS[1:], "sample_id", "clone"], how="left")
    known = dated[(dated["locus"] == INTEGRATION) & dated["near_oncogene"].notna()]
    return Followed(
        cohort,
        rule,
        pd.DataFrame(samples, columns=SAMPLES),
        left_out,
        compared,
        pd.Series(same_day, dtype=object).value_counts(),
        pd.Series(same_day_told, dtype=object).value_counts(),
        warnings.sort_values("share", ascending=False, ignore_index=True, kind="stable"),
        known[["patient_id", "material", "day", "sample_id", "clone", "near_oncogene", "near_gene"]],
        oncogenes,
    )


def _counted(cohort: Cohort) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Clones of the loci whose abundances are counts, and the other loci."""
    clones = cohort.clones
    if clones.empty:
        msg = f"{cohort.folder}: has no clones; add clones.csv (sample_id, locus, clone, abundance)"
        raise SequelaError(msg)
    broken = clones.loc[clones["abundance"] != np.floor(clones["abundance"]), "locus"]
    left_out = tuple(sorted(set(broken)))
    counted = clones[~clones["locus"].isin(left_out)]
    if counted.empty:
        msg = f"{cohort.folder}/clones: abundance must be counts (cells, or distinct fragments) to be compared"
        raise SequelaError(f"{msg}; it has fractions for {' and '.join(left_out)}")
    return counted, left_out


def _parts(of_day: pd.DataFrame) -> list[_Part]:
    return [
        _Part(str(name), float(part["day"].iloc[0]), part.set_index("clone")["abundance"])
        for name, part in of_day.groupby("sample_id", sort=True)
    ]


def _size(part: _Part) -> tuple[int, int, float]:
    counted = int(part.abundance.sum())
    return counted, len(part.abundance), float(part.abundance.max() / counted)


def _lines(earlier: list[_Part], part: _Part, rule: Rule) -> Iterator[tuple[str | float, ...]]:
    """Lines of `Followed.warnings` about one sample, without its keys."""
    for line in told([one.abundance for one in earlier], part.abundance, rule):
        before = earlier[line.since].day if earlier else np.nan
        numbers = (line.share_before, line.share, line.ratio, line.ratio_low, line.ratio_high, line.q)
        yield part.sample_id, before, part.day, line.clone, *numbers, line.why
