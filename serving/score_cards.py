"""What the scores and grades of ``/v1/scores`` are: inputs with units, groups, citations."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np

from features.scores import SCORES, Score
from features.scores.crs import HYPOTENSION, HYPOXIA
from features.scores.icans import CONSCIOUSNESS, ICE_ITEMS, ICE_MAXIMUM, MOTOR, PRESSURE, SEIZURE
from serving.score_messages import Count, ScoreCard, ScoreGroup, ScoreInput

RANGES: Mapping[str, tuple[float, float]] = MappingProxyType(
    {
        "platelets": (0.0, 5_000.0),
        "anc": (0.0, 100.0),
        "wbc": (0.0, 1_000.0),
        "haemoglobin": (1.0, 25.0),
        "crp": (0.0, 100.0),
        "ferritin": (0.0, 1_000_000.0),
        "ldh": (0.0, 50_000.0),
        "ast": (0.0, 50_000.0),
        "creatinine": (0.0, 30.0),
        "triglycerides": (0.0, 100.0),
        "fibrinogen": (0.0, 20.0),
        "temperature": (25.0, 45.0),
    }
)
"""Limits of inputs in the units of the scores, both ends included. They come from no paper: they are wide enough for
any patient and, where units differ by enough, narrow enough to notice another unit (haemoglobin in g/L)."""
COUNT_UNIT: str = Count.model_fields["unit"].default
"""Unit of counts given without one."""
_EARLY, _LATE = "days 0-30 after infusion", "days 31-100 after infusion"
_ICAHT = "Rejeski et al. (EHA/EBMT consensus), Blood 2023;142:865-877"
_T_ICAHT = "Rejeski et al., Blood 2025, doi:10.1182/blood.2025028833"
_ASTCT = "Lee et al. (ASTCT consensus), Biol Blood Marrow Transplant 2019;25:625-638"
_DOCS: Mapping[str, str] = {"car_hematotox": "car-hematotox", "hscore": "hscore"}


def _input(
    given_as: str,
    levels: tuple[str, ...] | None = None,
    *,
    unit: str | None = None,
    limits: tuple[float, float] | None = None,
) -> ScoreInput:
    return ScoreInput(given_as=given_as, levels=levels, unit=unit, range=limits)


def _of_score(score: Score) -> ScoreCard:
    """The card of a score of `features.scores`."""
    numbers = (_input(f"inputs.{name}", unit=unit, limits=RANGES[name]) for name, unit in score.inputs.items())
    findings = (_input(f"inputs.{name}", levels) for name, levels in score.coded.items())
    lowest, highest = score.range
    return ScoreCard(
        name=score.name,
        title=score.title,
        kind="score",
        inputs=(*numbers, *findings),
        lowest=lowest,
        highest=highest if np.isfinite(highest) else None,
        groups=tuple(
            ScoreGroup(name=g.name, low=g.low if np.isfinite(g.low) else None, low_included=g.low_included)
            for g in score.groups
        ),
        when=score.when,
        citation=score.citation,
        docs=f"docs/reference/scores.md#{_DOCS.get(score.name, 'easix')}",
    )


def _grade(name: str, title: str, inputs: tuple[ScoreInput, ...], when: str, citation: str, docs: str) -> ScoreCard:
    highest = ICE_MAXIMUM if name == "ice_score" else 4
    return ScoreCard(
        name=name,
        title=title,
        kind="score" if name == "ice_score" else "grade",
        inputs=inputs,
        lowest=0,
        highest=highest,
        groups=(),
        when=when,
        citation=citation,
        docs=f"docs/reference/grades.md#{docs}",
    )


def _counts(name: str) -> tuple[ScoreInput, ...]:
    return (_input(f"daily_counts.{name}", unit=COUNT_UNIT, limits=RANGES[name]),)


_ICE = tuple(_input(f"icans.ice_items.{item}", limits=(0, most)) for item, most in ICE_ITEMS.items())
_CRS = (
    _input("crs.fever"),
    _input("crs.hypotension", tuple(HYPOTENSION)),
    _input("crs.hypoxia", tuple(HYPOXIA)),
    _input("crs.fever_treated"),
)
_ICANS = (
    _input("icans.ice", limits=(0, ICE_MAXIMUM)),
    _input("icans.consciousness", tuple(CONSCIOUSNESS)),
    _input("icans.seizure", tuple(SEIZURE)),
    _input("icans.motor", tuple(MOTOR)),
    _input("icans.pressure", tuple(PRESSURE)),
)
_WORST = "one assessment; of several the worst grade counts"
_NEUTROPENIA, _THROMBOCYTOPENIA = "neutropenia-icaht", "thrombocytopenia-t-icaht"
_NEUROTOXICITY = "neurotoxicity-ice-and-icans"
CARDS: Mapping[str, ScoreCard] = MappingProxyType(
    {
        card.name: card
        for card in (
            *map(_of_score, SCORES.values()),
            _grade("early_icaht", "Early ICAHT (neutropenia)", _counts("anc"), _EARLY, _ICAHT, _NEUTROPENIA),
            _grade("late_icaht", "Late ICAHT (neutropenia)", _counts("anc"), _LATE, _ICAHT, _NEUTROPENIA),
            _grade("early_t_icaht", "Early T-ICAHT", _counts("platelets"), _EARLY, _T_ICAHT, _THROMBOCYTOPENIA),
            _grade("late_t_icaht", "Late T-ICAHT", _counts("platelets"), _LATE, _T_ICAHT, _THROMBOCYTOPENIA),
            _grade("crs", "Cytokine release syndrome", _CRS, _WORST, _ASTCT, "cytokine-release-syndrome"),
            _grade("ice_score", "ICE score", _ICE, "one assessment", _ASTCT, _NEUROTOXICITY),
            _grade("icans", "ICANS of adults", _ICANS, _WORST, _ASTCT, _NEUROTOXICITY),
        )
    }
)
"""Every score and grade by name."""
