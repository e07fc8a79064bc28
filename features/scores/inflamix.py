"""InflaMix: the probability that a patient belongs to an inflammatory cluster of pre-infusion laboratory values.

Raj et al., Nat Med 2025;31:1183-1194 (doi:10.1038/s41591-025-03532-x): a mixture of two Gaussians with full covariances
on 14 laboratory values before infusion; ferritin and CRP as log10, every value standardised by the mean and the
standard deviation of the derivation cohort. Nothing of their fitted model is used: its terms restrict its use. The
mixture is fitted anew on the training patients, and unlike theirs also on those with missing values, so the clusters
are those of the cohort at hand. Their values are divided by the laboratory's upper limit of normal first; within one
laboratory that changes nothing once values are standardised, between laboratories it is not done here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from features.errors import SequelaError
from features.landmark import landmark_columns
from features.patients import FloatArray, Patients
from features.schema import Variable
from features.scores.mixture import GaussianMixture

Lab = Literal[
    "albumin", "hemoglobin", "crp", "ldh", "alp", "ast", "ferritin", "platelets", "wbc", "bilirubin", "d_dimer",
    "il6", "il10", "tnf_alpha",
]  # fmt: skip
LABS: Final[tuple[Lab, ...]] = get_args(Lab)
SIX_LABS: Final[tuple[Lab, ...]] = LABS[:6]
"""The six with which the paper's model keeps its accuracy."""
_LOGGED: Final = frozenset({"ferritin", "crp"})
_MARKERS: Final[tuple[Lab, ...]] = ("crp", "ferritin", "il6")
"""The inflammatory cluster has the higher mean of the first of these that is used; the paper looks at IL-6."""


@dataclass(frozen=True, slots=True)
class InflaMix:
    """A mixture of two clusters of pre-infusion laboratory values. Fitted on the patients of a training fold only."""

    labs: tuple[Lab, ...]
    """The laboratory values in use."""
    variables: tuple[str, ...]
    """What the cohort calls each of them."""
    units: tuple[str, ...]
    """UCUM unit of each, in which values must come."""
    floor: FloatArray
    """(labs,) smallest positive training value: the logarithm of anything below is that of it."""
    centre: FloatArray
    scale: FloatArray
    """(labs,) mean and standard deviation of the training values, after the logarithm."""
    mixture: GaussianMixture
    inflammatory: int
    """Which component is the inflammatory one."""
    oldest_day: float
    """Measurements before this day are too old."""

    @classmethod
    def fit(
        cls,
        patients: Patients,
        variables: Mapping[str, Variable],
        labs: Mapping[Lab, str] | None = None,
        *,
        seed: int,
        oldest_day: float = -14.0,
        minimum_observed: float = 0.1,
        n_starts: int = 10,
        ridge: float = 1e-2,
    ) -> InflaMix:
        """Learn scale and clusters from training patients; each patient counts once, at the latest landmark.

        Args:
            patients: Training patients.
            variables: What the cohort declares.
            labs: What the cohort calls each laboratory value; by default those that it calls as `LABS` does.
            seed: Of the starts of EM.
            oldest_day: Earliest day of a measurement that counts as pre-infusion (a choice of ours).
            minimum_observed: A value observed in a smaller share of the patients, or constant, is left out.
            n_starts: How many starts of EM are tried.
            ridge: Added to the variances of the standardised values.

        Raises:
            SequelaError: A name is not one of `LABS`, or not a numeric variable of the cohort; no CRP, ferritin or IL-6
                is left; or there are too few patients for that many values.
        """
        chosen: dict[Lab, str] = {lab: lab for lab in LABS if lab in variables} if labs is None else dict(labs)
        _check(chosen, variables)
        raw = _raw(_once(patients), tuple(chosen.values()), oldest_day)
        kept = _usable(raw, minimum_observed)
        raw, used = raw[:, kept], tuple(np.array(list(chosen), dtype=object)[kept])
        _enough(used, int(np.isfinite(raw).any(axis=1).sum()))
        floor = np.array([column[column > 0].min() for column in raw.T])
        logged = _logged(raw, used, floor)
        centre, scale = np.nanmean(logged, axis=0), np.nanstd(logged, axis=0)
        mixture = GaussianMixture.fit((logged - centre) / scale, seed, n_starts=n_starts, ridge=ridge)
        marker = used.index(next(lab for lab in _MARKERS if lab in used))
        inflammatory = int(mixture.means[:, marker].argmax())
        names = tuple(chosen[lab] for lab in used)
        units = tuple(variables[name].unit for name in names)
        return cls(used, names, units, floor, centre, scale, mixture, inflammatory, oldest_day)

    def columns(self, patients: Patients) -> dict[str, FloatArray]:
        """``inflamix``: probability of the inflammatory cluster, (rows,); NaN for a row without any of the values.

        Of each value the latest measurement from `oldest_day` to the day of infusion and the landmark, of several on
        that day the largest; the baseline variable of that name where there is none.
        """
        raw = _raw(patients, self.variables, self.oldest_day)
        x = (_logged(raw, self.labs, self.floor) - self.centre) / self.scale
        probability = self.mixture.posterior(x)[:, self.inflammatory]
        return {"inflamix": np.where(np.isfinite(x).any(axis=1), probability, np.nan)}

    def state(self) -> dict[str, Any]:
        """Plain JSON values that `from_state` rebuilds this from."""
        return {
            "labs": list(self.labs),
            "variables": list(self.variables),
            "units": list(self.units),
            "floor": self.floor.tolist(),
            "centre": self.centre.tolist(),
            "scale": self.scale.tolist(),
            "mixture": self.mixture.state(),
            "inflammatory": self.inflammatory,
            "oldest_day": self.oldest_day,
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> InflaMix:
        """Rebuild what `state` described."""
        labs, variables, units = (tuple(state[name]) for name in ("labs", "variables", "units"))
        floor, centre, scale = (np.array(state[name], dtype=np.float64) for name in ("floor", "centre", "scale"))
        mixture = GaussianMixture.from_state(state["mixture"])
        inflammatory, oldest_day = int(state["inflammatory"]), float(state["oldest_day"])
        return cls(labs, variables, units, floor, centre, scale, mixture, inflammatory, oldest_day)


def _check(labs: Mapping[Lab, str], variables: Mapping[str, Variable]) -> None:
    for lab, name in labs.items():
        if lab not in LABS:
            msg = f"inflamix: {lab} is not one of its laboratory values. Those are {', '.join(LABS)}."
            raise SequelaError(msg)
        if name not in variables or variables[name].kind != "numeric":
            msg = f"inflamix: {lab} is to be the variable {name}, which the cohort does not declare as numeric."
            raise SequelaError(f"{msg} Name the cohort's variable, or leave {lab} out.")


def _enough(labs: Sequence[Lab], n_patients: int) -> None:
    if not set(_MARKERS) & set(labs):
        msg = f"inflamix: {', '.join(_MARKERS)} are all absent: the inflammatory cluster cannot be told. Give one."
        raise SequelaError(msg)
    needed = 2 * (len(labs) + 1)
    if n_patients < needed:
        msg = (
            f"inflamix: {n_patients} training patients have a value of {', '.join(labs)}; two clusters of {len(labs)} "
        )
        raise SequelaError(f"{msg}values need {needed}. Name fewer values, or leave inflamix out.")


def _usable(raw: FloatArray, minimum_observed: float) -> NDArray[np.int64]:
    """Columns with two different values, and observed in enough rows."""
    seen = np.isfinite(raw)
    varied = np.array([len(np.unique(values[known])) > 1 for values, known in zip(raw.T, seen.T, strict=True)], bool)
    return np.flatnonzero((seen.sum(axis=0) >= minimum_observed * len(raw)) & varied)


def _once(patients: Patients) -> Patients:
    """Each patient once, at the latest landmark, in the order of their ids: the fit does not depend on that of rows."""
    order = np.argsort(-patients.landmark_day, kind="stable")
    first = np.unique(patients.patient_id[order].astype(str), return_index=True)[1]
    return patients.take(order[first])


def _raw(patients: Patients, names: Sequence[str], oldest_day: float) -> FloatArray:
    """Pre-infusion values in the cohort's units, (rows, names); NaN where missing or below 0."""
    seen = patients.at_landmark(np.minimum(patients.landmark_day, 0.0))
    latest = landmark_columns(seen, names, ("last", "age"))
    columns = []
    for name in names:
        recent = seen.landmark_day - latest[f"{name}:age"] >= oldest_day
        values = np.where(recent, latest[f"{name}:last"], np.nan)
        if name in patients.baseline:
            values = np.where(np.isnan(values), patients.baseline[name].astype(float), values)
        columns.append(np.where(np.isfinite(values) & (values >= 0), values, np.nan))
    return np.column_stack(columns) if columns else np.zeros((len(patients), 0))


def _logged(raw: FloatArray, labs: Sequence[Lab], floor: FloatArray) -> FloatArray:
    """Values with log10 of the skewed ones."""
    x = raw.copy()
    for j, lab in enumerate(labs):
        if lab in _LOGGED:
            x[:, j] = np.log10(np.maximum(raw[:, j], floor[j]))
    return x
