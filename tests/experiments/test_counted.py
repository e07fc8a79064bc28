"""Counting in the folds of a run: who is counted, that nothing is learnt from who is tested, and what is found."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from counted_cohorts import write_counted

from experiments.config import RunConfig, load_run
from experiments.count_findings import count_findings, count_out_of_fold, numbers_of
from experiments.count_records import CountFindings
from experiments.counted_rows import CountedRows, counted_folds, counted_rows, events_of_run, known_before_test
from experiments.data import TrainingRows, rows_of_run
from experiments.home import CONFIGS, Home
from experiments.log_items import count_metrics
from features.check import read_cohort, read_endpoint
from features.cohort_recurrence import recurrences_at
from features.errors import SequelaError
from serving.count_messages import said_of_score
from training.artifact.blocks import CountScore, Measured


def counted_in(folder: Path, *more: str) -> tuple[TrainingRows, CountedRows, RunConfig]:
    """Rows of a run on a cohort folder that `write_counted` wrote."""
    words = [
        f"cohort={folder}",
        f"endpoint={folder / 'endpoint.yaml'}",
        "features={cells: [], baseline: [first, second]}",
    ]
    settings = ["model={kind: cox, penalty: 10}", "validation={folds: 4, bootstrap: 100}", *more]
    config = load_run(CONFIGS / "run" / "counts.yaml", [*words, *settings])
    home = Home(folder / "home")
    rows = rows_of_run(config, home)
    return rows, counted_rows(rows, config, home), config


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("planted") / "cohort"
    write_counted(folder, effect=0.6, n=400)
    return folder


def test_who_had_one_before_is_counted_and_milder_ones_are_not(planted: Path) -> None:
    rows, counted, _ = counted_in(planted)
    later = counted.patients.landmark_day == 60.0
    assert later.sum() > (rows.patients.landmark_day == 60.0).sum()
    assert set(rows.patients.patient_id) <= set(counted.patients.patient_id)
    table = pd.read_csv(planted / "events.csv")
    severe = table[(table["event"] == "infection") & (table["grade"] >= 3)]
    ids = counted.patients.patient_id[later]
    expected = severe[severe["day"] > 60].groupby("patient_id").size().reindex(ids).fillna(0).to_numpy()
    found = np.bincount(counted.recurrences.row, minlength=len(counted))[later]
    np.testing.assert_array_equal(found, expected)
    assert numbers_of(counted) == (len(pd.unique(counted.patients.patient_id)), len(severe))


@pytest.mark.parametrize(
    "validation",
    ["{folds: 4, repeats: 2}", "{scheme: site}", "{scheme: temporal, column: year, folds: 3}"],
    ids=["random", "site", "temporal"],
)
def test_folds_are_those_of_the_run_with_patients_whole(planted: Path, validation: str) -> None:
    rows, counted, config = counted_in(planted, f"validation={validation}")
    ids, of_run = counted.patients.patient_id, rows.patients.patient_id
    tested = np.zeros(len(counted), dtype=int)
    for fold, own in counted_folds(rows, counted, config):
        assert not set(ids[own.train]) & set(ids[own.test])
        assert set(of_run[fold.test]) <= set(ids[own.test])
        assert set(of_run[fold.train]) <= set(ids[own.train])
        assert not set(of_run[fold.test]) & set(ids[own.train])
        tested[own.test] += 1
    if "temporal" in validation:
        assert set(tested) == {0, 1}
        return
    assert set(tested) == {config.validation.repeats}


def test_those_in_no_fold_of_the_run_fall_where_they_belong(planted: Path) -> None:
    """From day 60 alone who was infected before is at no risk of a first event: counted all the same, and tested."""
    endpoint = planted / "late.yaml"
    endpoint.write_text((planted / "endpoint.yaml").read_text("utf-8").replace("[0, 60]", "[60]"), "utf-8")
    sites = pd.read_csv(planted / "patients.csv").set_index("patient_id")
    for validation in ("{folds: 4}", "{scheme: site}", "{scheme: temporal, column: year, folds: 3}"):
        rows, counted, config = counted_in(planted, f"validation={validation}", f"endpoint={endpoint}")
        others = ~np.isin(counted.patients.patient_id, rows.patients.patient_id)
        assert others.sum() > 20
        tested = np.zeros(len(counted), dtype=int)
        for fold, own in counted_folds(rows, counted, config):
            tested[own.test] += 1
            year = sites.loc[counted.patients.patient_id, "year"].to_numpy()
            if "temporal" in validation:
                assert year[own.train].max() < year[own.test].min()
            if "site" in validation:
                assert set(sites.loc[counted.patients.patient_id[own.test], "site"]) == {fold.held_out}
                assert fold.held_out not in set(sites.loc[counted.patients.patient_id[own.train], "site"])
        assert tested[others].min() >= (0 if "temporal" in validation else 1)
        assert tested[others].max() == 1


def test_of_a_temporal_split_nothing_later_is_learnt(planted: Path) -> None:
    """Follow-up of patients of 2015 ends when those of 2016 come; who had not reached the landmark is out."""
    rows, counted, config = counted_in(planted, "validation={scheme: temporal, column: year, folds: 3}")
    year = pd.read_csv(planted / "patients.csv").set_index("patient_id")["year"]
    for fold, own in counted_folds(rows, counted, config):
        known = known_before_test(rows, counted, config, fold, own)
        start = year[rows.patients.patient_id[fold.test]].min()
        when = year[known.patients.patient_id].to_numpy()
        longest = (start - when - 0.5) * 365.25 - known.patients.landmark_day
        assert (known.recurrences.end_days <= longest).all()
        assert (known.recurrences.day <= longest[known.recurrences.row]).all()
        assert len(known) <= len(own.train)


def test_the_events_of_a_patient_change_no_prediction_for_him(planted: Path) -> None:
    """Those of one fold are multiplied: predictions for its patients stay, those for the others do not."""
    rows, counted, config = counted_in(planted)
    before = count_out_of_fold(rows, counted, config)
    assert np.isfinite(before.expected).all()
    _, own = counted_folds(rows, counted, config)[1]
    events = counted.recurrences
    of_fold = np.isin(events.row, own.test)
    more = replace(
        events,
        row=np.concatenate([events.row, np.repeat(events.row[of_fold], 5)]),
        day=np.concatenate([events.day, np.repeat(events.day[of_fold], 5)]),
    )
    after = count_out_of_fold(rows, CountedRows(counted.patients, more), config)
    np.testing.assert_array_equal(after.expected[:, own.test], before.expected[:, own.test])
    np.testing.assert_array_equal(after.marginal[:, own.test], before.marginal[:, own.test])
    others = np.setdiff1d(np.arange(len(counted)), own.test)
    assert (after.marginal[:, others, -1] > 1.2 * before.marginal[:, others, -1]).all()
    assert (after.expected[:, others, -1] > before.expected[:, others, -1]).mean() > 0.9


def test_a_planted_effect_is_found_and_none_is_not(planted: Path, tmp_path: Path) -> None:
    """Numbers that follow a covariate are explained at both landmarks; where it does nothing, nothing can be shown."""
    found = count_findings(*counted_in(planted))
    assert [(one.landmark_day, one.horizon_days) for one in found.scores] == [(0, 90), (0, 180), (60, 90), (60, 180)]
    for one in found.scores:
        explained, calibrated = known(one.explained), known(one.observed_over_expected)
        assert 0 < explained[1] < explained[0] < explained[2] < 1
        assert calibrated[1] < 1 < calibrated[2]
        assert "covariates tell something" in said_of_score(one)
    groups = [one for one in found.calibration if one.landmark_day == 0]
    assert len(groups) == 5
    means = [known(one.observed)[0] for one in groups]
    assert means[-1] > 2 * means[0]
    named = count_metrics(found)
    assert named["counts_explained_90d/infection"] == known(found.scores[0].explained)[0]
    assert named["counts_o_e_180d_hi_from60/infection"] == known(found.scores[3].observed_over_expected)[2]
    assert len(named) == 4 * 2 * 3

    write_counted(tmp_path / "nothing", effect=0.0, seed=5)
    nothing = count_findings(*counted_in(tmp_path / "nothing"))
    for one in nothing.scores:
        assert known(one.explained)[1] < 0 < known(one.explained)[2]
        assert "covariates add nothing that can be shown" in said_of_score(one)


def known(one: Measured | None) -> tuple[float, float, float]:
    assert one is not None
    assert one.low is not None
    assert one.high is not None
    return one.point, one.low, one.high


def test_few_real_patients_are_not_told(tmp_path: Path) -> None:
    """Of real ones groups with 1 to 4 infected are withheld, and scores of so few; of simulated ones all is shown."""
    found: dict[str, CountFindings] = {}
    for provenance in ("real", "simulated"):
        folder = tmp_path / provenance
        write_counted(folder, effect=0.0, n=60, seed=3, provenance=provenance)
        endpoint = (folder / "endpoint.yaml").read_text("utf-8")
        (folder / "endpoint.yaml").write_text(endpoint.replace("[90, 180]", "[2, 40]"), "utf-8")
        found[provenance] = count_findings(*counted_in(folder, "validation={folds: 2, bootstrap: 20}"))
    _, counted, _ = counted_in(tmp_path / "real")
    whose = counted.recurrences.row[counted.recurrences.day <= 2]
    met = [len(np.unique(whose[counted.patients.landmark_day[whose] == day])) for day in (0, 60)]
    assert [0 < n < 5 for n in met] == [one.explained is None for one in found["real"].scores[::2]]
    assert min(met) < 5
    real, simulated = found["real"], found["simulated"]
    assert all(one.observed is not None for one in simulated.calibration)
    hidden = [one.observed is None for one in real.calibration]
    assert 0 < sum(hidden) < len(hidden)
    shown = [(a, b) for a, b in zip(real.calibration, simulated.calibration, strict=True) if a.observed is not None]
    assert all(a == b for a, b in shown)
    assert real.scores[1] == simulated.scores[1]
    withheld = CountScore(landmark_day=0, horizon_days=90, explained=None, observed_over_expected=None)
    assert said_of_score(withheld) == "By 90 days from day 0, how well is not known, or withheld."


def test_a_cohort_that_cannot_be_counted_is_refused_with_a_remedy(planted: Path, tmp_path: Path) -> None:
    endpoint = read_endpoint(planted / "endpoint.yaml")
    cohort = read_cohort(planted)
    once = cohort.events.drop_duplicates(["patient_id", "event"])
    with pytest.raises(SequelaError, match=r"more than once after a landmark.*remove `counts`, or add the later"):
        events_of_run(replace(cohort, events=once), endpoint)
    late = replace(cohort, patients=cohort.patients.assign(entry_day=30.0))
    with pytest.raises(SequelaError, match=r"^counts: .*patients\.entry_day.*leave out the patients.*remove `counts`"):
        events_of_run(late, endpoint)
    assert recurrences_at(cohort, endpoint, 0.0)[1].terminals == ("death",)
    with pytest.raises(SequelaError, match=r"counts\.penalty"):
        load_run(CONFIGS / "run" / "counts.yaml", ["counts.penalty=-1"])


def test_a_run_without_counts_is_the_run_it_was() -> None:
    with_counts = load_run(CONFIGS / "run" / "counts.yaml")
    without = load_run(CONFIGS / "run" / "counts.yaml", ["counts=null"])
    like = load_run(CONFIGS / "run" / "cox.yaml", ["name=counts"])
    assert without.digest() != with_counts.digest()
    assert without.counts is None
    kept = {"name", "model", "validation", "features", "seed", "experiment", "cohort", "endpoint"}
    assert without.model_dump(include=kept - {"validation"}) == like.model_dump(include=kept - {"validation"})
    fixed = load_run(CONFIGS / "run" / "counts.yaml", ["counts.penalty=30"])
    assert fixed.digest() != with_counts.digest()
