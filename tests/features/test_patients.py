"""The columnar form of patients: rows taken, blocks gathered, measurements sorted."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from summaries import dense_summary

from features.patients import Measurements, Patients, Samples, gather

Record = tuple[int, int, float, float]
"""Row, variable, day, value."""
N_ROWS = 4
records = st.lists(
    st.tuples(
        st.integers(0, N_ROWS - 1), st.integers(0, 1), st.integers(-3, 3).map(float), st.integers(0, 5).map(float)
    ),
    max_size=12,
)
picks = st.lists(st.integers(0, N_ROWS - 1), max_size=8).map(lambda rows: np.array(rows, dtype=np.int64))


def measurements(rows: list[Record]) -> Measurements:
    row, variable, day, value = (np.array(column) for column in zip(*rows, strict=True)) if rows else (np.zeros(0),) * 4
    return Measurements.from_columns(
        N_ROWS, row.astype(np.int64), ("crp", "ferritin"), variable.astype(np.int64), day, value
    )


def of_row(measured: Measurements, row: int) -> list[tuple[int, float, float]]:
    block = slice(measured.offsets[row], measured.offsets[row + 1])
    return list(zip(measured.variable[block], measured.day[block], measured.value[block], strict=True))


def patients() -> Patients:
    """Four rows; rows 0 and 2 have two samples and one."""
    summary = dense_summary(("T",), ("CD3E",), np.array([[1.0], [2.0], [3.0]]), *np.arange(6.0).reshape(2, 3, 1, 1))
    samples = Samples(
        np.array([0, 2, 2, 3, 3]),
        np.array(["a", "b", "c"], dtype=object),
        np.array([-5.0, 14.0, 0.0]),
        np.array(["product", "blood", "blood"], dtype=object),
        summary,
    )
    return Patients(
        np.array(["p", "q", "r", "s"], dtype=object),
        np.array([0.0, 0.0, 30.0, 0.0]),
        {"age": np.array([50.0, np.nan, 70.0, 80.0]), "sex": np.array(["f", None, "m", "f"], dtype=object)},
        measurements([(2, 0, 1.0, 7.0), (0, 1, 2.0, 8.0), (2, 1, 0.0, 9.0)]),
        samples,
    )


@given(records)
def test_measurements_keep_all_and_ascend_by_day_within_rows(rows: list[Record]) -> None:
    measured = measurements(rows)
    assert sorted((row, *of) for row in range(N_ROWS) for of in of_row(measured, row)) == sorted(rows)
    for row in range(N_ROWS):
        days = [day for _, day, _ in of_row(measured, row)]
        assert days == sorted(days)
    np.testing.assert_array_equal(measured.row, np.sort([row for row, *_ in rows]))


@given(records, st.randoms())
def test_measurements_do_not_depend_on_the_order_in_which_they_came(rows: list[Record], random: object) -> None:
    shuffled = list(rows)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    first, second = measurements(rows), measurements(shuffled)
    for variable in (0, 1):
        np.testing.assert_array_equal(
            first.value[first.variable == variable], second.value[second.variable == variable]
        )


@given(records, picks)
def test_taken_rows_carry_their_measurements(rows: list[Record], picked: np.ndarray) -> None:
    measured = measurements(rows)
    taken = measured.take(picked)
    assert len(taken.offsets) == len(picked) + 1
    assert [of_row(taken, i) for i in range(len(picked))] == [of_row(measured, row) for row in picked]


@given(st.lists(st.integers(0, 3), min_size=4, max_size=4), picks)
def test_gather_concatenates_blocks(lengths: list[int], picked: np.ndarray) -> None:
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    indices, new_offsets = gather(offsets, picked)
    blocks = [list(range(offsets[row], offsets[row + 1])) for row in picked]
    assert indices.tolist() == [i for block in blocks for i in block]
    assert np.diff(new_offsets).tolist() == [len(block) for block in blocks]


def test_no_measurements() -> None:
    empty = Measurements.empty(3)
    assert empty.offsets.tolist() == [0, 0, 0, 0]
    assert empty.take(np.array([2, 2])).offsets.tolist() == [0, 0, 0]
    assert len(empty.row) == 0


def test_taken_patients_carry_everything_and_may_repeat() -> None:
    taken = patients().take(np.array([2, 0, 2]))
    assert taken.patient_id.tolist() == ["r", "p", "r"]
    assert taken.landmark_day.tolist() == [30.0, 0.0, 30.0]
    assert taken.baseline["sex"].tolist() == ["m", "f", "m"]
    assert [of_row(taken.measurements, i) for i in range(3)] == [
        [(1, 0.0, 9.0), (0, 1.0, 7.0)],
        [(1, 2.0, 8.0)],
        [(1, 0.0, 9.0), (0, 1.0, 7.0)],
    ]
    assert taken.samples is not None
    assert taken.samples.sample_id.tolist() == ["c", "a", "b", "c"]
    assert taken.samples.row.tolist() == [0, 1, 1, 2]
    assert taken.samples.summary.cells_by_type[:, 0].tolist() == [3.0, 1.0, 2.0, 3.0]


@pytest.mark.parametrize("n", [0, 1], ids=["nobody", "one without samples"])
def test_taken_rows_without_samples_have_none(n: int) -> None:
    taken = patients().take(np.full(n, 1))
    assert len(taken) == n
    assert taken.samples is not None
    assert len(taken.samples.summary) == 0


def test_another_landmark_changes_nothing_else() -> None:
    first = patients()
    later = first.at_landmark(90.0)
    assert later.landmark_day.tolist() == [90.0] * 4
    assert first.landmark_day.tolist() == [0.0, 0.0, 30.0, 0.0], "the original stays"
    assert later.measurements is first.measurements
    assert first.at_landmark(np.array([1.0, 2.0, 3.0, 4.0])).landmark_day.tolist() == [1.0, 2.0, 3.0, 4.0]
