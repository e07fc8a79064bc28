"""How clonal a sample's T cells are: diversity, dominance and expansion of its clones.

A clone is a T-cell receptor (locus ``tcr``, abundance in cells) or a site of vector integration (locus
``integration``, abundance in distinct fragments, which estimate cells). Every index needs the clones of one sample
alone, so nothing is fitted. No index depends on the order of clones. Below, a sample has S clones of abundance
a_1, ..., a_S, with N = sum(a) and shares p_i = a_i / N; logarithms are natural.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np

from features.patients import Clones, FloatArray

TCR, INTEGRATION = "tcr", "integration"
LOCI = (TCR, INTEGRATION)
NEAR_ONCOGENE = "near_oncogene_share"


def richness(abundance: FloatArray) -> float:
    """S, the number of clones seen."""
    return float(len(abundance))


def shannon(abundance: FloatArray) -> float:
    """Entropy -sum(p_i ln p_i) in nats (Shannon, Bell Syst Tech J 1948;27:379); 0 for one clone, at most ln S."""
    share = _shares(abundance)
    return _positive(-float((share * np.log(share)).sum()))


def normalised_entropy(abundance: FloatArray) -> float:
    """Shannon entropy over its maximum ln S, in [0, 1]; 0 for one clone.

    As ``normalized_shannon_entropy`` of scirpy's ``alpha_diversity`` (Sturm et al., Bioinformatics 2020;36:4817).
    What repertoire studies call clonality is 1 minus it.
    """
    return shannon(abundance) / float(np.log(len(abundance))) if len(abundance) > 1 else 0.0


def gini(abundance: FloatArray) -> float:
    """Gini index of inequality, in [0, 1): sum_i (2 i - S - 1) a_(i) / (S N) over ascending a_(i); 0 when all agree.

    Half the mean absolute difference over the mean, without small-sample correction, as ``gini`` of R's reldist, which
    the authors of the integration sites use (Nobles et al., J Clin Invest 2020;130:673).
    """
    ascending = np.sort(abundance)
    rank = 2.0 * np.arange(1, len(ascending) + 1) - len(ascending) - 1.0
    return _positive(float((rank * ascending).sum() / (len(ascending) * ascending.sum())))


def gini_simpson(abundance: FloatArray) -> float:
    """1 - sum(p_i^2): the chance that two cells, drawn with replacement, are of different clones.

    1 minus Simpson's measure of concentration (Nature 1949;163:688).
    """
    return _positive(1.0 - float((_shares(abundance) ** 2).sum()))


def top_share(abundance: FloatArray) -> float:
    """max(p_i), the share of the largest clone."""
    return float(_shares(abundance)[-1])


def expanded_share(abundance: FloatArray, least: int = 2) -> float:
    """Share of cells that belong to clones of at least `least` cells; NaN where abundances are no counts.

    The sum over the classes ``2`` and ``>= 3`` of scirpy's ``summarize_clonal_expansion`` by cell within a sample, or
    its class ``>= 3`` for `least` = 3.
    """
    if not _counts(abundance):
        return np.nan
    ascending = np.sort(abundance)
    return float(ascending[ascending >= least].sum() / ascending.sum())


def chao1(abundance: FloatArray) -> float:
    """Chao1, a lower bound of richness, in its bias-corrected form: S + f1 (f1 - 1) / (2 (f2 + 1)).

    f1 and f2 are the numbers of clones with one and two cells (Chao, Scand J Stat 1984;11:265 and Biometrics
    1987;43:783; the form of ``estimateR`` of R's vegan, defined where f2 = 0). NaN where abundances are no counts. The
    authors of the integration sites publish a jackknife of the same estimator over randomly drawn groups of fragments,
    which is about three times as large where most clones are seen once, and can be negative.
    """
    if not _counts(abundance):
        return np.nan
    once, twice = float((abundance == 1).sum()), float((abundance == 2).sum())
    return len(abundance) + once * (once - 1) / (2 * (twice + 1))


def uc50(abundance: FloatArray) -> float:
    """UC50: how many of the largest clones it takes to hold more than half of all cells.

    In terms of ascending abundances, the number of clones at which their cumulative sum has reached N / 2. Definition
    of the authors of the integration sites (``calculateUC50`` of the Bushman laboratory's INSPIIRED, Berry et al., Mol
    Ther Methods Clin Dev 2017;4:17).
    """
    reached = np.cumsum(np.sort(abundance))
    return float((reached >= reached[-1] / 2).sum())


INDICES: Mapping[str, Callable[[FloatArray], float]] = MappingProxyType(
    {
        "richness": richness,
        "shannon": shannon,
        "normalised_entropy": normalised_entropy,
        "gini": gini,
        "gini_simpson": gini_simpson,
        "top_share": top_share,
        "expanded_share": expanded_share,
        "expanded_3_share": lambda abundance: expanded_share(abundance, 3),
        "chao1": chao1,
        "uc50": uc50,
    }
)
"""Indices of the abundances of one sample's clones, of which there is at least one, all above 0."""


def clonality_columns(clones: Clones, n_samples: int) -> dict[str, FloatArray]:
    """Indices of every sample and locus.

    Args:
        clones: Clones of `n_samples` samples; a clone stands once in a sample. Loci other than `LOCI` are left out.
        n_samples: Samples.

    Returns:
        ``tcr:shannon``, ``integration:uc50`` and so on, each (n_samples,): all of `INDICES` for both loci, and
        ``integration:near_oncogene_share``, the share of sites (not of cells) near an oncogene among those that were
        looked at. NaN for a sample without clones of the locus.

    Raises:
        ValueError: `clones` is of another number of samples, or an abundance is not above 0.
    """
    if len(clones.offsets) != n_samples + 1:
        msg = f"clones of {len(clones.offsets) - 1} samples, not of {n_samples}"
        raise ValueError(msg)
    if not (clones.abundance > 0).all():
        msg = "the abundance of a clone must be above 0"
        raise ValueError(msg)
    columns = {f"{locus}:{name}": np.full(n_samples, np.nan) for locus in LOCI for name in INDICES}
    oncogene = columns[f"{INTEGRATION}:{NEAR_ONCOGENE}"] = np.full(n_samples, np.nan)
    of_locus = {locus: clones.locus == locus for locus in LOCI}
    for sample in np.flatnonzero(np.diff(clones.offsets)):
        block = slice(clones.offsets[sample], clones.offsets[sample + 1])
        for locus, mask in of_locus.items():
            abundance = clones.abundance[block][mask[block]]
            if len(abundance):
                for name, index in INDICES.items():
                    columns[f"{locus}:{name}"][sample] = index(abundance)
        near = clones.near_oncogene[block][of_locus[INTEGRATION][block]]
        near = near[~np.isnan(near)]
        if len(near):
            oncogene[sample] = near.mean()
    return columns


def _shares(abundance: FloatArray) -> FloatArray:
    """Shares in ascending order, so that sums over them do not depend on the order of clones."""
    ascending = np.sort(abundance)
    shares: FloatArray = ascending / ascending.sum()
    return shares


def _counts(abundance: FloatArray) -> bool:
    """Whether abundances count something: estimates and shares have no clones seen once."""
    return bool((abundance == np.floor(abundance)).all())


def _positive(value: float) -> float:
    """0 instead of the rounding error below it, and instead of -0."""
    return max(value, 0.0)
