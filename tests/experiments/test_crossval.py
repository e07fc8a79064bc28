"""Cross-validation: patients never leak, killed runs go on with the same numbers, tables are complete."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from experiments.config import RunConfig
from experiments.crossval import cross_validate, even_grid, predictions_table, splits_record
from experiments.data import TrainingRows, load_rows
from features.check import read_endpoint
from features.config import FeatureConfig
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
