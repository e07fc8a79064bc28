"""What an artifact may hold beside its risk model."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from features.schema import Frozen


class StatesConfig(Frozen):
    """Models of transitions between states, which the artifact holds beside the risk model, for `POST /v1/states`."""

    resamples: Annotated[int, Field(ge=20, le=200)]
    """Refits to patients drawn with replacement, for the intervals."""


class AlertsConfig(Frozen):
    """An alert rule of the risk, fixed out of fold, which the artifact holds for `POST /v1/monitor`."""

    per_patient_month: Annotated[float, Field(gt=0, le=30)]
    """Alerts a patient and month that are borne; the threshold is the lowest that raises no more."""
    horizon_days: Annotated[float, Field(gt=0)] | None = None
    """For how long an alert is good; absent: the horizon of the endpoint's decision, else its first."""


class CountsConfig(Frozen):
    """A model of numbers of events, those that come back included, which the artifact holds beside the risk model."""

    penalty: Annotated[float, Field(gt=0)] | None = None
    """Ridge penalty on the pseudo log-likelihood; absent: chosen inside the training fold by cross-validation."""
