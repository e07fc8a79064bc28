"""A patient's risk over the visits so far, what moved it, and which value would tell most next; without HTTP."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from features.drift import Spread
from features.errors import InputError
from features.patients import Measurements
from features.persistence import Persistence, usual_values
from features.records import MeasurementRecord, PatientRecord
from features.schema import Endpoint
from serving.answer import answer, blocks, checked, known_patients, served_model
from serving.event_free import require_event_free
from serving.explaining import explain_request
from serving.messages import Prediction, PredictRequest
from serving.monitor_messages import (
    MOST_VISITS,
    Change,
    MonitorAnswer,
    MonitorRequest,
    NextMeasurement,
    Trajectory,
    Visit,
)
from serving.refusals import TooLargeError
from training.artifact.blocks import AlertsBlock
from training.artifact.folder import Artifact
from training.artifact.manifest import Manifest
from training.models.explanation import ROUNDING

MOST_VALUES = 100_000
"""Of the cells of one request."""
WATCHED = "patients are watched until their first one: give a landmark_day before it"
"""What a patient who had an event is answered."""
AHEAD_DAYS = (1.0, 7.0, 14.0)
"""After the present day, and the last day from which the model predicts: when the next value may be taken."""


def monitor_request(artifact: Artifact, version: str, request: MonitorRequest) -> MonitorAnswer:
    """Follow every patient of a request.

    Args:
        artifact: The model.
        version: Its tag in the model store.
        request: Patients, each with all that is known.

    Raises:
        InputError: As `serving.answer.answer`, or a patient had an event of the endpoint by the present day; names the
            field, never the value.
    """
    endpoint, alerts = artifact.manifest.endpoint, artifact.manifest.alerts
    horizon = _horizon(request, endpoint, alerts)
    if sum(sample.n_values for record in request.patients for sample in record.samples) > MOST_VALUES:
        rule = f"may hold at most {MOST_VALUES:,} values of cells together: each visit looks at them again"
        raise TooLargeError("patients", rule)
    checked(artifact, PredictRequest(patients=request.patients, horizons_days=(horizon,)))
    for i, record in enumerate(request.patients):
        require_event_free(record, f"patients[{i}]", endpoint, WATCHED)
    for start, stop in blocks(request.patients):  # for faults by the place in the whole request
        known_patients(artifact, request.patients[start:stop], start)
    return MonitorAnswer(
        model=served_model(artifact.manifest, version),
        alert_rule=None if alerts is None or alerts.horizon_days != horizon else alerts,
        trajectories=tuple(_trajectory(artifact, version, record, horizon) for record in request.patients),
    )


def _horizon(request: MonitorRequest, endpoint: Endpoint, alerts: AlertsBlock | None) -> float:
    if request.horizon_days is None:
        if alerts is not None:
            return alerts.horizon_days
        return endpoint.horizons_days[0] if endpoint.decision is None else endpoint.decision.horizon_days
    if request.horizon_days > endpoint.horizons_days[-1]:
        rule = f"must be at most {endpoint.horizons_days[-1]:g} days, the last horizon the model was trained for"
        raise InputError("horizon_days", rule)
    return request.horizon_days


def _trajectory(artifact: Artifact, version: str, record: PatientRecord, horizon: float) -> Trajectory:
    endpoint = artifact.manifest.endpoint
    record = _until_now(record)
    days = visit_days(record, endpoint)
    seen = [record.model_copy(update={"landmark_day": day}) for day in days]
    predicted = answer(artifact, version, PredictRequest(patients=tuple(seen), horizons_days=(horizon,))).predictions
    return Trajectory(
        patient_id=record.patient_id,
        horizon_days=horizon,
        visits=tuple(_visits(artifact.manifest, record, days, predicted, horizon))[-MOST_VISITS:],
        change=_change(artifact, version, seen[-2:], horizon) if len(seen) > 1 else None,
        next_measurements=next_measurements(artifact, version, record, horizon),
    )


def visit_days(record: PatientRecord, endpoint: Endpoint) -> list[float]:
    """Days on which something came to be known, from the first landmark to the present day.

    Of many the latest, and one more that is not told: the first that is told is compared with it.
    """
    first, last = endpoint.landmark_days[0], record.landmark_day
    dated = (one.day for part in (record.measurements, record.samples, record.events) for one in part)
    whole = {float(math.ceil(day)) for day in dated if first < day <= last}
    return sorted({first, last, *(day for day in whole if day < last)})[-MOST_VISITS - 1 :]


def _until_now(record: PatientRecord) -> PatientRecord:
    """Without what is dated after the present day."""
    now = record.landmark_day
    parts = {name: getattr(record, name) for name in ("measurements", "samples", "events")}
    return record.model_copy(update={name: tuple(o for o in part if o.day <= now) for name, part in parts.items()})


def _visits(
    manifest: Manifest, record: PatientRecord, days: Sequence[float], predicted: Sequence[Prediction], horizon: float
) -> Iterator[Visit]:
    """An alert is raised where the rule's threshold, or without a rule a tier, comes to be reached."""
    endpoint, decision, rule = manifest.endpoint, manifest.endpoint.decision, manifest.alerts
    decided = decision is not None and decision.horizon_days == horizon
    before, level_before = -math.inf, 0
    for day, one in zip(days, predicted, strict=True):
        risks = {cause: values[0] for cause, values in one.incidence.items()}
        risk = risks[endpoint.event.name]
        tier = decision.tier_of(risk) if decision is not None and decided else 0
        level = int(rule.reached(risk)) if rule is not None and rule.horizon_days == horizon else tier
        yield Visit(
            day=day,
            known=tuple(_known(record, before, day)),
            incidence=risks,
            interval=None if one.interval is None else {cause: ends[0] for cause, ends in one.interval.items()},
            tier=decision.tiers[tier].name if decision is not None and decided else None,
            alert=level > level_before,
        )
        before, level_before = day, level


def _known(record: PatientRecord, after: float, until: float) -> dict[str, None]:
    """Places of what is dated after one day and until another, each once."""
    places = [(one.day, f"measurements.{one.variable}") for one in record.measurements]
    places += [(one.day, f"events.{one.event}") for one in record.events]
    places += [(one.day, f"samples.{one.material}") for one in record.samples]
    return dict.fromkeys(place for day, place in places if after < day <= until)


def _change(artifact: Artifact, version: str, seen: Sequence[PatientRecord], horizon: float) -> Change:
    """Between two visits: contributions at the later one less those at the earlier one."""
    request = PredictRequest(patients=tuple(seen), horizons_days=(horizon,))
    before, now = explain_request(artifact, version, request).explanations
    causes = tuple(now.incidence)
    return Change(
        from_day=before.landmark_day,
        to_day=now.landmark_day,
        incidence={cause: now.incidence[cause][0] - before.incidence[cause][0] for cause in causes},
        average={cause: now.average[cause][0] - before.average[cause][0] for cause in causes},
        moved_by={cause: _moved(before.contributions[cause], now.contributions[cause]) for cause in causes},
    )


def _moved(before: Mapping[str, Sequence[float]], now: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """By each part of the record, the most first."""
    nothing = (0.0,)
    moved = {name: now.get(name, nothing)[0] - before.get(name, nothing)[0] for name in {**now, **before}}
    kept = {name: value for name, value in moved.items() if abs(value) > ROUNDING}
    return dict(sorted(kept.items(), key=lambda item: (-abs(item[1]), item[0])))


def next_measurements(
    artifact: Artifact, version: str, record: PatientRecord, horizon: float
) -> tuple[NextMeasurement, ...]:
    """What each laboratory value would tell of the event of interest, if it were taken on one of a few days to come.

    The risk's variance is that of its expectation given the value and what remains on average (law of total variance):
    the first, the reduction that is expected of taking it, is computed over the deciles of what the value is likely to
    be then, given the patient's last one (`features.persistence`). A variable whose last value lies beyond those of
    training is left out: nothing tells what follows it.
    """
    reference = artifact.manifest.reference
    last = artifact.manifest.endpoint.landmark_days[-1]
    days = sorted({min(record.landmark_day + ahead, last) for ahead in AHEAD_DAYS} | {last})
    days = [day for day in days if day > record.landmark_day]
    if reference is None or not days:
        return ()
    latest = _latest(known_patients(artifact, (record,), 0).measurements)
    found = []
    for variable in artifact.model.encoder.measured_inputs:
        spread = reference.inputs.get(f"{variable}:last")
        if spread is not None and len(spread.edges) > 1:
            likely = _likely(artifact.manifest.persistence.get(variable), spread, latest.get(variable), days)
            told = [
                _told(artifact, version, record, horizon, variable, *one) for one in zip(likely, days, strict=False)
            ]
            if told:
                found.append(max(told, key=lambda one: one.spread))
    return tuple(sorted(found, key=lambda one: -one.spread))


def _latest(measurements: Measurements) -> dict[str, tuple[float, float]]:
    """Day and value of the last measurement of each variable of a patient, in the variable's unit."""
    number = zip(measurements.variable.tolist(), measurements.day.tolist(), measurements.value.tolist(), strict=True)
    return {measurements.names[variable]: (day, value) for variable, day, value in number}


def _likely(
    persistence: Persistence | None, spread: Spread, latest: tuple[float, float] | None, days: Sequence[float]
) -> list[tuple[float, ...]]:
    """What a value is likely to be on each of the days; empty where nothing like the last one was seen in training."""
    if persistence is None:
        return [usual_values(spread)] * len(days)
    if latest is not None and not persistence.covers(latest[1]):
        return []
    return [persistence.likely_values(day, latest) for day in days]


def _told(
    artifact: Artifact,
    version: str,
    record: PatientRecord,
    horizon: float,
    variable: str,
    values: Sequence[float],
    day: float,
) -> NextMeasurement:
    """What one value would tell on one day."""
    imagined = [
        record.model_copy(
            update={
                "landmark_day": day,
                "measurements": (
                    *record.measurements,
                    MeasurementRecord.model_construct(variable=variable, day=day, value=value, unit=None),
                ),
            }
        )
        for value in values
    ]
    request = PredictRequest.model_construct(patients=tuple(imagined), horizons_days=(horizon,))
    event = artifact.manifest.endpoint.event.name
    risks = np.array([one.incidence[event][0] for one in answer(artifact, version, request).predictions])
    low, high = int(risks.argmin()), int(risks.argmax())
    return NextMeasurement(
        variable=variable,
        unit=artifact.model.encoder.variables[variable].unit,
        day=day,
        spread=float(risks.std()),
        lowest=(values[low], float(risks[low])),
        highest=(values[high], float(risks[high])),
    )
