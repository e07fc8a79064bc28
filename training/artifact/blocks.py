"""Parts of a manifest that only some artifacts have: what is known of models and rules beside the risk model."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from features.schema import Frozen


class Measured(Frozen):
    """An estimate with its 95 % interval over patients; ends are None where there is none."""

    point: float
    low: float | None = None
    high: float | None = None


class StatesBlock(Frozen):
    """Of the models of transitions between states, whose arrays are in the weights below ``states/``.

    ``times_days`` (times,), ``beta`` (1 + refits, moves, features) and ``increments`` (1 + refits, moves, times), as
    `training.models.states.StateModel` has them, features being those of the encoder.
    """

    names: Annotated[tuple[str, ...], Field(min_length=2)]
    """Of the states: event-free first, then that of the event of interest, then what competes with it."""
    moves: tuple[tuple[int, int], ...]
    """From one to another, by their places in `names`: those that occurred in training."""
    landmark_day: float
    """From which everyone is followed: the endpoint's first."""
    followed_days: float | None
    """After it, the last day by which somebody's state is known; None: everyone's to the end."""
    n_patients: int
    """At risk at the landmark."""
    example: tuple[tuple[float, ...], ...]
    """(times, states): probability of being in each, of the patient of `Example` at its times."""


class NoveltyBlock(Frozen):
    """Of what tells how unlike the training patients someone is, whose arrays are in the weights below ``novelty/``.

    ``mean`` (features,), ``axes`` (axes, features), ``variance`` (axes,) and ``left_out`` (distances,), landmark by
    landmark, as `features.novelty.Novelty` has them, features being those of the encoder; or below
    ``cell_novelty/``, features being what networks of cells make of samples (`FittedRiskModel.embedding`).
    """

    floor: Annotated[float, Field(gt=0)]
    """Shrunk variance across the axes."""
    landmark_days: Annotated[tuple[float, ...], Field(min_length=1)]
    """Of training, ascending."""
    n_patients: tuple[int, ...]
    """At each of them: so many distances there are."""


class AlertsBlock(Frozen):
    """An alert rule of the risk, and what it did for patients whom the models that were asked had not seen.

    Alerts are raised at visits between the first and the last landmark where the risk comes to reach the threshold.
    What is known is of rules and models that were fitted on other folds; the threshold itself is of everyone.
    """

    provenance: Literal["real", "simulated"]
    """Of the patients."""
    horizon_days: float
    """Of the risk; for so long an alert is good."""
    threshold: float | None
    """Of the risk; None where none keeps to what is borne: nobody is alerted."""
    borne: float
    """Alerts a patient and month, at most, for which the threshold is the lowest."""
    per_patient_month: Measured | None
    """Alerts that were raised."""
    caught: Measured | None
    """Share of events before which, at most the horizon, an alert was raised; None where there was none to catch."""
    lead_days: Measured | None
    """Median, from the first such alert to the event; None where none was caught."""
    after_first_alert: Measured | None
    """Risk of the event within the horizon of a patient's first alert (Aalen–Johansen); None without alerts."""
    n_patients: int | None
    """Watched; None of 1 to 4 real ones, as the next."""
    n_events: int | None
    """That could be caught."""
    withheld: bool
    """Whether estimates are None since they would tell of 1 to 4 real patients."""

    def reached(self, risk: float) -> bool:
        """Whether a risk within the horizon is in alert."""
        return self.threshold is not None and risk >= self.threshold


class CountScore(Frozen):
    """How well expected numbers foretold those of patients not trained on, by one horizon from one landmark."""

    landmark_day: float
    horizon_days: float
    explained: Measured | None
    """Share of the squared error of the mean of the training patients, the same for everyone, that is explained; None
    where nobody is known to the horizon, or where it would tell of 1 to 4 real patients, as the next."""
    observed_over_expected: Measured | None
    """Mean number that happened over the mean number expected."""


class CountsBlock(Frozen):
    """Of the model of numbers of events, whose arrays are in the weights below ``counts/``.

    ``beta`` (features,), ``times_days`` and ``increments`` (times,), landmark by landmark, as
    `training.models.expected_counts.ExpectedCounts` has them, features being those of the encoder.
    """

    event: str
    """That is counted: the endpoint's event of interest, the first one and those that come back."""
    terminal_events: tuple[str, ...]
    """That end the counting: the endpoint's competing ones."""
    landmark_days: Annotated[tuple[float, ...], Field(min_length=1)]
    """Of training, ascending; from other days nothing is said."""
    n_times: tuple[int, ...]
    """At each of them: so many distinct days of events there are."""
    n_patients: int | None
    """Followed beyond a landmark without a terminal event by then; None of 1 to 4 real ones, as the next."""
    n_events: int | None
    """Of them, after the first landmark of each."""
    penalty: Annotated[float, Field(ge=0)]
    """Ridge penalty on the log ratios of means."""
    scores: tuple[CountScore, ...]
    """Cross-validated, of each landmark and horizon."""
    example: tuple[float, ...]
    """(times,): expected numbers of the patient of `Example` by its times."""
