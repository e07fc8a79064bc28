"""Immune effector cell-associated neurotoxicity syndrome: the ICE score, and the ASTCT grade of adults.

ASTCT consensus, Lee et al., Biol Blood Marrow Transplant 2019;25:625-638. The grade is the worst of five domains: ICE
score 7-9 1, 3-6 2, 0-2 3; awakens spontaneously 1, to voice 2, only to touch 3, unarousable or only to vigorous or
repetitive touch, stupor, coma 4; a seizure that resolves rapidly, or a non-convulsive one on EEG that resolves with
treatment 3, a prolonged (> 5 min) or repetitive one without return to baseline 4; deep focal motor weakness 4; focal
oedema on imaging 3, diffuse oedema, decerebrate or decorticate posturing, sixth-nerve palsy, papilloedema or Cushing's
triad 4. Only what is not attributable to another cause counts; intracranial haemorrhage, tremor and myoclonus do not.
An ICE score of 0 is grade 3 in a patient who is awake, and 4 in one who is unarousable. Grade 5, death of ICANS, is an
event. Children up to 12 years are assessed by CAPD instead of ICE, which is not computed here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

from features.errors import SequelaError
from features.scores.crs import level

ICE_ITEMS: Final[Mapping[str, int]] = {"orientation": 4, "naming": 3, "commands": 1, "writing": 1, "attention": 1}
"""Points of the ICE items: year, month, city, hospital; three objects; a command; a sentence; 100 down by tens."""
ICE_MAXIMUM: Final = sum(ICE_ITEMS.values())
CONSCIOUSNESS: Final[Mapping[str, int]] = {
    "alert": 0,
    "awakens_spontaneously": 1,
    "awakens_to_voice": 2,
    "awakens_to_touch": 3,
    "unarousable": 4,
}
SEIZURE: Final[Mapping[str, int]] = {"none": 0, "resolving": 3, "prolonged": 4}
MOTOR: Final[Mapping[str, int]] = {"none": 0, "deep_focal_weakness": 4}
PRESSURE: Final[Mapping[str, int]] = {"none": 0, "focal_oedema": 3, "diffuse_oedema_or_raised_pressure": 4}


def ice_score(
    orientation: float | None,
    naming: float | None,
    commands: float | None,
    writing: float | None,
    attention: float | None,
) -> float:
    """ICE score, 0 to 10: orientation 0-4, naming 0-3, commands, writing and attention 0-1 points each.

    Returns:
        The sum, or NaN when an item is None or NaN: a part of the test is not the test.

    Raises:
        SequelaError: An item is not a whole number of points in its range.
    """
    total = 0.0
    for (item, most), points in zip(
        ICE_ITEMS.items(), (orientation, naming, commands, writing, attention), strict=True
    ):
        total += math.nan if points is None else _points(item, points, most)
    return total


def icans_grade(
    ice: float | None,
    consciousness: str | None = None,
    seizure: str | None = None,
    motor: str | None = None,
    pressure: str | None = None,
) -> float:
    """ICANS grade of an adult, 0 to 4; None where a domain is not known.

    An unknown domain counts as unremarkable, so that the grade is the least that what is known implies; but grade 0
    takes the ICE score or the level of consciousness: without both, that nothing else was seen implies no grade.

    Args:
        ice: ICE score, 0 to 10, see `ice_score`; NaN as None.
        consciousness: One of `CONSCIOUSNESS`; ``alert`` is not depressed.
        seizure: One of `SEIZURE`.
        motor: One of `MOTOR`.
        pressure: One of `PRESSURE`.

    Returns:
        The grade, or NaN when nothing known implies one.

    Raises:
        SequelaError: A domain is none of its levels, or the ICE score is not a whole number from 0 to 10.
    """
    domains = (
        ("consciousness", consciousness, CONSCIOUSNESS),
        ("seizure", seizure, SEIZURE),
        ("motor", motor, MOTOR),
        ("pressure", pressure, PRESSURE),
    )
    grades = [level(name, value, levels) for name, value, levels in domains if value is not None]
    tested = ice is not None and not math.isnan(ice)
    if ice is not None and tested:
        grades.append(_ice_grade(_points("ICE score", ice, ICE_MAXIMUM)))
    worst = max(grades, default=0)
    if worst == 0 and not tested and consciousness is None:
        return math.nan
    return float(worst)


def _ice_grade(ice: float) -> int:
    """Grade that the ICE score implies in a patient who is awake."""
    return 0 if ice == ICE_MAXIMUM else 1 if ice >= 7 else 2 if ice >= 3 else 3


def _points(item: str, points: float, most: int) -> float:
    """The points, checked; NaN stays NaN."""
    if not math.isnan(points) and (not 0 <= points <= most or points != math.floor(points)):
        msg = f"{item}: must be a whole number of points from 0 to {most}. Write the points given, or leave it out."
        raise SequelaError(msg)
    return float(points)
