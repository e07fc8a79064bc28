"""A patient's course as the service tells it: visits, what moved the risk, what would tell most next."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.drift import Reference, Spread
from features.errors import InputError
from features.persistence import Persistence
from features.records import PatientRecord
from features.schema import Decision, Tier
from serving.answer import answer
from serving.card import model_card
from serving.client import Client, ServiceError
from serving.messages import PredictRequest
from serving.monitor_messages import MAX_WATCHED, MOST_VISITS, MonitorAnswer, MonitorRequest, Trajectory
from serving.monitoring import monitor_request
from training.artifact.blocks import AlertsBlock
from training.artifact.folder import Artifact
from training.models.risk_model import FittedRiskModel


@pytest.fixture(scope="module")
def watching(artifact: Artifact, fitted: FittedRiskModel, cohort: Any) -> Artifact:
    """The same model with tiers, and with a reference of what came in training."""
    values = fitted.encoder.encode(cohort.patients).values
    inputs = dict(zip(fitted.encoder.input_names, values.T, strict=True))
    reference = Reference.of(inputs, {"infection": np.zeros(len(values))})
    tiers = (Tier(name="standard"), Tier(name="raised", from_risk=0.12))
    endpoint = artifact.manifest.endpoint.model_copy(update={"decision": Decision(horizon_days=90, tiers=tiers)})
    changed = copy.copy(artifact)
    lasting = {name: lasting_of(reference.inputs[f"{name}:last"]) for name in fitted.encoder.measured_inputs}
    more = {"endpoint": endpoint, "reference": reference, "persistence": lasting}
    manifest = artifact.manifest.model_copy(update=more)
    object.__setattr__(changed, "manifest", manifest)
    return changed


def lasting_of(spread: Spread) -> Persistence:
    """Of values that are spread as in training around no course, and of ten times those."""
    bounds = zip(spread.edges, np.cumsum(spread.shares)[:-1].tolist(), strict=True)
    values = ((spread.edges[0] / 10, 0.001), *bounds, (10 * spread.edges[-1], 0.999))
    return Persistence(share=0.9, days=30.0, course=((0.0, 0.0),), spread=1.0, values=values)


def request_of(*records: Any, **rest: Any) -> MonitorRequest:
    return MonitorRequest.model_validate({"patients": list(records), **rest})


RECORD: dict[str, Any] = {
    "patient_id": "p1",
    "landmark_day": 20.0,
    "baseline": {"age": 60.0, "ecog": "1", "product": "axi-cel", "haemoglobin": 90.0, "crp": 12.0},
    "measurements": [
        {"variable": "ferritin", "day": -2.0, "value": 500.0},
        {"variable": "anc", "day": 0.0, "value": 2000.0},
        {"variable": "ferritin", "day": 6.4, "value": 4000.0},
        {"variable": "anc", "day": 7.0, "value": 200.0},
        {"variable": "anc", "day": 20.0, "value": 100.0},
        {"variable": "anc", "day": 25.0, "value": 3000.0},
    ],
    "events": [{"event": "icans", "day": 5.0}],
}


def test_every_visit_has_the_risk_that_was_predicted_then(watching: Artifact) -> None:
    (course,) = monitor_request(watching, "m:1", request_of(RECORD)).trajectories
    assert [visit.day for visit in course.visits] == [0, 5, 7, 20]
    known = [("measurements.ferritin", "measurements.anc"), ("events.icans",)]
    known += [("measurements.ferritin", "measurements.anc"), ("measurements.anc",)]
    assert [visit.known for visit in course.visits] == known
    for visit in course.visits:
        record = PatientRecord.model_validate(RECORD | {"landmark_day": visit.day})
        then = answer(watching, "m:1", PredictRequest(patients=(record,), horizons_days=(90.0,))).predictions[0]
        expected = {cause: values[0] for cause, values in then.incidence.items()}
        assert visit.incidence == pytest.approx(expected, abs=1e-8)  # of another number of rows, sums round differently


def test_an_alert_is_raised_where_a_tier_is_reached(watching: Artifact) -> None:
    (course,) = monitor_request(watching, "m:1", request_of(RECORD)).trajectories
    tiers = [visit.tier for visit in course.visits]
    assert set(tiers) == {"standard", "raised"}  # the record was chosen so
    before = "standard"
    for visit in course.visits:
        assert visit.tier == ("raised" if visit.incidence["infection"] >= 0.12 else "standard")
        assert visit.alert == (visit.tier == "raised" and before == "standard")
        before = visit.tier or ""
    (other,) = monitor_request(watching, "m:1", request_of(RECORD, horizon_days=180.0)).trajectories
    assert {(visit.tier, visit.alert) for visit in other.visits} == {(None, False)}  # the decision is at 90 days


RULE: dict[str, Any] = {
    "provenance": "simulated",
    "horizon_days": 90.0,
    "threshold": 0.11,
    "borne": 0.1,
    "per_patient_month": {"point": 0.09, "low": 0.07, "high": 0.12},
    "caught": {"point": 0.4, "low": 0.3, "high": 0.5},
    "lead_days": {"point": 26.0, "low": 20.0, "high": 33.0},
    "after_first_alert": {"point": 0.3, "low": 0.2, "high": 0.4},
    "n_patients": 160,
    "n_events": 31,
    "withheld": False,
}


def with_rule(artifact: Artifact, **changed: Any) -> Artifact:
    """The same model with an alert rule in its manifest."""
    found = copy.copy(artifact)
    alerts = AlertsBlock.model_validate(RULE | changed)
    object.__setattr__(found, "manifest", artifact.manifest.model_copy(update={"alerts": alerts}))
    return found


@pytest.mark.parametrize("threshold", [0.05, 0.11, 0.12, 0.9, None])
def test_alerts_are_of_the_rule_that_the_model_carries(watching: Artifact, threshold: float | None) -> None:
    ruled = with_rule(watching, threshold=threshold)
    answered = monitor_request(ruled, "m:1", request_of(RECORD))
    assert answered.alert_rule == ruled.manifest.alerts
    (course,), (tiers,) = answered.trajectories, monitor_request(watching, "m:1", request_of(RECORD)).trajectories
    above = [threshold is not None and visit.incidence["infection"] >= threshold for visit in course.visits]
    assert [visit.alert for visit in course.visits] == [
        now and not before for now, before in zip(above, [False, *above], strict=False)
    ]
    assert any(visit.alert for visit in course.visits) == (threshold is not None and threshold < 0.2)
    assert [visit.tier for visit in course.visits] == [visit.tier for visit in tiers.visits]  # tiers stay what they are
    card = model_card(ruled, "m:1")
    assert card.alerts == ruled.manifest.alerts


def test_a_rule_is_for_its_own_horizon(watching: Artifact) -> None:
    ruled = with_rule(watching, horizon_days=180.0, threshold=0.11)
    usual = monitor_request(ruled, "m:1", request_of(RECORD))
    assert usual.trajectories[0].horizon_days == 180  # which is asked of where nothing else is
    assert usual.alert_rule is not None
    assert {visit.tier for visit in usual.trajectories[0].visits} == {None}
    other = monitor_request(ruled, "m:1", request_of(RECORD, horizon_days=90.0))
    assert other.alert_rule is None
    assert (
        other.trajectories == monitor_request(watching, "m:1", request_of(RECORD)).trajectories
    )  # by tiers, as before
    assert monitor_request(watching, "m:1", request_of(RECORD)).alert_rule is None


INFECTED = RECORD | {"events": [*RECORD["events"], {"event": "infection", "day": 12.0, "grade": 3}]}


def test_who_had_the_event_is_watched_no_longer(watching: Artifact) -> None:
    for event in ({"event": "infection", "day": 20.0, "grade": 4}, {"event": "death", "day": 12.0}):
        record = RECORD | {"events": [*RECORD["events"], event]}
        with pytest.raises(InputError, match=r"^patients\[1\]\.events\[1\]: is an event of severe_infection by its"):
            monitor_request(watching, "m:1", request_of(RECORD, record))
    mild = RECORD | {"events": [{"event": "infection", "day": 12.0, "grade": 2}]}  # no event of the endpoint
    later = RECORD | {"events": [*RECORD["events"], {"event": "infection", "day": 20.5, "grade": 3}]}
    for record in (mild, later):
        (course,) = monitor_request(watching, "m:1", request_of(record)).trajectories
        assert course.visits[-1].day == 20
    (until,) = monitor_request(watching, "m:1", request_of(INFECTED | {"landmark_day": 11.0})).trajectories
    (free,) = monitor_request(watching, "m:1", request_of(RECORD | {"landmark_day": 11.0})).trajectories
    assert until == free


def test_over_http_the_event_is_named(server: Any) -> None:
    with server.client() as client:
        refused = client.post("/v1/monitor", json={"patients": [RECORD, INFECTED]})
        until = client.post("/v1/monitor", json={"patients": [INFECTED | {"landmark_day": 11.0}]})
        operation = client.get("/docs.json").json()["paths"]["/v1/monitor"]["post"]
    assert (refused.status_code, refused.json()["field"]) == (400, "patients[1].events[1]")
    assert "patients are watched until their first one: give a landmark_day before it" in refused.text
    assert "12" not in refused.json()["detail"]  # the value is not told
    assert until.status_code == 200, until.text
    assert until.json()["alert_rule"] is None
    assert "refused with 400" in operation["description"]
    assert "alert_rule" in operation["description"]
    with pytest.raises(ServiceError, match=r"events\[1\]"):
        Client(server.url).monitor([INFECTED])


def test_what_moved_the_risk_sums_to_the_change(watching: Artifact, cohort: Any) -> None:
    for course in monitor_request(watching, "m:1", request_of(*cohort.records[:10])).trajectories:
        if len(course.visits) < 2:
            assert course.change is None
            continue
        change = course.change
        assert change is not None
        assert (change.from_day, change.to_day) == (course.visits[-2].day, course.visits[-1].day)
        for cause, whole in change.incidence.items():
            assert whole == pytest.approx(
                course.visits[-1].incidence[cause] - course.visits[-2].incidence[cause], abs=1e-6
            )
            assert change.average[cause] + sum(change.moved_by[cause].values()) == pytest.approx(whole, abs=1e-4)


def test_what_would_tell_most_comes_first_and_moves_the_risk_as_said(watching: Artifact) -> None:
    (course,) = monitor_request(watching, "m:1", request_of(RECORD)).trajectories
    spreads = [one.spread for one in course.next_measurements]
    assert [one.variable for one in course.next_measurements]
    assert spreads == sorted(spreads, reverse=True)
    first = course.next_measurements[0]
    assert first.day in (21.0, 27.0, 30.0)
    for value, risk in (first.lowest, first.highest):
        more = {"variable": first.variable, "day": first.day, "value": value}
        record = RECORD | {"landmark_day": first.day, "measurements": [*RECORD["measurements"], more]}
        asked = PredictRequest(patients=(PatientRecord.model_validate(record),), horizons_days=(90.0,))
        assert answer(watching, "m:1", asked).predictions[0].incidence["infection"][0] == pytest.approx(risk, abs=1e-7)
    assert first.lowest[1] < first.highest[1]


def test_after_the_last_landmark_nothing_is_next(watching: Artifact, artifact: Artifact) -> None:
    (course,) = monitor_request(watching, "m:1", request_of(RECORD | {"landmark_day": 30.0})).trajectories
    assert course.next_measurements == ()
    (other,) = monitor_request(artifact, "m:1", request_of(RECORD)).trajectories
    assert other.next_measurements == ()  # an artifact without a reference
    assert other.visits[0].tier is None


def test_of_many_visits_the_latest_are_told(watching: Artifact) -> None:
    measurements = [{"variable": "anc", "day": 0.3 * i, "value": 500.0} for i in range(100)]
    (course,) = monitor_request(
        watching, "m:1", request_of({"landmark_day": 30.0, "measurements": measurements})
    ).trajectories
    assert len(course.visits) <= MOST_VISITS
    assert course.visits[-1].day == 30
    assert len({visit.day for visit in course.visits}) == len(course.visits)


@pytest.fixture(scope="module")
def course_of(watching: Artifact) -> Callable[[Any], Trajectory]:
    return lambda record: monitor_request(watching, "m:1", request_of(record)).trajectories[0]


@settings(max_examples=25, deadline=None)
@given(
    days=st.lists(st.tuples(st.floats(-5, 29), st.integers(100, 900)), max_size=6).flatmap(
        lambda days: st.tuples(st.just(days), st.permutations(days))
    ),
    today=st.sampled_from([0.0, 10.0, 30.0]),
)
def test_the_order_of_what_is_known_does_not_matter(course_of: Any, days: Any, today: float) -> None:
    measurements = ([{"variable": "anc", "day": day, "value": float(value)} for day, value in some] for some in days)
    one, other = (course_of({"landmark_day": today, "measurements": some}) for some in measurements)
    for visit, again in zip(one.visits, other.visits, strict=True):
        assert visit.incidence == pytest.approx(again.incidence, abs=1e-6)
    assert one.visits[-1].day == today


def test_faults_are_told_by_their_place(watching: Artifact) -> None:
    with pytest.raises(InputError, match=r"^patients\[1\]\.baseline\.age"):
        monitor_request(watching, "m:1", request_of(RECORD, {"baseline": {"age": 300.0}}))
    with pytest.raises(InputError, match=r"^horizon_days: must be at most 365 days"):
        monitor_request(watching, "m:1", request_of(RECORD, horizon_days=366.0))
    with pytest.raises(InputError, match=r"^patients\[0\]\.landmark_day"):
        monitor_request(watching, "m:1", request_of(RECORD | {"landmark_day": 31.0}))


def test_the_service_and_its_client_tell_the_same(server: Any, artifact: Artifact, tag: str) -> None:
    with server.client() as client:
        answered = client.post("/v1/monitor", json={"patients": [RECORD]})
        refused = client.post("/v1/monitor", json={"patients": [RECORD | {"landmark": 3}]})
        many = client.post("/v1/monitor", json={"patients": [RECORD] * (MAX_WATCHED + 1)})
    assert answered.status_code == 200, answered.text
    told = MonitorAnswer.model_validate_json(answered.content)
    assert told.model.version == tag
    here = monitor_request(artifact, tag, request_of(RECORD))
    for one, other in zip(told.trajectories[0].visits, here.trajectories[0].visits, strict=True):
        assert one.incidence == pytest.approx(other.incidence, abs=1e-9)
    assert (refused.status_code, refused.json()["field"]) == (400, "patients[0].landmark")
    assert (many.status_code, many.json()["field"]) == (413, "patients")
    asked = Client(server.url).monitor([RECORD], horizon_days=180.0)
    assert asked.trajectories[0].horizon_days == 180
    with pytest.raises(ServiceError, match="landmark_day"):
        Client(server.url).monitor([RECORD | {"landmark_day": 99.0}])


def test_a_value_just_taken_tells_less_than_one_that_is_not_known(watching: Artifact) -> None:
    """The artifact knows how long values stay alike; without that, a value just taken is as good as none."""
    assert watching.manifest.persistence
    (course,) = monitor_request(watching, "m:1", request_of(RECORD)).trajectories
    forgetful = copy.copy(watching)
    object.__setattr__(forgetful, "manifest", watching.manifest.model_copy(update={"persistence": {}}))
    (other,) = monitor_request(forgetful, "m:1", request_of(RECORD)).trajectories
    known = {one["variable"] for one in RECORD["measurements"]} & set(watching.manifest.persistence)
    now = {one.variable: one for one in course.next_measurements}
    before = {one.variable: one for one in other.next_measurements}
    assert known
    for name in now.keys() - known:  # as spread as all values, of which reference and persistence have other bounds
        assert now[name].spread == pytest.approx(before[name].spread, rel=0.1)
    assert any(now[name] != before[name] for name in known)
    for name in known:
        values = [one.lowest[0] for one in (now[name], before[name])] + [now[name].highest[0], before[name].highest[0]]
        assert np.isfinite(values).all()
    assert sum(now[name].spread for name in known) < sum(before[name].spread for name in known)


def test_a_value_beyond_those_of_training_leaves_its_variable_out(watching: Artifact) -> None:
    extreme = {"variable": "ferritin", "day": 19.0, "value": 900_000.0}
    record = RECORD | {"measurements": [*RECORD["measurements"], extreme]}
    usual, beyond = monitor_request(watching, "m:1", request_of(RECORD, record)).trajectories
    assert {one.variable for one in usual.next_measurements} - {one.variable for one in beyond.next_measurements} == {
        "ferritin"
    }
    assert beyond.next_measurements


def test_the_last_value_and_the_course_say_what_is_imagined(watching: Artifact, fitted: FittedRiskModel) -> None:
    """The values with the lowest and the highest risk are ends of what is likely then; another course moves them."""
    name, lowest = "anc", []
    for shift in (0.0, 1.0):
        one = watching.manifest.persistence[name].model_copy(
            update={"course": ((0.0, 0.0), (20.0, 0.0), (30.0, shift))}
        )
        moved = copy.copy(watching)
        object.__setattr__(moved, "manifest", watching.manifest.model_copy(update={"persistence": {name: one}}))
        (course,) = monitor_request(moved, "m:1", request_of(RECORD)).trajectories
        told = next(one for one in course.next_measurements if one.variable == name)
        likely = one.likely_values(told.day, (20.0, 100.0))
        assert {told.lowest[0], told.highest[0]} <= set(likely)
        assert told.unit == fitted.encoder.variables[name].unit
        lowest.append(told.lowest[0])
    assert lowest[0] != lowest[1]
