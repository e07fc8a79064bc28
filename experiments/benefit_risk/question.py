"""Whose states, until when, what a day in each is worth; and what makes no sense to ask."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from experiments.covariates import Covariates, covariates_of
from experiments.effects.adjustable import check_columns
from experiments.groups import check_variable, group_names, labels_of, places_of
from experiments.worth import worth_by_state
from features.cohort import Cohort, ends_follow_up
from features.cohort_states import state_histories_at, state_rules
from features.errors import SequelaError
from features.patients import FloatArray, IntArray
from features.schema import Endpoint
from features.states import StateHistories

COMPLICATION = 1
"""Number of the state that the endpoint's event leads into; 0 is that of the landmark."""
BENEFICIAL = (0, COMPLICATION)
"""States in which days are the benefit: before anything that competes."""
FEWEST_PATIENTS = 5
"""Of a group."""


@dataclass(frozen=True, slots=True)
class Adjusted:
    """Patients of the groups, those of a group together, and what is known of them."""

    covariates: Covariates
    arm: IntArray
    """(patients,): number of the group."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked."""

    cohort: Cohort
    endpoint: Endpoint
    landmark_day: float
    """The endpoint's first one."""
    rows: IntArray
    """(patients,): positions in ``cohort.patients``."""
    histories: StateHistories
    """Of everyone at risk at the landmark."""
    last_states: tuple[int, ...]
    """States after which nobody is followed."""
    times_days: FloatArray
    """(times,): from the landmark; the last one is that to which benefit and harm are counted."""
    worth: FloatArray
    """(states,): of a day in each, from 0 to 1."""
    worth_is_own: bool
    """Whether the user said any of it."""
    by: str | None
    groups: tuple[tuple[str, IntArray], ...]
    """Names, the reference first, and positions of their patients in `histories`; none without `by`."""
    n_left_out: int
    """Patients of whom it is not known in which group they were."""
    adjusted: Adjusted | None
    """What groups are made alike in; None: nothing."""

    @property
    def states(self) -> tuple[str, ...]:
        """Names of the states, that of the landmark first."""
        return self.histories.states

    @property
    def horizon_days(self) -> float:
        """From the landmark: to which benefit and harm are counted."""
        return float(self.times_days[-1])

    @property
    def ends_benefit(self) -> tuple[str, ...]:
        """Names of the states in which days are no benefit."""
        return self.states[COMPLICATION + 1 :]


def ask(
    cohort: Cohort,
    endpoint: Endpoint,
    *,
    by: str | None = None,
    reference: str | None = None,
    adjust: Sequence[str] = (),
    worth: dict[str, float] | None = None,
    horizon_days: float | None = None,
) -> Question:
    """Put patients at risk at the endpoint's first landmark into states, and into groups.

    Args:
        cohort: The cohort.
        endpoint: Its event is the complication; what competes with it leads into later states.
        by: The baseline variable, or the site, that says who is in which group; None: everyone together.
        reference: The group that others are compared with; None: the first.
        adjust: Baseline variables in which the groups are to be alike.
        worth: Of a day in the states named, from 0 to 1.
        horizon_days: Days from the landmark; None: the endpoint's last one that everyone compared is followed to.

    Raises:
        SequelaError: What is asked makes no sense, or cannot be answered with these patients.
    """
    for option, name in (("--by", by), *(("--adjust", one) for one in adjust)):
        check_variable(cohort, option, name)
    landmark = endpoint.landmark_days[0]
    rows, histories = state_histories_at(cohort, endpoint, landmark)
    if not histories.ever()[:, COMPLICATION].any():
        msg = (
            f"endpoint {endpoint.name}: nobody has {endpoint.event.name} after landmark day {landmark:g}; choose an "
            "endpoint whose event happens"
        )
        raise SequelaError(msg)
    groups: tuple[tuple[str, IntArray], ...] = ()
    n_left_out = 0
    if by is not None:
        label = labels_of(cohort, by)[rows]
        names = group_names(cohort, by, label, reference)
        place = places_of(label, names)
        groups = tuple((name, np.flatnonzero(place == k)) for k, name in enumerate(names))
        n_left_out = int((place < 0).sum())
        _check_groups(by, groups)
    elif reference is not None:
        msg = f"--reference {reference}: is a group of --by; name the variable that makes the groups, too"
        raise SequelaError(msg)
    parts = {name: histories.take(part) for name, part in groups} or {"everyone": histories}
    times = _times(parts, endpoint, horizon_days)
    rules = state_rules(cohort, endpoint)[0]
    last = tuple(state for state, rule in enumerate(rules, start=1) if ends_follow_up(cohort, rule))
    values = worth_by_state(histories.states, worth or {})
    adjusted = _adjusted(cohort, adjust, rows, histories, groups) if adjust else None
    return Question(
        cohort, endpoint, landmark, rows, histories, last, times, values, bool(worth), by, groups, n_left_out, adjusted
    )


def _adjusted(
    cohort: Cohort,
    adjust: Sequence[str],
    rows: IntArray,
    histories: StateHistories,
    groups: tuple[tuple[str, IntArray], ...],
) -> Adjusted:
    if not groups:
        msg = f"--adjust {','.join(adjust)}: makes groups alike; name the variable that makes the groups with --by"
        raise SequelaError(msg)
    if (histories.start_days > histories.entered_days).any():
        msg = "--adjust: is not defined for patients who enter observation late (entry_day); leave it out"
        raise SequelaError(msg)
    kept = np.concatenate([patients for _, patients in groups])
    arm = np.repeat(np.arange(len(groups)), [len(patients) for _, patients in groups])
    found = covariates_of(cohort, tuple(dict.fromkeys(adjust)), rows[kept])
    check_columns(cohort, found, rows[kept], arm)
    return Adjusted(found, arm)


def _check_groups(by: str, groups: tuple[tuple[str, IntArray], ...]) -> None:
    for name, patients in groups:
        if len(patients) < FEWEST_PATIENTS:
            msg = (
                f"--by {by}: the group {name} has fewer than {FEWEST_PATIENTS} patients at risk; group it with another"
            )
            raise SequelaError(msg)


def _times(parts: dict[str, StateHistories], endpoint: Endpoint, asked: float | None) -> FloatArray:
    """The endpoint's horizons up to the one asked for, or to which every group is followed, that one being last."""
    followed = {name: part.followed_days for name, part in parts.items()}
    shortest = min(followed, key=lambda name: followed[name])
    if asked is not None and not (np.isfinite(asked) and asked > 0):
        msg = f"--horizon {asked:g}: a horizon is days after the landmark, above 0; name a number of days"
        raise SequelaError(msg)
    known = [day for day in endpoint.horizons_days if day <= followed[shortest]]
    option = (
        f"horizons_days of {endpoint.name}: {endpoint.horizons_days[0]:g}" if asked is None else f"--horizon {asked:g}"
    )
    if (asked is None and not known) or (asked is not None and asked > followed[shortest]):
        who = "nobody is followed" if len(parts) == 1 else f"nobody of the group {shortest} is followed"
        msg = f"{option}: {who} beyond day {followed[shortest]:g}; choose an earlier --horizon"
        raise SequelaError(msg)
    return np.array(known if asked is None else [*(day for day in known if day < asked), asked])
