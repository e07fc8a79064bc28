"""CAR-HEMATOTOX against its published table, written out case by case."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.scores.car_hematotox import CAR_HEMATOTOX

NAMES = ("platelets", "anc", "haemoglobin", "crp", "ferritin")


def published(platelets: float, anc: float, haemoglobin: float, crp: float, ferritin: float) -> int:
    """Rejeski 2021, as the table is read aloud; neutrophils a microlitre, the rest as in the paper."""
    score = 0
    if platelets < 75:
        score += 2
    elif platelets <= 175:
        score += 1
    if not anc > 1200:
        score += 1
    if not haemoglobin > 9.0:
        score += 1
    if not crp < 3.0:
        score += 1
    if ferritin > 2000:
        score += 2
    elif ferritin >= 650:
        score += 1
    return score


def score(platelets: float, anc: float, haemoglobin: float, crp: float, ferritin: float) -> float:
    values = {"platelets": platelets, "anc": anc / 1000, "haemoglobin": haemoglobin, "crp": crp, "ferritin": ferritin}
    return float(CAR_HEMATOTOX.compute(values)[0])


VIGNETTES = [
    pytest.param((220, 3400, 12.4, 0.8, 180), 0, "low", id="well preserved"),
    pytest.param((130, 1800, 10.5, 1.4, 320), 1, "low", id="platelets only"),
    pytest.param((60, 1800, 10.5, 1.4, 320), 2, "high", id="platelets alone make high"),
    pytest.param((110, 950, 10.1, 4.2, 540), 3, "high", id="cytopenic and inflamed"),
    pytest.param((60, 700, 8.5, 2.4, 1400), 5, "high", id="marrow involved"),
    pytest.param((40, 400, 7.8, 9.5, 3200), 7, "high", id="the highest"),
]


@pytest.mark.parametrize(("values", "expected", "group"), VIGNETTES)
def test_worked_examples(values: tuple[float, ...], expected: int, group: str) -> None:
    assert published(*values) == expected
    assert score(*values) == expected
    assert CAR_HEMATOTOX.group(np.array([score(*values)])).tolist() == [group]


def test_every_combination_around_every_limit() -> None:
    around = (
        (74.9, 75, 75.1, 174.9, 175, 175.1),
        (1199, 1200, 1201),
        (8.9, 9.0, 9.1),
        (2.9, 3.0, 3.1),
        (649, 650, 651, 1999, 2000, 2001),
    )
    cases = list(itertools.product(*around))
    columns = dict(zip(NAMES, np.array(cases, dtype=float).T, strict=True))
    columns["anc"] = columns["anc"] / 1000
    np.testing.assert_array_equal(CAR_HEMATOTOX.compute(columns), [published(*case) for case in cases])


worse = st.tuples(*[st.floats(0, 5)] * 5)
labs = st.tuples(st.floats(0, 400), st.floats(0, 8000), st.floats(0, 18), st.floats(0, 40), st.floats(0, 9000))


@given(labs)
def test_agrees_with_the_table_and_keeps_its_range(values: tuple[float, ...]) -> None:
    found = score(*values)
    assert found == published(*values)
    assert CAR_HEMATOTOX.range[0] <= found <= CAR_HEMATOTOX.range[1]


@given(labs, worse)
def test_lower_counts_and_more_inflammation_never_lower_the_score(
    values: tuple[float, ...], factors: tuple[float, ...]
) -> None:
    counts = [value / (1 + factor) for value, factor in zip(values[:3], factors[:3], strict=True)]
    inflammation = [value * (1 + factor) for value, factor in zip(values[3:], factors[3:], strict=True)]
    assert score(*counts, *inflammation) >= score(*values)


@pytest.mark.parametrize("name", NAMES)
def test_without_any_one_input_there_is_no_score(name: str) -> None:
    values = {"platelets": 40.0, "anc": 0.4, "haemoglobin": 7.8, "crp": 9.5, "ferritin": 3200.0} | {name: np.nan}
    assert np.isnan(CAR_HEMATOTOX.compute(values)).all()
