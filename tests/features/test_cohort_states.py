"""From events to states: order, ties, follow-up, late entry, landmarks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from features.check import read_cohort
from features.cohort import Cohort, outcomes_at, write_cohort
from features.cohort_states import TIE_DAYS, state_histories_at
from features.errors import SequelaError
from features.schema import CohortCard, Endpoint, EventRule
from features.simulator import simulate
from features.states import STAYS

ENDPOINT = Endpoint(
    name="infection",
    event=EventRule(name="infection", min_grade=3),
    competing=(EventRule(name="death"), EventRule(name="relapse")),
    horizons_days=(365.0,),
)
Event = tuple[str, float, str, int | None]
Make = Callable[..., Cohort]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """`make(events, follow_up, entry=None)`: a cohort of patients named a, b, …, with one more who dies last."""

    def _make(events: Sequence[Event], follow_up: Sequence[float], entry: Sequence[float] | None = None) -> Cohort:
        ids = [*"abcdefgh"[: len(follow_up)], "z"]
        patients = pd.DataFrame({"patient_id": ids, "follow_up_days": [*follow_up, 1000.0]})
        if entry is not None:
            patients["entry_day"] = [*entry, 0.0]
        # Patient z shows that one lives on after infection and relapse, not after death.
        known = [("z", 900.0, "infection", 3), ("z", 950.0, "relapse", None), ("z", 1000.0, "death", None)]
        table = pd.DataFrame([*events, *known], columns=["patient_id", "day", "event", "grade"])
        card = CohortCard(title="t", citation="c", licence="CC0-1.0", provenance="simulated", variables={})
        write_cohort(tmp_path / "cohort", card, {"patients": patients, "events": table})
        return read_cohort(tmp_path / "cohort")

    return _make


def stays(cohort: Cohort, landmark: float = 0.0) -> dict[str, list[tuple[str, float, float, str]]]:
    """State, start, stop and next state of all stays, by patient but z."""
    rows, found = state_histories_at(cohort, ENDPOINT, landmark)
    ids = cohort.patients["patient_id"].to_numpy()[rows]
    by: dict[str, list[tuple[str, float, float, str]]] = {str(one): [] for one in ids if one != "z"}
    for i, patient in enumerate(found.patient):
        following = int(found.next_state[i])
        name = "" if following == STAYS else found.states[following]
        if ids[patient] != "z":
            stay = (found.states[found.state[i]], float(found.start_days[i]), float(found.stop_days[i]), name)
            by[str(ids[patient])].append(stay)
    return by


def test_a_patient_goes_through_states_in_order(make: Make) -> None:
    cohort = make(
        [
            ("a", 5.0, "infection", 2),  # of too low a grade
            ("a", 10.0, "infection", 3),
            ("a", 20.0, "infection", 4),  # is in the state already
            ("a", 50.0, "relapse", None),
            ("a", 80.0, "death", None),
            ("b", 30.0, "relapse", None),
            ("b", 40.0, "infection", 4),  # after relapse
            ("c", 60.0, "death", None),
        ],
        [80.0, 100.0, 60.0, 70.0],
    )
    assert stays(cohort) == {
        "a": [
            ("event-free", 0, 10, "infection"),
            ("infection", 10, 50, "relapse"),
            ("relapse", 50, 80, "death"),
        ],
        "b": [("event-free", 0, 30, "relapse"), ("relapse", 30, 100, "")],
        "c": [("event-free", 0, 60, "death")],
        "d": [("event-free", 0, 70, "")],
    }


def test_events_of_one_day_follow_one_another(make: Make) -> None:
    cohort = make(
        [
            ("a", 10.0, "infection", 3),
            ("a", 10.0, "death", None),
            ("b", 10.0, "relapse", None),
            ("b", 10.0, "infection", 3),
            ("b", 10.0, "death", None),
        ],
        [10.0, 10.0],
    )
    tie = 10 + TIE_DAYS
    assert stays(cohort) == {
        "a": [("event-free", 0, 10, "infection"), ("infection", 10, tie, "death")],
        "b": [
            ("event-free", 0, 10, "infection"),
            ("infection", 10, tie, "relapse"),
            ("relapse", tie, tie + TIE_DAYS, "death"),
        ],
    }


def test_who_enters_late_is_in_the_state_of_that_day(make: Make) -> None:
    cohort = make(
        [("a", 10.0, "infection", 3), ("a", 90.0, "death", None), ("b", 10.0, "death", None)],
        [90.0, 10.0, 60.0, 60.0],
        [40.0, 0.0, 25.0, 0.0],
    )
    found = stays(cohort)
    assert found["a"] == [("infection", 40, 90, "death")]
    assert found["c"] == [("event-free", 25, 60, "")]
    histories = state_histories_at(cohort, ENDPOINT, 0.0)[1]
    assert histories.entered_days[histories.patient == 0].tolist() == [10.0]


def test_from_a_landmark_only_who_had_no_event_counts(make: Make) -> None:
    cohort = make(
        [("a", 10.0, "infection", 3), ("b", 40.0, "infection", 3), ("c", 20.0, "death", None)], [90.0, 70.0, 20.0, 30.0]
    )
    assert stays(cohort, 30.0) == {"b": [("event-free", 0, 10, "infection"), ("infection", 10, 40, "")]}


def test_who_is_at_risk_and_has_which_first_event_are_the_endpoints(tmp_path: Path) -> None:
    simulate(tmp_path / "simulated", n_patients=200, cells_per_sample=0, seed=3)
    cohort = read_cohort(tmp_path / "simulated")
    for landmark in (0.0, 30.0):
        rows, outcomes = outcomes_at(cohort, ENDPOINT, landmark)
        own, histories = state_histories_at(cohort, ENDPOINT, landmark)
        np.testing.assert_array_equal(own, rows)
        first = histories.state == 0
        np.testing.assert_array_equal(histories.stop_days[first], outcomes.duration_days)
        names = np.array(["", *outcomes.causes])[outcomes.cause]
        following = np.array([*histories.states, ""])[histories.next_state[first]]
        np.testing.assert_array_equal(following, names)
        assert histories.moves()[1:].sum() > 20  # life goes on after a first event


def test_what_comes_after_the_event_must_be_known(make: Make) -> None:
    cohort = make([("a", 10.0, "death", None)], [10.0])
    endpoint = Endpoint(name="dying", event=EventRule(name="death"), horizons_days=(365.0,))
    with pytest.raises(SequelaError, match=r"nobody in .* is followed beyond death"):
        state_histories_at(cohort, endpoint, 0.0)
    with pytest.raises(SequelaError, match="no patient is at risk at landmark day 2000"):
        state_histories_at(cohort, ENDPOINT, 2000.0)
