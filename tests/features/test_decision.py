"""Tiers of risk, what they point to, and what is refused of them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from features.guidance import OPTIONS
from features.schema import Decision, Endpoint, EventRule, Tier, Variable


def endpoint(**decision: Any) -> Endpoint:
    return Endpoint(
        name="severe_infection",
        event=EventRule(name="infection"),
        horizons_days=(90, 180),
        decision=Decision.model_validate(decision),
    )


TIERS = ({"name": "standard"}, {"name": "raised", "from_risk": 0.1}, {"name": "high", "from_risk": 0.25})


@given(risk=st.floats(0, 1))
def test_a_risk_is_of_the_last_tier_that_begins_at_or_below_it(risk: float) -> None:
    decision = Decision.model_validate({"horizon_days": 90, "tiers": TIERS})
    assert decision.thresholds == (0.1, 0.25)
    begins = [tier.from_risk for tier in decision.tiers]
    level = decision.tier_of(risk)
    assert begins[level] <= risk
    assert level == len(begins) - 1 or risk < begins[level + 1]


@pytest.mark.parametrize(
    ("tiers", "rule"),
    [
        (TIERS[:1], "at least 2"),
        (TIERS[1:], "the first from 0"),
        ((TIERS[0], TIERS[2], TIERS[1]), "must ascend"),
        ((*TIERS, {"name": "high", "from_risk": 0.5}), "different names"),
        ((TIERS[0], {"name": "raised", "from_risk": 1}), "less than 1"),
        ((TIERS[0], {"name": "raised", "from_risk": 0.1, "options": ["growth_factors"]}), "nearest is growth_factor"),
        ((TIERS[0], {"name": "raised", "from_risk": [0.2, 0.1]}), "the least above 0 and below the most"),
        ((TIERS[0], {"name": "raised", "from_risk": [0, 0.1]}), "the least above 0 and below the most"),
        ((TIERS[0], {"name": "raised", "from_risk": [0.05, 0.125]}), "whole percents"),
        ((TIERS[0], {"name": "raised", "from_risk": [0.05, 0.3]}, TIERS[2]), "ranges must not meet"),
        ((TIERS[0], {"name": "raised", "from_risk": [0.05, 0.25]}, TIERS[2]), "ranges must not meet"),
        (({"name": "standard", "from_risk": [0.01, 0.05]}, TIERS[1]), "the first from 0"),
    ],
)
def test_tiers_that_cannot_be_are_refused(tiers: Any, rule: str) -> None:
    with pytest.raises(ValidationError, match=rule):
        endpoint(horizon_days=90, tiers=tiers)


RANGES = (TIERS[0], {"name": "raised", "from_risk": [0.05, 0.15]}, {"name": "high", "from_risk": 0.25})


def test_a_range_stands_for_its_least_until_it_is_settled() -> None:
    decision = Decision.model_validate({"horizon_days": 90, "tiers": RANGES})
    assert decision.thresholds == (0.05, 0.25)
    assert [one.candidates for one in decision.tiers] == [(), tuple(k / 100 for k in range(5, 16)), ()]
    settled = decision.settle((0.12, 0.25))
    assert (decision.settled, settled.settled, settled.thresholds) == (False, True, (0.12, 0.25))
    assert settled.tiers[1].options == decision.tiers[1].options
    assert Decision.model_validate_json(decision.model_dump_json()) == decision


def test_ranges_are_searched_over_few_landmarks() -> None:
    days = tuple(range(0, 70, 10))
    content = endpoint(horizon_days=90, tiers=RANGES).model_dump() | {"landmark_days": days}
    with pytest.raises(ValidationError, match="at most 6 landmark_days; give numbers"):
        Endpoint.model_validate(content)
    Endpoint.model_validate(content | {"landmark_days": days[:6]})
    Endpoint.model_validate(endpoint(horizon_days=90, tiers=TIERS).model_dump() | {"landmark_days": days})


def test_the_horizon_is_one_of_the_endpoint() -> None:
    with pytest.raises(ValidationError, match="one of horizons_days: 90, 180"):
        endpoint(horizon_days=91, tiers=TIERS)


def test_every_option_names_its_source_and_orders_nothing() -> None:
    for key, option in OPTIONS.items():
        assert option.key == key
        assert option.source[-4:].isdigit() or ";" in option.source, key
        assert option.text.startswith(("Guidance", "Regulators")), key


def test_codes_are_of_levels_that_there_are() -> None:
    with pytest.raises(ValidationError, match="not one of the levels"):
        Variable(kind="categorical", levels=("a",), level_codes={"b": ("s|c",)})
    with pytest.raises(ValidationError, match="pattern"):
        Variable(kind="categorical", levels=("a",), level_codes={"a": ("C83.3",)})
    with pytest.raises(ValidationError, match="not one of the levels"):
        Variable(kind="numeric", level_codes={"a": ("s|c",)})


def test_tiers_have_names() -> None:
    with pytest.raises(ValidationError):
        Tier(name="")
