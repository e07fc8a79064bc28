"""Every number of a comparison, one line each: what tables show and other programs read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from experiments.effects.analysis import Adjustment, Compared, Contrasts, CountedEffects, Effects, GroupEffects
from experiments.effects.individual import flat
from experiments.effects.sentences import assumptions, findings
from experiments.estimate_lines import DIFFERENCE, RATIO, Line, flat_line, interval
from experiments.page.privacy import WITHHELD
from experiments.page.tables import p_value
from training.effects.estimates import ChiSquared
from training.effects.propensity import Overlap
from training.effects.subgroups import Subgroup


def lines_of(effects: Effects) -> list[Line]:
    """All estimates: hazard ratios, then risks and times lost by method, then counts."""
    found = list(_hazard_lines(effects))
    for compared in effects.compared:
        found += _compared_lines(effects, compared)
    if effects.counted is not None:
        found += _counted_lines(effects, effects.counted)
    return found


def _hazard_lines(effects: Effects) -> Iterator[Line]:
    names = effects.question.arms.names
    for one in effects.causes:
        for quantity, ratios in (
            ("cause-specific hazard ratio", one.cause_specific),
            ("subdistribution hazard ratio", one.subdistribution),
        ):
            for name, estimate in zip(names[1:], ratios, strict=True):
                yield Line(quantity, "unadjusted", one.cause, None, name, names[0], estimate)


def _compared_lines(effects: Effects, compared: Compared) -> Iterator[Line]:
    names = effects.question.arms.names
    parts: tuple[tuple[str, Contrasts], ...] = (("risk", compared.risk), ("time lost", compared.time_lost))
    for quantity, contrasts in parts:
        for tables, arms, reference, suffix in (
            (contrasts.tables, names, None, ""),
            (contrasts.differences, names[1:], names[0], DIFFERENCE),
            (contrasts.ratios, names[1:], names[0], RATIO),
        ):
            for arm, table in zip(arms, tables, strict=True):
                for one, row in zip(effects.causes, table, strict=True):
                    for day, estimate in zip(effects.question.horizons_days, row, strict=True):
                        name = quantity + suffix
                        yield Line(name, compared.method, one.cause, float(day), arm, reference, estimate)


def _counted_lines(effects: Effects, of: CountedEffects) -> Iterator[Line]:
    names, event = effects.question.arms.names, of.counted.recurrences.name
    for method, ratios in (("Andersen–Gill", of.rates.andersen_gill), ("LWYY", of.rates.lwyy)):
        for arm, estimate in zip(names[1:], ratios, strict=True):
            yield Line("rate ratio", method, event, None, arm, names[0], estimate)
    for numbers in of.at_horizons:
        for table, arms, reference, suffix in (
            (numbers.means, names, None, ""),
            (numbers.differences, names[1:], names[0], DIFFERENCE),
            (numbers.ratios, names[1:], names[0], RATIO),
        ):
            for arm, row in zip(arms, table, strict=True):
                for day, estimate in zip(effects.question.horizons_days, row, strict=True):
                    yield Line("mean number" + suffix, numbers.method, event, float(day), arm, reference, estimate)


def group_lines(effects: Effects, of: GroupEffects) -> list[tuple[Subgroup, Line]]:
    """Differences of risks of the event of interest, by group, arm and horizon."""
    names, cause = effects.question.arms.names, effects.causes[0].cause
    return [
        (one, Line("risk" + DIFFERENCE, of.method, cause, float(day), arm, names[0], estimate))
        for one in of.groups
        if one.differences is not None
        for arm, table in zip(names[1:], one.differences, strict=True)
        for day, estimate in zip(effects.question.horizons_days, table[0], strict=True)
    ]


def group_rows(
    effects: Effects,
    of: GroupEffects,
    counts: Sequence[str],
    hidden: Callable[[str, Line], bool] = lambda _group, _line: False,
) -> list[tuple[str, ...]]:
    """Rows of a table: group, patients, arm, the difference by each horizon; below each arm the test of all groups.

    Args:
        effects: The comparison.
        of: Its groups.
        counts: Number of patients of each group, as text.
        hidden: Whether the estimate of a group is withheld.
    """
    names, days = effects.question.arms.names, effects.question.horizons_days
    rows: list[tuple[str, ...]] = []
    lines = group_lines(effects, of)
    for arm, tests, used in zip(names[1:], of.tests, of.used, strict=True):
        for one, count in zip(of.groups, counts, strict=True):
            cells = [
                WITHHELD if hidden(one.name, line) else interval(line)
                for group, line in lines
                if group is one and line.arm == arm
            ] or ["–"] * len(days)
            rows.append((one.name, count, f"{arm} / {names[0]}", *cells))
        same = (_same(test, own, of) for test, own in zip(tests, used, strict=True))
        rows.append(("same in all groups", "", f"{arm} / {names[0]}", *same))
    return rows


def _same(test: ChiSquared, used: Sequence[str], of: GroupEffects) -> str:
    """The p-value, and the groups it is of, unless all."""
    some = np.isfinite(test.p) and len(used) < len(of.groups)
    return f"p {p_value(test.p)}" + (f" ({', '.join(used)})" if some else "")


def overlaps(adjustment: Adjustment) -> list[tuple[Overlap, str]]:
    """Of each arm, by the model of everyone and by those of other patients."""
    pairs = zip(adjustment.overlap, adjustment.cross_fitted, strict=True)
    return [one for first, second in pairs for one in ((first, "of everyone"), (second, "cross-fitted"))]


def plain(effects: Effects) -> dict[str, Any]:
    """Everything as other programs read it; what is not known is NaN or None."""
    question = effects.question
    return {
        "cohort": question.cohort.card.title,
        "provenance": question.cohort.card.provenance,
        "endpoint": question.endpoint.name,
        "landmark_day": question.landmark_day,
        "by": question.by,
        "reference": question.arms.names[0],
        "strata": question.centre,
        "adjusted_for": [] if question.covariates is None else list(question.covariates.names),
        "arm_not_known": question.n_left_out,
        "arms": [
            {"arm": name, "patients": len(question.arms.of(k)), "events": question.arms.of(k).counts()}
            for k, name in enumerate(question.arms.names)
        ],
        "tests": list(_tests(effects)),
        "estimates": [flat_line(line) for line in lines_of(effects)],
        "e_values": [
            {"arm": arm, "horizon_days": float(day), "point": value.point, "limit": value.limit}
            for arm, values in zip(question.arms.names[1:], effects.e_values, strict=True)
            for day, value in zip(question.horizons_days, values, strict=True)
        ],
        "balance": [] if effects.adjustment is None else [asdict(one) for one in effects.adjustment.balance],
        "overlap": [] if effects.adjustment is None else [asdict(one) for one in effects.adjustment.overlap],
        "overlap_cross_fitted": (
            [] if effects.adjustment is None else [asdict(one) for one in effects.adjustment.cross_fitted]
        ),
        "hardly_seen": (
            {}
            if effects.adjustment is None
            else dict(zip(question.arms.names, effects.adjustment.hardly_seen, strict=True))
        ),
        "subgroup_tests": [] if effects.groups is None else list(_flat_group_tests(effects, effects.groups)),
        "subgroups": [] if effects.groups is None else list(_flat_groups(effects, effects.groups)),
        "individual": list(flat(effects)),
        "found": list(findings(effects)),
        "assumptions": list(assumptions(effects)),
    }


def _tests(effects: Effects) -> Iterator[dict[str, Any]]:
    for one in effects.causes:
        tests: tuple[tuple[str, ChiSquared | None], ...] = (("Gray", one.gray), ("log-rank", one.log_rank))
        for name, test in tests:
            if test is not None:
                yield {"cause": one.cause, "test": name} | asdict(test)


def _flat_groups(effects: Effects, of: GroupEffects) -> Iterator[dict[str, Any]]:
    for group, line in group_lines(effects, of):
        yield {"group": group.name, "patients": group.n_rows} | flat_line(line)


def _flat_group_tests(effects: Effects, of: GroupEffects) -> Iterator[dict[str, Any]]:
    question = effects.question
    for arm, tests, used in zip(question.arms.names[1:], of.tests, of.used, strict=True):
        for day, test, own in zip(question.horizons_days, tests, used, strict=True):
            yield {"arm": arm, "horizon_days": float(day), "groups": list(own)} | asdict(test)
