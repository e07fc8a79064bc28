"""Who is eligible, which strategies are compared in what, and what makes no sense to ask."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from experiments.covariates import Covariates, covariates_of
from experiments.groups import check_variable
from experiments.strategies.changing import Changing, Days, changing_covariates, check_changing, last_values
from experiments.strategies.treated import Low, starts_of
from experiments.worth import worth_by_state
from features.cohort import Cohort, outcomes_at
from features.errors import SequelaError
from features.outcomes import Outcomes
from features.patients import FloatArray, IntArray
from features.schema import Endpoint
from features.states import EVENT_FREE
from training.strategies.emulation import PERCENTILE, Trial
from training.strategies.followed import Followed
from training.strategies.plans import Strategy, natural, never, start_by, start_when

FEWEST_CLONES = 5
"""Still observed and following a strategy at a horizon."""
FEWEST_PER_COLUMN = 5
"""Starts, for each column of the model of them (Vittinghoff & McCulloch, Am J Epidemiol 2007;165:710)."""


@dataclass(frozen=True, slots=True)
class Asked:
    """The options of the command."""

    treatment: str
    """An event, or a measured variable of 0 and 1."""
    grace_days: int
    """Within which treatment is to start."""
    lows: tuple[Low, ...] = ()
    """Each makes a strategy: a start within the grace period after the value was first seen below the limit."""
    adjust: tuple[str, ...] = ()
    """Baseline variables that decided about starts."""
    over_time: tuple[str, ...] = ()
    """Measured variables and events that did."""
    same_day: bool = False
    """Whether what was measured on a day was known when treatment was decided on it."""
    horizons_days: tuple[float, ...] = ()
    """From the landmark; none: those of the endpoint to which every strategy is followed."""
    reference: str | None = None
    """The strategy that others are compared with; None: never."""
    percentile: float = PERCENTILE
    """At which weights are truncated; 100: none is."""
    worth: dict[str, float] | None = None
    """Of a day before any event, and after a first one, by name; None: the usual."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is compared."""

    cohort: Cohort
    endpoint: Endpoint
    asked: Asked
    landmark_day: float
    """The endpoint's first one: time zero."""
    rows: IntArray
    """(patients,): positions of the eligible in ``cohort.patients``."""
    n_treated_before: int
    """Patients at risk at time zero who had been treated before it."""
    outcomes: Outcomes
    """(patients,): from time zero."""
    start_days: FloatArray
    """(patients,): from time zero to the first treatment; infinite where none is recorded."""
    horizons_days: FloatArray
    too_late_days: FloatArray
    """Horizons of the endpoint to which some strategy is not followed."""
    covariates: Covariates | None
    changing: Changing
    trial: Trial
    """Its strategies: the reference, the others, and last the natural course."""
    worth: FloatArray
    """(1 + causes,): of a day before any event, and after a first one of each cause, from 0 to 1."""

    @property
    def states(self) -> tuple[str, ...]:
        """Before any event, and after a first one of each cause."""
        return EVENT_FREE, *self.outcomes.causes

    @property
    def names(self) -> tuple[str, ...]:
        """Of the strategies compared, the reference first."""
        return tuple(one.name for one in self.trial.strategies[:-1])

    @property
    def natural(self) -> str:
        """The name of the natural course."""
        return self.trial.strategies[-1].name


def ask(cohort: Cohort, endpoint: Endpoint, asked: Asked) -> Question:
    """Take the untreated at the endpoint's first landmark, and say what strategies make of each of their days.

    Raises:
        SequelaError: What is asked makes no sense, or cannot be answered with these patients.
    """
    _check_names(cohort, asked)
    landmark = endpoint.landmark_days[0]
    start = starts_of(cohort, asked.treatment, endpoint) - landmark
    at_risk, outcomes = outcomes_at(cohort, endpoint, landmark)
    if outcomes.entry_days is not None:
        msg = f"{cohort.folder}: patients enter observation late (entry_day); strategies need them from time zero on"
        raise SequelaError(msg)
    eligible = np.flatnonzero(start[at_risk] >= 0)
    if not len(eligible):
        msg = f"--treatment {asked.treatment}: all patients at risk were treated before time zero; nobody is left"
        raise SequelaError(msg)
    rows, outcomes = at_risk[eligible], outcomes.take(eligible)
    start = start[rows]
    wanted = _wanted(endpoint, asked, outcomes)
    days = Days(rows, landmark, int(np.ceil(wanted[-1])), asked.same_day)
    followed = Followed.of(outcomes, start, days.n_days)
    strategies = _strategies(cohort, asked, days)
    horizons = _followed_to(endpoint, asked, wanted, followed, strategies)
    if horizons[-1] < wanted[-1]:
        days = Days(rows, landmark, int(np.ceil(horizons[-1])), asked.same_day)
        followed = Followed.of(outcomes, start, days.n_days)
        strategies = _strategies(cohort, asked, days)
    _check_events(endpoint, followed, strategies)
    adjust = tuple(dict.fromkeys(asked.adjust))
    covariates = covariates_of(cohort, adjust, rows) if adjust else None
    changing = changing_covariates(cohort, asked.over_time, asked.lows, days, followed.deciding)
    baseline = np.zeros((len(rows), 0)) if covariates is None else covariates.x
    trial = Trial.of(followed, (*strategies, natural()), baseline, changing.values, asked.percentile)
    _check_starts(asked, trial)
    worth = worth_by_state((EVENT_FREE, *outcomes.causes), asked.worth or {})
    late = np.zeros(0) if asked.horizons_days else np.setdiff1d(endpoint.horizons_days, horizons)
    n_before = len(at_risk) - len(rows)
    return Question(
        cohort,
        endpoint,
        asked,
        landmark,
        rows,
        n_before,
        outcomes,
        start,
        horizons,
        late,
        covariates,
        changing,
        trial,
        worth,
    )


def _check_names(cohort: Cohort, asked: Asked) -> None:
    for name in asked.adjust:
        check_variable(cohort, "--adjust", name)
    for name in asked.over_time:
        if name == asked.treatment:
            msg = f"--over-time {name}: is the treatment; name what decided about it"
            raise SequelaError(msg)
        check_changing(cohort, "--over-time", name, events=True)
    for low in asked.lows:
        check_changing(cohort, "--below", low.variable, events=False)


def _wanted(endpoint: Endpoint, asked: Asked, outcomes: Outcomes) -> FloatArray:
    wanted = np.unique(np.array(asked.horizons_days or endpoint.horizons_days, dtype=float))
    last = float(outcomes.duration_days.max())
    for day in wanted:
        if not (np.isfinite(day) and day > 0):
            msg = f"--horizon {day:g}: horizons are days after the landmark, above 0; name a number of days"
            raise SequelaError(msg)
        if asked.horizons_days and day > last:
            msg = f"--horizon {day:g}: nobody is observed beyond day {last:g}; choose an earlier --horizon"
            raise SequelaError(msg)
    wanted = wanted[wanted <= last]
    if not len(wanted):
        msg = f"horizons_days of {endpoint.name}: nobody is observed beyond day {last:g}; choose an earlier --horizon"
        raise SequelaError(msg)
    if asked.grace_days >= wanted[-1]:
        msg = (
            f"--grace {asked.grace_days}: does not end before the last horizon, day {wanted[-1]:g}; choose a shorter "
            "one, or a later --horizon"
        )
        raise SequelaError(msg)
    return wanted


def _strategies(cohort: Cohort, asked: Asked, days: Days) -> tuple[Strategy, ...]:
    """The reference first."""
    found = [never(days.n_days), start_by(asked.grace_days, days.n_days)]
    for low in asked.lows:
        is_low = last_values(cohort, low.variable, days) < low.limit
        since = np.where(is_low.any(axis=1), is_low.argmax(axis=1), days.n_days)
        name = f"start once {low.name}"
        found.append(start_when(name, since, asked.grace_days, days.n_days))
    names = [one.name for one in found]
    first = names[0] if asked.reference is None else asked.reference
    if first not in names:
        msg = f"--reference {first}: is no strategy; there are {'; '.join(names)}"
        raise SequelaError(msg)
    return tuple(sorted(found, key=lambda one: one.name != first))


def _followed_to(
    endpoint: Endpoint, asked: Asked, wanted: FloatArray, followed: Followed, strategies: Sequence[Strategy]
) -> FloatArray:
    """Horizons to which enough clones of every strategy are followed."""
    last = {}
    for one in strategies:
        n_clones = (np.isfinite(one.follows(followed)) & followed.observed).sum(axis=0)
        enough = n_clones >= FEWEST_CLONES
        last[one.name] = int(enough.argmin()) if not enough.all() else followed.n_days
    shortest = min(last, key=lambda name: last[name])
    within = wanted[wanted <= last[shortest]]
    if len(within) and (len(within) == len(wanted) or not asked.horizons_days) and asked.grace_days < within[-1]:
        return within
    option = "--horizon" if asked.horizons_days else f"horizons_days of {endpoint.name}:"
    beyond = wanted[len(within)] if len(within) < len(wanted) else wanted[-1]
    msg = (
        f"{option} {beyond:g}: fewer than {FEWEST_CLONES} patients follow the strategy {shortest} beyond day "
        f"{last[shortest]}; choose an earlier --horizon, a longer --grace, or another strategy"
    )
    raise SequelaError(msg)


def _check_events(endpoint: Endpoint, followed: Followed, strategies: Sequence[Strategy]) -> None:
    happens = np.flatnonzero((followed.cause == 1) & (followed.end_day <= followed.n_days))
    for one in strategies:
        follows = np.isfinite(one.follows(followed)[happens, followed.end_day[happens] - 1])
        if not follows.any():
            msg = (
                f"endpoint {endpoint.name}: nobody who follows the strategy {one.name} has {endpoint.event.name}, so "
                "nothing can be compared with it; choose an endpoint that happens under all strategies"
            )
            raise SequelaError(msg)


def _check_starts(asked: Asked, trial: Trial) -> None:
    n_starts, n_columns = int(trial.starts.n_happened.sum()), trial.starts.design.shape[1] - 1
    needed = FEWEST_PER_COLUMN * n_columns
    if n_starts < needed:
        msg = (
            f"--treatment {asked.treatment}: {n_starts} starts are seen, and a model of them with {n_columns} columns "
            f"takes {needed} ({FEWEST_PER_COLUMN} a column); name fewer variables in --adjust and --over-time"
        )
        raise SequelaError(msg)
