"""What follows a start of treatment, or an exposure that begins during follow-up, as it was seen.

Everyone is unexposed until the exposure begins, and exposed from then on, so that no time is given to the exposed in
which they had to survive to become so. This describes; it compares no strategies, and adjusts for nothing but what is
asked for.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from features.outcomes import Outcomes
from features.states import STAYS, StateHistories
from training.effects.estimates import Estimate
from training.effects.hazards import log_ratios
from training.strategies.followed import FloatArray, IntArray

WITHOUT, WITH = "without", "with"


@dataclass(frozen=True, slots=True)
class Stays:
    """Each patient's time without the exposure and, where it began, with it."""

    outcomes: Outcomes
    """(rows,): with entry on the day on which the exposure began."""
    exposed: FloatArray
    """(rows,): 1 with, 0 without."""
    patient: IntArray
    """(rows,)"""

    @classmethod
    def of(cls, outcomes: Outcomes, start_days: FloatArray) -> Stays:
        """Split follow-up at the beginning of the exposure.

        Args:
            outcomes: From time zero, without late entry.
            start_days: (patients,): when it began; infinite: not seen. On the day of the event or later: not seen.
        """
        end, cause = outcomes.duration_days, outcomes.cause
        everyone = np.arange(len(outcomes))
        begun = start_days < end
        late = begun & (start_days > 0)
        first = np.where(late, start_days, end)
        duration = np.concatenate([first, end[late]])
        happens = np.concatenate([np.where(late, 0, cause), cause[late]])
        entry = np.concatenate([np.zeros(len(end)), start_days[late]])
        exposed = np.concatenate([(begun & ~late).astype(float), np.ones(int(late.sum()))])
        patient = np.concatenate([everyone, everyone[late]])
        return cls(Outcomes(duration, happens, outcomes.causes, entry), exposed, patient)

    @property
    def days(self) -> FloatArray:
        """(rows,): length of each."""
        assert self.outcomes.entry_days is not None  # noqa: S101 - for the type checker
        found: FloatArray = self.outcomes.duration_days - self.outcomes.entry_days
        return found


def hazard_ratios(stays: Stays, x: FloatArray | None = None) -> tuple[Estimate, ...]:
    """By cause: ratio of the cause-specific hazards with and without, the exposure being a time-dependent covariate.

    Cox, J R Stat Soc B 1972;34:187; for competing risks, Prentice et al., Biometrics 1978;34:541. Efron's ties.

    Args:
        stays: Times with and without.
        x: (patients, columns): further covariates; None: none.
    """
    columns = stays.exposed[:, None] if x is None else np.column_stack([stays.exposed, x[stays.patient]])
    rows = [np.arange(len(stays.exposed))]
    return tuple(log_ratios(columns, stays.outcomes, k, rows)[0] for k in range(1, len(stays.outcomes.causes) + 1))


def histories(outcomes: Outcomes, start_days: FloatArray) -> tuple[IntArray, StateHistories]:
    """The illness–death process with a last state for each cause and each way to it, for `training.states`.

    States: without, with, each cause without, each cause with. Only of patients in whom the exposure had not begun by
    time zero.

    Returns:
        Their positions, and their stays.
    """
    n_causes = len(outcomes.causes)
    names = (WITHOUT, WITH, *(f"{cause}, {state}" for state in (WITHOUT, WITH) for cause in outcomes.causes))
    rows = np.flatnonzero(start_days > 0)
    own = Stays.of(outcomes.take(rows), start_days[rows])
    order = np.lexsort((own.exposed, own.patient))
    state = own.exposed.astype(np.int64)[order]
    cause, patient = own.outcomes.cause[order], own.patient[order]
    assert own.outcomes.entry_days is not None  # noqa: S101 - for the type checker
    goes_on = np.concatenate([patient[1:] == patient[:-1], [False]])
    ends = np.where(cause > 0, 1 + cause + n_causes * state, STAYS)
    following = np.where(goes_on, 1, ends)
    start = own.outcomes.entry_days[order]
    stop = own.outcomes.duration_days[order]
    return rows, StateHistories(patient, state, start, stop, following, start, names, len(rows))
