"""CRS grades: every cell of the ASTCT table, and what missing components imply."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from features.errors import SequelaError
from features.scores.crs import HYPOTENSION, HYPOXIA, crs_grade, crs_grades

TABLE = {  # with fever; rows: hypotension, columns: none, low flow, high flow, positive pressure
    "none": (1, 2, 3, 4),
    "fluids": (2, 2, 3, 4),
    "one_vasopressor": (3, 3, 3, 4),
    "multiple_vasopressors": (4, 4, 4, 4),
}
OXYGEN = ("none", "low_flow", "high_flow", "positive_pressure")
CELLS = [(bp, o2, grades[i]) for bp, grades in TABLE.items() for i, o2 in enumerate(OXYGEN)]


@pytest.mark.parametrize(("hypotension", "hypoxia", "grade"), CELLS)
def test_table(hypotension: str, hypoxia: str, grade: int) -> None:
    assert crs_grade(fever=True, hypotension=hypotension, hypoxia=hypoxia) == grade
    assert crs_grade(fever=False, hypotension=hypotension, hypoxia=hypoxia) == 0  # no CRS without fever
    treated = crs_grade(fever=False, hypotension=hypotension, hypoxia=hypoxia, fever_treated=True)
    assert treated == (0 if grade == 1 else grade)  # after tocilizumab fever is not required


@pytest.mark.parametrize(
    ("components", "grade"),
    [
        ({}, math.nan),
        ({"fever": True}, 1),
        ({"fever": False}, 0),
        ({"fever": True, "hypoxia": "high_flow"}, 3),
        ({"fever": True, "hypotension": "fluids"}, 2),
        ({"hypotension": "one_vasopressor"}, 3),
        ({"hypoxia": "positive_pressure", "hypotension": "none"}, 4),
        ({"hypoxia": "none", "hypotension": "none"}, math.nan),
    ],
    ids=str,
)
def test_missing_components(components: dict[str, object], grade: float) -> None:
    np.testing.assert_equal(crs_grade(**components), grade)  # type: ignore[arg-type]


def test_knowing_more_never_lowers_the_grade_of_a_patient_with_fever() -> None:
    levels = itertools.product((None, *HYPOTENSION), (None, *HYPOXIA))
    for bp, o2 in levels:
        known = crs_grade(fever=True, hypotension=bp, hypoxia=o2)
        assert all(crs_grade(fever=True, hypotension=bp or b, hypoxia=o2) >= known for b in HYPOTENSION)
        assert all(crs_grade(fever=True, hypotension=bp, hypoxia=o2 or o) >= known for o in HYPOXIA)


def test_rows() -> None:
    grades = crs_grades([True, False, None], ["fluids", None, None], [None, "low_flow", None], [False, True, False])
    np.testing.assert_array_equal(grades, [2, 2, np.nan])
    np.testing.assert_array_equal(crs_grades([False], ["fluids"], [None]), [0])


def test_an_unknown_level_is_named_without_repeating_it() -> None:
    with pytest.raises(SequelaError, match=r"hypoxia: not one of its levels\. Write one of none, low_flow") as raised:
        crs_grade(fever=True, hypoxia="John Doe")
    assert "John" not in str(raised.value)
