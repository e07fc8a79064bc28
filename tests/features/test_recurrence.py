"""All events of an endpoint, from a cohort folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from features.check import read_cohort
from features.cohort import write_cohort
from features.cohort_recurrence import recurrences_at
from features.errors import SequelaError
from features.schema import CohortCard, Endpoint, EventRule

CARD = CohortCard(title="Few", citation="none", licence="CC0-1.0", provenance="simulated", variables={})
ENDPOINT = Endpoint(
    name="infections",
    event=EventRule(name="infection", min_grade=2),
    competing=(EventRule(name="death"), EventRule(name="relapse")),
    landmark_days=(0.0,),
    horizons_days=(100.0,),
)
EVENTS = [
    ("a", 5, "infection", 3),
    ("a", 40, "infection", 2),
    ("a", 41, "infection", 1),
    ("a", 60, "death", np.nan),
    ("a", 60, "infection", 4),
    ("b", -3, "infection", 3),
    ("b", 10, "infection", 3),
    ("c", 20, "relapse", np.nan),
    ("c", 90, "infection", 3),
]


def cohort(folder: Path, **columns: list[float]) -> Path:
    patients = pd.DataFrame({"patient_id": list("abcd"), "follow_up_days": [60, 50, 200, 300], **columns})
    events = pd.DataFrame(EVENTS, columns=["patient_id", "day", "event", "grade"])
    write_cohort(folder / "cohort", CARD, {"patients": patients, "events": events})
    return folder / "cohort"


def test_all_events_until_the_end(tmp_path: Path) -> None:
    at_risk, found = recurrences_at(read_cohort(cohort(tmp_path)), ENDPOINT, 0.0)
    assert at_risk.tolist() == [0, 1, 2, 3]
    assert found.end_days.tolist() == [60, 50, 20, 300]
    assert found.terminal.tolist() == [1, 0, 2, 0]
    assert list(zip(found.row.tolist(), found.day.tolist(), strict=True)) == [(0, 5), (0, 40), (0, 60), (1, 10)]
    assert found.terminals == ("death", "relapse")
    assert found.count_by(np.array([4.0, 5.0, 60.0])).tolist() == [[0, 1, 3], [0, 0, 1], [0, 0, 0], [0, 0, 0]]


def test_from_a_landmark_earlier_events_do_not_matter(tmp_path: Path) -> None:
    at_risk, found = recurrences_at(read_cohort(cohort(tmp_path)), ENDPOINT, 30.0)
    assert at_risk.tolist() == [0, 1, 3]
    assert found.end_days.tolist() == [30, 20, 270]
    assert list(zip(found.row.tolist(), found.day.tolist(), strict=True)) == [(0, 10), (0, 30)]


def test_rows_may_be_taken_twice(tmp_path: Path) -> None:
    found = recurrences_at(read_cohort(cohort(tmp_path)), ENDPOINT, 0.0)[1].take(np.array([1, 0, 0]))
    assert found.row.tolist() == [0, 1, 1, 1, 2, 2, 2]
    assert found.day.tolist() == [10, 5, 40, 60, 5, 40, 60]


def test_nobody_at_risk_is_said(tmp_path: Path) -> None:
    with pytest.raises(SequelaError, match="nobody is at risk at landmark day 300"):
        recurrences_at(read_cohort(cohort(tmp_path)), ENDPOINT, 300.0)


def test_late_entry_is_refused(tmp_path: Path) -> None:
    late = cohort(tmp_path, entry_day=[0, 0, 5, 0])
    with pytest.raises(SequelaError, match="entry_day"):
        recurrences_at(read_cohort(late), ENDPOINT, 0.0)
