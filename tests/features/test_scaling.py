"""The scaler: what is kept, how it is transformed, and that only training rows decide."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from features.scaling import CLIP, SKEWED, ColumnScaler

Columns = dict[str, NDArray[np.float64]]
NORMAL = np.random.default_rng(0).normal(60, 10, 200)
SKEW = np.random.default_rng(1).lognormal(5, 1, 200)


def fit(columns: Columns, minimum_observed: float = 0.1) -> ColumnScaler:
    return ColumnScaler.fit(columns, minimum_observed=minimum_observed)


def with_gaps(values: NDArray[np.float64], share: float, seed: int = 0) -> NDArray[np.float64]:
    gaps = np.random.default_rng(seed).random(len(values)) < share
    return np.where(gaps, np.nan, values)


finite = st.floats(-1e6, 1e6).map(lambda value: round(value, 3))


@given(st.lists(st.lists(finite | st.just(math.nan), min_size=12, max_size=12), min_size=1, max_size=4))
def test_training_columns_have_mean_0_and_sd_1_before_clipping(table: list[list[float]]) -> None:
    columns = {f"c{i}": np.array(values) for i, values in enumerate(table)}
    scaler = fit(columns)
    x = scaler.transform(columns)
    assert x.shape == (12, len(scaler.output_names))
    assert np.isfinite(x).all()
    for j, _ in enumerate(scaler.kept):
        assert abs(x[:, j].mean()) < 1e-6
        assert x[:, j].std() == pytest.approx(1.0, abs=1e-6), "12 rows cannot pass the clip"


def test_rows_of_one_batch_do_not_touch_each_other_and_nothing_is_refitted() -> None:
    columns = {"age": with_gaps(NORMAL, 0.1), "ferritin": SKEW}
    scaler = fit(columns)
    first = scaler.transform({name: column[:3] for name, column in columns.items()})
    others = {name: np.concatenate([column[:3], [1e9, -1e9, np.nan]]) for name, column in columns.items()}
    np.testing.assert_array_equal(scaler.transform(others)[:3], first)
    np.testing.assert_array_equal(scaler.transform(columns)[:3], first)


def test_constant_scarce_and_repeated_columns_are_dropped() -> None:
    scarce = np.full(200, np.nan)
    scarce[:19] = NORMAL[:19]
    scaler = fit(
        {
            "age": NORMAL,
            "constant": np.full(200, 7.0),
            "constant where known": with_gaps(np.full(200, 7.0), 0.5),
            "absent": np.full(200, np.nan),
            "scarce": scarce,
            "age in months": NORMAL * 12 - 3,
            "age again": NORMAL.copy(),
            "ferritin": SKEW,
        }
    )
    assert scaler.output_names == ("age", "ferritin")


@pytest.mark.parametrize("scale", [1e-15, 1e-9, 1.0, 1e12])
def test_units_do_not_matter(scale: float) -> None:
    """What varies in mol/L does not become constant, and what is constant in copies/mL does not begin to vary."""
    columns = {"age": NORMAL, "ferritin": SKEW, "constant": np.full(200, 0.1) + np.arange(200) % 3 * 1e-17}
    scaled = {name: column * scale for name, column in columns.items()}
    assert fit(scaled).output_names == ("age", "ferritin")
    np.testing.assert_allclose(fit(scaled).transform(scaled), fit(columns).transform(columns), atol=1e-9)


def test_zero_and_minus_zero_are_one_value() -> None:
    """A repeated column is seen as one although rounding leaves it −0 where the first has 0."""
    column = np.array([-1.0, 0.0, 0.0, 1.0] * 5)
    repeated = np.where(column == 0, -0.0, column)
    assert fit({"first": column, "again": repeated}).output_names == ("first",)


def test_logarithm_is_for_skewed_positive_columns_only() -> None:
    columns = {
        "skewed": SKEW,
        "with zero": np.where(np.arange(200) == 5, 0.0, SKEW + 1),
        "negative": SKEW[::-1] - 1000,
        "normal": NORMAL,
    }
    scaler = fit(columns)
    assert {column.name: column.logarithm for column in scaler.kept} == {
        "skewed": True,
        "with zero": False,
        "negative": False,
        "normal": False,
    }
    logs = np.log(SKEW)
    np.testing.assert_allclose(scaler.transform(columns)[:, 0], (logs - logs.mean()) / logs.std(), atol=1e-12)


def test_the_limit_of_skewness_is_that_of_the_definition() -> None:
    def skewness(values: NDArray[np.float64]) -> float:
        return float(((values - values.mean()) ** 3).mean() / values.std() ** 3)

    exponents = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0]
    rng = np.random.default_rng(2)
    columns = {f"{exponent}": np.exp(exponent * rng.normal(size=200)) for exponent in exponents}
    found = [column.logarithm for column in fit(columns).kept]
    assert found == [skewness(values) > SKEWED for values in columns.values()]
    assert len(set(found)) == 2


def test_missing_values_get_the_median_and_what_has_no_logarithm_is_missing() -> None:
    columns = {"ferritin": SKEW, "age": NORMAL}
    scaler = fit(columns)
    ferritin, age = scaler.kept
    new = {"ferritin": np.array([np.nan, 0.0, -3.0, np.inf]), "age": np.array([np.nan, -np.inf, np.nan, np.nan])}
    expected = (np.median(np.log(SKEW)) - ferritin.mean) / ferritin.sd
    np.testing.assert_allclose(scaler.transform(new)[:, 0], expected)
    np.testing.assert_allclose(scaler.transform(new)[:, 1], (np.median(NORMAL) - age.mean) / age.sd)


def test_far_values_are_clipped() -> None:
    scaler = fit({"age": NORMAL})
    assert scaler.transform({"age": np.array([1e9, -1e9])})[:, 0].tolist() == [CLIP, -CLIP]


def test_what_is_missing_together_gets_one_indicator() -> None:
    gaps = with_gaps(NORMAL, 0.3)
    columns = {
        "crp:last": gaps,
        "crp:min": np.where(np.isnan(gaps), np.nan, SKEW),
        "ldh:last": with_gaps(SKEW[::-1], 0.3, seed=7),
        "age": with_gaps(NORMAL[::-1], 0.01, seed=3),
    }
    scaler = fit(columns)
    assert scaler.output_names == ("crp:last", "crp:min", "ldh:last", "age", "crp:last missing", "ldh:last missing")
    x = scaler.transform(columns)
    np.testing.assert_array_equal(x[:, 4], np.isnan(gaps))
    np.testing.assert_array_equal(x[:, 5], np.isnan(columns["ldh:last"]))


def test_report_names_missing_and_unusual_columns() -> None:
    scaler = fit({"age": NORMAL, "ferritin": SKEW})
    new = {"age": np.array([60.0, np.nan, 1000.0]), "ferritin": np.array([np.nan, SKEW.max() * 2, np.median(SKEW)])}
    missing, outside = scaler.report(scaler.values(new))
    assert missing == (("ferritin",), ("age",), ())
    assert outside == ((), ("ferritin",), ("age",))
    usual = scaler.report(scaler.values({"age": NORMAL, "ferritin": SKEW}))[1]
    assert sum(map(len, usual)) == 4, "one in each tail of two columns of 200"


@given(st.lists(st.lists(finite, min_size=8, max_size=8), min_size=0, max_size=3))
def test_state_goes_through_json_exactly(table: list[list[float]]) -> None:
    columns = {f"c{i}": np.array(values) for i, values in enumerate(table)} | {"age": NORMAL[:8]}
    scaler = fit(columns)
    again = ColumnScaler.from_state(json.loads(json.dumps(scaler.state(), allow_nan=False)))
    assert again == scaler
    np.testing.assert_array_equal(again.transform(columns), scaler.transform(columns))


def test_nothing_kept_is_an_empty_matrix() -> None:
    columns = {"constant": np.ones(5)}
    assert fit(columns).transform(columns).shape == (5, 0)
    assert ColumnScaler.empty().output_names == ()
