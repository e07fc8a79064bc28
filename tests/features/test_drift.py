"""Counts in tenths: complete, without values of anyone, and an index whose size under no drift is known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from features.drift import Counting, Reference, Spread, stability_index

VALUES = arrays(
    np.float64, st.integers(1, 60), elements=st.floats(-1e6, 1e6) | st.just(np.nan) | st.sampled_from([0, 1])
)


@given(VALUES, VALUES)
def test_every_value_is_counted_once_by_either_way(learnt: np.ndarray, come: np.ndarray) -> None:
    spread = Spread.of(learnt)
    assert sum(spread.counts) + spread.missing == len(learnt)
    assert list(spread.edges) == sorted(set(spread.edges))
    counting = Counting({"a": spread, "b": Spread.of(np.array([0.0, 1.0, 1.0]))})
    for half in np.array_split(come, 2):
        counting.add(np.column_stack([half, np.zeros(len(half))]))
    found = counting.spreads({"a": spread, "b": Spread.of(np.array([0.0, 1.0, 1.0]))})
    assert found["a"] == Spread.of(come, spread.edges)
    assert counting.n_rows == len(come) == sum(found["b"].counts)


def test_bins_hold_a_tenth_each_and_no_bound_is_a_value_of_a_patient() -> None:
    values = np.random.default_rng(0).lognormal(3, 1, 5_000)
    spread = Spread.of(values)
    assert len(spread.counts) == 10
    assert max(spread.counts) < 1.3 * 500
    assert not set(spread.edges) & set(values.tolist())


def test_the_index_is_as_published_and_zero_without_a_difference() -> None:
    one, other = (Spread(edges=(1.0,), counts=counts, missing=0) for counts in ((30, 70), (50, 50)))
    expected = (0.5 - 0.3) * np.log(0.5 / 0.3) + (0.5 - 0.7) * np.log(0.5 / 0.7)
    assert stability_index(one, other) == pytest.approx(expected)
    assert stability_index(one, one) == 0
    assert np.isnan(stability_index(one, Spread(edges=(1.0,), counts=(0, 0), missing=3)))


def test_under_no_drift_the_index_is_a_scaled_chi_square() -> None:
    """Mean (bins − 1)(1/n + 1/m), Yurdakul & Naranjo 2020."""
    rng, n, m = np.random.default_rng(1), 2_000, 500
    found = []
    for _ in range(300):
        spread = Spread.of(rng.normal(size=n))
        found.append(stability_index(spread, Spread.of(rng.normal(size=m), spread.edges)))
    assert np.mean(found) == pytest.approx(9 * (1 / n + 1 / m), rel=0.1)


def test_a_reference_survives_json_and_leaves_out_rows_without_a_risk() -> None:
    reference = Reference.of({"age": np.array([50.0, np.nan, 60.0])}, {"death": np.array([0.1, np.nan, 0.3])})
    assert Reference.model_validate_json(reference.model_dump_json()) == reference
    assert (reference.n_rows, reference.inputs["age"].missing, reference.risks["death"].missing) == (3, 1, 0)
