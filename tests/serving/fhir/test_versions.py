"""Bundles of several kinds, several versions of one resource, and resources that do not mean what they say."""

from __future__ import annotations

from typing import Any

import pytest
from assessments import Assess, Json, notes, risks
from bundles import bundle, condition, infusion, observation

from features.errors import InputError
from serving.fhir.record import NotApplicableError

OLD, NEW = (
    {"versionId": "1", "lastUpdated": "2026-03-01T23:00:00Z"},
    {"versionId": "2", "lastUpdated": "2026-03-02T00:30:00+01:00"},
)


def ferritin(value: float, **more: Any) -> Json:
    return observation("2276-4", -2, value, "ng/mL", id="x", **more)


def changed(**more: Any) -> Json:
    """A Bundle whose first Observation's entry says more."""
    found = bundle(ferritin(900))
    found["entry"][2] |= more
    return found


@pytest.mark.parametrize("kind", ["collection", "searchset", "document", "transaction", "batch", None])
def test_bundles_of_present_resources_are_read(assess: Assess, kind: str | None) -> None:
    found = bundle(ferritin(900), type=kind)
    assert risks(assess(found)) == risks(assess(bundle(ferritin(900))))


@pytest.mark.parametrize("kind", ["history", "nonsense", "", 3, [], {}])
def test_bundles_of_other_kinds_are_refused(assess: Assess, kind: Any) -> None:
    with pytest.raises(InputError) as refused:
        assess(bundle(ferritin(900), type=kind))
    assert refused.value.field == "Bundle.type"


@pytest.mark.parametrize("meta", [(OLD, NEW), ({"versionId": "9"}, {"versionId": "10"})])
def test_the_last_version_counts(assess: Assess, meta: tuple[Json, Json]) -> None:
    old, new = (ferritin(value, meta=one) for value, one in zip((90_000, 900), meta, strict=True))
    alone = risks(assess(bundle(ferritin(900))))
    for both in ((old, new), (new, old)):
        assert risks(assess(bundle(*both))) == alone
        assert "1 copies or earlier versions" in notes(assess(bundle(*both)))


def test_a_version_entered_in_error_takes_back_the_earlier_one(assess: Assess) -> None:
    wrong = ferritin(90_000, meta=OLD)
    back = wrong | {"status": "entered-in-error", "meta": NEW}
    assert risks(assess(bundle(wrong, back))) == risks(assess(bundle()))
    assert risks(assess(bundle(back, wrong))) == risks(assess(bundle()))


def test_a_condition_that_was_severe_in_an_earlier_version_is_not(assess: Assess) -> None:
    severe = condition("infection", 20, 4) | {"id": "c", "meta": OLD}
    mild = condition("infection", 20, 2) | {"id": "c", "meta": NEW}
    assert "if it was" not in notes(assess(bundle(severe, mild)))
    with pytest.raises(NotApplicableError):
        assess(bundle(severe | {"meta": NEW}, mild | {"meta": OLD}))


def test_versions_that_do_not_say_which_is_the_last_are_refused(assess: Assess) -> None:
    with pytest.raises(InputError) as refused:
        assess(bundle(ferritin(90_000), ferritin(900)))
    assert refused.value.field == "Bundle.entry[3].resource.meta"
    with pytest.raises(InputError):
        assess(bundle(ferritin(90_000, meta=OLD), ferritin(900, meta=OLD)))
    with pytest.raises(InputError):
        assess(bundle(ferritin(90_000, meta=OLD), ferritin(900)))


def test_copies_are_one(assess: Assess) -> None:
    assert risks(assess(bundle(ferritin(900), ferritin(900)))) == risks(assess(bundle(ferritin(900))))


def test_one_id_of_two_servers_is_two_resources(assess: Assess) -> None:
    found = bundle(ferritin(900), observation("2276-4", -1, 900, "ng/mL", id="x"))
    for i, server in ((2, "a"), (3, "b")):
        found["entry"][i]["fullUrl"] = f"https://{server}.example/fhir/Observation/x"
        found["entry"][i]["resource"].pop("subject")
    apart = bundle(ferritin(900), observation("2276-4", -1, 900, "ng/mL", id="y"))
    assert risks(assess(found)) == risks(assess(apart))


def test_what_is_to_be_deleted_is_not_read(assess: Assess) -> None:
    found = changed(request={"method": "DELETE", "url": "Observation/x"})
    assert risks(assess(found)) == risks(assess(bundle()))
    assert "1 to be deleted" in notes(assess(found))
    kept = changed(request={"method": "PUT", "url": "Observation/x"})
    assert risks(assess(kept)) == risks(assess(bundle(ferritin(900))))


MODIFIED = "1 whose meaning is changed in a way that is not known here"


@pytest.mark.parametrize(
    "change", [{"modifierExtension": [{"url": "http://x/not", "valueBoolean": True}]}, {"implicitRules": "http://x/y"}]
)
def test_what_is_modified_does_not_enter(assess: Assess, change: Json) -> None:
    found = assess(bundle(ferritin(900) | change))
    assert risks(found) == risks(assess(bundle()))
    assert MODIFIED in notes(found)
    assert MODIFIED in notes(assess(bundle(condition("infection", 20, 4) | change)))
    assert risks(assess(bundle(infusion() | {"id": "again", "performedDateTime": "2026-03-09"} | change))) == risks(
        assess(bundle())
    )
    for place in ("Bundle", "Bundle.entry[0].resource"):
        whole = bundle()
        (whole if place == "Bundle" else whole["entry"][0]["resource"]).update(change)
        with pytest.raises(InputError) as refused:
            assess(whole)
        assert refused.value.field == f"{place}.{next(iter(change))}"


def test_a_modified_entry_does_not_enter(assess: Assess) -> None:
    found = assess(changed(modifierExtension=[{"url": "http://x/not"}]))
    assert risks(found) == risks(assess(bundle()))
    assert MODIFIED in notes(found)


@pytest.mark.parametrize("place", ["Parameters", "Parameters.parameter[0]"])
def test_modified_parameters_are_refused(assess: Assess, place: str) -> None:
    content: Json = {"resourceType": "Parameters", "parameter": [{"name": "bundle", "resource": bundle()}]}
    (content if place == "Parameters" else content["parameter"][0])["modifierExtension"] = [{"url": "http://x/not"}]
    with pytest.raises(InputError) as refused:
        assess(content)
    assert refused.value.field == f"{place}.modifierExtension"
