"""Folds: patients stay whole, causes are spread, and the order of rows decides nothing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from features.errors import SequelaError
from features.outcomes import Outcomes
from training.splits import days_until, is_calendar, known_by, patient_folds, site_folds, temporal_folds

Rows = tuple[NDArray[np.object_], NDArray[np.int64]]


@st.composite
def rows(draw: st.DrawFn) -> Rows:
    """Patients with one to three rows each; all rows of a patient have its cause."""
    n = draw(st.integers(5, 25))
    repeats = np.array(draw(st.lists(st.integers(1, 3), min_size=n, max_size=n)))
    cause = np.array(draw(st.lists(st.integers(0, 2), min_size=n, max_size=n)))
    patient = np.array([f"p{i}" for i in range(n)], dtype=object)
    order = np.random.default_rng(draw(st.integers(0, 99))).permutation(repeats.sum())
    return np.repeat(patient, repeats)[order], np.repeat(cause, repeats)[order]


@given(rows(), st.integers(2, 5), st.integers(1, 3))
def test_each_repeat_tests_every_row_once_and_keeps_patients_whole(case: Rows, n_folds: int, n_repeats: int) -> None:
    patient, cause = case
    folds = patient_folds(patient, cause, n_folds=n_folds, n_repeats=n_repeats, seed=0)
    assert [fold.number for fold in folds] == list(range(n_folds * n_repeats))
    for repeat in range(n_repeats):
        tested = np.concatenate([fold.test for fold in folds if fold.repeat == repeat])
        np.testing.assert_array_equal(np.sort(tested), np.arange(len(patient)))
    for fold in folds:
        np.testing.assert_array_equal(np.sort(np.concatenate([fold.train, fold.test])), np.arange(len(patient)))
        assert not set(patient[fold.train]) & set(patient[fold.test])
        assert len(fold.test) > 0


@given(rows(), st.integers(2, 5))
def test_causes_are_spread_evenly_over_folds(case: Rows, n_folds: int) -> None:
    patient, cause = case
    folds = patient_folds(patient, cause, n_folds=n_folds, n_repeats=1, seed=0)
    tested = [dict(zip(patient[fold.test], cause[fold.test], strict=True)) for fold in folds]
    sizes = [len(patients) for patients in tested]
    assert max(sizes) - min(sizes) <= 1
    for which in range(3):
        n = [sum(c == which for c in patients.values()) for patients in tested]
        assert max(n) - min(n) <= 1


@given(rows(), st.integers(0, 50))
def test_order_of_rows_does_not_matter(case: Rows, seed: int) -> None:
    patient, cause = case
    order = np.random.default_rng(seed).permutation(len(patient))
    first = patient_folds(patient, cause, n_folds=3, n_repeats=2, seed=seed)
    second = patient_folds(patient[order], cause[order], n_folds=3, n_repeats=2, seed=seed)
    for a, b in zip(first, second, strict=True):
        assert set(patient[a.test]) == set(patient[order][b.test])


def test_order_of_rows_does_not_matter_when_causes_differ_between_landmarks() -> None:
    """An endpoint's cause may differ by row; the patient still has one stratum."""
    patient = np.array([f"p{i}" for i in range(12)] * 2, dtype=object)
    cause = np.array([0, 1, 2] * 4 + [1, 0, 0] * 4)
    order = np.arange(24)[::-1]
    first = patient_folds(patient, cause, n_folds=3, n_repeats=1, seed=0)
    second = patient_folds(patient[order], cause[order], n_folds=3, n_repeats=1, seed=0)
    assert [set(patient[a.test]) for a in first] == [set(patient[order][b.test]) for b in second]


def test_seeds_and_repeats_differ() -> None:
    patient, cause = np.array([f"p{i}" for i in range(30)], dtype=object), np.arange(30) % 3

    def tested(seed: int) -> list[tuple[int, ...]]:
        return [tuple(fold.test) for fold in patient_folds(patient, cause, n_folds=5, n_repeats=2, seed=seed)]

    assert tested(0) == tested(0)
    assert tested(0) != tested(1)
    assert tested(0)[:5] != tested(0)[5:]


def test_fewer_patients_than_folds_are_refused() -> None:
    patient = np.array(["a", "b", "a", "b"], dtype=object)
    with pytest.raises(SequelaError, match=r"validation\.folds = 3: only 2 patients"):
        patient_folds(patient, np.zeros(4, dtype=np.int64), n_folds=3, n_repeats=1, seed=0)


def test_each_centre_is_held_out_once_and_who_has_none_is_never_tested() -> None:
    patient = np.array(["a", "a", "b", "c", "d", "e", "f", "f"], dtype=object)
    site = np.array(["Ulm", "Ulm", "Ulm", "Bonn", "Bonn", None, "Ulm", "Bonn"], dtype=object)
    bonn, ulm = site_folds(patient, site)
    assert (bonn.held_out, ulm.held_out) == ("Bonn", "Ulm")
    assert bonn.test.tolist() == [3, 4]
    assert ulm.test.tolist() == [0, 1, 2]
    assert bonn.train.tolist() == [0, 1, 2, 5, 6, 7], "f was seen in both, and belongs to neither"
    assert ulm.train.tolist() == [3, 4, 5, 6, 7]


def test_one_centre_is_refused() -> None:
    with pytest.raises(SequelaError, match=r"validation.scheme = site: 1 centre is known"):
        site_folds(np.array(["a", "b"], dtype=object), np.array(["Ulm", None], dtype=object))


def test_six_times_are_five_parts() -> None:
    patient, when = np.array(list("abcdef"), dtype=object), np.arange(2000.0, 2006.0)
    assert [len(fold.test) for fold in temporal_folds(patient, when, n_folds=4)] == [1, 1, 1, 2]


@given(rows(), st.integers(2, 4), st.integers(0, 99))
def test_nobody_is_predicted_from_later_patients(case: Rows, n_folds: int, seed: int) -> None:
    patient, _ = case
    names, of_row = np.unique(patient.astype(str), return_inverse=True)
    years = np.random.default_rng(seed).permutation(len(names)).astype(float) + 2000
    years[np.random.default_rng(seed).random(len(names)) < 0.1] = np.nan
    when = years[of_row]
    if (~np.isnan(years)).sum() <= n_folds:
        with pytest.raises(SequelaError, match=r"cannot be cut into"):
            temporal_folds(patient, when, n_folds=n_folds)
        return
    folds = temporal_folds(patient, when, n_folds=n_folds)
    assert len(folds) == n_folds
    for fold in folds:
        assert len(fold.train)
        assert len(fold.test)
        assert when[fold.train].max() < when[fold.test].min()
        assert not set(patient[fold.train]) & set(patient[fold.test])
    tested = np.concatenate([fold.test for fold in folds])
    assert len(set(tested)) == len(tested)
    assert set(tested) | set(folds[0].train) == set(np.flatnonzero(~np.isnan(when)))


@pytest.mark.parametrize(
    ("when", "calendar"),
    [
        ([2016.0, np.nan, 2021.0], True),
        ([2016.25, 2018.9], True),
        ([1.0, 2.0, 3.0], False),
        ([2016.0, 20.0], False),
        ([np.nan, np.nan], False),
    ],
)
def test_years_are_told_from_an_order(when: list[float], calendar: bool) -> None:
    assert is_calendar(np.array(when)) is calendar


def test_days_until_a_test_span() -> None:
    exact = days_until(np.array([2018.5, 2019.0, 2020.5, np.nan]), 2020.0)
    np.testing.assert_allclose(exact, [1.5 * 365.25, 365.25, -0.5 * 365.25, np.nan])
    whole = days_until(np.array([2018.0, 2019.0, 2020.0]), 2020.0)
    np.testing.assert_allclose(whole, [1.5 * 365.25, 0.5 * 365.25, -0.5 * 365.25])


@given(st.integers(0, 2**31))
def test_what_is_known_by_a_day_forgets_what_comes_later_and_nothing_else(seed: int) -> None:
    rng = np.random.default_rng(seed)
    entry = np.where(rng.random(30) < 0.3, rng.uniform(0, 50, 30), 0.0)
    outcomes = Outcomes(entry + rng.uniform(1, 400, 30), rng.integers(0, 3, 30), ("a", "b"), entry)
    days = rng.uniform(-100, 500, 30)
    days[0] = np.nan
    rows, known = known_by(outcomes, days)
    assert rows.tolist() == [i for i in range(30) if days[i] > entry[i]]
    assert (known.duration_days <= days[rows]).all()
    before = outcomes.duration_days[rows] <= days[rows]
    np.testing.assert_array_equal(known.duration_days[before], outcomes.duration_days[rows][before])
    np.testing.assert_array_equal(known.cause[before], outcomes.cause[rows][before])
    assert (known.cause[~before] == 0).all()
    assert known.entry_days is not None
    assert (known.duration_days > known.entry_days).all()
