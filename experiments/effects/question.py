"""Who is compared, in what and when; and what makes no sense to compare."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from experiments.covariates import Covariates, covariates_of
from experiments.effects.adjustable import check_columns
from experiments.effects.counting import Counted, counted
from experiments.groups import MOST_GROUPS, check_variable, codes_of, group_names, labels_of, places_of, variables_of
from features.cohort import Cohort, outcomes_at
from features.errors import SequelaError
from features.patients import FloatArray, IntArray
from features.schema import Endpoint
from training.effects.arms import Arms, followed_to

FEWEST_PATIENTS = 5
"""Of an arm."""


@dataclass(frozen=True, slots=True)
class Groups:
    """Groups of the patients compared, in which an effect may differ."""

    variable: str
    names: tuple[str, ...]
    group: IntArray
    """(patients,): number of each patient's group; −1 where it is not known."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is compared."""

    cohort: Cohort
    endpoint: Endpoint
    landmark_day: float
    """The endpoint's first one."""
    by: str
    centre: str | None
    horizons_days: FloatArray
    too_late_days: FloatArray
    """Horizons of the endpoint to which some arm is not followed."""
    arms: Arms
    patient_id: tuple[str, ...]
    """Of the patients compared."""
    n_left_out: int
    """Patients at risk of whom it is not known in which arm they were."""
    covariates: Covariates | None
    counted: Counted | None
    groups: Groups | None
    individual: bool
    """Whether effects are estimated for each patient, too."""


def ask(
    cohort: Cohort,
    endpoint: Endpoint,
    by: str,
    *,
    adjust: Sequence[str] = (),
    centre: str | None = None,
    recurrent: str | None = None,
    horizons_days: Sequence[float] = (),
    reference: str | None = None,
    subgroup: str | None = None,
    individual: bool = False,
) -> Question:
    """Put patients at risk at the endpoint's first landmark into arms.

    Args:
        cohort: The cohort.
        endpoint: What happens, and what competes with it.
        by: The baseline variable, or the site, that says who is in which arm.
        adjust: Variables that are to be alike in the arms.
        centre: The variable within whose levels the tests and hazard ratios compare.
        recurrent: An event all of whose occurrences are counted, until one of the endpoint's competing events.
        horizons_days: Days from the landmark; none: those of the endpoint that every arm is followed to.
        reference: The arm that the others are compared with; None: the first.
        subgroup: The variable in whose values the effect may differ; a number of many values is cut near its median.
        individual: Whether the effect of each patient is estimated from what is adjusted for.

    Raises:
        SequelaError: What is asked makes no sense, or cannot be answered with these patients.
    """
    others = (("--centre", centre), ("--subgroup", subgroup), *(("--adjust", one) for one in adjust))
    for option, name in (("--by", by), *others):
        check_variable(cohort, option, name)
        if option != "--by" and name == by:
            msg = f"{option} {by}: is what the arms are made by; name other variables"
            raise SequelaError(msg)
    if individual and not adjust:
        msg = "--individual: an effect changes with what is adjusted for; name it with --adjust"
        raise SequelaError(msg)
    landmark = endpoint.landmark_days[0]
    rows, outcomes = outcomes_at(cohort, endpoint, landmark)
    label = labels_of(cohort, by)
    names = group_names(cohort, by, label[rows], reference)
    known = np.flatnonzero(np.isin(label[rows], names))
    stratum = None if centre is None else codes_of(cohort, centre)
    arm = places_of(label, names)
    kept = rows[known]
    own = outcomes.take(known)
    arms = Arms(own, arm[kept], names, None if stratum is None else stratum[kept])
    _check_arms(arms, by, endpoint)
    _check_strata(arms, centre)
    horizons = _horizons(arms, endpoint, horizons_days)
    covariates = _covariates(cohort, adjust, kept, arms)
    again = None
    if recurrent is not None:
        adjusted = () if covariates is None else covariates.names
        again = counted(cohort, endpoint, recurrent, arm, names, stratum=stratum, adjust=adjusted)
    left_out = len(rows) - len(known)
    late = np.setdiff1d(endpoint.horizons_days, horizons) if not horizons_days else np.zeros(0)
    groups = None if subgroup is None else _groups(cohort, subgroup, kept)
    ids = tuple(cohort.patients["patient_id"].astype(str).iloc[kept])
    return Question(
        cohort,
        endpoint,
        landmark,
        by,
        centre,
        horizons,
        late,
        arms,
        ids,
        left_out,
        covariates,
        again,
        groups,
        individual,
    )


def _groups(cohort: Cohort, name: str, rows: IntArray) -> Groups:
    label = labels_of(cohort, name)[rows]
    declared = variables_of(cohort)[name]
    occurring = sorted({str(one) for one in label if one})
    names = [level for level in declared.levels or () if level in occurring] or occurring
    if len(names) > MOST_GROUPS and declared.kind == "numeric":
        values = cohort.patients[name].to_numpy(dtype=float)[rows]
        cut = _near_median(values[np.isfinite(values)])
        group = np.where(np.isfinite(values), (values > cut).astype(np.int64), -1)
        return Groups(name, (f"{name} ≤ {cut:g}", f"{name} > {cut:g}"), group)
    if not 2 <= len(names) <= MOST_GROUPS:
        msg = (
            f"--subgroup {name}: has {len(names)} values among these patients; name a variable with 2 to {MOST_GROUPS}"
        )
        raise SequelaError(msg)
    return Groups(name, tuple(names), places_of(label, names))


def _near_median(values: FloatArray) -> float:
    """The median to two significant digits, lest it be the very value of a patient; to more, where one side were empty.

    A side of less than a quarter of the values is as good as empty, as of years, which differ in the fourth digit.
    """
    median = float(np.median(values))
    cuts = [float(f"{median:.{digits}g}") for digits in (2, 3, 4)]
    even = [cut for cut in cuts if 0.25 <= float((values > cut).mean()) <= 0.75]
    return even[0] if even else cuts[-1]


def _check_arms(arms: Arms, by: str, endpoint: Endpoint) -> None:
    event = endpoint.event.name
    for k, name in enumerate(arms.names):
        own = arms.of(k)
        if len(own) < FEWEST_PATIENTS:
            msg = f"--by {by}: the arm {name} has fewer than {FEWEST_PATIENTS} patients at risk; group it with another"
            raise SequelaError(msg)
        if not (own.cause == 1).any():
            msg = (
                f"--by {by}: nobody in the arm {name} has {event}, so nothing can be compared with it; group it with "
                "another, or choose an endpoint that happens in all arms"
            )
            raise SequelaError(msg)


def _check_strata(arms: Arms, centre: str | None) -> None:
    if not any(len(np.unique(arms.arm[rows])) > 1 for rows in arms.strata()):
        msg = f"--centre {centre}: no value of it has patients of two arms; name a variable with fewer values"
        raise SequelaError(msg)


def _horizons(arms: Arms, endpoint: Endpoint, asked: Sequence[float]) -> FloatArray:
    followed = [followed_to(arms.of(k)) for k in range(len(arms.names))]
    shortest = int(np.argmin(followed))
    wanted = np.unique(np.array(asked or endpoint.horizons_days, dtype=float))
    last = float(arms.outcomes.duration_days.max())
    for day in wanted:
        if not (np.isfinite(day) and day > 0):
            msg = f"--horizon {day:g}: horizons are days after the landmark, above 0; name a number of days"
            raise SequelaError(msg)
        if asked and day > last:
            msg = f"--horizon {day:g}: nobody is observed beyond day {last:g}; choose an earlier --horizon"
            raise SequelaError(msg)
    within = wanted[wanted <= followed[shortest]]
    if len(within) == len(wanted) or (len(within) and not asked):
        return within
    option = "--horizon" if asked else f"horizons_days of {endpoint.name}:"
    msg = (
        f"{option} {wanted[len(within)]:g}: the arm {arms.names[shortest]} is followed for {followed[shortest]:g} "
        "days; choose an earlier --horizon"
    )
    raise SequelaError(msg)


def _covariates(cohort: Cohort, adjust: Sequence[str], rows: IntArray, arms: Arms) -> Covariates | None:
    if not adjust:
        return None
    if arms.outcomes.entry_days is not None:
        msg = "--adjust: is not defined for patients who enter observation late (entry_day); leave it out"
        raise SequelaError(msg)
    found = covariates_of(cohort, tuple(dict.fromkeys(adjust)), rows)
    check_columns(cohort, found, rows, arms.arm)
    return found
