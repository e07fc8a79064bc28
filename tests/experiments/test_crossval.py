"""Cross-validation: patients never leak, killed runs go on with the same numbers, tables are complete."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from experiments.config import RunConfig
from experiments.crossval import Unheard, cross_validate, fit_fold, folds_of, tuned_model, tuning_table
from experiments.data import TrainingRows, load_rows
from experiments.out_of_fold import even_grid, predictions_table, splits_record
from experiments.scoring import score
from features.check import read_endpoint
from features.config import FeatureConfig
from features.errors import SequelaError
from training.config import NetworkConfig, TuningConfig
from training.fitting.companions import Companion
from training.splits import Fold


class Witness:
    """Counts the folds that were really fitted, and can die like a killed process."""

    def __init__(self, dies_after: int | None = None) -> None:
        self.fitted: list[int] = []
        self.dies_after = dies_after

    def fold_started(self, fold: Fold) -> None:
        if self.dies_after is not None and len(self.fitted) == self.dies_after:
            raise KeyboardInterrupt

    def epoch_ended(self, fold: Fold, epoch: int, loss: float, out_of_bag_loss: float) -> None:
        raise AssertionError

    def fold_ended(self, fold: Fold, incidence: NDArray[np.float64]) -> None:
        self.fitted.append(fold.number)


@pytest.fixture(scope="module")
def rows(cohort: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainingRows:
    from experiments.home import CONFIGS

    endpoint = read_endpoint(CONFIGS / "endpoint" / "severe_infection.yaml")
    return load_rows(cohort, endpoint, FeatureConfig(), tmp_path_factory.mktemp("stores"))


def test_an_interrupted_run_goes_on_where_it_stopped(rows: TrainingRows, run_config: RunConfig, tmp_path: Path) -> None:
    whole = cross_validate(rows, run_config, tmp_path / "whole", Witness())
    with pytest.raises(KeyboardInterrupt):
        cross_validate(rows, run_config, tmp_path / "broken", Witness(dies_after=2))
    again = Witness()
    resumed = cross_validate(rows, run_config, tmp_path / "broken", again)
    assert again.fitted == [2]
    np.testing.assert_array_equal(resumed.incidence, whole.incidence)


def test_a_fold_whose_end_was_not_told_is_fitted_again(
    rows: TrainingRows, run_config: RunConfig, tmp_path: Path
) -> None:
    """Otherwise its run in the tracking store would stay killed, for nobody would tell of it again."""

    class Mute(Witness):
        def fold_ended(self, fold: Fold, incidence: NDArray[np.float64]) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cross_validate(rows, run_config, tmp_path, Mute())
    again = Witness()
    cross_validate(rows, run_config, tmp_path, again)
    assert again.fitted == [0, 1, 2]


def test_no_patient_is_trained_on_and_scored(rows: TrainingRows, run_config: RunConfig, tmp_path: Path) -> None:
    out_of_fold = cross_validate(rows, run_config, tmp_path, Witness())
    for fold in out_of_fold.folds:
        train = set(rows.patients.patient_id[fold.train])
        assert not train & set(rows.patients.patient_id[fold.test])
    assert np.isfinite(out_of_fold.incidence).all()


def test_the_written_tables_hold_every_prediction(rows: TrainingRows, run_config: RunConfig, tmp_path: Path) -> None:
    out_of_fold = cross_validate(rows, run_config, tmp_path, Witness())
    table = predictions_table(rows, out_of_fold)
    assert list(table) == ["patient_id", "fold", "landmark_day", "cause", "horizon_days", "incidence"]
    assert len(table) == len(rows.patients) * len(rows.outcomes.causes) * len(even_grid(rows.endpoint))
    row = 7
    patient, day = rows.patients.patient_id[row], rows.patients.landmark_day[row]
    one = table[(table["patient_id"] == patient) & (table["landmark_day"] == day) & (table["cause"] == "relapse")]
    at = np.searchsorted(out_of_fold.times_days, even_grid(rows.endpoint))
    np.testing.assert_array_equal(one["incidence"], out_of_fold.incidence[0, row, 2, at])
    tested = [patient for fold in splits_record(rows, out_of_fold) for patient in fold["test_patients"]]
    assert sorted(tested) == sorted(set(rows.patients.patient_id))


def with_validation(config: RunConfig, **values: object) -> RunConfig:
    validation = type(config.validation).model_validate({"bootstrap": 20} | values)
    return config.model_copy(update={"validation": validation})


def test_centres_are_held_out_and_named(rows: TrainingRows, run_config: RunConfig, tmp_path: Path) -> None:
    config = with_validation(run_config, scheme="site")
    out_of_fold = cross_validate(rows, config, tmp_path, Witness())
    site = rows.cohort.patients.set_index("patient_id")["site"]
    record = splits_record(rows, out_of_fold)
    assert sorted(str(fold["held_out"]) for fold in record) == sorted(site.unique())
    for fold, written in zip(out_of_fold.folds, record, strict=True):
        assert set(site[list(rows.patients.patient_id[fold.test])]) == {written["held_out"]}
        assert written["held_out"] not in set(site[list(rows.patients.patient_id[fold.train])])
    assert out_of_fold.tested.all()
    assert set(score(rows, out_of_fold, config)) == set(rows.endpoint.landmark_days)


def test_other_endpoints_teach_nothing_of_a_centre_held_out(
    rows: TrainingRows, run_config: RunConfig, tmp_path: Path
) -> None:
    """Also of its patients who are at risk of the other endpoint alone: their outcomes change no prediction."""
    network = NetworkConfig(members=3, max_epochs=15)
    config = with_validation(run_config, scheme="site").model_copy(update={"model": network})
    site = rows.cohort.patients.set_index("patient_id")["site"][list(rows.patients.patient_id)].to_numpy()
    kept = np.flatnonzero(np.arange(len(site)) % 3 > 0)
    few = replace(rows, patients=rows.patients.take(kept), outcomes=rows.outcomes.take(kept))
    fold = folds_of(few, config)[0]
    alone = ~np.isin(rows.patients.patient_id, few.patients.patient_id)
    assert (alone & (site == fold.held_out)).any()
    assert (alone & (site != fold.held_out)).any()
    times = np.array([365.0])

    def risks(changed: NDArray[np.bool_]) -> NDArray[np.float64]:
        days = np.where(changed, rows.outcomes.duration_days / 9, rows.outcomes.duration_days)
        other = replace(rows.outcomes, duration_days=days)
        also = replace(few, companions=(Companion(rows.patients, other),))
        model = fit_fold(also, config, fold, tmp_path, Unheard())
        return model.predict_incidence(few.patients.take(fold.test), times).values

    same = risks(np.zeros(len(site), dtype=bool))
    np.testing.assert_array_equal(risks(site == fold.held_out), same)
    assert np.abs(risks(alone & (site != fold.held_out)) - same).max() > 0


def test_later_patients_are_predicted_from_earlier_ones(
    rows: TrainingRows, run_config: RunConfig, tmp_path: Path
) -> None:
    config = with_validation(run_config, scheme="temporal", column="age", folds=2)
    out_of_fold = cross_validate(rows, config, tmp_path, Witness())
    age = rows.cohort.patients.set_index("patient_id")["age"]
    for fold in out_of_fold.folds:
        train, test = (age[list(rows.patients.patient_id[part])] for part in (fold.train, fold.test))
        assert train.max() < test.min()
    assert 0.5 < out_of_fold.tested.mean() < 0.8, "a third is too early to be tested"
    written = predictions_table(rows, out_of_fold)
    assert written["incidence"].notna().all()
    assert len(written) == out_of_fold.tested.sum() * len(rows.outcomes.causes) * len(even_grid(rows.endpoint))
    scores = score(rows, out_of_fold, config)[rows.endpoint.landmark_days[0]]
    assert np.isfinite([row["point"] for row in scores.table() if row["metric"] == "brier"]).all()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"scheme": "temporal", "column": "year"}, r"validation.column = year: .* has no such column in patients"),
        ({"scheme": "temporal", "column": "site"}, r"validation.column = site: is no number"),
        ({"scheme": "site", "column": "age"}, None),
    ],
    ids=["unknown", "text", "any column may name a group"],
)
def test_a_column_that_cannot_tell_is_refused(
    rows: TrainingRows, run_config: RunConfig, values: dict[str, object], message: str | None
) -> None:
    config = with_validation(run_config, **values)
    if message is None:
        assert len(folds_of(rows, config)) > 2
        return
    with pytest.raises(SequelaError, match=message):
        folds_of(rows, config)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"scheme": "site", "repeats": 2}, "would all be the same"),
        ({"scheme": "temporal"}, "needs to know the column"),
        ({"column": "site"}, "has no meaning for cross_validation"),
    ],
    ids=["repeats", "no column", "column without a scheme"],
)
def test_a_split_that_makes_no_sense_is_refused(run_config: RunConfig, values: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        with_validation(run_config, **values)


def test_nobody_of_the_test_fold_takes_part_in_tuning(
    rows: TrainingRows, run_config: RunConfig, tmp_path: Path
) -> None:
    space = {"penalty": {"low": 1.0, "high": 1000.0, "log": True}}
    tuning = TuningConfig.model_validate({"space": space, "trials": 3, "folds": 2})
    config = run_config.model_copy(update={"tuning": tuning})
    before = cross_validate(rows, config, tmp_path / "before", Witness())
    test = before.folds[0].test
    cause, duration = rows.outcomes.cause.copy(), rows.outcomes.duration_days.copy()
    cause[test], duration[test] = (cause[test] + 1) % 3, duration[test] / 2
    other = replace(rows, outcomes=replace(rows.outcomes, cause=cause, duration_days=duration))
    fold = before.folds[0]
    chosen = [
        tuned_model(study, fold.train, config, 0, tmp_path / f"{name}.csv")
        for name, study in (("same", rows), ("other", other))
    ]
    assert chosen[0] == chosen[1]
    assert (tmp_path / "same.csv").read_bytes() == (tmp_path / "other.csv").read_bytes()
    table = tuning_table(tmp_path / "before")
    assert list(table) == ["fold", "trial", "score", "chosen", "penalty"]
    assert table.groupby("fold")["chosen"].sum().tolist() == [1, 1, 1]
    assert table["trial"].max() == 3
