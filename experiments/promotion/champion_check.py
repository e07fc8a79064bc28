"""The check of a gate against the model that serves."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from mlflow.entities import Run

from experiments.promotion.candidate import Candidate
from experiments.promotion.gate import WORDS, ChampionRule
from experiments.promotion.paired import Paired
from experiments.promotion.verdict import Check, Status
from features.errors import SequelaError
from training.evaluation.comparison import Difference, paired_difference
from training.evaluation.intervals import Interval

SIGN = {"ibs": -1.0, "ipa": 1.0, "c": 1.0}
"""What makes a difference positive where the first prediction is better."""


def champion_checks(rule: ChampionRule, candidate: Candidate, champion: Run | None, resamples: int) -> Iterator[Check]:
    """The difference from the champion, landmark by landmark."""
    name, text = (
        f"{rule.metric} against the champion",
        f"{WORDS[rule.bound]} of the difference at least {-rule.margin:g}",
    )
    if champion is None or champion.info.run_id == candidate.run.info.run_id:
        remark = "there is no champion" if champion is None else "it is the champion"
        yield Check("champion", name, "not applicable", text, remark=remark)
        return
    try:
        both = candidate.predictions(champion)
    except SequelaError as error:
        status: Status = "failed" if rule.when_not_comparable == "refuse" else "not applicable"
        remark = f"cannot be compared: {error}; train the champion's configuration on this cohort, with these splits"
        yield Check("champion", name, status, text, remark=remark)
        return
    for day in rule.landmark_days or both.rows.endpoint.landmark_days:
        yield _no_worse(rule, both, day, resamples, f"{name} from day {day:g}", text)


def _no_worse(rule: ChampionRule, both: Paired, day: float, resamples: int, name: str, text: str) -> Check:
    rows = both.tested_from(day)
    if not len(rows):
        return Check("champion", name, "failed", text, remark="there is no such landmark; correct the gate")
    outcomes, ids = both.rows.outcomes.take(rows), both.rows.patients.patient_id[rows]
    differences: list[Difference] = []
    for ours, theirs, fold in zip(*both.incidence, both.fold, strict=True):
        found = paired_difference(
            ours[rows],
            theirs[rows],
            both.times_days,
            outcomes,
            ids,
            rng=np.random.default_rng(0),
            horizons_days=both.rows.endpoint.horizons_days,
            n_bootstrap=resamples,
            fold=fold[rows],
        )
        differences.append(getattr(found, rule.metric)[0])
    value = _signed(differences, SIGN[rule.metric])
    held = getattr(value, rule.bound)
    if held >= -rule.margin:
        return Check("champion", name, "passed", text, value)
    shown = "it is worse" if value.high < 0 else "the interval is too wide, or the model worse"
    return Check("champion", name, "failed", text, value, f"{shown}; more patients, or a wider champion.margin, decide")


def _signed(differences: list[Difference], sign: float) -> Interval:
    """Mean over repeats of the points and of the bounds, as in `mean_scores`; above 0 is better."""
    point, low, high = (np.mean([getattr(one, part) for one in differences]) for part in ("point", "low", "high"))
    return Interval(float(sign * point), *sorted((float(sign * low), float(sign * high))))
