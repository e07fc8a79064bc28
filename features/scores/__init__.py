"""Published clinical scores and grades, in the units of their papers (see docs/reference/scores.md)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from types import MappingProxyType

from features.errors import SequelaError
from features.patients import FloatArray, Patients
from features.schema import Variable
from features.scores.car_hematotox import CAR_HEMATOTOX
from features.scores.easix import EASIX, M_EASIX, S_EASIX
from features.scores.hscore import HSCORE
from features.scores.score import Group, Score, ScoreInputs, score_inputs

__all__ = ["SCORES", "Group", "Score", "ScoreInputs", "computable", "score_columns", "score_inputs"]

SCORES: Mapping[str, Score] = MappingProxyType(
    {score.name: score for score in (CAR_HEMATOTOX, EASIX, S_EASIX, M_EASIX, HSCORE)}
)
"""Every score by name."""

_LOG2 = "log2"


def computable(variables: Mapping[str, Variable]) -> tuple[str, ...]:
    """Names of the scores for which the cohort has a variable for every input."""
    return tuple(name for name, score in SCORES.items() if not score.lacking(variables))


def score_columns(patients: Patients, variables: Mapping[str, Variable], names: Sequence[str]) -> dict[str, FloatArray]:
    """Scores from what is known by each row's landmark day; `score_inputs` says what was missing.

    Args:
        patients: (rows,). Impossible values are to be removed before (`features.baseline.impossible`).
        variables: What the cohort declares; its units are those of the values.
        names: Names of scores. ``easix:log2`` is the logarithm to base 2 of a ratio, the scale on which a model should
            see it; ``easix`` is the ratio itself, the scale of its cut-off.

    Returns:
        Columns (rows,) by the names given; NaN where an input is missing.

    Raises:
        SequelaError: No such score or scale, or the cohort cannot give one of its inputs.
    """
    columns: dict[str, FloatArray] = {}
    for name in names:
        base, _, scale = name.partition(":")
        score = _named(base)
        if scale not in ("", _LOG2) or (scale and not score.ratio):
            ratios = ", ".join(f"{ratio.name}:{_LOG2}" for ratio in SCORES.values() if ratio.ratio)
            msg = f"score {name!r}: {base} has no scale {scale!r}. Write {base!r}; logarithms are {ratios}."
            raise SequelaError(msg)
        values = columns.get(base)
        if values is None:
            values = score.compute(score_inputs(score, patients, variables).values)
        columns[name] = score.log2(values) if scale else values
    return columns


def _named(name: str) -> Score:
    if name in SCORES:
        return SCORES[name]
    near = get_close_matches(name, SCORES, n=1)
    hint = f"Did you mean {near[0]}?" if near else f"There are {', '.join(SCORES)}."
    msg = f"no score is named {name!r}. {hint}"
    raise SequelaError(msg)
