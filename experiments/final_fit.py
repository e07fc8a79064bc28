"""The final artifact of a run: everything fitted on all rows, and what cross-validation found beside it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from experiments.config import RunConfig
from experiments.crossval import epochs_told, tuned_model
from experiments.data import TrainingRows
from experiments.example import example_patient
from experiments.home import Home
from experiments.log_items import headline_metrics
from experiments.out_of_fold import OutOfFold
from experiments.progress import Progress
from experiments.risk_groups import risk_groups
from experiments.served_counts import Counts, fit_served_counts
from experiments.served_states import fit_states, states_block
from experiments.thresholds import Settled
from experiments.tracking import git_state
from features.drift import Reference
from features.novelty import FEWEST_PATIENTS, Novelty
from features.outcomes import Outcomes
from features.patients import FloatArray, Patients
from features.persistence import Persistence
from training.artifact.blocks import AlertsBlock, NoveltyBlock
from training.artifact.folder import answer_example, model_block, write_artifact
from training.artifact.manifest import Example, Manifest, TrainingCohort
from training.artifact.parts import CELL_NOVELTY, count_arrays, novelty_block, state_arrays
from training.evaluation.scores import Scores
from training.fit import fit_risk_model
from training.fitting.persistence import persistences
from training.models.risk_model import FittedRiskModel

ARTIFACT = "artifact"
"""Its folder in that of a run."""


@dataclass(frozen=True, slots=True)
class Beside:
    """What cross-validation found beside the scores; each is None where a run asks for none."""

    settled: Settled | None = None
    """Thresholds of tiers."""
    alerts: AlertsBlock | None = None
    counts: Counts | None = None


def fit_final(
    rows: TrainingRows,
    config: RunConfig,
    home: Home,
    out_of_fold: OutOfFold,
    scores: Mapping[float, Scores],
    run_id: str,
    folder: Path,
    progress: Progress,
    beside: Beside,
) -> None:
    """Fit on all rows and write the artifact."""
    model = fit_on_everyone(rows, config, folder.parent / "folds", progress)
    followed = fit_states(rows, config, home, model.encoder)
    block, arrays = model_block(model)
    encoded = model.encoder.encode(rows.patients)
    novelty, of_novelty = novelty_block(Novelty.fit(encoded.x, rows.patients.patient_id, rows.patients.landmark_day))
    of_cells, cell_arrays = cell_novelty(model, rows.patients)
    landmark = rows.endpoint.landmark_days[0]
    patient = example_patient(model.encoder, landmark)
    times = rows.endpoint.horizons_days
    counts, of_counts = fit_served_counts(beside.counts, config, model, patient, times)
    card = rows.cohort.card
    metrics = headline_metrics(scores)
    manifest = Manifest(
        name=config.name,
        endpoint=rows.endpoint,
        model=block,
        features=model.encoder.feature_names,
        training_cohort=TrainingCohort(
            title=card.title,
            citation=card.citation,
            provenance=card.provenance,
            fingerprint=rows.cohort.fingerprint,
            n_patients=len(set(rows.patients.patient_id)),
            events={f"{day:g}": outcomes.counts() for day, outcomes in _by_landmark(rows)},
        ),
        metrics=dict(metrics),
        run_id=run_id,
        git_commit=git_state()[0],
        example=Example(patient=patient, times_days=times, incidence=answer_example(model, patient, times)),
        reference=_reference(model, encoded.values, rows, out_of_fold),
        persistence=_persistence(model, rows),
        decision=() if beside.settled is None else beside.settled.benefits,
        thresholds=() if beside.settled is None else beside.settled.thresholds,
        calibration=risk_groups(rows, out_of_fold),
        states=None if followed is None else states_block(*followed, landmark, model, patient, times),
        alerts=beside.alerts,
        counts=of_counts,
        novelty=novelty,
        cell_novelty=of_cells,
        files={},
    )
    of_states = state_arrays(None if followed is None else followed[0])
    write_artifact(folder, manifest, arrays | of_states | of_novelty | cell_arrays | count_arrays(counts))


def cell_novelty(model: FittedRiskModel, patients: Patients) -> tuple[NoveltyBlock | None, dict[str, NDArray[Any]]]:
    """How strange the cells of a patient are to a network of cells: learnt of those of whom cells are known."""
    embedding = model.embedding(patients)
    known = np.flatnonzero(np.isfinite(embedding).all(axis=1))
    ids = patients.patient_id[known]
    if not embedding.shape[1] or len(set(ids)) < FEWEST_PATIENTS:
        return None, {}
    return novelty_block(Novelty.fit(embedding[known], ids, patients.landmark_day[known]), CELL_NOVELTY)


def _reference(model: FittedRiskModel, values: FloatArray, rows: TrainingRows, out_of_fold: OutOfFold) -> Reference:
    """How inputs (rows, inputs), and risks of patients not trained on, are spread: later ones are compared with it."""
    last = np.searchsorted(out_of_fold.times_days, rows.endpoint.horizons_days[-1])
    risks = out_of_fold.incidence[:, :, :, last].mean(axis=0)
    return Reference.of(
        dict(zip(model.encoder.input_names, values.T, strict=True)), dict(zip(model.causes, risks.T, strict=True))
    )


def _persistence(model: FittedRiskModel, rows: TrainingRows) -> dict[str, Persistence]:
    """Of the variables that the model sees."""
    _, first = np.unique(rows.patients.patient_id.astype(str), return_index=True)
    found = persistences(rows.patients.take(first).measurements, rows.endpoint.landmark_days)
    return {name: one for name, one in found.items() if name in model.encoder.measured_inputs}


def fit_on_everyone(rows: TrainingRows, config: RunConfig, folds: Path, progress: Progress) -> FittedRiskModel:
    """Choose the settings and fit on all rows; how far it is, is kept beside the folds."""
    everyone = np.arange(len(rows.patients))
    chosen = tuned_model(rows, everyone, config, config.seed, folds / "final.csv", progress.trials)
    return fit_risk_model(
        rows.patients,
        rows.outcomes,
        rows.cohort.card,
        config.features,
        chosen,
        config.trainer,
        seed=config.seed,
        listener=epochs_told(chosen, progress.epochs),
        checkpoint=folds / "final.ckpt",
        companions=rows.companions,
    )


def _by_landmark(rows: TrainingRows) -> Iterator[tuple[float, Outcomes]]:
    for day in rows.endpoint.landmark_days:
        yield day, rows.outcomes.take(np.flatnonzero(rows.patients.landmark_day == day))
