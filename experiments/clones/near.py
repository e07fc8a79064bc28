"""Sites near oncogenes: their share over time, from the infusion product on, and among clones that call for a look.

A patient counts once: a share is the mean over the samples of a patient, then over patients; intervals draw patients
with replacement (percentile bootstrap; Efron & Tibshirani 1993, ch. 13). Sites count, not cells: whether cells whose
vector lies near an oncogene outlive others shows in which sites are still found.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import pandas as pd

from experiments.clones.followed import Followed
from experiments.clones.rule import FEWEST
from experiments.page.privacy import SMALLEST
from features.patients import FloatArray
from training.evaluation.intervals import Interval, percentile_interval

SPANS = ((-np.inf, 0), (0, 14), (14, 45), (45, 120), (120, 240), (240, 500), (500, np.inf))
"""Days since infusion, of which samples are taken together: above the first, up to the second."""
PRODUCT = r"(?:infusion_)?product"
"""Materials and measurements of the infusion product."""
MEASURED = re.compile(r"^(?P<material>.+)_site_near_oncogene_percent$")
"""Measurements that give a sample's percentage of sites near an oncogene, by the list of whoever measured."""
RESAMPLES = 2000
SITES, NEAR_GENES, MEASURED_SITES = "sites", "sites near a gene", "sites as measured"
"""Of which sites a share is: of all that were found; of those near any gene, so that it does not fall only because
later sites lie near genes less often; and of those behind the cohort's measurements."""


@dataclass(frozen=True, slots=True)
class Course:
    """The share of sites near oncogenes in one material and span of time."""

    of: str
    """`SITES`, `NEAR_GENES` or `MEASURED_SITES`."""
    material: str
    span: tuple[float, float] | None
    """None: the infusion product, or all days after infusion."""
    patients: int
    share: Interval
    paired: int
    """Patients who have the infusion product, too."""
    change: Interval
    """Share less that of their infusion product, in those patients; NaN for the product itself."""


@dataclass(frozen=True, slots=True)
class AmongTold:
    """Clones that call for a look, of which it is known whether they are near an oncogene; a clone counts once."""

    patients: int
    near_patients: int
    clones: int
    near: int
    ratio: Interval
    """Of `near` to what it would be if clones were drawn from all sites of their patients; NaN where none is near."""


def span_text(low: float, high: float) -> str:
    """Days in words."""
    if np.isinf(low):
        return f"up to {high:g}"
    return f"above {low:g}" if np.isinf(high) else f"{low:g} to {high:g}"


def courses(found: Followed) -> list[Course]:
    """The infusion product, all days after infusion and spans of them, of materials that at least five patients have.

    Samples with fewer than twenty sites are left out.
    """
    rows = []
    near_genes = found.sites[found.sites["near_gene"] == 1]
    by = {SITES: _of_sites(found.sites), NEAR_GENES: _of_sites(near_genes), MEASURED_SITES: _of_measurements(found)}
    for of, samples in by.items():
        is_product = samples["material"].str.fullmatch(PRODUCT)
        product = samples[is_product].groupby("patient_id")["share"].mean()
        if len(product) >= SMALLEST:
            rows.append(Course(of, "infusion product", None, len(product), _mean(product), 0, _NONE))
        after = samples[~is_product & (samples["day"] > 0)]
        for material, own in after.groupby("material", sort=True):
            for span in (None, *SPANS[1:]):
                low, high = span or (0, np.inf)
                shares = own[(own["day"] > low) & (own["day"] <= high)].groupby("patient_id")["share"].mean()
                if len(shares) >= SMALLEST:
                    change = (shares - product).dropna()
                    known = _mean(change) if len(change) >= SMALLEST else _NONE
                    rows.append(Course(of, str(material), span, len(shares), _mean(shares), len(change), known))
    return rows


def near_among_told(found: Followed) -> AmongTold | None:
    """None where it is not known of any clone that calls for a look."""
    told = found.warnings[found.warnings["near_oncogene"].notna()].drop_duplicates(["patient_id", "clone"])
    if told.empty:
        return None
    sites = found.sites.drop_duplicates(["patient_id", "clone"]).groupby("patient_id")["near_oncogene"].mean()
    own = told.groupby("patient_id")["near_oncogene"].agg(["size", "sum"])
    expected = (own["size"] * sites.reindex(own.index)).to_numpy(dtype=float)
    near = own["sum"].to_numpy(dtype=float)
    weights = _weights(len(own))
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = percentile_interval(float(near.sum() / expected.sum()), weights @ near / (weights @ expected))
    return AmongTold(len(own), int((near > 0).sum()), len(told), int(near.sum()), ratio)


def _of_sites(sites: pd.DataFrame) -> pd.DataFrame:
    """patient_id, material, day, share: of each sample."""
    keys = ["patient_id", "material", "day", "sample_id"]
    of_sample = sites.groupby(keys)["near_oncogene"].agg(["size", "mean"]).reset_index()
    enough = of_sample[of_sample["size"] >= FEWEST]
    return enough[["patient_id", "material", "day"]].assign(share=enough["mean"])


def _of_measurements(found: Followed) -> pd.DataFrame:
    """The same, of each measurement of a sample that is not known to have too few sites."""
    measured = found.cohort.measurements
    material = measured["variable"].astype(str).str.extract(MEASURED)["material"].astype(object)
    shares = measured[["patient_id", "day"]].assign(material=material, share=measured["value"].astype(float) / 100)
    sites = measured.assign(material=measured["variable"].astype(str).str.extract(r"^(.+)_site_richness$")[0])
    few = sites[sites["material"].notna() & (sites["value"].astype(float) < FEWEST)]
    too_few = pd.MultiIndex.from_frame(few[["patient_id", "day", "material"]])
    shares = shares[material.notna()]
    return shares[~pd.MultiIndex.from_frame(shares[["patient_id", "day", "material"]]).isin(too_few)]


_NONE = Interval(np.nan, np.nan, np.nan)


def _mean(of_patient: pd.Series) -> Interval:
    values = of_patient.to_numpy(dtype=float)
    return percentile_interval(float(values.mean()), _weights(len(values)) @ values / len(values))


def _weights(n_patients: int) -> FloatArray:
    """How often each patient is drawn (resamples, patients); the same ones at every call."""
    drawn = np.random.default_rng(0).multinomial(n_patients, np.full(n_patients, 1 / n_patients), size=RESAMPLES)
    return drawn.astype(np.float64)
