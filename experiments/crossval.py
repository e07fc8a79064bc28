"""Repeated cross-validation: out-of-fold predictions, fold by fold, so that a killed run goes on where it stopped."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from experiments.config import RunConfig
from experiments.data import TrainingRows
from experiments.out_of_fold import OutOfFold, evaluation_times
from experiments.temporal import before_test, column_of_patients, times_of
from training.config import ModelConfig, ValidationConfig, single_models
from training.evaluation.importance import HeldOutModel
from training.fit import fit_risk_model
from training.fitting.companions import of_fold
from training.loops.stopping import EpochListener
from training.models.risk_model import FittedRiskModel
from training.splits import Fold, fold_of_rows, patient_folds, site_folds, temporal_folds
from training.tuning import tune


class FoldListener(Protocol):
    """Told what happens in each fold; see `experiments.tracking`."""

    def fold_started(self, fold: Fold) -> None:
        """A fold begins."""

    def epoch_ended(self, fold: Fold, epoch: int, loss: float, out_of_bag_loss: float) -> None:
        """An epoch of a network ended."""

    def fold_ended(self, fold: Fold, incidence: NDArray[np.float64]) -> None:
        """A fold's out-of-fold incidences (test rows, causes, times) are known; told again if they were not kept."""


class Unheard:
    """A listener that tells nobody."""

    def fold_started(self, fold: Fold) -> None:
        """A fold begins."""

    def epoch_ended(self, fold: Fold, epoch: int, loss: float, out_of_bag_loss: float) -> None:
        """An epoch ended."""

    def fold_ended(self, fold: Fold, incidence: NDArray[np.float64]) -> None:
        """A fold ended."""


def folds_of(rows: TrainingRows, config: RunConfig) -> list[Fold]:
    """The folds of a run: they depend on the patients, the causes and the seed, not on the model.

    Raises:
        SequelaError: There are too few patients, centres or times, or the column that tells them is missing.
    """
    validation, patient_id = config.validation, rows.patients.patient_id
    if validation.scheme == "site":
        return site_folds(patient_id, sites_of(rows, validation))
    if validation.scheme == "temporal" and validation.column is not None:
        when = times_of(rows.cohort, validation.column, patient_id)
        return temporal_folds(patient_id, when, n_folds=validation.folds)
    cause, seed = rows.outcomes.cause, config.seed
    return patient_folds(patient_id, cause, n_folds=validation.folds, n_repeats=validation.repeats, seed=seed)


def sites_of(rows: TrainingRows, validation: ValidationConfig) -> NDArray[np.object_]:
    """(rows,): the centre of each row's patient, None where it is not known."""
    values = column_of_patients(rows.cohort, validation.column or "site", rows.patients.patient_id)
    return np.array([None if pd.isna(value) else str(value) for value in values], dtype=object)


def without_site(rows: TrainingRows, config: RunConfig, fold: Fold) -> TrainingRows:
    """Rows with companions that hold nobody of the centre held out, though never at risk of the endpoint itself."""
    if config.validation.scheme != "site":
        return rows
    companions = []
    for one in rows.companions:
        site = sites_of(replace(rows, patients=one.patients), config.validation)
        companions.append(one.without(one.patients.patient_id[site == fold.held_out]))
    return replace(rows, companions=tuple(companions))


def cross_validate(
    rows: TrainingRows,
    config: RunConfig,
    folder: Path,
    listener: FoldListener,
    progress: Callable[[int, int], None] | None = None,
    trials: Callable[[int, int], None] | None = None,
    epochs: Callable[[int, int], None] | None = None,
    kept: dict[int, FittedRiskModel] | None = None,
) -> OutOfFold:
    """Fit on all but one fold, predict it, for every fold.

    Args:
        rows: The training rows.
        config: The run.
        folder: Each finished fold is kept here (``fold-003.npy``) and not fitted again.
        listener: Told of each fold.
        progress: Told how many folds of how many are done.
        trials: Told how many trials of how many are done, where settings are tuned.
        epochs: Told how many epochs of at most how many are done, where a network is trained.
        kept: Where the models of the first repeat are put that are fitted here, by number of the fold.
    """
    found = untested(rows, config)
    folder.mkdir(parents=True, exist_ok=True)
    for done, fold in enumerate(found.folds):
        path = folder / f"fold-{fold.number:03d}.npy"
        if not path.exists():
            listener.fold_started(fold)
            model = fit_fold(rows, config, fold, folder, listener, trials, epochs)
            values = model.predict_incidence(rows.patients.take(fold.test), found.times_days).values
            if kept is not None and fold.repeat == 0:
                kept[fold.number] = model
            listener.fold_ended(fold, values)  # first, since nobody hears again of a fold whose file is there
            _save(path, values)
        found.incidence[fold.repeat, fold.test] = np.load(path, allow_pickle=False)
        if progress is not None:
            progress(done + 1, len(found.folds))
    return found


def untested(rows: TrainingRows, config: RunConfig) -> OutOfFold:
    """The folds of a run and the times of its predictions, before any fold is fitted: every incidence is NaN."""
    folds, times = folds_of(rows, config), evaluation_times(rows.endpoint)
    shape = config.validation.repeats, len(rows.patients), len(rows.outcomes.causes), len(times)
    return OutOfFold(tuple(folds), times, np.full(shape, np.nan), fold_of_rows(folds, len(rows.patients)))


def asks_models_again(config: RunConfig) -> bool:
    """Whether a run asks the models of its folds for more than their predictions at the landmarks."""
    return config.validation.importance > 0 or config.alerts is not None


def held_out_models(
    rows: TrainingRows, config: RunConfig, folder: Path, kept: dict[int, FittedRiskModel]
) -> list[HeldOutModel]:
    """The models of the first repeat with the rows they have not seen; those of an earlier process are fitted again."""
    tested = []
    for fold in folds_of(rows, config):
        if fold.repeat == 0:
            model = kept.get(fold.number) or fit_fold(rows, config, fold, folder, Unheard())
            tested.append(HeldOutModel(model, fold.test))
    return tested


def fit_fold(
    rows: TrainingRows,
    config: RunConfig,
    fold: Fold,
    folder: Path,
    listener: FoldListener,
    trials: Callable[[int, int], None] | None = None,
    epochs: Callable[[int, int], None] | None = None,
) -> FittedRiskModel:
    """The model of a fold: everything is chosen and fitted on its training rows, of a temporal split as known then."""
    rows, fold = before_test(without_site(rows, config, fold), config, fold)
    seed = config.seed * 1000 + fold.number
    told = epochs_told(config.model, epochs)

    def heard(epoch: int, loss: float, out_of_bag: float) -> None:
        listener.epoch_ended(fold, epoch, loss, out_of_bag)
        told(epoch, loss, out_of_bag)

    return fit_risk_model(
        rows.patients.take(fold.train),
        rows.outcomes.take(fold.train),
        rows.cohort.card,
        config.features,
        tuned_model(rows, fold.train, config, seed, folder / f"fold-{fold.number:03d}.csv", trials),
        config.trainer,
        seed=seed,
        listener=heard,
        checkpoint=folder / f"fold-{fold.number:03d}.ckpt",
        companions=of_fold(rows.companions, rows.patients, fold.train),
    )


def epochs_told(model: ModelConfig, epochs: Callable[[int, int], None] | None) -> EpochListener:
    """A listener that tells how many epochs of at most how many are done."""
    most = _most_epochs(model)

    def listener(epoch: int, *_: float) -> None:
        if epochs is not None:
            epochs(epoch + 1, most)

    return listener


def _most_epochs(model: ModelConfig) -> int:
    """Of the longest fit of a model's networks."""
    return max(int(getattr(one, "max_epochs", 0)) for one in single_models(model))


def tuned_model(
    rows: TrainingRows,
    train: NDArray[np.int64],
    config: RunConfig,
    seed: int,
    written: Path,
    progress: Callable[[int, int], None] | None = None,
) -> ModelConfig:
    """The model with the settings that were best on inner folds of some rows; all trials are written as a table."""
    if config.tuning is None:
        return config.model
    part = rows.patients.take(train), rows.outcomes.take(train)
    card, features, trainer = rows.cohort.card, config.features, config.trainer
    others = of_fold(rows.companions, rows.patients, train)
    tuned = tune(
        *part, card, features, config.model, trainer, config.tuning, seed=seed, progress=progress, companions=others
    )
    lines = [
        {"trial": trial.number, "score": trial.score, "chosen": trial.number == tuned.best, **trial.settings}
        for trial in tuned.trials
    ]
    beside = written.with_suffix(".part")
    pd.DataFrame(lines, columns=["trial", "score", "chosen", *config.tuning.space]).to_csv(beside, index=False)
    beside.rename(written)
    return tuned.model


def tuning_table(folder: Path) -> pd.DataFrame:
    """All trials of all folds, and of the final fit: fold, trial, score, chosen, and a column for each setting."""
    parts = [pd.read_csv(path).assign(fold=path.stem.removeprefix("fold-")) for path in sorted(folder.glob("*.csv"))]
    table = pd.concat(parts, ignore_index=True)
    return table[["fold", *(name for name in table.columns if name != "fold")]]


def _save(path: Path, values: NDArray[np.float64]) -> None:
    """Write beside, then rename: a file that is there is whole."""
    beside = path.with_suffix(".part")
    with beside.open("wb") as file:
        np.save(file, values, allow_pickle=False)
    beside.rename(path)
