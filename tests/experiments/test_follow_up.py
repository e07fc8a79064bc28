"""Predictions compared with outcomes: faults that were planted are found, true predictions are rarely blamed."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from browser import Browser
from pages import assert_shown_well, serious_violations
from preloaded import SEQUELA
from prometheus_client.parser import text_string_to_metric_families

from experiments.config import RunConfig
from experiments.follow_up import (
    Followed,
    compare,
    followed_in,
    judge,
    latest,
    outcomes_of,
    predictions_in,
    unread,
    write_follow_up_page,
)
from experiments.follow_up.judged import FEWEST_EVENTS, effective_patients, fewest_of
from experiments.gauges import follow_up_gauges, write_gauges
from experiments.home import Home
from experiments.progress import Progress
from experiments.requesting import wanted_by
from experiments.train import train
from features.check import read_cohort
from features.cohort_records import patient_records
from features.errors import SequelaError
from features.outcomes import Outcomes
from features.records import EventRecord
from features.schema import Endpoint, EventRule
from serving.answer import answer
from serving.card import model_card
from serving.ledger import Happened, Ledger, Predicted
from serving.messages import PatientOutcome, PredictRequest
from serving.store import publish
from training.artifact.folder import read_artifact
from training.evaluation.comparison import holm, paired_difference

HORIZONS = (90.0, 180.0)
ENDPOINT = Endpoint(
    name="infection",
    event=EventRule(name="infection"),
    competing=(EventRule(name="death"),),
    landmark_days=(0.0, 30.0),
    horizons_days=HORIZONS,
)
METRICS = {"auc_90d/infection": 0.8, "auc_180d/infection": 0.8, "auc_180d_from30/infection": 0.78}


def hazards(rng: np.random.Generator, n: int) -> np.ndarray:
    """(rows, causes), a day."""
    return np.stack([0.003 * np.exp(rng.normal(0, 1.2, n)), np.full(n, 0.001)], axis=1)


def incidences(rate: np.ndarray) -> np.ndarray:
    """(rows, causes, horizons): of constant hazards, by arithmetic."""
    total = rate.sum(axis=1)[:, None, None]
    return rate[:, :, None] / total * (1 - np.exp(-total * np.array(HORIZONS)))


def simulated(
    rng: np.random.Generator,
    n: int,
    predicted: np.ndarray | None = None,
    rate: np.ndarray | None = None,
    lost_from_to: tuple[float, float] = (60.0, 600.0),
) -> Followed:
    """Patients of known hazards, some lost early, and true predictions unless others are given."""
    rate = hazards(rng, n) if rate is None else rate
    time = rng.exponential(1 / rate.sum(axis=1))
    cause = 1 + (rng.random(n) > rate[:, 0] / rate.sum(axis=1))
    lost = rng.uniform(*lost_from_to, n)
    outcomes = Outcomes(np.minimum(time, lost), np.where(time <= lost, cause, 0), ENDPOINT.causes)
    names = np.array([f"p{i}" for i in range(n)], dtype=object)
    risks = incidences(rate) if predicted is None else predicted
    return Followed("sequela:1", date(2026, 3, 1), False, ENDPOINT, n, names, np.zeros(n), risks, outcomes)


def test_true_predictions_are_rarely_blamed_and_planted_faults_are_found() -> None:
    false = 0
    for seed in range(16):
        rng = np.random.default_rng(seed)
        false += any(one.alert for one in judge(simulated(rng, 250), METRICS, n_bootstrap=60))
        rate = hazards(rng, 400)
        halved = judge(simulated(rng, 400, incidences(rate / 2), rate), METRICS, n_bootstrap=60)
        assert any(one.miscalibrated for one in halved if one.cause == "infection")
        shuffled = judge(simulated(rng, 400, incidences(rng.permutation(rate)), rate), METRICS, n_bootstrap=60)
        assert any(one.discriminates_less for one in shuffled)
    assert false <= 1, "at a level of 0.01 for all questions of a stretch"


def test_a_young_stretch_is_not_judged_by_the_few_whose_course_is_long() -> None:
    judged = 0
    for seed in range(20):
        young = simulated(np.random.default_rng(seed), 200, lost_from_to=(1.0, 31.0))
        if seed % 3:
            young.outcomes.duration_days[0], young.outcomes.cause[0] = 400.0, seed % 3 - 1
        else:
            young.outcomes.cause[young.outcomes.duration_days.argmax()] = 1
        found = judge(young, METRICS, n_bootstrap=20)
        assert not any(one.alert for one in found)
        judged += sum(np.isfinite(one.p_o_e) for one in found)
    assert judged == 0
    old = simulated(np.random.default_rng(0), 200)
    assert 100 < effective_patients(old.outcomes, 180.0) <= 200


def test_an_auc_of_few_events_is_no_alert() -> None:
    false = 0
    for seed in range(30):
        rng = np.random.default_rng(seed)
        rate = hazards(rng, 120) / 12
        few = judge(simulated(rng, 120, rate=rate, lost_from_to=(400.0, 600.0)), METRICS, n_bootstrap=40)
        false += any(one.discriminates_less for one in few)
    assert false <= 1


def test_patients_who_are_asked_about_again_and_again_are_counted_from_the_first_day(tmp_path: Path) -> None:
    """Later landmarks are of those alone to whom nothing happened: with the last ones more would seem to happen."""
    rng, n = np.random.default_rng(5), 400
    rate = np.array([0.004, 0.001])
    time = rng.exponential(1 / rate.sum(), n)
    cause = np.where(rng.random(n) < 0.8, "infection", "death")
    name = Ledger(tmp_path).pseudonyms.of
    risk = incidences(np.tile(rate, (1, 1)))[0]
    said = dict(zip(ENDPOINT.causes, map(tuple, risk), strict=True))
    begin = datetime(2026, 1, 2, tzinfo=UTC)
    predicted = [
        line(name(f"p{i}"), begin + timedelta(days=day), landmark=float(day)).model_copy(update={"incidence": said})
        for i in range(n)
        for day in range(0, 29, 7)
        if day < time[i]
    ]
    told = [
        PatientOutcome(
            patient_id=f"p{i}",
            follow_up_days=500.0,
            events=(EventRecord(event=cause[i], day=time[i]),) if time[i] < 500 else (),
        )
        for i in range(n)
    ]
    Ledger(tmp_path).happened(told)
    (month,) = followed_in(predicted, outcomes_of(tmp_path), {"m": ENDPOINT}, "month")
    assert len(month.patient) == n
    assert not month.landmark_day.any()
    assert not any(one.alert for one in judge(month, {}, n_bootstrap=20))


def test_alerts_are_of_what_was_judged_last_of_each_horizon(tmp_path: Path) -> None:
    rng = np.random.default_rng(7)
    rate = hazards(rng, 400)
    old = judge(simulated(rng, 400, incidences(rate / 3), rate), {}, n_bootstrap=20)
    young = replace(simulated(rng, 300, lost_from_to=(80.0, 120.0)), model="sequela:2", first=date(2026, 4, 1))
    shadow = replace(simulated(rng, 400, incidences(rate / 3), rate), shadow=True, first=date(2026, 5, 1))
    every = [*old, *judge(young, {}, n_bootstrap=20), *judge(shadow, {}, n_bootstrap=20)]
    last = {(one.cause, one.horizon_days): one for one in latest(every)}
    assert (last["infection", 90.0].model, last["infection", 90.0].alert) == ("sequela:2", False)
    assert (last["infection", 180.0].model, last["infection", 180.0].alert) == ("sequela:1", True)
    write_gauges(tmp_path / "sequela.prom", follow_up_gauges(every))
    text = (tmp_path / "sequela.prom").read_text()
    assert 'sequela_follow_up_alerts{model="sequela:2"} 0.0' in text
    alerts = sum(one.alert for one in last.values())
    assert f'sequela_follow_up_alerts{{model="sequela:1"}} {alerts:.1f}' in text
    write_follow_up_page(tmp_path / "page.html", every, [])
    assert "sequela:1 (in the shadow)" in (tmp_path / "page.html").read_text()


def test_events_that_cannot_be_read_are_told(tmp_path: Path) -> None:
    graded = ENDPOINT.model_copy(update={"event": EventRule(name="infection", min_grade=3)})
    misspelt = EventRecord(event="infecton", day=3.0)
    Ledger(tmp_path).happened([PatientOutcome(patient_id="a", follow_up_days=10.0, events=(misspelt,))])
    assert unread(outcomes_of(tmp_path), [graded]) == ["infecton"]
    ungraded = EventRecord(event="infection", day=3.0)
    Ledger(tmp_path).happened([PatientOutcome(patient_id="a", follow_up_days=10.0, events=(ungraded,))])
    assert unread(outcomes_of(tmp_path), [ENDPOINT]) == []
    with pytest.raises(SequelaError, match="1 events infection have no grade"):
        unread(outcomes_of(tmp_path), [graded])


def test_a_stretch_without_events_says_no_more_than_it_can() -> None:
    n = 40
    risks = np.full((n, 2, 2), 0.02) * np.random.default_rng(0).uniform(0.9, 1.1, (n, 1, 1))
    nothing = Outcomes(np.full(n, 400.0), np.zeros(n, dtype=np.int64), ENDPOINT.causes)
    names = np.array([f"p{i}" for i in range(n)], dtype=object)
    quiet = Followed("m", date(2026, 3, 1), False, ENDPOINT, n, names, np.zeros(n), risks, nothing)
    assert not any(one.alert for one in judge(quiet, {})), "0.8 events were expected"
    loud = Followed("m", date(2026, 3, 1), False, ENDPOINT, n, names, np.zeros(n), risks * 20, nothing)
    assert all(one.miscalibrated for one in judge(loud, {})), "16 events were"
    none = Followed("m", date(2026, 3, 1), False, ENDPOINT, n, names, np.zeros(n), risks * 0, nothing)
    assert not any(one.alert for one in judge(none, {})), "nothing was expected"


def test_the_auc_before_is_the_lowest_of_all_landmarks() -> None:
    judged = judge(simulated(np.random.default_rng(1), 100), METRICS, n_bootstrap=20)
    before = {(one.cause, one.horizon_days): one.auc_before for one in judged}
    assert before == {
        ("infection", 90.0): 0.8,
        ("infection", 180.0): 0.78,
        ("death", 90.0): None,
        ("death", 180.0): None,
    }


def test_few_courses_are_not_judged() -> None:
    assert judge(simulated(np.random.default_rng(2), 19), METRICS) == []


def test_a_better_challenger_is_seen_on_the_same_patients_alone() -> None:
    rng = np.random.default_rng(3)
    truth = simulated(rng, 600)
    blind = replace(truth, incidence=np.broadcast_to(truth.incidence.mean(axis=0), truth.incidence.shape))
    challenger = replace(truth.take(np.arange(599, 99, -1)), model="sequela:2", shadow=True)
    (row,) = [one for one in compare([blind, challenger]) if (one.cause, one.horizon_days) == ("infection", 180.0)]
    assert (row.champion, row.challenger, row.n_patients) == ("sequela:1", "sequela:2", 500)
    assert row.brier.high < 0
    assert row.brier.p < 0.05
    assert row.auc.point == pytest.approx(challenger_auc(challenger) - 0.5, abs=1e-9)
    assert compare([blind, replace(challenger, first=date(2026, 4, 1))]) == [], "another stretch"
    assert compare([blind, replace(challenger, shadow=False)]) == [], "no challenger"
    assert compare([blind, replace(challenger, landmark_day=np.full(500, 30.0))]) == [], "from another day"


def test_the_questions_about_a_challenger_are_adjusted_for_their_number() -> None:
    rng = np.random.default_rng(5)
    champion = simulated(rng, 300)
    challenger = replace(champion, model="sequela:2", shadow=True, incidence=champion.incidence**1.3)
    found = compare([champion, challenger], seed=7, n_bootstrap=200)
    raw = paired_difference(
        challenger.incidence,
        champion.incidence,
        np.array(HORIZONS),
        champion.outcomes,
        champion.patient,
        rng=np.random.default_rng(7),
        horizons_days=HORIZONS,
        n_bootstrap=200,
    )
    places = [(ENDPOINT.causes.index(one.cause), HORIZONS.index(one.horizon_days)) for one in found]
    expected = holm([p for k, j in places for p in (raw.brier[k][j].p, raw.auc[k][j].p)])
    assert len(expected) == 8
    assert [p for one in found for p in (one.brier.p, one.auc.p)] == list(expected)
    assert [one.brier.point for one in found] == [raw.brier[k][j].point for k, j in places]


def test_a_challenger_is_not_judged_by_few_events() -> None:
    champion = simulated(np.random.default_rng(6), 60)
    challenger = replace(champion, model="sequela:2", shadow=True, incidence=champion.incidence**1.3)
    found = {(one.cause, one.horizon_days): one for one in compare([champion, challenger], n_bootstrap=50)}
    assert len(found) == 4
    for (cause, horizon), one in found.items():
        few = fewest_of(champion.outcomes, ENDPOINT.causes.index(cause) + 1, horizon) < FEWEST_EVENTS
        assert np.isnan(one.auc.p) == few, "resamples of so few vary too little"
        assert np.isfinite(one.auc.low)
    assert {np.isnan(one.auc.p) for one in found.values()} == {True, False}


def challenger_auc(followed: Followed) -> float:
    (one,) = [j for j in judge(followed, {}, n_bootstrap=2) if (j.cause, j.horizon_days) == ("infection", 180.0)]
    return one.auc.point


def line(patient: str, at: datetime, landmark: float = 0.0, risk: float = 0.1, model: str = "m") -> Predicted:
    incidence = dict.fromkeys(ENDPOINT.causes, (risk, 2 * risk))
    return Predicted(
        at=at, model=model, patient=patient, landmark_day=landmark, horizons_days=HORIZONS, incidence=incidence
    )


def test_the_first_landmark_of_a_stretch_meets_what_came_after_it(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    name = ledger.pseudonyms.of
    infected = [EventRecord(event="infection", day=20.0), EventRecord(event="death", day=50.0)]
    ledger.happened([PatientOutcome(patient_id="a", follow_up_days=10.0)])
    ledger.happened([PatientOutcome(patient_id="a", follow_up_days=80.0, events=tuple(infected))])
    ledger.happened([PatientOutcome(patient_id="b", follow_up_days=70.0)])
    ledger.happened([PatientOutcome(patient_id="late", follow_up_days=25.0)])
    march, april = datetime(2026, 3, 5, tzinfo=UTC), datetime(2026, 4, 5, tzinfo=UTC)
    predicted = [
        line(name("a"), march + timedelta(days=2), landmark=5.0, risk=0.3),
        line(name("a"), march, landmark=5.0, risk=0.1),
        line(name("a"), march + timedelta(days=9), landmark=12.0, risk=0.5),
        line(name("a"), april, landmark=30.0, risk=0.2),
        line(name("b"), march, landmark=30.0),
        line(name("late"), march, landmark=30.0),
        line(name("unknown"), march),
        line(name("b"), march, model="gone"),
    ]
    known = outcomes_of(tmp_path)
    in_march, in_april = followed_in(predicted, known, {"m": ENDPOINT}, "month")
    assert list(in_march.patient) == [name("a"), name("b")], "one known too short, one not at all"
    assert (in_march.first, in_march.n_predicted) == (date(2026, 3, 1), 4)
    np.testing.assert_allclose(in_march.incidence[0], [[0.3, 0.6]] * 2)
    np.testing.assert_allclose(in_march.outcomes.duration_days, [15.0, 40.0])
    assert list(in_march.outcomes.cause) == [1, 0]
    assert len(in_april.patient) == 0, "infected before that landmark"
    (quarter, second) = followed_in(predicted, known, {"m": ENDPOINT}, "quarter")
    assert (quarter.first, second.first) == (date(2026, 1, 1), date(2026, 4, 1))


def test_a_line_cut_off_by_a_kill_is_left_out_and_one_that_is_none_is_named(tmp_path: Path) -> None:
    Ledger(tmp_path)
    with pytest.raises(SequelaError, match="holds no predictions"):
        predictions_in(tmp_path)
    whole = line("p", datetime(2026, 3, 5, tzinfo=UTC)).model_dump_json()
    file = tmp_path / "predictions" / "2026-03-05-1.jsonl"
    file.write_text(f"{whole}\n{whole[:40]}")
    assert len(predictions_in(tmp_path)) == 1
    file.write_text(f"{whole}\n{{}}\n{whole}\n")
    with pytest.raises(SequelaError, match=r"2026-03-05-1\.jsonl, line 2: is no line"):
        predictions_in(tmp_path)


def silent(*_: Any) -> None:
    pass


@pytest.fixture
def kept(
    home: Home, run_config: RunConfig, cohort: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[Path, str]:
    """A ledger with a prediction for each patient of the cohort, as a service keeps it; the model's tag."""
    monkeypatch.setenv("BENTOML_HOME", str(home.bentoml))
    result = train(run_config, home, Progress(cells=silent, folds=silent))
    tag = publish(result.folder / "artifact", {})
    artifact = read_artifact(result.folder / "artifact")
    wanted = replace(wanted_by(model_card(artifact, tag)), materials=frozenset(), cells=False)
    records = patient_records(read_cohort(cohort), wanted, 0.0)
    request = PredictRequest.model_validate_json(json.dumps({"patients": list(records)}))
    Ledger(tmp_path / "ledger").predicted(answer(artifact, tag, request))
    return tmp_path / "ledger", tag


def sequela(*words: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run([SEQUELA, *map(str, words)], capture_output=True, text=True, check=False)


def test_the_command_tells_whether_predictions_came_true(
    kept: tuple[Path, str], cohort: Path, browser: Browser, tmp_path: Path
) -> None:
    ledger, tag = kept
    early = sequela("follow-up", ledger)
    assert early.returncode == 1
    assert "of no stretch 20 courses are known" in early.stderr
    page, metrics = tmp_path / "page.html", tmp_path / "sequela.prom"
    done = sequela("follow-up", ledger, "--outcomes", cohort, "--out", page, "--metrics", metrics, "--json")
    assert done.returncode == 0, done.stderr
    judged = json.loads(done.stdout)["judged"]
    patients = pd.read_csv(cohort / "patients.csv")
    assert {one["n_known"] for one in judged} == {len(patients)}
    assert {one["model"] for one in judged} == {tag}
    first = next(one for one in judged if one["horizon_days"] == 180.0)
    assert 0.7 < first["o_e"]["point"] < 1.3, "of the patients that the model was trained on"
    families = {family.name: family for family in text_string_to_metric_families(metrics.read_text())}
    assert {sample.value for sample in families["sequela_follow_up_alerts"].samples} == {0.0}
    assert len(families["sequela_auc"].samples) == len(judged)
    for width in (390, 1440):
        assert_shown_well(browser, page, width)
    assert serious_violations(browser, page, "light") == []


def test_worse_outcomes_end_the_command_with_an_alert(kept: tuple[Path, str], cohort: Path) -> None:
    ledger, tag = kept
    patients = pd.read_csv(cohort / "patients.csv", dtype={"patient_id": str})
    told = [
        PatientOutcome(
            patient_id=one, follow_up_days=400.0, events=(EventRecord(event="infection", day=20.0, grade=4),)
        )
        for one in patients["patient_id"]
    ]
    Ledger(ledger).happened(told)
    done = sequela("follow-up", ledger)
    assert done.returncode == 3
    assert "observed over expected" in done.stdout
    assert f"{tag}  150 of 150 patients followed" in done.stdout
    assert Happened.model_validate_json(next((ledger / "outcomes").glob("*.jsonl")).read_text().splitlines()[0])
    assert "left out: sequela:gone-1: not in the model store" in _with_a_model_that_is_gone(ledger)


def _with_a_model_that_is_gone(ledger: Path) -> str:
    other = line("p", datetime.now(UTC), model="sequela:gone-1").model_dump_json()
    (ledger / "predictions" / "2026-01-01-1.jsonl").write_text(f"{other}\n")
    return sequela("follow-up", ledger).stderr
