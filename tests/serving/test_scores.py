from __future__ import annotations

import json
import re
from copy import deepcopy
from pathlib import Path
from typing import Any, get_args

import httpx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.errors import InputError
from features.scores import SCORES
from features.scores.crs import HYPOTENSION, HYPOXIA
from features.scores.icaht import early_icaht, late_icaht
from features.scores.icans import CONSCIOUSNESS, ICE_ITEMS, MOTOR, PRESSURE, SEIZURE
from features.scores.thrombocytopenia import early_t_icaht, late_t_icaht
from serving.messages import Problem
from serving.openapi import SCORE_EXAMPLE
from serving.refusals import parse_as
from serving.score_cards import CARDS, RANGES
from serving.score_messages import CrsComponents, IcansComponents, IceItems, ScoreRequest, ScoresAnswer
from serving.scores import LEVELS, UNITS, score_answer

Json = dict[str, Any]
DOCS = Path(__file__).resolve().parents[2] / "docs"
SENTINEL = "SENTINEL-8841"
CHT = {"platelets": 100, "anc": 1.0, "haemoglobin": 8.5, "crp": 4.0, "ferritin": 700}


def scored(patients: list[Json], names: list[str] | None = None) -> ScoresAnswer:
    """The answer to what comes over HTTP as JSON."""
    body = {"patients": patients} | ({} if names is None else {"scores": names})
    return score_answer(parse_as(ScoreRequest, json.dumps(body).encode()))


def values(patient: Json, *names: str) -> list[float | None]:
    results = scored([patient], list(names)).patients[0].scores
    return [results[name].value for name in names]


def refused(patient: Json) -> InputError:
    with pytest.raises(InputError, match=r"^patients\[1\]\..+: .+") as caught:
        scored([{}, patient])
    return caught.value


# -- scores ------------------------------------------------------------------------------------------------------------


def test_a_score_with_its_group_units_and_citation() -> None:
    answer = scored([{"patient_id": "a", "inputs": CHT}], ["car_hematotox"])
    (card,) = answer.scores
    assert "Blood 2021;138" in card.citation
    assert {part.given_as: part.unit for part in card.inputs}["inputs.crp"] == "mg/dL"
    result = answer.patients[0].scores["car_hematotox"]
    assert (result.value, result.group, result.missing, result.log2) == (5.0, "high", (), None)  # one point an input
    assert answer.patients[0].patient_id == "a"


def test_units_are_converted_and_said() -> None:
    inputs: Json = {
        "platelets": {"value": 100_000, "unit": "/uL"},
        "anc": {"value": 1000, "unit": "/uL"},
        "haemoglobin": {"value": 85, "unit": "g/L"},
        "crp": {"value": 40, "unit": "mg/L"},
        "ferritin": {"value": 0.7, "unit": "ug/mL"},
    }
    answer = scored([{"inputs": inputs}, {"inputs": CHT}], ["car_hematotox"])
    assert answer.patients[0].scores == answer.patients[1].scores
    for name, taken in answer.patients[0].inputs.items():
        assert not isinstance(taken, str)
        assert taken.unit == UNITS[name]
        assert taken.value == pytest.approx(CHT[name])


def test_crp_in_milligrams_a_litre_is_not_taken_for_milligrams_a_decilitre() -> None:
    same = {"inputs": {**CHT, "crp": {"value": 20, "unit": "mg/L"}}}
    assert values(same, "car_hematotox") == [4.0]
    assert values({"inputs": {**CHT, "crp": 20}}, "car_hematotox") == [5.0]


def test_a_ratio_comes_with_its_logarithm_and_its_group() -> None:
    inputs = {"ldh": 400, "creatinine": {"value": 113.12, "unit": "umol/L"}, "platelets": 50}
    easix = scored([{"inputs": inputs}], ["easix"]).patients[0].scores["easix"]
    assert easix.value is not None
    assert easix.value == pytest.approx(400 * 1.2796 / 50, rel=1e-3)
    assert easix.log2 == pytest.approx(np.log2(easix.value))
    assert easix.group == "high"


def test_findings_are_text() -> None:
    inputs = {"temperature": {"value": 103.1, "unit": "[degF]"}, "ferritin": 7000, "triglycerides": 1.0}
    inputs |= {"fibrinogen": 3.0, "ast": 20, "haemoglobin": 12, "wbc": 6, "platelets": 200}
    findings = {"organomegaly": "hepatomegaly and splenomegaly", "immunosuppression": "yes", "haemophagocytosis": "no"}
    assert values({"inputs": inputs | findings}, "hscore") == [49 + 50 + 38 + 18]


def test_what_is_missing_is_said_when_the_score_is_asked_for() -> None:
    known = {name: value for name, value in CHT.items() if name != "crp"} | {"ferritin": None}
    result = scored([{"inputs": known}], ["car_hematotox"]).patients[0].scores["car_hematotox"]
    assert (result.value, result.group) == (None, None)
    assert result.missing == ("inputs.crp", "inputs.ferritin")


def test_a_ratio_over_zero_is_no_value_and_nothing_is_missing() -> None:
    result = scored([{"inputs": {"ldh": 300, "platelets": 0}}], ["s_easix"]).patients[0].scores["s_easix"]
    assert (result.value, result.log2, result.missing) == (None, None, ())


def test_without_names_each_patient_gets_what_can_be_computed() -> None:
    answer = scored([{"inputs": CHT}, {}, {"inputs": {"ldh": 200, "platelets": 100}}, {"crs": {"fever": True}}])
    given = [set(patient.scores) for patient in answer.patients]
    assert given == [{"car_hematotox"}, set(), {"s_easix"}, {"crs"}]
    assert [card.name for card in answer.scores] == ["car_hematotox", "s_easix", "crs"]


def test_patients_do_not_mix() -> None:
    rng = np.random.default_rng(3)
    patients = [
        {"inputs": {"ldh": float(rng.uniform(100, 900)), "platelets": float(rng.uniform(10, 300))}} for _ in range(40)
    ]
    together = scored(patients, ["s_easix"]).patients
    for patient, answer in zip(patients, together, strict=True):
        assert answer.scores == scored([patient], ["s_easix"]).patients[0].scores
        assert answer.scores["s_easix"].value == patient["inputs"]["ldh"] / patient["inputs"]["platelets"]


def test_every_input_has_one_unit_in_all_scores_and_a_range() -> None:
    for score in SCORES.values():
        for name, unit in score.inputs.items():
            assert UNITS[name] == unit
            low, high = RANGES[name]
            assert 0 <= low < high
    assert set(RANGES) == set(UNITS)


# -- grades ------------------------------------------------------------------------------------------------------------

DAYS = st.lists(
    st.tuples(st.integers(-3, 110), st.floats(0, 4000), st.floats(0, 300)),
    min_size=0,
    max_size=30,
    unique_by=lambda c: c[0],
)


@settings(max_examples=60, deadline=None)
@given(
    counts=DAYS,
    until=st.none() | st.integers(-2, 120),
    progression=st.none() | st.integers(0, 120),
    ended=st.booleans(),
)
def test_grades_of_counts_are_those_of_the_single_patient_functions(
    counts: list[tuple[int, float, float]], until: int | None, progression: int | None, ended: bool
) -> None:
    ended = ended and until is not None
    patient: Json = {
        "daily_counts": {
            "anc": [{"day": d, "value": anc, "unit": "/uL"} for d, anc, _ in counts],
            "platelets": [{"day": d, "value": platelets} for d, _, platelets in counts],
        },
        "known_until_day": until,
        "progression_day": progression,
        "follow_up_ended": ended,
    }
    day = np.array([d for d, _, _ in counts], dtype=float)
    anc, platelets = (np.array([count[k] for count in counts]) for k in (1, 2))
    landmark = np.inf if until is None else float(until)
    limit = min(landmark, np.inf if progression is None else float(progression))
    expected = {
        "early_icaht": early_icaht(day, anc, known_until_day=landmark, follow_up_ended=ended),
        "late_icaht": late_icaht(day, anc, known_until_day=limit),
        "early_t_icaht": early_t_icaht(day, platelets, known_until_day=limit),
        "late_t_icaht": late_t_icaht(day, platelets, known_until_day=limit),
    }
    results = scored([{}, patient], list(expected)).patients[1].scores
    for name, grade in expected.items():
        assert results[name].value == (None if np.isnan(grade) else grade), name
        kind = "platelets" if "_t_" in name else "anc"
        assert results[name].missing == ((f"daily_counts.{kind}",) if np.isnan(grade) else ())


def test_counts_take_units_and_thresholds_are_met_exactly() -> None:
    per_nl = [{"day": d, "value": 0.5} for d in range(7)] + [{"day": d, "value": 2.0} for d in range(7, 31)]
    per_ul = [{"day": c["day"], "value": 1000 * c["value"], "unit": "/uL"} for c in per_nl]
    assert values({"daily_counts": {"anc": per_nl}}, "early_icaht") == [2.0]
    assert values({"daily_counts": {"anc": per_ul}}, "early_icaht") == [2.0]


def test_a_death_in_neutropenia_is_never_recovered() -> None:
    counts = {"anc": [{"day": d, "value": 0.3} for d in range(6)]}
    alive = {"daily_counts": counts, "known_until_day": 5}
    assert values(alive, "early_icaht") == [1.0]
    assert values(alive | {"follow_up_ended": True}, "early_icaht") == [4.0]


def test_crs_and_icans() -> None:
    patient: Json = {
        "crs": {"fever": True, "hypotension": "one_vasopressor"},
        "icans": {"ice": 5, "consciousness": "awakens_to_touch"},
    }
    answer = scored([patient], ["crs", "icans", "ice_score"]).patients[0].scores
    assert (answer["crs"].value, answer["crs"].missing) == (3.0, ("crs.hypoxia",))
    assert (answer["icans"].value, answer["icans"].missing) == (3.0, ("icans.seizure", "icans.motor", "icans.pressure"))
    assert (answer["ice_score"].value, answer["ice_score"].missing) == (5.0, ())


def test_the_ice_score_of_its_items() -> None:
    items: Json = {"orientation": 4, "naming": 2, "commands": 1, "writing": 0, "attention": 1}
    assert values({"icans": {"ice_items": items}}, "ice_score", "icans") == [8.0, 1.0]
    del items["writing"]
    result = scored([{"icans": {"ice_items": items}}], ["ice_score"]).patients[0].scores["ice_score"]
    assert (result.value, result.missing) == (None, ("icans.ice_items.writing",))


def test_fever_that_was_treated_is_not_required() -> None:
    signs: Json = {"fever": False, "hypoxia": "low_flow"}
    assert values({"crs": signs}, "crs") == [0.0]
    assert values({"crs": signs | {"fever_treated": True}}, "crs") == [2.0]


@pytest.mark.parametrize(
    ("model", "field", "levels"),
    [
        (CrsComponents, "hypotension", HYPOTENSION),
        (CrsComponents, "hypoxia", HYPOXIA),
        (IcansComponents, "consciousness", CONSCIOUSNESS),
        (IcansComponents, "seizure", SEIZURE),
        (IcansComponents, "motor", MOTOR),
        (IcansComponents, "pressure", PRESSURE),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_messages_take_the_levels_that_are_graded(model: Any, field: str, levels: Json) -> None:
    literal = get_args(model.model_fields[field].annotation)[0]
    assert get_args(literal) == tuple(levels)


def test_messages_take_the_points_that_are_scored() -> None:
    most = {
        item: get_args(field.annotation)[0].__metadata__[0].metadata[1].le
        for item, field in IceItems.model_fields.items()
    }
    assert most == dict(ICE_ITEMS)


# -- what is refused ---------------------------------------------------------------------------------------------------

NUMBER = 884172.0625


@pytest.mark.parametrize(
    ("patient", "field", "rule"),
    [
        ({"inputs": {"crp": SENTINEL}}, "inputs.crp", "is text; it is a number, in mg/dL"),
        ({"inputs": {"crp": float("nan")}}, "inputs.crp", "must be a finite number"),
        ({"inputs": {"crp": float("inf")}}, "inputs.crp", "must be a finite number"),
        ({"inputs": {"crp": True}}, "inputs.crp", "must be a number, text, null, or"),
        ({"inputs": {"crp": [1]}}, "inputs.crp", "must be a number, text, null, or"),
        ({"inputs": {"crp": -NUMBER}}, "inputs.crp", "is outside the possible range [0, 100] mg/dL; check its unit"),
        ({"inputs": {"haemoglobin": 88.41}}, "inputs.haemoglobin", "is outside the possible range [1, 25] g/dL"),
        ({"inputs": {"haemoglobin": {"value": 8841, "unit": "g/L"}}}, "inputs.haemoglobin", "is outside the possible"),
        ({"inputs": {"platelets": {"value": 1e308, "unit": "10*12/L"}}}, "inputs.platelets", "is outside the possible"),
        ({"inputs": {"crp": {"value": 8841, "unit": "mmol/L"}}}, "inputs.crp.unit", "does not convert to 'mg/dL'"),
        (
            {"inputs": {"crp": {"value": 1, "unit": SENTINEL}}},
            "inputs.crp.unit",
            "is not a UCUM unit known here. Write",
        ),
        ({"inputs": {"crp": {"value": 8841}}}, "inputs.crp.unit", "is required"),
        ({"inputs": {"crp": {"value": SENTINEL, "unit": "mg/L"}}}, "inputs.crp.value", "must be a valid number"),
        ({"inputs": {"crp": {"value": 1, "unit": "mg/L", "x": 8841}}}, "inputs.crp.x", "is not a field of a request"),
        ({"inputs": {"hb": 8841}}, "inputs.hb", "is no input of a score. Did you mean haemoglobin?"),
        ({"inputs": {"organomegali": "none"}}, "inputs.organomegali", "is no input of a score. Did you mean organo"),
        ({"inputs": {"potassium": 8841}}, "inputs.potassium", "is no input of a score; GET /v1/scores lists them"),
        ({"inputs": {"organomegaly": SENTINEL}}, "inputs.organomegaly", "is not one of the levels none, hepato"),
        ({"inputs": {"organomegaly": 8841}}, "inputs.organomegaly", "is a number; it takes one of none"),
        (
            {"daily_counts": {"anc": [{"day": 1, "value": 8841}]}},
            "daily_counts.anc[0].value",
            "is outside the possible",
        ),
        ({"daily_counts": {"anc": [{"day": 1, "value": -1}]}}, "daily_counts.anc[0].value", "is outside the possible"),
        ({"daily_counts": {"anc": [{"value": 1}]}}, "daily_counts.anc[0].day", "is required"),
        ({"daily_counts": {"anc": [{"day": None, "value": 1}]}}, "daily_counts.anc[0].day", "must be a valid number"),
        ({"daily_counts": {"cd4": []}}, "daily_counts.cd4", "is not a field of a request"),
        (
            {"daily_counts": {"platelets": [{"day": 1, "value": 8841, "unit": "mg/dL"}]}},
            "daily_counts.platelets[0].unit",
            "does not convert to '10*9/L'",
        ),
        (
            {"daily_counts": {"anc": [{"day": 1, "value": 1, "unit": f"10*9/L {{{SENTINEL}}}"}]}},
            "daily_counts.anc[0].unit",
            "is not a UCUM unit known here. Write",
        ),
        ({"known_until_day": SENTINEL}, "known_until_day", "must be a valid number"),
        ({"follow_up_ended": True}, "known_until_day", "is required where follow_up_ended"),
        ({"crs": {"hypotension": SENTINEL}}, "crs.hypotension", "must be 'none', 'fluids', 'one_vasopressor' or"),
        ({"crs": {"fever": "yes"}}, "crs.fever", "must be a valid boolean"),
        ({"crs": {"hypoxi": "none"}}, "crs.hypoxi", "is not a field of a request. Did you mean hypoxia?"),
        ({"icans": {"ice": 8841}}, "icans.ice", "must be less than or equal to 10"),
        ({"icans": {"ice": 7.5}}, "icans.ice", "must be a valid integer"),
        ({"icans": {"ice_items": {"naming": 8841}}}, "icans.ice_items.naming", "must be less than or equal to 3"),
        ({"icans": {"ice": 8, "ice_items": {}}}, "icans.ice_items", "must not stand beside ice"),
        ({"landmark_day": 8841}, "landmark_day", "is not a field of a request"),
        ({"patient_id": ""}, "patient_id", "must have at least 1 character"),
    ],
)
def test_the_field_and_the_rule_are_named_and_the_value_is_not(patient: Json, field: str, rule: str) -> None:
    error = refused(patient)
    assert error.field == f"patients[1].{field}"
    assert error.rule.startswith(rule)
    assert "8841" not in str(error)


@pytest.mark.parametrize(
    ("names", "rule"),
    [
        (["easix", "car_hematotoxx"], "is no score or grade. Did you mean car_hematotox?"),
        (["easix", "8841"], "is no score or grade. There are car_hematotox, easix,"),
        ([], "must have at least 1 item"),
    ],
    ids=["misspelt", "unknown", "none"],
)
def test_scores_that_there_are_not(names: list[str], rule: str) -> None:
    with pytest.raises(InputError, match=r"^scores") as caught:
        scored([{}], names)
    assert caught.value.rule.startswith(rule)
    assert caught.value.field == ("scores[1]" if names else "scores")


def test_names_may_repeat_and_stand_in_any_order() -> None:
    answer = scored([{"inputs": CHT}], ["s_easix", "car_hematotox", "s_easix"])
    assert list(answer.patients[0].scores) == ["car_hematotox", "s_easix"]


VALUE = st.none() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8) | st.booleans()
ANYTHING = st.fixed_dictionaries(
    {},
    optional={
        "inputs": st.dictionaries(st.sampled_from([*UNITS, *LEVELS, "hb", ""]), VALUE, max_size=6),
        "known_until_day": VALUE,
        "follow_up_ended": VALUE,
        "daily_counts": st.fixed_dictionaries(
            {}, optional={"anc": st.lists(st.fixed_dictionaries({"day": VALUE, "value": VALUE}), max_size=3)}
        ),
        "icans": st.dictionaries(st.sampled_from([*IcansComponents.model_fields]), VALUE, max_size=3),
    },
)


@settings(max_examples=200, deadline=None)
@given(patient=ANYTHING)
def test_anything_is_answered_or_refused_by_field(patient: Json) -> None:
    try:
        answer = scored([patient], list(CARDS))
    except InputError as error:
        assert error.field.startswith("patients[0].")  # noqa: PT017  (either outcome is right)
        return
    for name, result in answer.patients[0].scores.items():
        card = CARDS[name]
        if result.value is not None:
            assert card.lowest <= result.value <= (card.highest or np.inf)


# -- over HTTP ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def client(server: Any) -> Any:
    with server.client() as opened:
        yield opened


def test_the_documented_example_answers_as_documented(client: httpx.Client) -> None:
    post = client.get("/docs.json").json()["paths"]["/v1/scores"]["post"]
    request = post["requestBody"]["content"]["application/json"]["example"]
    response = client.post("/v1/scores", json=request)
    assert response.status_code == 200
    assert response.json() == post["responses"]["200"]["content"]["application/json"]["example"]
    scores = response.json()["patients"][0]["scores"]
    assert scores["car_hematotox"]["value"] == 1 + 1 + 1 + 1 + 1
    assert scores["early_icaht"]["value"] == 2.0
    assert (scores["crs"]["value"], scores["icans"]["value"]) == (2.0, 1.0)
    assert request == SCORE_EXAMPLE


def test_the_list_says_what_can_be_asked_for(client: httpx.Client) -> None:
    cards = {card["name"]: card for card in client.get("/v1/scores").json()["scores"]}
    assert list(cards) == list(CARDS)
    easix = cards["easix"]
    assert easix["groups"] == [
        {"name": "low", "low": None, "low_included": True},
        {"name": "high", "low": 4.67, "low_included": False},
    ]
    assert (easix["lowest"], easix["highest"]) == (0, None)
    every = client.post("/v1/scores", json={"patients": [{}], "scores": list(cards)}).json()
    assert {name for name, result in every["patients"][0]["scores"].items() if result["value"] is not None} == set()
    assert all(result["missing"] for result in every["patients"][0]["scores"].values())


@pytest.mark.parametrize("card", CARDS.values(), ids=CARDS)
def test_cards_point_at_a_heading_of_the_documentation(card: Any) -> None:
    file, anchor = card.docs.removeprefix("docs/").split("#")
    headings = re.findall(r"^## (.+)$", (DOCS / file).read_text(), re.MULTILINE)
    anchors = {re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-") for heading in headings}
    assert anchor in anchors
    assert card.citation
    assert card.inputs


def test_the_call_in_the_documentation_is_answered(client: httpx.Client) -> None:
    calls = re.findall(
        r"curl [^\n]*/v1/scores \\\n(?:[^\n]*\\\n)*  -d '(.*?)'\n",
        (DOCS / "how-to" / "serving.md").read_text(),
        re.DOTALL,
    )
    assert len(calls) == 1
    response = client.post("/v1/scores", content=calls[0])
    assert response.status_code == 200, response.text
    results = response.json()["patients"][0]["scores"]
    assert (results["car_hematotox"]["value"], results["car_hematotox"]["group"]) == (5.0, "high")
    assert results["early_icaht"]["value"] == 2.0


def test_refusals_and_answers_leave_nothing_in_the_log(server: Any, client: httpx.Client) -> None:
    before = server.log.read_text()
    spoilt: list[Json] = [{"inputs": {"crp": -NUMBER}}, {"inputs": {"crp": SENTINEL}}, {"patient_idd": SENTINEL}]
    for patient in spoilt:
        response = client.post("/v1/scores", json={"patients": [patient]})
        assert response.status_code == 400
        assert set(response.json()) == set(Problem.model_fields)
        assert "8841" not in response.text
    assert client.post("/v1/scores", json={"patients": [{"patient_id": SENTINEL, "inputs": CHT}]}).status_code == 200
    assert server.log.read_text() == before


def test_limits_hold_for_scores_too(client: httpx.Client) -> None:
    assert client.post("/v1/scores", content=b" " * (2 * 2**20 + 1)).status_code == 413
    assert client.post("/v1/scores", content=b"x", headers={"content-type": "text/plain"}).status_code == 415
    assert client.put("/v1/scores", json={}).status_code == 405
    many: Json = {"patients": [{}] * 10_001}
    assert client.post("/v1/scores", json=many).json()["field"] == "patients"


def test_a_thousand_patients_in_one_request(client: httpx.Client) -> None:
    patients = []
    for i in range(1_000):
        patient = deepcopy(SCORE_EXAMPLE["patients"][0])
        patients.append(patient | {"patient_id": f"p{i}", "known_until_day": None})
    body = client.post("/v1/scores", json={"patients": patients}).json()
    assert [patient["patient_id"] for patient in body["patients"]] == [f"p{i}" for i in range(1_000)]
    assert len(body["scores"]) == len(body["patients"][0]["scores"])
