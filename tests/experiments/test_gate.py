"""Gates as files, and their checks on scores, groups and examples."""

from __future__ import annotations

from math import nan
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from experiments.home import CONFIGS
from experiments.promotion.gate import Gate, Limit, Threshold, load_gate
from experiments.promotion.limits import threshold_checks
from experiments.promotion.subgroup_checks import _groups
from experiments.promotion.verdict import Check, Verdict
from features.errors import SequelaError
from training.evaluation.intervals import Interval

VALUE = Interval(0.5, 0.3, 0.6)


@pytest.mark.parametrize("path", sorted((CONFIGS / "gate").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_gate_that_comes_with_sequela_is_read(path: Path) -> None:
    gate = load_gate(path)
    assert gate.name == path.stem
    assert gate.leaks is not None
    assert gate.champion is not None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("metrcs: []", "No such key. Did you mean metrics?"),
        ("metrics: [{metric: ipa, at_lest: 0}]", "metrics.0.at_lest: No such key. Did you mean at_least?"),
        ("metrics: [{metric: ici, at_most: 0.1}]", "metrics.0.metric"),
        ("metrics: [{metric: ipa}]", "give one of at_least, at_most and between; 0 are given"),
        ("metrics: [{metric: ipa, at_least: 0, at_most: 1}]", "2 are given"),
        ("metrics: [{metric: ipa, at_least: 0, bound: overlaps}]", "bound: overlaps does not go with at_least"),
        ("calibration: [{metric: o_e, between: [0.8, 1.2], bound: low}]", "bound: low does not go with between"),
        ("calibration: [{metric: o_e, between: [1.2, 0.8]}]", "low ≤ high"),
        ("metrics: [{metric: c, at_least: 0.5, horizons_days: [90]}]", "c is taken over all times"),
        ("subgroups: {by: {age: [65, 50]}, thresholds: [{metric: o_e, at_most: 2}]}", "the cuts of age must ascend"),
        ("champion: {margin: -0.1}", "champion.margin"),
        ("example: {tolerance: 0.1}", "example.tolerance"),
        ("resamples: 100", "a gate asks something"),
        ("- a list", "mapping"),
    ],
)
def test_a_wrong_gate_is_refused_by_key(content: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "gate.yaml"
    path.write_text(content)
    with pytest.raises(SequelaError) as refused:
        load_gate(path)
    assert message.casefold() in str(refused.value).casefold()
    assert "gate.yaml" in str(refused.value)


@pytest.mark.parametrize(
    ("rule", "value", "keeps"),
    [
        ({"at_least": 0.5}, VALUE, True),
        ({"at_least": 0.5, "bound": "low"}, VALUE, False),
        ({"at_least": 0.55, "bound": "high"}, VALUE, True),
        ({"at_most": 0.55}, VALUE, True),
        ({"at_most": 0.55, "bound": "high"}, VALUE, False),
        ({"between": (0.55, 1.0)}, VALUE, False),
        ({"between": (0.55, 1.0), "bound": "overlaps"}, VALUE, True),
        ({"between": (0.61, 1.0), "bound": "overlaps"}, VALUE, False),
        ({"between": (0.1, 0.29), "bound": "overlaps"}, VALUE, False),
        ({"between": (0.3, 0.6), "bound": "within"}, VALUE, True),
        ({"between": (0.35, 0.6), "bound": "within"}, VALUE, False),
        ({"at_least": 0.5, "bound": "low"}, Interval(0.9, nan, nan), None),
        ({"between": (0.0, 1.0), "bound": "overlaps"}, Interval(0.9, nan, nan), None),
    ],
)
def test_a_limit_is_held_against_the_bound_that_is_named(
    rule: dict[str, Any], value: Interval, keeps: bool | None
) -> None:
    assert Limit.model_validate(rule).keeps(value) is keeps


SCORES = pd.DataFrame(
    [
        (0.0, nan, "ipa", 0.1, 0.02, 0.2),
        (0.0, 90.0, "ipa", 0.1, -0.1, 0.3),
        (30.0, nan, "ipa", nan, nan, nan),
        (0.0, 90.0, "auc", 0.7, 0.6, 0.8),
        (0.0, 365.0, "auc", nan, nan, nan),
        (30.0, 90.0, "auc", 0.4, 0.3, 0.5),
    ],
    columns=["landmark_day", "horizon_days", "metric", "point", "low", "high"],
)


def statuses(**rule: Any) -> dict[str, str]:
    checks = threshold_checks("metrics", [Threshold.model_validate(rule)], SCORES)
    return {check.name: check.status for check in checks}


def test_a_limit_speaks_of_every_landmark_and_horizon_unless_some_are_named() -> None:
    assert statuses(metric="ipa", at_least=0, bound="low") == {"ipa from day 0": "passed", "ipa from day 30": "failed"}
    assert statuses(metric="auc", at_least=0.5) == {
        "auc at 90 d from day 0": "passed",
        "auc at 365 d from day 0": "not applicable",
        "auc at 90 d from day 30": "failed",
    }
    named = statuses(metric="ipa", at_least=0, bound="low", horizons_days=[90], landmark_days=[0])
    assert named == {"ipa at 90 d from day 0": "failed"}
    absent = statuses(metric="auc", at_least=0, horizons_days=[730], landmark_days=[0])
    assert absent == {"auc at 730 d from day 0": "failed"}, "what was not scored must not pass"


def test_groups_part_the_patients() -> None:
    sex = pd.Series(["f", "m", None, "f"], dtype=object)
    assert {name: list(rows) for name, rows in _groups(sex, "sex", ()).items()} == {
        "sex=f": [True, False, False, True],
        "sex=m": [False, True, False, False],
    }
    age = pd.Series([40.0, 65.0, nan, 80.0])
    assert {name: list(rows) for name, rows in _groups(age, "age", (65.0, 75.0)).items()} == {
        "age < 65": [True, False, False, False],
        "age ≥ 65 < 75": [False, True, False, False],
        "age ≥ 75": [False, False, False, True],
    }
    with pytest.raises(SequelaError, match="say where to part it"):
        _groups(age, "age", ())
    with pytest.raises(SequelaError, match="is no number"):
        _groups(sex, "sex", (65.0,))


def test_a_verdict_needs_something_that_was_passed() -> None:
    passed, absent = (Check("metrics", "x", status, "") for status in ("passed", "not applicable"))
    failed = Check("metrics", "y", "failed", "")
    assert Verdict("gate", (passed, absent), None).passed
    assert not Verdict("gate", (absent,), None).passed
    assert not Verdict("gate", (passed, failed), None).passed
    assert "no check of the gate applies" in Verdict("gate", (absent,), None).complaint()


def test_a_gate_cannot_be_changed() -> None:
    gate = Gate.model_validate({"name": "g", "leaks": {}})
    with pytest.raises(ValueError, match="frozen"):
        gate.name = "other"  # type: ignore[misc]
