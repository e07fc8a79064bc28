"""The section on whom thresholds select: its numbers are those of counting, and nobody real is told of."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from experiments.config import load_run
from experiments.crossval import Unheard, cross_validate
from experiments.data import load_rows
from experiments.home import CONFIGS
from experiments.page.privacy import Disclosure
from experiments.run_page import RunFacts, RunRecord, analyse, read_record
from experiments.run_page import said_of_selection as said
from experiments.run_page.analysis import Analysis
from experiments.run_page.card import RunCard
from experiments.run_page.card_of import card_of
from experiments.run_page.sections_scores import decision_section
from experiments.run_page.sections_selection import selection_section
from experiments.run_page.selection import selection_at, tellable, tellable_of
from experiments.run_page.subgroups import LEAST_EVENTS, LEAST_PATIENTS, group_labels
from experiments.run_report import Findings, write_report
from experiments.scoring import score
from experiments.thresholds import Settled
from experiments.usefulness import THIRDS
from features.check import read_endpoint
from features.errors import SequelaError
from features.outcomes import Outcomes
from features.simulator import simulate
from training.artifact.manifest import ThresholdBenefit, TierThreshold
from training.evaluation.arrays import at_horizons
from training.evaluation.calibration import observed_risk
from training.evaluation.intervals import Interval
from training.evaluation.patient_selection import selections
from training.models.nonparametric import aalen_johansen

OPEN, GUARDED = (Disclosure(guarded=guarded, individual_lines=False) for guarded in (False, True))


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> RunRecord:
    """A Cox model of 400 simulated patients, with the tiers of severe infection by 90 days."""
    folder = tmp_path_factory.mktemp("selection")
    simulate(folder / "cohort", n_patients=400, cells_per_sample=0, seed=0)
    settings = "validation={folds: 3, bootstrap: 60}"
    clinic = "features={measurements: [], cells: []}"
    words = [f"cohort={folder / 'cohort'}", clinic, "model={kind: cox, penalty: 50}", settings]
    config = load_run(CONFIGS / "run" / "cox.yaml", words)
    endpoint = read_endpoint(config.endpoint)
    assert endpoint.decision is not None
    given = endpoint.model_copy(update={"decision": endpoint.decision.settle([0.1, 0.25])})
    rows = load_rows(config.cohort, given, config.features, folder)
    out_of_fold = cross_validate(rows, config, folder / "folds", Unheard())
    write_report(rows, out_of_fold, Findings(score(rows, out_of_fold, config)), config, folder / "report")
    return read_record(folder / "report", config, rows, RunFacts("run", 0.0, {}))


@pytest.fixture(scope="module")
def found(record: RunRecord) -> Analysis:
    return analyse(record)


@pytest.fixture(scope="module")
def real(record: RunRecord) -> Analysis:
    cohort = record.rows.cohort
    card = cohort.card.model_copy(update={"provenance": "real"})
    return analyse(replace(record, rows=replace(record.rows, cohort=replace(cohort, card=card))))


def risk_of(a: Analysis, number: int = 0) -> Any:
    at = a.record.landmarks[number]
    return at_horizons(at.incidence[:, 0], at.times_days, np.array([90.0]))[:, 0]


def happened(a: Analysis, number: int = 0) -> Any:
    outcomes = a.record.landmarks[number].outcomes
    return (outcomes.cause == 1) & (outcomes.duration_days <= 90)


def tables_of(a: Analysis) -> str:
    return re.sub(r"<svg.*?</svg>", "", selection_section(a).body, flags=re.DOTALL)


@pytest.fixture(scope="module")
def tables(found: Analysis) -> str:
    return tables_of(found)


def row(tables: str, heading: str) -> list[str]:
    match = re.search(rf'<th scope="row"[^>]*>{re.escape(heading)}</th>(.*?)</tr>', tables, re.DOTALL)
    assert match is not None, heading
    return re.findall(r"<td[^>]*>(.*?)</td>", match[1])


def test_tiers_are_the_endpoints_and_hold_everyone_once(found: Analysis, tables: str) -> None:
    assert [of.day for of in found.selections] == [0.0, 30.0]
    for number, of in enumerate(found.selections):
        at, risk = found.record.landmarks[number], risk_of(found, number)
        assert (of.declared, of.horizon_days, of.thresholds, of.n_withheld) == (True, 90.0, (0.1, 0.25), 0)
        decision = found.record.rows.endpoint.decision
        assert decision is not None
        tier = np.array([decision.tier_of(value) for value in risk])
        assert [one.name for one in of.tiers] == ["standard", "raised", "high"]
        assert [one.n_patients for one in of.tiers] == np.bincount(tier, minlength=3).tolist()
        for k, one in enumerate(of.tiers):
            rows = np.flatnonzero(tier == k)
            assert len(rows) > 0
            own = at.outcomes.take(rows)
            assert one.observed[2] == observed_risk(own, 3, 90.0)
            assert one.predicted[0] == pytest.approx(risk[rows].mean())
            cells = row(
                tables, f"{one.name} ({('below 10 %', '10 % to below 25 %', '25 % or more')[k]}), from day {of.day:g}"
            )
            assert cells[0].startswith(f"{len(rows)} (")


def test_numbers_are_those_of_the_out_of_fold_risks(found: Analysis, tables: str) -> None:
    at, of, risk = found.record.landmarks[0], found.selections[0], risk_of(found)
    assert [one.threshold for one in of.at] == [0.05, 0.075, 0.1, 0.125, 0.15, 0.1875, 0.25, 0.3125, 0.375]
    for one in of.at:
        rows = np.flatnonzero(risk >= one.threshold)
        assert (one.n_rows, one.n_selected) == (len(risk), len(rows))
        assert one.n_events == (happened(found) & (risk >= one.threshold)).sum()
        if len(rows):
            curve = aalen_johansen(at.outcomes.take(rows)).at(np.array([90.0]))
            assert one.ppv.point == pytest.approx(curve[0, 0])
    chosen = of.of(0.1)
    watch = chosen.number_needed_to_watch
    cells = row(tables, "10 % (a tier begins), from day 0")
    assert cells[0] == f"{chosen.n_selected} ({100 * chosen.share.point:.0f} %)"
    assert cells[1] == f"{100 * chosen.ppv.point:.1f} % ({100 * chosen.ppv.low:.1f} to {100 * chosen.ppv.high:.1f})"
    assert cells[5] == f"{watch.point:.1f} ({watch.low:.1f} to {watch.high:.1f})"
    assert cells[6] == said.needed(chosen.number_needed_to_treat(0.3), 1)
    sentence = said.selected(found, of, chosen)
    assert f"{chosen.n_selected} of {chosen.n_rows} patients are selected; {100 * chosen.ppv.point:.1f} %" in sentence
    assert f"{watch.point:.0f} ({watch.low:.0f} to {watch.high:.0f}) are watched for one" in sentence
    assert sentence in tables


def test_groups_are_selected_within_themselves(found: Analysis, tables: str) -> None:
    at, of, risk = found.record.landmarks[0], found.selections[0], risk_of(found)
    labels = group_labels(found.record.rows.cohort, at.patient_id, 1)
    assert {group.variable for group in of.groups} == set(labels)
    assert {"product", "disease"} <= set(labels)
    assert not found.selections[1].groups
    few = []
    for group in of.groups:
        rows = np.flatnonzero(labels[group.variable] == group.level)
        rng = np.random.default_rng(found.record.config.seed)
        own, ids = at.outcomes.take(rows), at.patient_id[rows]
        (alone, _) = selections(risk[rows], own, 1, 90.0, of.thresholds, ids, rng=rng, n_bootstrap=60)
        assert group.n_patients == len(rows)
        assert group.at[0] == alone
        few.append(alone.n_events < LEAST_EVENTS)
        assert (row(tables, f"{group.variable}: {group.level}")[2] == "too few events") == few[-1]
    assert True in few
    assert False in few


def test_a_small_group_has_no_numbers(found: Analysis) -> None:
    at = found.record.landmarks[0]
    kind = np.where(np.arange(len(at.outcomes)) < LEAST_PATIENTS - 1, "few", "many").astype(object)
    of = selection_at(found.record, at, {"kind": kind}, OPEN, 20)
    assert of is not None
    assert {group.level: group.at == (None, None) for group in of.groups} == {"few": True, "many": False}
    body = tables_of(replace(found, selections=(of,), subgroups=found.subgroups[:2]))
    assert row(body, "kind: few")[1:] == ["too few to tell", "–", "–", "–"]


def test_another_assumption_changes_numbers_needed_to_treat_alone(
    record: RunRecord, found: Analysis, tables: str
) -> None:
    half = analyse(record, relative_risk_reduction=0.15)
    ours, theirs = found.selections[0].of(0.1), half.selections[0].of(0.1)
    assert ours == theirs
    again = tables_of(half)
    cells, halved = (row(text, "10 % (a tier begins), from day 0") for text in (tables, again))
    assert cells[:6] == halved[:6]
    assert cells[6] != halved[6]
    assert "15 % of the risk away" in again
    for wrong in (0.0, 1.5, np.nan):
        with pytest.raises(SequelaError, match="give one above 0 and at most 1"):
            analyse(record, relative_risk_reduction=wrong)


def test_the_card_has_the_numbers_and_old_cards_are_read(found: Analysis) -> None:
    card = card_of(found)
    text = card.model_dump_json()
    assert RunCard.model_validate_json(text) == card
    everyone = [one for one in card.selection if one.variable is None]
    assert len(everyone) == sum(len(of.at) for of in found.selections)
    chosen = found.selections[0].of(0.1)
    (same,) = [one for one in everyone if (one.landmark_day, one.threshold) == (0.0, 0.1)]
    assert (same.begins_tier, same.selected, same.ppv.point) == (True, chosen.n_selected, chosen.ppv.point)
    treat = chosen.number_needed_to_treat(0.3)
    assert (same.number_needed_to_treat.point, card.relative_risk_reduction) == (treat.point, 0.3)
    assert {one.variable for one in card.selection} >= {None, "product", "disease"}
    assert len(card.tiers) == sum(len(of.tiers) for of in found.selections) * len(found.record.rows.endpoint.causes)
    assert "watched for one" in str(card.chai)
    assert "raised from 10 %" in card.tripod_ai[14].text
    content = {k: v for k, v in json.loads(text).items() if k not in {"selection", "tiers", "relative_risk_reduction"}}
    old = RunCard.model_validate_json(json.dumps(content))
    assert (old.selection, old.tiers, old.relative_risk_reduction) == ((), (), None)


def test_how_thresholds_came_is_said_and_that_searching_is_optimistic(record: RunRecord, found: Analysis) -> None:
    assert "Tiers are those of the endpoint, chosen before." in said.rests_on(found)
    decision = record.rows.endpoint.decision
    assert decision is not None
    gain = (0.02, 0.005, 0.03)
    chosen = TierThreshold(tier="raised", threshold=0.1, how="chosen", accepted=(0.05, 0.15), gain=gain, at_once=11)
    given = TierThreshold(tier="high", threshold=0.25, how="given")
    worth = ThresholdBenefit(landmark_day=30, threshold=0.1, flagged=0.5, gain=gain, at_once=11)
    settled = Settled(decision=decision, thresholds=(chosen, given), benefits=(worth,))
    a = analyse(replace(record, settled=settled))
    assert "within ranges chosen before, so that what is told at a threshold" in said.rests_on(a)
    text = card_of(a).tripod_ai[14].text
    assert "raised from 10 %, high from 25 %" in text
    assert "The threshold of 10 % was chosen by net benefit: of 5 to 15 %" in text
    assert "The threshold of 25 % was given with the endpoint" in text
    assert "From day 30: Whether acting from a risk of 10 % on is of use was shown" in text
    assert "The threshold of 10 % was chosen by net benefit: of 5 to 15 %" in decision_section(a).body


def test_without_tiers_thirds_of_the_predicted_risk_stand_for_them(record: RunRecord) -> None:
    endpoint = record.rows.endpoint.model_copy(update={"decision": None})
    without = replace(record, rows=replace(record.rows, endpoint=endpoint))
    a = analyse(without)
    of, risk = a.selections[0], np.sort(a.record.landmarks[0].incidence[:, 0, -1])
    assert (of.declared, of.horizon_days) == (False, record.horizon_days)
    assert [one.name for one in of.tiers] == list(THIRDS)
    n = [one.n_patients for one in of.tiers]
    assert max(n) - min(n) <= 0.05 * sum(n), "thirds, but for rounding of where they begin"
    assert all(threshold == round(threshold, 3) for threshold in of.thresholds)
    body = selection_section(a).body
    assert "declares no tiers" in body
    assert len(risk) == sum(n)
    assert card_of(a).tripod_ai[14].text.endswith("There is no threshold.")


@pytest.mark.parametrize("declared", [True, False])
def test_one_risk_for_everyone_selects_all_or_nobody(record: RunRecord, *, declared: bool) -> None:
    incidence = np.broadcast_to(record.incidence[:, :1] * 0 + 0.01, record.incidence.shape)
    endpoint = record.rows.endpoint if declared else record.rows.endpoint.model_copy(update={"decision": None})
    a = analyse(replace(record, incidence=incidence, rows=replace(record.rows, endpoint=endpoint)))
    of = a.selections[0]
    assert of.arms is None
    assert sum(one.n_patients > 0 for one in of.tiers) == 1
    body = tables_of(a)
    assert "not compared" in body
    assert ("none of" in body) == declared
    assert not re.search(r"\bnan\b", body)


def solved(a: Analysis) -> list[int]:
    """Counts with and without the event between thresholds that follow from what is told of everyone."""
    counts = []
    for number, of in enumerate(a.selections):
        risk, had = risk_of(a, number), happened(a, number)
        bounds = [-np.inf, *(one.threshold for one in of.at), np.inf]
        for low, high in pairwise(bounds):
            between = (risk >= low) & (risk < high)
            counts += [int((between & had).sum()), int((between & ~had).sum())]
    return counts


def test_small_counts_of_real_patients_follow_from_nothing(found: Analysis, real: Analysis) -> None:
    assert any(0 < n < 5 for n in solved(found)), "there is something to withhold"
    assert real.selections
    assert not any(0 < n < 5 for n in solved(real))
    of, at = real.selections[0], real.record.landmarks[0]
    labels = group_labels(real.record.rows.cohort, at.patient_id, 5)
    for k, threshold in enumerate(of.thresholds):
        chosen, had = risk_of(real) >= threshold, happened(real)
        for variable in labels:
            groups = [group for group in of.groups if group.variable == variable]
            assert sum(group.at[k] is None for group in groups) != 1, "the one would follow from the others"
            for group in groups:
                if group.at[k] is not None:
                    own = labels[variable] == group.level
                    counts = [(own & of_them & e).sum() for of_them in (chosen, ~chosen) for e in (had, ~had)]
                    assert not any(0 < n < 5 for n in counts), group
    assert any(one is None for group in of.groups for one in group.at)
    assert not re.findall(r'<td class="n">[1-4](?: \(\S+ %\))?</td>', tables_of(real))
    assert "counts too small to be shown" in "".join(said.groups(of))
    assert "counts too small" not in "".join(said.groups(found.selections[0]))
    card = card_of(real)
    told = sum(len(of.at) for of in real.selections) + sum(one is not None for g in of.groups for one in g.at)
    assert len(card.selection) == told
    withheld = [one for one in card.tiers if one.observed is None]
    assert withheld
    assert all(one.cause != real.cause for one in withheld)
    ids = set(real.record.rows.cohort.patients["patient_id"])
    assert not ids & set(re.findall(r"[\w-]+", selection_section(real).body))


def test_a_tier_of_a_few_real_patients_is_joined_to_the_one_below(real: Analysis) -> None:
    at = real.record.landmarks[0]
    third_highest = np.sort(risk_of(real))[-3]
    fewer = replace(at, incidence=at.incidence * (0.2501 / third_highest))
    of = selection_at(real.record, fewer, {}, GUARDED, 20)
    assert of is not None
    assert (of.thresholds, of.n_withheld) == ((0.1,), 1)
    assert [tier.name for tier in of.tiers] == ["standard", "raised or high"]
    assert "1 tier begins at a threshold that is not shown" in tables_of(replace(real, selections=(of,)))
    open_to_all = selection_at(real.record, fewer, {}, OPEN, 20)
    assert open_to_all is not None
    assert [tier.n_patients for tier in open_to_all.tiers][2] == 3


def test_competing_causes_that_are_withheld_are_neither_in_a_table_nor_drawn(real: Analysis) -> None:
    body = selection_section(real).body
    causes = real.record.rows.endpoint.causes
    for of in real.selections:
        for k, cause in enumerate(causes):
            drawn = f"Incidence of {cause} by tier of the predicted risk of {real.cause}, from day {of.day:g}." in body
            assert drawn == (of.arms is not None and all(tier.told[k] for tier in of.tiers))
    assert ">withheld<" in body


def test_thresholds_are_kept_while_no_small_count_follows() -> None:
    risk, had = np.repeat([0.05, 0.15, 0.3], [20, 7, 13]), np.zeros(40, dtype=bool)
    assert tellable([0.1, 0.2], risk, had, GUARDED)
    assert not tellable([0.1, 0.2], risk, np.arange(40) == 22, GUARDED)
    assert tellable([0.1, 0.2], risk, np.arange(40) == 22, OPEN)
    few = np.repeat([0.05, 0.15, 0.3], [20, 3, 17])
    assert tellable_of([0.1, 0.2], [], few, had, GUARDED) == [0.1]
    assert tellable_of([0.2, 0.1], [], few, had, GUARDED) == [0.2], "the first ones first"
    assert tellable_of([0.1], [0.2], few, had, GUARDED) == [0.2]
    assert tellable_of([0.1, 0.2], [], few, had, OPEN) == [0.1, 0.2]


def test_a_handful_of_events_of_real_patients_tells_nothing(real: Analysis) -> None:
    at, record = real.record.landmarks[0], real.record
    cause = np.where((at.outcomes.cause == 1) & (np.cumsum(at.outcomes.cause == 1) > 3), 0, at.outcomes.cause)
    rare = replace(at, outcomes=Outcomes(at.outcomes.duration_days, cause, at.outcomes.causes))
    assert selection_at(record, rare, {}, GUARDED, 20) is None
    assert selection_at(record, rare, {}, OPEN, 20) is not None
    assert "Too few events" in selection_section(replace(real, selections=())).body
    assert "cannot be told" in str(card_of(replace(real, selections=())).chai)


def test_sentences_say_what_intervals_allow(found: Analysis) -> None:
    of = found.selections[0]

    def told(*risks: tuple[float, float, float]) -> str:
        tiers = (replace(tier, observed=(Interval(*r),)) for tier, r in zip(of.tiers, risks, strict=True))
        return said.tiers(replace(of, tiers=tuple(tiers)))

    assert "no two intervals that follow one another overlap" in told(
        (0.1, 0.05, 0.2), (0.3, 0.25, 0.4), (0.6, 0.5, 0.7)
    )
    assert "overlap or are not known" in told((0.1, 0.05, 0.3), (0.3, 0.25, 0.4), (0.6, 0.5, 0.7))
    assert "overlap or are not known" in told((0.0, np.nan, np.nan), (0.3, 0.25, 0.4), (0.6, 0.5, 0.7))
    assert "does not rise" in told((0.4, 0.3, 0.5), (0.3, 0.25, 0.4), (0.6, 0.5, 0.7))
    assert "outside the interval of the observed one in high" in told(
        (0.0, 0.0, 1.0), (0.1, 0.0, 1.0), (0.99, 0.98, 1.0)
    )
    group = next(group for group in of.groups if group.at[0] is not None and group.at[0].n_events >= LEAST_EVENTS)
    one = group.at[0]
    assert one is not None

    def compared(*risks: tuple[float, float, float], n_events: int = LEAST_EVENTS) -> str:
        groups = tuple(
            replace(group, level=f"L{i}", at=(replace(one, n_events=n_events, ppv=Interval(*r)), None))
            for i, r in enumerate(risks)
        )
        (text,) = said.groups(replace(of, groups=groups))
        return text

    assert "are apart for L0 and L1. Many" in compared((0.1, 0.05, 0.2), (0.4, 0.3, 0.5), (0.3, 0.1, 0.6))
    assert "neither shows a difference nor that there is none" in compared((0.1, 0.05, 0.2), (0.3, 0.15, 0.5))
    assert "nothing can be said" in compared((0.1, 0.05, 0.2), (0.4, 0.3, 0.5), n_events=LEAST_EVENTS - 1)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Interval(4.76, 3.33, 7.14), "5 (3 to 7)"),
        (Interval(1234.4, 3.0, np.inf), "1,234 (3 to no end)"),
        (Interval(np.inf, np.nan, np.nan), "–"),
        (Interval(np.nan, np.nan, np.nan), "–"),
        (Interval(1.0, np.nan, np.nan), "1"),
    ],
)
def test_numbers_of_patients_in_words(value: Interval, text: str) -> None:
    assert said.needed(value) == text
