"""One score test a marker: does it go with the cause-specific, or with the subdistribution hazard of a cause?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import norm

from features.outcomes import Outcomes
from training.biomarkers.null_model import NullModel, null_models
from training.effects.arms import FloatArray, IntArray
from training.effects.hazards import LEAST_INFORMATION


@dataclass(frozen=True, slots=True)
class ScoreTests:
    """Of each marker; NaN where nothing can be tested."""

    z: FloatArray
    """(markers,): standard normal if the marker goes with nothing; above 0 where more of it goes with more events."""

    @property
    def p(self) -> FloatArray:
        """(markers,): two-sided; that of the χ² test with one degree of freedom."""
        p: FloatArray = 2 * norm.sf(np.abs(self.z))
        return p


def cause_specific_scores(
    values: FloatArray,
    outcomes: Outcomes,
    cause: int,
    *,
    stratum: IntArray | None = None,
    covariates: FloatArray | None = None,
) -> ScoreTests:
    """Rao's score test of one coefficient in Cox's model, given strata and covariates; Efron's ties.

    U = Σ (g_i − ḡ) over events and V = I_gg − I_gz I_zz⁻¹ I_zg, both where the model of the covariates z alone is at
    its maximum (Cox, J R Stat Soc B 1972;34:187; Therneau & Grambsch, Modeling Survival Data, 2000, section 3.4). As
    the score test of R's `survival::coxph` that begins at that maximum; of two groups without covariates, the log-rank
    test but for its treatment of ties. Other causes censor.

    A marker is tested in the patients in whom it was measured: right if whether it was measured depends on nothing
    that it tells of the outcome.

    Args:
        values: (rows, markers), NaN where not measured.
        outcomes: One row a patient, perhaps with late entry.
        cause: 1, 2, …
        stratum: (rows,): each with a baseline hazard of its own, e.g. of a centre.
        covariates: (rows, columns): tested is what a marker tells beyond these.
    """
    return _tested(values, outcomes, cause, stratum, covariates, kept=False)


def subdistribution_scores(
    values: FloatArray,
    outcomes: Outcomes,
    cause: int,
    *,
    stratum: IntArray | None = None,
    covariates: FloatArray | None = None,
) -> ScoreTests:
    """Score test of one coefficient in Fine and Gray's model (JASA 1999;94:496); Breslow's ties.

    Score and information are those of their weighted partial likelihood, with the weights of each stratum taken as
    known: the score test of R's `survival::coxph` on `finegray` data (Geskus, Biometrics 2011;67:39). A robust variance
    bounds z² by the number of events, so that few events could never pass among many markers; this one does not.
    Arguments as in `cause_specific_scores`.

    Raises:
        SequelaError: The weights cannot be estimated, as after late entry with a gap in the follow-up.
    """
    return _tested(values, outcomes, cause, stratum, covariates, kept=True)


def _tested(
    values: FloatArray,
    outcomes: Outcomes,
    cause: int,
    stratum: IntArray | None,
    covariates: FloatArray | None,
    *,
    kept: bool,
) -> ScoreTests:
    z = np.full(values.shape[1], np.nan)
    for columns, rows, null in null_models(values, outcomes, cause, stratum, covariates, kept=kept):
        if null is not None:
            z[columns] = _scores(null, values[np.ix_(rows, columns)])
    return ScoreTests(z)


def _scores(null: NullModel, own: FloatArray) -> FloatArray:
    """U / √V of markers (rows, markers); NaN where the data tell nothing of one."""
    information, cross = null.likelihood.information_on(own, null.beta)
    variance = information - np.einsum("zg,zy,yg->g", cross, null.inverse, cross)
    told = variance > LEAST_INFORMATION
    return np.where(told, null.martingale_residuals() @ own / np.sqrt(np.where(told, variance, 1.0)), np.nan)
