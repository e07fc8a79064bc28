"""Which patients are compared with which."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from experiments.covariates import Covariates, covariates_of
from experiments.groups import check_variable, labels_of, places_of, variables_of
from features.cohort import Cohort, outcomes_at
from features.errors import SequelaError, nearest_or_all
from features.patients import IntArray
from features.schema import Endpoint
from training.differential.design import Design

FEWEST_PATIENTS = 3
"""Of each group, with cells enough of a type, below which nothing is tested."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked."""

    cohort: Cohort
    landmark_day: float
    by: str
    """What makes the groups, in words."""
    names: tuple[str, str]
    """The reference group, and the other."""
    rows: IntArray
    """Positions of the patients compared in ``cohort.patients``."""
    group: IntArray
    """(patients,): 0 of the reference, 1 of the other."""
    covariates: Covariates | None
    by_outcome: bool
    """Whether the groups are made by what happened later."""
    n_left_out: int
    """Patients of whom the group is not known, or who are in neither."""
    n_competing: int
    """Of the reference, who met a competing event before the horizon; 0 of a variable's groups."""

    @property
    def design(self) -> Design:
        """The model's columns."""
        none = np.zeros((len(self.rows), 0))
        return Design(self.group, none if self.covariates is None else self.covariates.x)

    @property
    def sizes(self) -> tuple[int, int]:
        """Patients of each group, in the order of `names`."""
        return self.design.sizes


def by_variable(
    cohort: Cohort, by: str, *, groups: Sequence[str] = (), landmark_day: float = 0.0, adjust: Sequence[str] = ()
) -> Question:
    """Groups by two values of a baseline variable, or of the site.

    Args:
        cohort: The cohort.
        by: The variable.
        groups: Its two values, the reference first; none: the variable has two.
        landmark_day: Cells are those of samples by this day.
        adjust: Variables that are columns of the models beside the group.

    Raises:
        SequelaError: What is asked makes no sense, or cannot be answered with these patients.
    """
    for option, name in (("--by", by), *(("--adjust", one) for one in adjust)):
        check_variable(cohort, option, name)
    if by in adjust:
        msg = f"--adjust {by}: is what the groups are made by; name other variables"
        raise SequelaError(msg)
    label = labels_of(cohort, by)
    occurring = [level for level in variables_of(cohort)[by].levels or () if level in set(label)]
    occurring += sorted({str(one) for one in label if one} - set(occurring))
    names = tuple(groups) or tuple(occurring)
    absent = [name for name in names if name not in occurring]
    if absent or len(names) != 2 or names[0] == names[1]:
        some = ", ".join(occurring[:8]) or "none"
        msg = f"--by {by}: two groups are compared, and its values are {some}; name two of them: --groups A,B"
        raise SequelaError(msg)
    place = places_of(label, names)
    rows = np.flatnonzero(place >= 0)
    pair = (names[0], names[1])
    return _asked(cohort, landmark_day, by, pair, rows, place[rows], adjust, n_left_out=len(label) - len(rows))


def by_outcome(
    cohort: Cohort,
    endpoint: Endpoint,
    *,
    cause: str | None = None,
    horizon_days: float | None = None,
    landmark_day: float | None = None,
    adjust: Sequence[str] = (),
) -> Question:
    """Patients who met a cause by a horizon against those known to have been free of it until then.

    Who met a competing event before is known to be free of this cause; who was censored before the horizon is left out.

    Args:
        cohort: The cohort.
        endpoint: What happens, and what competes with it.
        cause: One of the endpoint's events; None: the event of interest.
        horizon_days: Days from the landmark; None: the last of the endpoint.
        landmark_day: Cells are those of samples by this day; None: the endpoint's first landmark.
        adjust: Variables that are columns of the models beside the group.

    Raises:
        SequelaError: What is asked makes no sense, or cannot be answered with these patients.
    """
    for name in adjust:
        check_variable(cohort, "--adjust", name)
    name = endpoint.causes[0] if cause is None else cause
    if name not in endpoint.causes:
        remedy = nearest_or_all(name, endpoint.causes)
        msg = f"--cause {name}: is no event of the endpoint {endpoint.name}; {remedy}"
        raise SequelaError(msg)
    day = endpoint.landmark_days[0] if landmark_day is None else landmark_day
    horizon = endpoint.horizons_days[-1] if horizon_days is None else horizon_days
    if not (np.isfinite(horizon) and horizon > 0):
        msg = f"--horizon {horizon:g}: is days after the landmark, above 0; name a number of days"
        raise SequelaError(msg)
    at_risk, outcomes = outcomes_at(cohort, endpoint, day)
    if outcomes.entry_days is not None:
        msg = (
            f"endpoint {endpoint.name}: patients enter observation late (entry_day), so that who had the event by a "
            "horizon is not known; compare by a variable instead: --by"
        )
        raise SequelaError(msg)
    by_then = outcomes.duration_days <= horizon
    had = by_then & (outcomes.cause == endpoint.causes.index(name) + 1)
    competing = by_then & (outcomes.cause > 0) & ~had
    free = competing | ~by_then | (outcomes.duration_days == horizon) & ~had
    known = np.flatnonzero(had | free)
    names = (f"no {name}", name)
    return _asked(
        cohort,
        day,
        f"{name} within {horizon:g} days of day {day:g}",
        names,
        at_risk[known],
        had[known].astype(np.int64),
        adjust,
        n_left_out=len(at_risk) - len(known),
        n_competing=int(competing.sum()),
        by_outcome=True,
    )


def _asked(
    cohort: Cohort,
    landmark_day: float,
    by: str,
    names: tuple[str, str],
    rows: IntArray,
    group: IntArray,
    adjust: Sequence[str],
    *,
    n_left_out: int,
    n_competing: int = 0,
    by_outcome: bool = False,
) -> Question:
    covariates = covariates_of(cohort, tuple(dict.fromkeys(adjust)), rows) if adjust else None
    if covariates is not None and not covariates.columns:
        msg = f"--adjust {','.join(adjust)}: does not vary among these patients; name variables that do"
        raise SequelaError(msg)
    found = Question(
        cohort, landmark_day, by, names, rows, group, covariates, by_outcome, n_left_out, n_competing
    )  # fmt: skip
    for name, size in zip(names, found.sizes, strict=True):
        if size < FEWEST_PATIENTS:
            needed = f"a comparison needs {FEWEST_PATIENTS} in each"
            msg = f"{by}: the group {name} has {size} patients, and {needed}; choose other groups"
            raise SequelaError(msg)
    if found.design.take(np.arange(len(rows))) is None:
        msg = f"--adjust {','.join(adjust)}: leaves nothing to compare, or too few patients; adjust for fewer variables"
        raise SequelaError(msg)
    return found
