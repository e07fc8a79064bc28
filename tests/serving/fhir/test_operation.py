"""A Bundle gives the risk that the plain API gives to the same facts, as FHIR that others can read."""

from __future__ import annotations

import contextlib
import copy
import json
import math
from dataclasses import replace
from datetime import date
from typing import Any

import jsonschema
import pytest
from assessments import Assess, Json, notes, risks, said_plainly
from bundles import INFUSION, bundle, bundle_of, condition, day, infusion, level, observation, verified
from hypothesis import given, settings
from hypothesis import strategies as st

from features.errors import InputError
from features.schema import Decision, Tier
from serving.answer import answer
from serving.card import model_card
from serving.fhir.conformance import operation_definition
from serving.fhir.operation import asked
from serving.fhir.outcome import operation_outcome
from serving.following import Served
from training.artifact.folder import Artifact
from training.artifact.manifest import ThresholdBenefit


def test_every_patient_has_the_risk_that_the_plain_api_gives(artifact: Artifact, assess: Assess, cohort: Any) -> None:
    for record in cohort.records[:60]:
        age = record["baseline"]["age"]
        mild = [
            event | ({"grade": 2} if "grade" in event else {}) for event in record["events"]
        ]  # else it has happened
        facts = {key: value for key, value in record.items() if key != "samples"} | {"events": mild}
        facts["baseline"] = record["baseline"] | {"age": None if age is None else math.floor(age)}
        assert risks(assess(bundle_of(record | {"events": mild}))) == pytest.approx(
            said_plainly(artifact, **facts), abs=1e-12
        )


def test_predictions_name_cause_and_period_and_come_from_the_model(assess: Assess, artifact: Artifact) -> None:
    found = assess(bundle(level("product", "axi-cel"), asked_on=12))
    wanted = [(cause, horizon) for cause in ("infection", "death") for horizon in (90, 180, 365)]
    assert [
        (one["outcome"]["coding"][0]["code"], (date.fromisoformat(one["whenPeriod"]["end"]) - INFUSION).days - 12)
        for one in found["prediction"]
    ] == wanted
    assert {one["whenPeriod"]["start"] for one in found["prediction"]} == {day(12)}
    assert found["prediction"][0]["outcome"]["text"] == "infection of grade 3 or more"
    assert found["method"]["coding"][0]["version"] == "m:1"
    assert found["subject"] == {"reference": "Patient/p1"}
    assert found["status"] == "final"
    assert found["basis"] == [{"reference": "Procedure/infusion"}]
    assert "simulated" in notes(found)
    assert "qualitativeRisk" not in found["prediction"][0]  # the endpoint has no tiers


def test_units_may_be_mixed(assess: Assess) -> None:
    one = bundle(observation("718-7", 0, 97, "g/L"), observation("2276-4", -2, 900, "ng/mL"))
    other = bundle(observation("59260-0", 0, 97 / 16.1145, "mmol/L"), observation("2276-4", -2, 900, "ug/L"))
    assert risks(assess(one)) == pytest.approx(risks(assess(other)), rel=1e-9)


def test_a_unit_may_stand_as_text_where_there_is_no_code(assess: Assess) -> None:
    coded, text = observation("718-7", 0, 97, "g/L"), observation("718-7", 0, 97, "g/L")
    del text["valueQuantity"]["code"], text["valueQuantity"]["system"]
    assert risks(assess(bundle(coded))) == risks(assess(bundle(text)))


@pytest.mark.parametrize(
    ("spoilt", "why"),
    [
        ({"status": "entered-in-error"}, "1 not final"),
        ({"status": "registered"}, "1 not final"),
        ({"effectiveDateTime": "2026-03"}, "1 without a day"),
        ({"effectiveDateTime": day(31)}, "1 after the landmark"),
        ({"valueQuantity": {}}, "1 without a value"),
        (
            {"code": {"coding": [{"system": "http://loinc.org", "code": "99999-9"}]}},
            "1 of which the model knows nothing",
        ),
    ],
)
def test_what_does_not_hold_does_not_enter_and_is_said(assess: Assess, spoilt: Json, why: str) -> None:
    sound = observation("2276-4", -2, 900, "ng/mL", id="sound")
    found = assess(bundle(sound, observation("2276-4", -1, 90_000, "ng/mL", id="spoilt") | spoilt))
    assert risks(found) == risks(assess(bundle(sound)))
    assert why in notes(found)
    assert {"reference": "Observation/sound"} in found["basis"]
    assert {"reference": "Observation/spoilt"} not in found["basis"]


def test_a_repeated_value_counts_once_and_a_corrected_one_for_what_it_corrects(assess: Assess) -> None:
    right = observation("2276-4", -2, 900, "ng/mL")
    wrong = observation("2276-4", -2, 90_000, "ng/mL")
    alone = risks(assess(bundle(right)))
    assert risks(assess(bundle(right, right))) == alone
    assert risks(assess(bundle(right | {"status": "corrected"}, wrong))) == alone
    assert risks(assess(bundle(wrong, right | {"status": "amended"}))) == alone
    assert risks(assess(bundle(wrong | {"issued": day(-2)}, right | {"issued": day(-1)}))) == alone
    assert risks(assess(bundle(wrong | {"status": "preliminary"}, right))) == alone
    assert "1 repeated or replaced" in notes(assess(bundle(wrong, right | {"status": "amended"})))


def test_a_value_repeated_in_another_unit_counts_once(assess: Assess) -> None:
    value, again = (observation("2276-4", -2, 1234.5 / factor, unit) for unit, factor in (("ng/mL", 1), ("mg/L", 1000)))
    found = assess(bundle(value, again))
    assert "1 repeated or replaced" in notes(found)
    assert risks(found) == pytest.approx(risks(assess(bundle(value))), rel=1e-9)


def test_a_preliminary_value_makes_the_assessment_preliminary(assess: Assess) -> None:
    value = observation("2276-4", -2, 900, "ng/mL")
    found = assess(bundle(value | {"status": "preliminary"}))
    assert found["status"] == "preliminary"
    assert risks(found) == risks(assess(bundle(value)))


def test_what_is_missing_is_said(assess: Assess) -> None:
    assert "Missing, and imputed: baseline.age" in notes(assess(bundle()))


def test_diagnoses_are_events_with_their_grades(assess: Assess, artifact: Artifact) -> None:
    events = [{"event": "icans", "day": 5.0, "grade": 3}, {"event": "infection", "day": 20.0, "grade": 2}]
    found = assess(bundle(condition("icans", 5, 3), condition("infection", 20, 2), condition("infection", 31, 4)))
    assert risks(found) == pytest.approx(said_plainly(artifact, landmark_day=30.0, events=events))
    refuted = condition("icans", 5, 3) | verified("refuted")
    assert risks(assess(bundle(refuted))) == risks(assess(bundle()))


def test_what_happened_years_ago_is_no_course_of_this_treatment(assess: Assess) -> None:
    found = assess(bundle(condition("infection", -2500, 3)))
    assert risks(found) == risks(assess(bundle()))
    assert "1 more than 30 days before infusion" in notes(found)


def test_an_infection_without_a_grade_may_be_what_is_predicted(assess: Assess) -> None:
    assert "if it was infection of grade 3 or more" in notes(assess(bundle(condition("infection", 20))))


@pytest.mark.parametrize("code", ["B20", "B18.1", "B35.1", "Z86.1"])
def test_chronic_infections_are_no_events(assess: Assess, code: str) -> None:
    chronic = condition("infection", 20)
    chronic["code"]["coding"][0]["code"] = code
    assert risks(assess(bundle(chronic))) == risks(assess(bundle()))


def test_the_order_of_a_bundle_does_not_matter(assess: Assess) -> None:
    resources = [observation("751-8", 9, value, "/uL", id=f"a{value}") for value in (100, 900, 400)]
    resources += [condition("icans", 5, 2), level("ecog", "1")]
    expected = assess(bundle(*resources))
    again = assess(bundle(*resources[::-1]))
    assert risks(again) == risks(expected)
    assert sorted(one["reference"] for one in again["basis"]) == sorted(one["reference"] for one in expected["basis"])


def test_all_values_of_one_time_count_that_contradict_nothing(assess: Assess, artifact: Artifact) -> None:
    found = assess(bundle(*(observation("751-8", 9, value, "/uL", id=f"a{value}") for value in (100, 900))))
    plainly = [{"variable": "anc", "day": 9.0, "value": float(value)} for value in (100, 900)]
    assert risks(found) == pytest.approx(said_plainly(artifact, landmark_day=30.0, measurements=plainly))


def test_the_basis_is_what_entered(assess: Assess) -> None:
    found = assess(bundle(observation("718-7", -9, 90, "g/L", id="old"), observation("718-7", -1, 97, "g/L", id="new")))
    assert {"reference": "Observation/new"} in found["basis"]
    assert {"reference": "Observation/old"} not in found["basis"]


@pytest.mark.parametrize("unit", ["K/uL", "x10E3/µL", "10^3/uL"])
def test_units_as_laboratories_write_them(assess: Assess, unit: str) -> None:
    written = observation("751-8", 9, 0.4, unit)
    del written["valueQuantity"]["code"], written["valueQuantity"]["system"]
    assert risks(assess(bundle(written))) == pytest.approx(risks(assess(bundle(observation("751-8", 9, 400, "/uL")))))


def test_a_limit_is_said_with_what_it_limits(assess: Assess) -> None:
    value = observation("751-8", 9, 100, "/uL", id="low")
    value["valueQuantity"]["comparator"] = "<"
    assert "Observation/low: given as < a limit, which is taken for the value of anc" in notes(assess(bundle(value)))


def test_the_landmark_is_the_day_of_asking_or_the_last_or_what_is_wanted(assess: Assess, artifact: Artifact) -> None:
    late = assess(bundle(asked_on=200))
    assert risks(late) == said_plainly(artifact, landmark_day=30.0)
    assert "as of day 30" in notes(late)
    assert late["occurrenceDateTime"] == day(200)
    wanted = {
        "resourceType": "Parameters",
        "parameter": [
            {"name": "bundle", "resource": bundle(asked_on=200)},
            {"name": "date", "valueDate": day(14)},
            {"name": "landmark-day", "valueDecimal": 7},
        ],
    }
    assert risks(assess(wanted)) == said_plainly(artifact, landmark_day=7.0)
    del wanted["parameter"][2]
    assert risks(assess(wanted)) == said_plainly(artifact, landmark_day=14.0)


def ferritin(value: float, unit: str, **more: Any) -> Json:
    return observation("2276-4", 0, value, unit, **more)


def answer_to(artifact: Artifact, content: Any) -> None:
    question = asked(artifact, json.dumps(content).encode())
    question.by(answer)(artifact, "m:1", question.request)


def parameters(*more: Json) -> Json:
    return {"resourceType": "Parameters", "parameter": [{"name": "bundle", "resource": bundle()}, *more]}


def without(kind: str) -> Json:
    found = bundle()
    found["entry"] = [one for one in found["entry"] if one["resource"]["resourceType"] != kind]
    return found


def patient_with(**more: Any) -> Json:
    found = bundle()
    found["entry"][0]["resource"] |= more
    return found


@pytest.mark.parametrize(
    ("content", "field"),
    [
        (bundle(ferritin(9, "mg/dL{x}")), "valueQuantity.unit"),
        (bundle(observation("718-7", 0, 9, "mmol/L{x}")), "valueQuantity.unit"),
        (bundle(ferritin(-5, "ng/mL")), "valueQuantity"),
        (bundle(ferritin(5, "")), "valueQuantity.code"),
        (bundle(ferritin(5, "ng/mL", effectiveDateTime="soon")), "effectiveDateTime"),
        (bundle(ferritin(5, "ng/mL", valueQuantity={"value": "5"})), "valueQuantity.value"),
        (bundle(ferritin(5, "ng/mL", subject={"reference": "Patient/p2"})), "subject.reference"),
        (bundle(level("ecog", "9")), "value"),
        (bundle(asked_on=-3), "Bundle.entry"),
        (bundle(link=[{"relation": "next", "url": "https://ehr.example/2"}]), "Bundle.link"),
        (patient_with(birthDate="0000"), "Bundle.entry[0].resource.birthDate"),
        (patient_with(deceasedDateTime="2026"), "Bundle.entry[0].resource.deceased"),
        (bundle(timestamp="9999-12-31T00:00:00Z"), "Bundle.timestamp"),
        (parameters({"name": "landmark-day", "valueDecimal": -(10**400)}), "Parameters.parameter[1].valueDecimal"),
        (parameters({"name": "landmark-day", "valueDecimal": 31}), "Parameters.parameter"),
        (parameters({"name": "date", "valueDate": "2026"}), "Parameters.parameter[1].valueDate"),
        (bundle(level("ecog", "1") | {"valueInteger": 10**400}), "Bundle.entry[2].resource.valueInteger"),
        (bundle(condition("infection", 20, 4)), "Bundle.entry"),
        (without("Patient"), "Bundle.entry"),
        (without("Procedure"), "Bundle.entry"),
        (patient_with(id=None), "Bundle.entry[0].resource.id"),
        (patient_with(id="p" * 300), "Bundle.entry[0].resource.id"),
        (patient_with(deceasedBoolean=True), "Bundle.entry[0].resource.deceased"),
        (patient_with(deceasedDateTime=day(11)), "Bundle.entry[0].resource.deceased"),
        (patient_with(birthDate="long ago"), "Bundle.entry[0].resource.birthDate"),
        ({"resourceType": "Patient"}, "Bundle.resourceType"),
        ({"resourceType": "Parameters"}, "Parameters.parameter"),
        ({"resourceType": "Parameters", "parameter": [{"name": "x"}]}, "Parameters.parameter[0].name"),
        ([], "Bundle.resourceType"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_refused_by_its_place(
    artifact: Artifact, official: jsonschema.Draft6Validator, content: Any, field: str
) -> None:
    with pytest.raises(InputError) as refused:
        answer_to(artifact, content)
    expected = field if field.startswith(("Bundle", "Parameters")) else f"Bundle.entry[2].resource.{field}".rstrip(".")
    assert refused.value.field == expected
    official.validate(operation_outcome(400, refused.value.field, refused.value.rule))


@pytest.mark.parametrize(
    "procedure",
    [
        infusion("0540T"),
        infusion("XW033C3", "http://www.cms.gov/Medicare/Coding/ICD10"),
        infusion("XW043H7", "http://hl7.org/fhir/sid/icd-10-pcs"),
        infusion("infusion", "urn:sequela:procedures"),
    ],
)
def test_infusions_are_known_by_their_codes(assess: Assess, procedure: Json) -> None:
    found = bundle(observation("2276-4", 0, 900, "ng/mL"))
    expected = risks(assess(found))
    found["entry"][1]["resource"] = procedure
    assert risks(assess(found)) == expected


def test_the_last_infusion_counts(assess: Assess) -> None:
    again = infusion() | {"id": "again", "performedDateTime": day(10)}
    assert assess(bundle(again))["prediction"][0]["whenPeriod"]["start"] == day(30)  # day 20 after the second
    ahead = infusion() | {"id": "ahead", "status": "preparation", "performedDateTime": day(20)}
    assert risks(assess(bundle(ahead))) == risks(assess(bundle()))


def test_resources_may_name_the_patient_in_any_way(assess: Assess) -> None:
    expected = risks(assess(bundle(observation("2276-4", 0, 900, "ng/mL"))))
    for said in ("urn:uuid:6f1e", "https://ehr.example/fhir/Patient/p1", "Patient/p1"):
        found = bundle(observation("2276-4", 0, 900, "ng/mL", subject={"reference": said}))
        found["entry"][0]["fullUrl"] = said if said.startswith("https") else "urn:uuid:6f1e"
        assert risks(assess(found)) == expected


def test_long_reports_do_not_matter(assess: Assess) -> None:
    report = {"code": {"text": "x" * 100_000}, "valueString": "y" * 100_000, "valueQuantity": None}
    assert risks(assess(bundle(observation("2276-4", 0, 1, "ng/mL") | report))) == risks(assess(bundle()))


def products(artifact: Artifact) -> Artifact:
    """The same model, whose products have codes."""
    encoder = artifact.model.encoder
    coded = encoder.variables["product"].model_copy(
        update={"level_codes": {name: (f"urn:products|{name}",) for name in ("axi-cel", "tisa-cel")}}
    )
    changed = replace(artifact.model, encoder=replace(encoder, variables={**encoder.variables, "product": coded}))
    return replace(artifact, model=changed)


def test_the_definition_lists_the_codes_of_levels(artifact: Artifact) -> None:
    coded = products(artifact)
    found = operation_definition(Served(coded, "m:1", model_card(coded, "m:1")), None)["description"]
    assert "- product\n  - axi-cel: urn:products|axi-cel\n  - tisa-cel: urn:products|tisa-cel" in found


def used(product: str, days: float, **more: Any) -> Json:
    return (
        infusion()
        | {"id": f"{product}{days}", "usedCode": [{"coding": [{"system": "urn:products", "code": product}]}]}
        | {
            "performedDateTime": day(days),
            **more,
        }
    )


def test_the_product_is_that_of_the_infusion_that_counts(artifact: Artifact, assess: Assess) -> None:
    coded = products(artifact)

    def bundled(*procedures: Json) -> Json:
        found = bundle()
        found["entry"][1:2] = [{"resource": one} for one in procedures]
        return found

    axi = risks(assess(bundled(used("axi-cel", 0)), of=coded))
    assert risks(assess(bundled(used("axi-cel", 0), used("tisa-cel", 200)), of=coded)) == axi
    assert risks(assess(bundled(used("tisa-cel", -400), used("axi-cel", 0)), of=coded)) == axi
    assert axi != risks(assess(bundled(used("tisa-cel", 0)), of=coded))
    both = used("axi-cel", 0)
    both["usedCode"] += used("tisa-cel", 0)["usedCode"]
    found = assess(bundled(both), of=coded)
    assert "says several things of product at once" in notes(found)
    assert "baseline.product" in notes(found)


def with_tiers(artifact: Artifact, gain: tuple[float, float, float] | None) -> Artifact:
    """The same model, whose endpoint has tiers."""
    tiers = (
        Tier(name="standard", options=("herpes_prophylaxis",)),
        Tier(name="raised", from_risk=0.02, options=("growth_factor",)),
        Tier(name="high", from_risk=0.99),
    )
    decision = Decision(horizon_days=180, tiers=tiers)
    endpoint = artifact.manifest.endpoint.model_copy(update={"decision": decision})
    measured = (ThresholdBenefit(landmark_day=0, threshold=0.02, flagged=0.9, gain=gain),)
    manifest = artifact.manifest.model_copy(update={"endpoint": endpoint, "decision": measured})
    return replace(artifact, manifest=manifest)


@pytest.mark.parametrize(
    ("gain", "verdict"),
    [
        ((0.02, 0.01, 0.03), "on is of use was shown: "),
        ((0.01, -0.01, 0.03), "was not shown: "),
        ((-0.02, -0.03, -0.01), "was shown not to be so: "),
        (None, "was not measured"),
    ],
)
def test_the_tier_says_what_it_rests_on_and_what_guidance_offers(
    assess: Assess, artifact: Artifact, gain: tuple[float, float, float] | None, verdict: str
) -> None:
    found = assess(bundle(), of=with_tiers(artifact, gain))
    tiers = [one.get("qualitativeRisk", {}).get("text") for one in found["prediction"]]
    assert tiers == [None, "raised", None, None, None, None]  # of the event, at the decision's horizon
    assert "Aciclovir" in found["mitigation"]
    assert "Granulocyte" in found["mitigation"]
    assert "Blood 2023" in found["mitigation"]
    assert verdict in notes(found)


SPOILS = st.sampled_from(
    [
        None,
        "",
        "x",
        "\ud800",
        0,
        -1,
        1e308,
        10**30,
        True,
        [],
        {},
        [[]],
        [None],
        {"a": 1},
        "2026-13-45",
        "2026-02-30T",
        "#",
    ]
)


def places(content: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """All places in JSON."""
    inside = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    return [at, *(place for key, value in inside for place in places(value, (*at, key)))]


@settings(max_examples=250)
@given(data=st.data())
def test_a_mutated_bundle_is_answered_or_refused(artifact: Artifact, assess: Assess, data: st.DataObject) -> None:
    content = bundle(observation("2276-4", -2, 900, "ng/mL"), level("ecog", "1"), condition("icans", 5, 3), age=60)
    for _ in range(data.draw(st.integers(1, 3))):
        *way, last = data.draw(st.sampled_from(places(content)[1:]))
        inner: Any = content
        for key in way:
            inner = inner[key]
        inner[last] = copy.deepcopy(data.draw(SPOILS))
    with contextlib.suppress(InputError):
        assess(json.loads(json.dumps(content)))


@pytest.mark.parametrize(
    ("unit", "value"),
    [
        ("G/L", 0.4),
        ("10*3/µL", 0.4),
        ("10*3/μL", 0.4),
        ("K/uL", 0.4),
        ("10*9/L", 0.4),
        ("/mm3", 400),
        ("cells/µL", 400),
    ],
)
@pytest.mark.parametrize("coded", [True, False])
def test_units_as_they_are_written_in_europe(assess: Assess, unit: str, value: float, coded: bool) -> None:
    written = observation("751-8", 9, value, unit)
    if not coded:
        del written["valueQuantity"]["code"], written["valueQuantity"]["system"]
    assert risks(assess(bundle(written))) == pytest.approx(risks(assess(bundle(observation("751-8", 9, 400, "/uL")))))


@pytest.mark.parametrize(("code", "unit"), [("718-7", "G/L"), ("751-8", "g/l"), ("751-8", "g/L")])
def test_giga_a_litre_is_no_gram(assess: Assess, code: str, unit: str) -> None:
    with pytest.raises(InputError):
        assess(bundle(observation(code, 0, 97, unit)))
