from __future__ import annotations

import json

import pytest

from features.errors import InputError
from serving.refusals import LONGEST_FIELD, TooLargeError, fault_of, parse

SENTINEL = "SENTINEL-8841"
ANY_VALUE = 'must be a number, text, null, or {"value": number, "unit": text}'


def refused(body: str | bytes) -> InputError:
    with pytest.raises(InputError, match=r"^[^:]+: .+") as caught:
        parse(body.encode() if isinstance(body, str) else body)
    return caught.value


@pytest.mark.parametrize(
    ("patient", "field", "rule"),
    [
        ('{"landmark_day": "SENTINEL-8841"}', "landmark_day", "must be a valid number"),
        ('{"landmark_day": "30"}', "landmark_day", "must be a valid number"),
        ('{"landmark_day": NaN}', "landmark_day", "must be a finite number"),
        ('{"landmark_day": -Infinity}', "landmark_day", "must be a finite number"),
        ('{"landmark_day": 1e999}', "landmark_day", "must be a finite number"),
        ('{"landmark_day": true}', "landmark_day", "must be a valid number"),
        ('{"landmark_dy": 3}', "landmark_dy", "is not a field of a request. Did you mean landmark_day?"),
        ('{"qqqq": "SENTINEL-8841"}', "qqqq", "is not a field of a request"),
        ('{"patient_id": 8841}', "patient_id", "must be a valid string"),
        ('{"baseline": {"age": NaN}}', "baseline.age", "must be a finite number"),
        ('{"baseline": {"age": true}}', "baseline.age", ANY_VALUE),
        ('{"baseline": {"age": [1]}}', "baseline.age", ANY_VALUE),
        ('{"baseline": {"age": {"value": 3}}}', "baseline.age.unit", "is required"),
        (
            '{"baseline": {"age": {"value": "SENTINEL-8841", "unit": "a"}}}',
            "baseline.age.value",
            "must be a valid number",
        ),
        ('{"baseline": {"age": {"value": NaN, "unit": "a"}}}', "baseline.age.value", "must be a finite number"),
        ('{"baseline": {"age": {"value": 1, "unit": "a", "x": 1}}}', "baseline.age.x", "is not a field of a request"),
        (
            '{"measurements": [{"variable": "x", "day": 1, "value": "SENTINEL-8841"}]}',
            "measurements[0].value",
            "must be a valid number",
        ),
        ('{"measurements": [{"variable": "x", "value": 1}]}', "measurements[0].day", "is required"),
        ('{"measurements": {"SENTINEL-8841": 1}}', "measurements", "must be a valid array"),
        (
            '{"samples": [{"material": "b", "day": 0, "genes": ["A"], "indptr": [0, 0.5], "indices": []}]}',
            "samples[0].indptr[1]",
            "must be a valid integer",
        ),
        (
            '{"samples": [{"material": "b", "day": 0, "genes": ["A"], "indptr": [0], "indices": [], "values": []}]}',
            "samples[0].indptr",
            "holds one number more than there are cells, and there must be a cell where genes are given",
        ),
        ('"SENTINEL-8841"', "", "must be an object"),
    ],
)
def test_the_field_and_the_rule_are_named_and_the_value_is_not(patient: str, field: str, rule: str) -> None:
    error = refused(f'{{"patients": [{{}}, {patient}]}}')
    assert (error.field, error.rule) == (f"patients[1].{field}".rstrip("."), rule)
    assert SENTINEL not in str(error)
    assert error.__context__ is None  # pydantic's error would carry the input into any log
    assert error.__cause__ is None


@pytest.mark.parametrize(
    ("body", "field", "rule"),
    [
        ("", "body", "must be JSON: "),
        ('{"patients": [{"patient_id": "SENTINEL-8841" 3}]}', "body", "must be JSON: expected"),
        (b'{"patients": [{"patient_id": "\xff"}]}', "body", "must be JSON: "),
        ('{"patients": [{"patient_id": "\\ud800"}]}', "body", "must be JSON: "),
        ("[" * 5000, "body", "must be JSON: recursion limit"),
        ('["SENTINEL-8841"]', "body", "must be an object"),
        ("{}", "patients", "is required"),
        ('{"patients": []}', "patients", "must have at least 1 item"),
        (
            '{"patients": [{}], "horizon_days": [90]}',
            "horizon_days",
            "is not a field of a request. Did you mean horizons_days?",
        ),
        ('{"patients": [{}], "horizons_days": []}', "horizons_days", "must have at least 1 item"),
        ('{"patients": [{}], "horizons_days": ["SENTINEL-8841"]}', "horizons_days[0]", "must be a valid number"),
        ('{"patients": [{}], "horizons_days": [Infinity]}', "horizons_days[0]", "must be a finite number"),
    ],
    ids=lambda value: value[:30] if isinstance(value, str) else None,
)
def test_faults_of_the_whole_request(body: str | bytes, field: str, rule: str) -> None:
    error = refused(body)
    assert error.field == field
    assert error.rule.startswith(rule)
    assert SENTINEL not in str(error)


def test_ten_thousand_patients_and_no_more() -> None:
    assert len(parse(json.dumps({"patients": [{}] * 10_000}).encode()).patients) == 10_000
    error = refused(json.dumps({"patients": [{}] * 10_001}))
    assert error.field == "patients"
    assert isinstance(error, TooLargeError)
    assert error.rule.startswith("may hold at most 10,000 in one request")


def test_integers_are_numbers_and_null_is_unknown() -> None:
    record = parse(b'{"patients": [{"landmark_day": 30, "baseline": {"age": 55, "ecog": null}}]}').patients[0]
    assert record.landmark_day == 30.0
    assert record.baseline == {"age": 55.0, "ecog": None}


def test_an_endless_field_name_is_not_said_back_whole() -> None:
    body = fault_of(refused(json.dumps({"patients": [{"x" * 5000: 1}]})))
    assert body.field is not None
    assert len(body.field) == LONGEST_FIELD
