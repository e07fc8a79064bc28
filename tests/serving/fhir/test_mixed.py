"""However a record is written, its facts have the risk that the plain API gives them.

Facts are drawn first. Then each is written in some unit, zone and order, among copies of it and among values that do
not hold: preliminary, replaced, entered in error, of others, of changed meaning, empty. Factors between units are
written by hand.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

import pytest
from assessments import Assess, Json, risks, said_plainly
from bundles import INFUSION, bundle, condition, level, observation, verified
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from training.artifact.folder import Artifact

LOINC = {
    "ferritin": ("2276-4",),
    "haemoglobin": ("718-7", "59260-0"),
    "crp": ("1988-5", "30522-7"),
    "anc": ("751-8", "26499-4"),
    "platelets": ("777-3",),
}
UNITS = {
    "ferritin": {"ng/mL": 1, "ug/L": 1, "pg/mL": 1000, "mg/L": 0.001, "mcg/L": 1},
    "haemoglobin": {"g/L": 1, "g/dL": 0.1, "mmol/L": 1 / 16.1145},
    "crp": {"mg/L": 1, "mg/dL": 0.1, "ug/mL": 1},
    "anc": {"/uL": 1, "10*9/L": 0.001, "G/L": 0.001, "K/uL": 0.001, "10*3/µL": 0.001, "{cells}/uL": 1},
    "platelets": {"10*9/L": 1, "10*3/uL": 1, "/uL": 1000, "G/L": 1},
}
"""One of the model's unit in others."""
RANGES = {"ferritin": (30, 9e4), "haemoglobin": (60, 160), "crp": (0.5, 300), "anc": (10, 9000), "platelets": (5, 400)}
AT_INFUSION = ("haemoglobin", "crp")
"""Taken as of infusion by the model; the others as they are measured."""


@dataclass(frozen=True)
class Fact:
    """A value, and when it was taken: local day and minute, and the zone's minutes."""

    name: str
    day: int
    minute: int
    zone: int
    value: float

    @property
    def instant(self) -> int:
        """Minutes since the beginning of day 0 of UTC."""
        return self.day * 1440 + self.minute - self.zone

    def written(self, zone: int) -> str:
        """As a dateTime in a zone."""
        sign, (hours, minutes) = "-" if zone < 0 else "+", divmod(abs(zone), 60)
        at = datetime(INFUSION.year, INFUSION.month, INFUSION.day) + timedelta(minutes=self.instant + zone)  # noqa: DTZ001
        return f"{at.isoformat()}{sign}{hours:02d}:{minutes:02d}"


def facts() -> st.SearchStrategy[list[Fact]]:
    def one(name: str) -> st.SearchStrategy[Fact]:
        zones = st.sampled_from((-480, -300, 0, 60, 120, 330, 600))
        value = st.floats(*RANGES[name]).map(lambda number: float(f"{number:.6g}"))
        return st.builds(Fact, st.just(name), st.integers(-9, 33), st.integers(0, 1439), zones, value)

    some = st.sampled_from(sorted(UNITS)).flatmap(one)
    return st.lists(some, max_size=12, unique_by=lambda fact: (fact.name, fact.instant))


@st.composite
def written(draw: st.DrawFn, fact: Fact, value: float, *, zone: int, **more: Any) -> Json:
    """A value in any of its units."""
    unit, factor = draw(st.sampled_from(sorted(UNITS[fact.name].items())))
    code = draw(st.sampled_from(LOINC[fact.name]))
    found = observation(code, 0, value * factor, unit, effectiveDateTime=fact.written(zone), **more)
    if draw(st.booleans()):
        del found["valueQuantity"]["code"], found["valueQuantity"]["system"]
    return found


@st.composite
def spelt_out(draw: st.DrawFn, fact: Fact) -> list[Json]:
    """Resources that say a fact, and others that do not hold."""
    wrong = fact.value * 1.7
    kinds = ("copy", "unit", "preliminary", "replaced", "error", "version", "others", "modified", "registered", "empty")
    twins = draw(st.lists(st.sampled_from(kinds), max_size=3, unique=True))
    own = {"status": "corrected" if "replaced" in twins else "final"}
    if "version" in twins:
        own |= {"id": f"v{fact.name}.{fact.instant}", "meta": {"versionId": "11"}}
    right = draw(written(fact, fact.value, zone=fact.zone, **own))
    found = [right]
    for twin in twins:
        if twin == "copy":
            found.append(dict(right))
        elif twin == "unit":  # another unit, in the same zone: the day as it is written stays
            found.append(draw(written(fact, fact.value, zone=fact.zone, status=own["status"])))
        else:
            zone = draw(st.sampled_from((-600, 0, 60, 540)))
            found.append(
                draw(written(fact, wrong, zone=zone)) | UNTRUE[twin] | ({"id": own["id"]} if twin == "version" else {})
            )
    return found


UNTRUE: dict[str, Json] = {
    "preliminary": {"status": "preliminary"},
    "replaced": {"status": "final"},
    "error": {"status": "entered-in-error", "valueQuantity": {"value": "?"}},
    "version": {"status": "final", "meta": {"versionId": "9"}},
    "others": {"subject": {"identifier": {"system": "urn:mrn", "value": "another's"}}},
    "modified": {"modifierExtension": [{"url": "https://ehr.example/not", "valueBoolean": True}]},
    "registered": {"status": "registered"},
    "empty": {"valueQuantity": {}, "dataAbsentReason": {"text": "clotted"}},
}
EVENTS = st.lists(
    st.tuples(st.sampled_from(("icans", "infection")), st.integers(-20, 30), st.sampled_from((1, 2))),
    max_size=3,
    unique=True,
)


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_a_record_written_in_any_way_has_the_risk_of_its_facts(
    artifact: Artifact, assess: Assess, data: st.DataObject
) -> None:
    found, events, asked_on = data.draw(facts()), data.draw(EVENTS), data.draw(st.integers(0, 30))
    resources = [resource for fact in found for resource in data.draw(spelt_out(fact))]
    resources += [condition(*event) for event in events]
    resources += [
        condition("infection", 1, 4) | data.draw(st.sampled_from([verified("refuted"), verified("entered-in-error")]))
    ]
    resources += [observation("2345-7", 1, 90, "mg/dL", effectiveDateTime="0001-01-01"), {"resourceType": "Encounter"}]
    levels = data.draw(
        st.fixed_dictionaries({}, optional={"ecog": st.sampled_from("012"), "product": st.just("axi-cel")})
    )
    resources += [level(name, value) for name, value in levels.items()]
    content = bundle(*resources, asked_on=asked_on)
    born = data.draw(st.none() | st.dates(date(1930, 1, 1), date(2006, 1, 1)))
    if born is not None:
        content["entry"][0]["resource"]["birthDate"] = born.isoformat()
    content["entry"] = data.draw(st.permutations(content["entry"]))
    assert risks(assess(content)) == pytest.approx(
        said_plainly(artifact, **record(found, events, levels, born, asked_on)), abs=1e-9
    )


def record(
    found: list[Fact], events: list[tuple[str, int, int]], levels: dict[str, str], born: date | None, asked_on: int
) -> Json:
    """The facts as the plain API has them."""
    known = sorted((fact for fact in found if fact.day <= asked_on), key=lambda fact: fact.instant)
    baseline: Json = dict(levels)
    for fact in known:
        if fact.name in AT_INFUSION and fact.day <= 0:
            baseline[fact.name] = fact.value
    if born is not None:
        before = (INFUSION.month, INFUSION.day) < (born.month, born.day)
        baseline["age"] = INFUSION.year - born.year - before
    return {
        "landmark_day": asked_on,
        "baseline": baseline,
        "measurements": [
            {"variable": fact.name, "day": fact.day, "value": fact.value}
            for fact in known
            if fact.name not in AT_INFUSION
        ],
        "events": [{"event": name, "day": day, "grade": grade} for name, day, grade in events if day <= asked_on],
    }
