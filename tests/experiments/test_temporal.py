"""Temporal validation: nothing is learnt that happened once the test span had begun."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from experiments.config import RunConfig
from experiments.crossval import Unheard, fit_fold, folds_of
from experiments.data import TrainingRows, load_rows
from experiments.home import CONFIGS, Home
from experiments.progress import Progress
from experiments.temporal import before_test, follow_up_sentence
from experiments.train import train
from features.check import read_endpoint
from features.config import FeatureConfig
from features.errors import SequelaError
from training.fitting.companions import Companion
from training.splits import Fold, days_until


@pytest.fixture(scope="module")
def rows(cohort: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainingRows:
    """Patients of 2012 and 2013, the days of infusion as fractions of a year, in the order of the table."""
    endpoint = read_endpoint(CONFIGS / "endpoint" / "severe_infection.yaml")
    read = load_rows(cohort, endpoint, FeatureConfig(), tmp_path_factory.mktemp("stores"))
    patients = read.cohort.patients
    n = len(patients)
    dated = patients.assign(year=2012.0 + np.arange(n) * 2 / n, number=np.arange(n))
    return replace(read, cohort=replace(read.cohort, patients=dated))


def temporal(config: RunConfig, column: str) -> RunConfig:
    values = config.validation.model_dump() | {"scheme": "temporal", "column": column, "folds": 2, "repeats": 1}
    return config.model_copy(update={"validation": type(config.validation).model_validate(values)})


def last_fold(rows: TrainingRows, config: RunConfig) -> tuple[Fold, NDArray[np.float64], NDArray[np.float64]]:
    """With the year of each row, and the days from each row's landmark to the test span."""
    fold = folds_of(rows, config)[-1]
    when = rows.cohort.patients.set_index("patient_id")["year"].loc[list(rows.patients.patient_id)].to_numpy()
    return fold, when, days_until(when, when[fold.test].min()) - rows.patients.landmark_day


def test_training_follow_up_ends_when_the_test_span_begins(rows: TrainingRows, run_config: RunConfig) -> None:
    config = temporal(run_config, "year")
    fold, when, days = last_fold(rows, config)
    then, earlier = before_test(rows, config, fold)
    assert set(earlier.train) == {row for row in fold.train if days[row] > 0}
    assert len(earlier.train) < len(fold.train), "some landmarks were not reached"
    assert (then.outcomes.duration_days[earlier.train] <= days[earlier.train]).all()
    was, now = rows.outcomes.cause[earlier.train] > 0, then.outcomes.cause[earlier.train] > 0
    assert 0 < now.sum() < was.sum()
    np.testing.assert_array_equal(then.outcomes.duration_days[fold.test], rows.outcomes.duration_days[fold.test])
    np.testing.assert_array_equal(then.outcomes.cause[fold.test], rows.outcomes.cause[fold.test])
    assert when[earlier.train].max() < when[fold.test].min()


def test_what_happens_later_changes_no_prediction_and_what_happened_earlier_does(
    rows: TrainingRows, run_config: RunConfig, tmp_path: Path
) -> None:
    config = temporal(run_config, "year")
    fold, _, days = last_fold(rows, config)
    times = np.array([90.0, 365.0])

    def risks(cause: NDArray[np.int64], name: str) -> NDArray[np.float64]:
        study = replace(rows, outcomes=replace(rows.outcomes, cause=cause))
        (tmp_path / name).mkdir()
        model = fit_fold(study, config, fold, tmp_path / name, Unheard())
        return model.predict_incidence(rows.patients.take(fold.test), times).values

    later = rows.outcomes.duration_days > days
    other = (rows.outcomes.cause + 1) % 3
    same = risks(rows.outcomes.cause, "same")
    np.testing.assert_array_equal(risks(np.where(later, other, rows.outcomes.cause), "later"), same)
    assert np.abs(risks(np.where(later, rows.outcomes.cause, other), "earlier") - same).max() > 0.01


def test_other_endpoints_teach_nothing_of_later_either(rows: TrainingRows, run_config: RunConfig) -> None:
    """Also of patients whom the run itself has not: here all are the companion's alone."""
    config = temporal(run_config, "year")
    fold, when, days = last_fold(rows, config)
    also = replace(rows, companions=(Companion(rows.patients, rows.outcomes),))
    (companion,) = before_test(also, config, fold)[0].companions
    expected = np.flatnonzero((when < when[fold.test].min()) & (days > 0))
    assert companion.patients.patient_id.tolist() == rows.patients.patient_id[expected].tolist()
    assert (companion.outcomes.duration_days <= days[expected]).all()
    by_order = temporal(run_config, "number")
    fold = folds_of(rows, by_order)[-1]
    (companion,) = before_test(also, by_order, fold)[0].companions
    assert set(companion.patients.patient_id) == set(rows.patients.patient_id[fold.train])


def test_an_order_leaves_follow_up_as_it_is_and_the_run_says_so(rows: TrainingRows, run_config: RunConfig) -> None:
    config = temporal(run_config, "number")
    fold = folds_of(rows, config)[-1]
    then, earlier = before_test(rows, config, fold)
    assert then.outcomes is rows.outcomes
    assert earlier is fold
    assert "may reach into the time" in follow_up_sentence(rows, config)
    assert "ended, for training" in follow_up_sentence(rows, temporal(run_config, "year"))
    assert follow_up_sentence(rows, run_config) == ""


def test_a_fold_before_which_nobody_was_followed_is_refused(rows: TrainingRows, run_config: RunConfig) -> None:
    """Training patients of the very days before, of whom no landmark was reached."""
    n = len(rows.cohort.patients)
    year = np.where(np.arange(n) < n // 2, 2019.9999, 2020.0)
    late = replace(rows, cohort=replace(rows.cohort, patients=rows.cohort.patients.assign(year=year)))
    when = late.cohort.patients.set_index("patient_id")["year"].loc[list(rows.patients.patient_id)].to_numpy()
    after = rows.patients.landmark_day > 0
    fold = Fold(0, 0, np.flatnonzero((when < 2020) & after), np.flatnonzero(when == 2020))
    with pytest.raises(SequelaError, match=r"validation.column = year: nobody was followed before 2020"):
        before_test(late, temporal(run_config, "year"), fold)


def test_a_run_by_order_says_on_its_page_and_in_its_log_what_it_cannot_know(
    run_config: RunConfig, home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    """Through the whole of a run, of whose columns none is a year."""
    result = train(temporal(run_config, "age"), home, Progress(cells=lambda *_: None, folds=lambda *_: None))
    said = "age tells the order of patients, not the year"
    assert said in capsys.readouterr().err
    assert said in (result.folder / "report" / "model_card.md").read_text(encoding="utf-8")
