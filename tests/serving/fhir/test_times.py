"""Instants order values; days stay as they are written; dates are dates."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from assessments import Assess, Json, notes, risks
from bundles import bundle, day, observation
from hypothesis import given
from hypothesis import strategies as st

from features.errors import InputError
from serving.fhir.times import moment_of


def crp(value: float, when: str, **more: Any) -> Json:
    return observation("1988-5", 0, value, "mg/L", effectiveDateTime=when, **more)


def test_the_latest_value_is_so_by_its_instant(assess: Assess) -> None:
    late, early = crp(200, "2026-03-02T09:00:00Z", id="late"), crp(2, "2026-03-02T10:00:00+02:00", id="early")
    assert risks(assess(bundle(late, early))) == risks(assess(bundle(late)))
    assert risks(assess(bundle(early, late))) == risks(assess(bundle(late)))
    assert risks(assess(bundle(late))) != risks(assess(bundle(early)))


def test_a_correction_is_of_the_same_instant_in_another_zone(assess: Assess) -> None:
    wrong = crp(200, "2026-02-28T09:00:00Z")
    right = crp(2, "2026-02-28T10:00:00.000+01:00", status="corrected")
    found = assess(bundle(wrong, right))
    assert "1 repeated or replaced" in notes(found)
    assert risks(found) == risks(assess(bundle(right)))


def test_the_last_issue_is_so_by_its_instant(assess: Assess) -> None:
    first = crp(200, day(-1), issued="2026-03-01T10:00:00+02:00")
    last = crp(2, day(-1), issued="2026-03-01T09:00:00Z")
    assert risks(assess(bundle(first, last))) == risks(assess(bundle(last)))
    first, last = (
        {k: v for k, v in one.items() if k != "issued"} | {"meta": {"lastUpdated": one["issued"]}}
        for one in (first, last)
    )
    assert risks(assess(bundle(last, first))) == risks(assess(bundle(last)))


def test_the_day_is_that_which_is_written(assess: Assess) -> None:
    after, before = crp(200, "2026-03-03T00:30:00+14:00"), crp(200, "2026-03-02T23:30:00-11:00")
    assert "1 after infusion, of what is taken at infusion" in notes(assess(bundle(after)))
    assert risks(assess(bundle(before))) == risks(assess(bundle(crp(200, day(0)))))


@pytest.mark.parametrize(
    "text", ["2026-02-30", "2026-02-01T", "2026-02-01T25:00:00Z", "2026-2-1", "1850-01-01", "0001-01-01", "٢٠٢٦-01-01"]
)
def test_what_is_no_date_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="date of FHIR"):
        moment_of(text, "here")


def test_seconds_may_leap_and_have_fractions() -> None:
    found = moment_of("2016-12-31T23:59:60.123456789Z", "here")
    assert found is not None
    assert found.instant.replace(microsecond=0) == datetime(2016, 12, 31, 23, 59, 59, tzinfo=UTC)


@given(
    st.datetimes(datetime(2000, 1, 1), datetime(2099, 1, 1)),  # noqa: DTZ001  (the zones are drawn apart)
    st.integers(-12 * 60, 12 * 60),
    st.integers(-12 * 60, 12 * 60),
)
def test_a_date_alone_lies_between_the_days_around_it(when: datetime, zone: int, other: int) -> None:
    def written(at: datetime, minutes: int) -> str:
        sign, (hours, rest) = "-" if minutes < 0 else "+", divmod(abs(minutes), 60)
        return f"{at.isoformat(timespec='seconds')}{sign}{hours:02d}:{rest:02d}"

    today = moment_of(when.date().isoformat(), "")
    before = moment_of(written(datetime.combine(when.date(), datetime.max.time()) - timedelta(days=1), zone), "")
    after = moment_of(written(datetime.combine(when.date(), datetime.min.time()) + timedelta(days=1), other), "")
    assert today is not None and before is not None and after is not None  # noqa: PT018
    assert before.instant < today.instant <= after.instant
    same = moment_of(written(when.replace(microsecond=0), zone), "")
    moved = moment_of(written(when.replace(microsecond=0) + timedelta(minutes=other - zone), other), "")
    assert same is not None and moved is not None  # noqa: PT018
    assert same.instant == moved.instant


def test_one_cannot_ask_in_the_future(assess: Assess) -> None:
    today = datetime.now(UTC).date()
    for days, fine in ((1, True), (3, False)):
        when = (today + timedelta(days=days)).isoformat()
        asked = {"resourceType": "Parameters", "parameter": [{"name": "bundle", "resource": bundle()}]}
        asked["parameter"].append({"name": "date", "valueDate": when})
        for content, field in (
            (asked, "Parameters.parameter[1].valueDate"),
            (bundle(timestamp=f"{when}T00:00:00Z"), "Bundle.timestamp"),
        ):
            if fine:
                assert assess(content)["occurrenceDateTime"] == when
                continue
            with pytest.raises(InputError) as refused:
                assess(content)
            assert refused.value.field == field
