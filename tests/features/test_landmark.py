"""Landmark columns against a slow, exact version, on changed futures, and on real CAR-T kinetics."""

from __future__ import annotations

import math
from collections.abc import Mapping
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from random import Random

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import Field, TypeAdapter

from features.documents import DocumentError, validate
from features.errors import SequelaError
from features.landmark import STATISTICS, Statistic, Thresholds, landmark_columns, parse_statistic
from features.patients import FloatArray, Measurements, Patients
from features.schema import Frozen

NAMES = ("crp", "ferritin", "ldh")
WINDOWS = {"auc_0_5": (0.0, 5.0), "auc_-2.5_1": (-2.5, 1.0)}
ALL = (*STATISTICS, "count", "mean", "auc", "cmax", "tmax", *WINDOWS)
LIMITS = {"crp": Thresholds(below=(0.5, -2.0)), "ldh": Thresholds(below=(1.0,), above=(1.0, 0.0))}
Point = tuple[float, float]
"""Day and value."""
Record = tuple[int, int, float, float]
"""Row, variable, day, value."""
days = st.integers(-4, 8).map(float) | st.floats(-4, 8).map(lambda day: round(day, 3))
amounts = st.floats(-1e3, 1e3) | st.sampled_from([math.nan, math.inf, -math.inf, 0.0, 1.0])
eighths = st.integers(-64, 64).map(lambda n: n / 8) | st.sampled_from([math.nan, 0.5, 1.0])
"""Values whose mean, where several are of one day, is equal to a limit exactly or not nearly."""


@st.composite
def cases(draw: st.DrawFn, values: st.SearchStrategy[float] = amounts) -> tuple[list[float], list[Record]]:
    """Landmark days of one to four rows, and up to twenty measurements, many of them on one day."""
    landmarks = draw(st.lists(days, min_size=1, max_size=4))
    record = st.tuples(st.integers(0, len(landmarks) - 1), st.integers(0, 2), days, values)
    return landmarks, draw(st.lists(record, max_size=20))


def patients(landmarks: list[float], rows: list[Record], names: tuple[str, ...] = NAMES) -> Patients:
    row, variable, day, value = (np.array(column) for column in zip(*rows, strict=True)) if rows else (np.zeros(0),) * 4
    measured = Measurements.from_columns(
        len(landmarks), row.astype(np.int64), names, variable.astype(np.int64), day.astype(float), value.astype(float)
    )
    ids = np.array([f"p{i}" for i in range(len(landmarks))], dtype=object)
    return Patients(ids, np.array(landmarks), {}, measured)


def of(case: list[Record], row: int, name: str) -> list[Point]:
    return [(day, value) for r, v, day, value in case if r == row and NAMES[v] == name]


def slow_course(known: list[Point]) -> list[tuple[Fraction, Fraction]]:
    """One value a day."""
    course = []
    for day in sorted({day for day, _ in known}):
        of_day = [Fraction(value) for d, value in known if d == day]
        course.append((Fraction(day), sum(of_day, Fraction()) / len(of_day)))
    return course


def slow_area(known: list[Point], begin: float, end: float) -> float:
    course = slow_course(known)
    if sum(begin <= day <= end for day, _ in course) < 2:
        return math.nan
    area = Fraction()
    for (day, value), (next_day, next_value) in pairwise(course):
        left = day if day >= begin else Fraction(begin)
        right = next_day if next_day <= end else Fraction(end)
        if left < right:
            rise = (next_value - value) / (next_day - day)
            area += (right - left) * (2 * value + rise * (left - day) + rise * (right - day)) / 2
    return float(area)


def slow(landmark: float, values: list[Point]) -> dict[str, float]:
    """Statistics of one row's (day, value) pairs of one variable, by their definitions."""
    known = [(day, value) for day, value in values if day <= landmark and math.isfinite(value)]
    if not known:
        return {**dict.fromkeys(ALL, math.nan), "count": 0.0}
    n = len(known)
    last_day = max(day for day, _ in known)
    mean_day = sum(Fraction(day) for day, _ in known) / n
    sxx = sum((Fraction(day) - mean_day) ** 2 for day, _ in known)
    sxy = sum((Fraction(day) - mean_day) * Fraction(value) for day, value in known)
    after = [(day, value) for day, value in known if day >= 0]
    cmax = max((value for _, value in after), default=math.nan)
    return {
        "last": max(value for day, value in known if day == last_day),
        "age": landmark - last_day,
        "slope": float(sxy / sxx) if len({day for day, _ in known}) > 1 else math.nan,
        "min": min(value for _, value in known),
        "max": max(value for _, value in known),
        "count": n,
        "mean": float(sum(Fraction(value) for _, value in known) / n),
        "auc": slow_area(known, -1e9, 1e9),
        "cmax": cmax,
        "tmax": min((day for day, value in after if value == cmax), default=math.nan),
        **{name: slow_area(known, *window) for name, window in WINDOWS.items()},
    }


def slow_threshold(landmark: float, values: list[Point], limit: float, sign: int) -> Point:
    """Days under (sign 1) or over (−1) a limit and days since the last such moment: the course, cut at the limit."""
    known = [(day, sign * value) for day, value in values if day <= landmark and math.isfinite(value)]
    course, cut = slow_course(known), sign * Fraction(limit)
    moments = [day for day, value in course if value < cut]
    total = Fraction()
    for (day, value), (next_day, next_value) in pairwise(course):
        stops = [day, next_day]
        if (value < cut < next_value) or (next_value < cut < value):
            stops.insert(1, day + (next_day - day) * (cut - value) / (next_value - value))
        for left, right in pairwise(stops):
            middle = (left + right) / 2
            if value + (next_value - value) * (middle - day) / (next_day - day) < cut:
                total += right - left
                moments.append(right)
    since = float(Fraction(landmark) - max(moments)) if moments else math.nan
    return float(total) if len(course) > 1 else math.nan, since


def scale(statistic: str, values: list[Point]) -> float:
    """The size against which rounding is judged: of the data, since sums may cancel."""
    finite = [(day, abs(value)) for day, value in values if math.isfinite(value)]
    size = max((value for _, value in finite), default=1.0)
    if statistic == "slope":
        known_days = sorted({day for day, _ in finite})
        return size / min((b - a for a, b in pairwise(known_days)), default=1.0)
    return max(1.0, 12 * size)


@given(cases(), st.permutations(NAMES))
def test_columns_equal_the_slow_version(case: tuple[list[float], list[Record]], asked: list[str]) -> None:
    landmarks, rows = case
    columns = landmark_columns(patients(landmarks, rows), asked[:2], ALL)
    assert list(columns) == [f"{name}:{statistic}" for statistic in ALL for name in asked[:2]]
    for name in asked[:2]:
        for i, landmark in enumerate(landmarks):
            of_row = of(rows, i, name)
            for statistic, expected in slow(landmark, of_row).items():
                found = columns[f"{name}:{statistic}"][i]
                tolerance = 1e-12 * scale(statistic, of_row)
                np.testing.assert_allclose(found, expected, rtol=1e-12, atol=tolerance, err_msg=f"{name}:{statistic}")


@given(cases(eighths))
@example(([8.0], [(0, 0, 0.0, 1.0), (0, 0, 1.0, 0.0), (0, 0, 3.0, 0.5), (0, 0, 4.0, 0.5), (0, 0, 5.0, 2.0)]))
def test_threshold_columns_equal_the_slow_version(case: tuple[list[float], list[Record]]) -> None:
    landmarks, rows = case
    columns = landmark_columns(patients(landmarks, rows), [], ALL, LIMITS)
    assert list(columns) == [
        f"{name}:{what}_{limit}"
        for name, limits in (("crp", ("below_0.5", "below_-2")), ("ldh", ("below_1", "above_1", "above_0")))
        for limit in limits
        for what in ("days", "since")
    ]
    for name, thresholds in LIMITS.items():
        asked = [("below", 1, limit) for limit in thresholds.below]
        asked += [("above", -1, limit) for limit in thresholds.above]
        for word, sign, limit in asked:
            for i, landmark in enumerate(landmarks):
                expected = slow_threshold(landmark, of(rows, i, name), limit, sign)
                found = [columns[f"{name}:{what}_{word}_{limit:g}"][i] for what in ("days", "since")]
                np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1.2e-11)


def computed(people: Patients) -> dict[str, FloatArray]:
    return landmark_columns(people, NAMES, ALL, LIMITS)


def assert_same_bits(first: Mapping[str, FloatArray], second: Mapping[str, FloatArray]) -> None:
    assert list(first) == list(second)
    for name, column in first.items():
        assert column.tobytes() == second[name].tobytes(), name


@given(cases(), st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2), st.floats(1e-3, 1e3), amounts), max_size=20))
def test_nothing_after_the_landmark_enters(case: tuple[list[float], list[Record]], future: list[Record]) -> None:
    """Whatever came after each row's landmark is deleted, and something else put there."""
    landmarks, rows = case
    past = [record for record in rows if record[2] <= landmarks[record[0]]]
    other = [(r, v, landmarks[r] + later, value) for r, v, later, value in future if r < len(landmarks)]
    columns = computed(patients(landmarks, rows))
    assert_same_bits(columns, computed(patients(landmarks, past)))
    assert_same_bits(columns, computed(patients(landmarks, past + other)))


@given(cases(), st.randoms())
@example(([0.0], [(0, 1, 0.0, 0.0), (0, 1, -0.0, -0.0)]), Random(2))  # two bit patterns of one day, and of one value
def test_columns_do_not_depend_on_the_order_of_measurements(
    case: tuple[list[float], list[Record]], random: Random
) -> None:
    landmarks, rows = case
    shuffled = list(rows)
    random.shuffle(shuffled)
    assert_same_bits(computed(patients(landmarks, rows)), computed(patients(landmarks, shuffled)))


def test_a_row_is_the_same_alone_and_among_thousands() -> None:
    rng = np.random.default_rng(5)
    n, rows = 15_000, 1_300
    day, value = np.round(rng.uniform(-10, 60, n)), rng.lognormal(0, 2, n)
    measured = Measurements.from_columns(
        rows, rng.integers(0, rows, n), NAMES, rng.integers(0, 3, n), day.astype(float), value
    )
    people = Patients(np.arange(rows).astype(str).astype(object), rng.uniform(0, 60, rows), {}, measured)
    together = computed(people)
    assert all(len(column) == rows for column in together.values())
    for i in (0, 511, 512, 700, rows - 1):
        alone = computed(people.take(np.array([i])))
        assert_same_bits(alone, {name: column[i : i + 1] for name, column in together.items()})


def test_a_day_equal_to_the_landmark_is_known_and_the_next_is_not() -> None:
    columns = landmark_columns(patients([3.0], [(0, 0, 3.0, 7.0), (0, 0, 3.001, 100.0)]), ["crp"])
    assert columns["crp:last"].tolist() == [7.0]
    assert columns["crp:age"].tolist() == [0.0]
    assert columns["crp:max"].tolist() == [7.0]


def test_age_may_reach_before_infusion() -> None:
    columns = landmark_columns(patients([30.0], [(0, 1, -7.0, 400.0)]), ["ferritin"], ["age", "slope", "cmax", "max"])
    assert columns["ferritin:age"].tolist() == [37.0]
    assert columns["ferritin:max"].tolist() == [400.0]
    assert np.isnan(columns["ferritin:slope"]).all()
    assert np.isnan(columns["ferritin:cmax"]).all()
    assert len(columns) == 4


def test_areas_worked_by_hand() -> None:
    """Up from 0 on day −2 to 4 on day 2, flat to day 4, down to 0 on day 8."""
    rows: list[Record] = [(0, 0, -2.0, 0.0), (0, 0, 2.0, 4.0), (0, 0, 4.0, 4.0), (0, 0, 8.0, 0.0)]
    asked = ["auc", "auc_0_6", "auc_0_28", "auc_-2_2", "auc_5_7"]
    columns = landmark_columns(patients([30.0, 30.0], [*rows, (1, 0, 1.0, 5.0)]), ["crp"], asked)
    first = {name.partition(":")[2]: column.tolist()[0] for name, column in columns.items()}
    assert first["auc"] == 8 + 8 + 8
    assert first["auc_0_6"] == 6 + 8 + 6  # interpolated on day 0 and on day 6
    assert first["auc_0_28"] == 6 + 8 + 8  # nothing is assumed after day 8
    assert first["auc_-2_2"] == 8  # values on both edges are in
    assert math.isnan(first["auc_5_7"])  # the course passes, but no value is in the window
    assert all(math.isnan(column[1]) for column in columns.values())  # one value has no area


def test_thresholds_worked_by_hand() -> None:
    """Neutrophils fall from 2 to 0 over four days, stay there for three, and rise to 1 in two more."""
    rows: list[Record] = [(0, 0, 0.0, 2.0), (0, 0, 4.0, 0.0), (0, 0, 7.0, 0.0), (0, 0, 9.0, 1.0), (1, 0, 2.0, 0.1)]
    limits = {"crp": Thresholds(below=(0.5,), above=(1.5, 5.0))}
    columns = landmark_columns(patients([14.0, 14.0], rows), [], [], limits)
    np.testing.assert_array_equal(columns["crp:days_below_0.5"], [1 + 3 + 1, np.nan])
    np.testing.assert_array_equal(columns["crp:since_below_0.5"], [14 - 8, 12])  # a single value has a moment
    np.testing.assert_array_equal(columns["crp:days_above_1.5"], [1, np.nan])
    np.testing.assert_array_equal(columns["crp:since_above_1.5"], [14 - 1, np.nan])
    np.testing.assert_array_equal(columns["crp:days_above_5"], [0, np.nan])
    np.testing.assert_array_equal(columns["crp:since_above_5"], [np.nan, np.nan])


def test_a_slope_keeps_its_precision_far_from_zero() -> None:
    people = patients([8.0], [(0, 0, day, 1e6 + day) for day in (7.001, 7.002, 7.004)])
    assert landmark_columns(people, ["crp"])["crp:slope"].tolist() == pytest.approx([1.0], rel=1e-6)


def test_what_overflows_is_missing() -> None:
    people = patients([3.0], [(0, 0, day, value) for day in (0.0, 1.0) for value in (1.7e308, 1.7e308)])
    columns = landmark_columns(people, ["crp"], ALL)
    assert columns["crp:max"].tolist() == [1.7e308]
    assert np.isnan(columns["crp:mean"]).all()
    assert not np.isinf(np.concatenate(list(columns.values()))).any()


@pytest.mark.parametrize("asked", [["il6"], ["il6", "crp"]], ids=["alone", "beside a known one"])
def test_a_variable_that_nobody_measured_is_missing(asked: list[str]) -> None:
    columns = landmark_columns(
        patients([3.0, 4.0], [(1, 0, 0.0, 7.0)]), asked, ALL, {"il8": Thresholds(above=(1.0,), below=(1.0,))}
    )
    for statistic in set(ALL) - {"count"}:
        assert np.isnan(columns[f"il6:{statistic}"]).all()
    assert columns["il6:count"].tolist() == [0, 0]
    assert np.isnan([columns[f"il8:{what}_above_1"] for what in ("days", "since")]).all()
    if "crp" in asked:
        np.testing.assert_array_equal(columns["crp:last"], [np.nan, 7.0])


def test_nothing_asked_or_nobody_there() -> None:
    assert landmark_columns(patients([3.0], [(0, 0, 0.0, 7.0)]), []) == {}
    nobody = patients([3.0], []).take(np.zeros(0, dtype=np.int64))
    assert {column.shape for column in computed(nobody).values()} == {(0,)}


class Config(Frozen):
    """Settings as a researcher writes them."""

    statistics: tuple[Statistic, ...] = STATISTICS
    thresholds: dict[str, Thresholds] = Field(default_factory=dict)


def test_a_configuration_gives_columns() -> None:
    content = {"statistics": [*STATISTICS, "auc_0.0_28"], "thresholds": {"crp": {"below": [0.5, 1], "above": [2000]}}}
    config = validate(content, Config, "run.yaml")
    assert config.statistics == (*STATISTICS, "auc_0_28")
    assert Config.model_validate_json(config.model_dump_json()) == config
    columns = landmark_columns(patients([3.0], []), ["crp"], config.statistics, config.thresholds)
    assert {"crp:auc_0_28", "crp:days_below_0.5", "crp:since_below_1", "crp:days_above_2000"} < set(columns)


@pytest.mark.parametrize(
    ("content", "place", "rule"),
    [
        ({"statistics": ["cmaks"]}, "statistics.0", "No statistic is called 'cmaks'; the nearest is cmax."),
        ({"statistics": ["last", "auc_0_28d"]}, "statistics.1", "the nearest is auc_0_28."),
        ({"statistics": ["?"]}, "statistics.0", "those valid are last, age, slope"),
        ({"statistics": ["auc_28_0"]}, "statistics.0", "The window of auc_28_0 must begin before it ends"),
        ({"statistics": [f"auc_0_{'9' * 400}"]}, "statistics.0", "must begin before it ends"),
        ({"thresholds": {"crp": {"bellow": [1]}}}, "thresholds.crp.bellow", "Did you mean below?"),
        ({"thresholds": {"crp": {}}}, "thresholds.crp", "Give limits under below, above or both"),
        ({"thresholds": {"crp": {"above": [1, 1.0]}}}, "thresholds.crp.above", "Limits must differ"),
        ({"thresholds": {"crp": {"above": [math.nan]}}}, "thresholds.crp.above.0", "finite"),
    ],
    ids=["nearest", "nearest window", "all", "reversed", "endless", "key", "no limit", "twice", "nan"],
)
def test_a_wrong_configuration_names_place_and_remedy(content: dict[str, object], place: str, rule: str) -> None:
    with pytest.raises(DocumentError) as caught:
        validate(content, Config, "run.yaml")
    problems = [str(problem) for problem in caught.value.problems if problem.key == place]
    assert len(problems) == 1
    assert rule in problems[0]


def test_names_of_statistics_are_canonical() -> None:
    assert parse_statistic("auc_-7.50_0") == "auc_-7.5_0"
    assert TypeAdapter(tuple[Statistic, ...]).validate_python(list(STATISTICS)) == STATISTICS
    with pytest.raises(SequelaError, match="no statistic is called 'maximum'"):
        landmark_columns(patients([3.0], []), ["crp"], ["maximum"])


def kinetics(table: pd.DataFrame, landmark: float) -> tuple[Patients, pd.DataFrame]:
    """Patients of a table with columns patient, day, value, and their Cmax, Tmax and AUC0–28 by pandas and numpy."""
    ids = sorted(table["patient"].unique())
    row = table["patient"].map({name: i for i, name in enumerate(ids)})
    records = list(zip(row, [0] * len(table), table["day"], table["value"], strict=True))
    expected = []
    for name in ids:
        known = table[(table["patient"] == name) & (table["day"] <= landmark)].dropna()
        after = known[known["day"] >= 0].sort_values("day").reset_index(drop=True)
        daily = known.groupby("day")["value"].mean()
        edges = [edge for edge in (0.0, 28.0) if len(daily) and daily.index[0] <= edge <= daily.index[-1]]
        grid = np.union1d(daily.loc[0:28].index, edges)
        area = np.trapezoid(np.interp(grid, daily.index, daily), grid) if len(daily.loc[0:28]) > 1 else np.nan
        top = after["value"].idxmax() if len(after) else None
        expected.append((np.nan, np.nan, area) if top is None else (after["value"][top], after["day"][top], area))
    return patients([landmark] * len(ids), records, ("car",)), pd.DataFrame(
        expected, index=ids, columns=["cmax", "tmax", "auc_0_28"]
    )


def assert_kinetics(people: Patients, expected: pd.DataFrame) -> None:
    columns = landmark_columns(people, ["car"], list(expected.columns))
    for statistic in expected.columns:
        np.testing.assert_allclose(columns[f"car:{statistic}"], expected[statistic], rtol=1e-12, err_msg=statistic)


@pytest.mark.parametrize("landmark", [10.0, 20.5, 28.0, 90.0])
def test_expansion_of_ctl019_in_blood(shared_data: Path, landmark: float) -> None:
    table = pd.read_csv(shared_data / "upenn_cart19" / "car_kinetics_vcn.csv")
    table = table[table["sample_type"] == "PB"].rename(columns={"copies_per_ug_dna": "value"})
    people, expected = kinetics(table[["patient", "day", "value"]], landmark)
    assert len(people) == 40
    assert expected["auc_0_28"].notna().sum() >= 37
    if landmark == 90:
        assert expected.loc["p04409-01", "cmax"] == 409645.21
    assert_kinetics(people, expected)


@pytest.mark.parametrize("landmark", [6.0, 14.0, 100.0])
def test_expansion_of_bcma_cars(shared_data: Path, landmark: float) -> None:
    """Measured on days 7, 14, 30 and 100, some missing: day 28 lies between two values, day 0 before all."""
    table = pd.read_csv(shared_data / "leipzig_bcma_cart" / "pcr_data.csv")
    table = table[table["sample"].str.startswith("cart_copies_")]
    table = pd.DataFrame(
        {
            "patient": table["patient_id"],
            "day": table["Day"].str.removeprefix("Day ").astype(float),
            "value": table["no_copies"],
        }
    )
    people, expected = kinetics(table, landmark)
    assert len(people) == 52
    if landmark == 100:  # 185 on day 7, 75 on day 14, 49 on day 30
        assert list(expected.loc["Patient001"]) == pytest.approx([185, 7, 910 + 14 * (75 + 52.25) / 2], rel=1e-12)
    assert_kinetics(people, expected)
