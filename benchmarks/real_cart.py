"""What single cells add over the clinic in real CAR-T patients: every model, nested choices, permutation tests.

Two public studies: 52 myeloma patients after BCMA CAR-T (progression; CRS of grade 2 or more), and children after CD19
CAR-T (relapse by type, from clonality and expansion). Whatever is chosen (penalty, genes, components, weights) is
chosen inside the training folds.

    python -m benchmarks.real_cart --data ../shared/data
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.accuracy.models import CPU, OURS
from benchmarks.accuracy.page import markdown
from experiments.crossval import evaluation_times
from experiments.data import TrainingRows, load_rows
from features.check import read_endpoint
from features.config import FeatureConfig
from features.importers import IMPORTERS
from features.outcomes import Outcomes
from training.evaluation.brier import brier_score, integrate, null_brier_score
from training.evaluation.intervals import resample_patients
from training.evaluation.ipcw import scorable_times, scoring_weights
from training.fit import fit_risk_model
from training.splits import patient_folds

REPOSITORY = Path(__file__).parents[1]
RESULTS = Path(__file__).parent / "results"
RESAMPLES = 500


@dataclass(frozen=True, slots=True)
class Question:
    """One endpoint of one study, and the two sets of features that are compared."""

    name: str
    importer: str
    source: str
    endpoint: str
    cells: str
    """What the cells, or their traces, are."""
    clinic: FeatureConfig
    both: FeatureConfig


LEIPZIG_CLINIC = FeatureConfig(measurements=(), cells=())
LEIPZIG_BOTH = FeatureConfig(statistics=("last", "slope"), cells=("composition", "pseudobulk", "programs"))
UPENN_CLINIC = FeatureConfig(measurements=("best_response",), statistics=("last",), cells=())
UPENN_BOTH = FeatureConfig(statistics=("last", "auc", "cmax"), cells=("clonality",))
QUESTIONS = (
    Question(
        "progression of myeloma",
        "leipzig2024",
        "leipzig_bcma_cart",
        "leipzig_progression",
        "flow subsets, plasma cells, laboratory values by day 0",
        LEIPZIG_CLINIC,
        LEIPZIG_BOTH,
    ),
    Question(
        "CRS of grade 2 or more",
        "leipzig2024",
        "leipzig_bcma_cart",
        "leipzig_crs2",
        "flow subsets, plasma cells, laboratory values by day 0",
        LEIPZIG_CLINIC,
        LEIPZIG_BOTH,
    ),
    Question(
        "relapse of leukaemia, any type",
        "upenn_cart19",
        "upenn_cart19",
        "upenn_relapse",
        "clonality and expansion by the landmark",
        UPENN_CLINIC,
        UPENN_BOTH,
    ),
    Question(
        "CD19-negative relapse of leukaemia",
        "upenn_cart19",
        "upenn_cart19",
        "upenn_relapse_cd19_negative",
        "clonality and expansion by the landmark",
        UPENN_CLINIC,
        UPENN_BOTH,
    ),
)


BY_NAME = {question.name: question for question in QUESTIONS}


@cache
def rows_of(name: str, data: Path, store: Path) -> TrainingRows:
    """Import the study and apply the endpoint; cells are read, whichever features are looked at later."""
    question = BY_NAME[name]
    folder = store / f"{question.endpoint}-{os.getpid()}"  # each process its own: nothing is shared but the source
    IMPORTERS[question.importer].run(data / question.source, folder / "cohort")
    endpoint = read_endpoint(REPOSITORY / "configs" / "endpoint" / f"{question.endpoint}.yaml")
    return load_rows(folder / "cohort", endpoint, question.both, folder)


@dataclass(frozen=True, slots=True)
class Job:
    """One model with one set of features, cross-validated.

    For the permutation test it is cross-validated once, on the true outcomes (`permutation` 0) and on permuted ones.
    """

    question: str
    model: str
    with_cells: bool
    permutation: int | None = None


def out_of_fold(rows: TrainingRows, outcomes: Outcomes, job: Job, repeats: int) -> NDArray[np.float64]:
    """(repeats, rows, causes, times): predictions by models that never saw the patient."""
    question, ids = BY_NAME[job.question], rows.patients.patient_id
    features = question.both if job.with_cells else question.clinic
    times = evaluation_times(rows.endpoint)
    values = np.full((repeats, len(ids), len(outcomes.causes), len(times)), np.nan)
    for fold in patient_folds(ids, outcomes.cause, n_folds=5, n_repeats=repeats, seed=0):
        train, test = rows.patients.take(fold.train), rows.patients.take(fold.test)
        card, model = rows.cohort.card, OURS[job.model]
        fitted = fit_risk_model(train, outcomes.take(fold.train), card, features, model, CPU, seed=fold.number)
        values[fold.repeat, fold.test] = fitted.predict_incidence(test, times).values
    return values


def losses(
    incidence: NDArray[np.float64], rows: TrainingRows, outcomes: Outcomes, resamples: NDArray[np.float64] | None
) -> NDArray[np.float64]:
    """IBS of cause 1 (..., ) over the null's, mean over repeats and landmarks: 1 − IPA."""
    found = []
    for day in rows.endpoint.landmark_days:
        at = np.flatnonzero(rows.patients.landmark_day == day)
        own = outcomes.take(at)
        times = scorable_times(own, evaluation_times(rows.endpoint))
        weights = scoring_weights(own, times, resamples=None if resamples is None else resamples[..., at])
        null = integrate(null_brier_score(times, own, weights), times)[..., 0]
        for repeat in incidence:
            score = brier_score(repeat[at][..., : len(times)], times, own, weights)
            found.append(integrate(score, times)[..., 0] / null)
    mean: NDArray[np.float64] = np.mean(found, axis=0)
    return mean


def permuted(outcomes: Outcomes, patient_id: NDArray[np.object_], seed: int) -> Outcomes:
    """Outcomes of other patients: those with the same number of rows change places, all their rows together."""
    rng = np.random.default_rng(seed)
    ids, patient = np.unique(patient_id.astype(str), return_inverse=True)
    rows_by_patient = [np.flatnonzero(patient == i) for i in range(len(ids))]
    source = np.arange(len(outcomes))
    for size in {len(rows) for rows in rows_by_patient}:
        alike = [rows for rows in rows_by_patient if len(rows) == size]
        for to, come in zip(alike, rng.permutation(len(alike)), strict=True):
            source[to] = alike[come]
    return outcomes.take(source)


def carry_out(job: Job, data: Path, store: Path, repeats: int) -> tuple[Job, NDArray[np.float64]]:
    """1 − IPA (1 + resamples,) of a job: of all patients, and of patients drawn with replacement."""
    rows = rows_of(job.question, data, store)
    ids = rows.patients.patient_id
    if job.permutation is not None:
        outcomes = permuted(rows.outcomes, ids, job.permutation) if job.permutation else rows.outcomes
        return job, np.atleast_1d(losses(out_of_fold(rows, outcomes, job, 1), rows, outcomes, None))
    incidence = out_of_fold(rows, rows.outcomes, job, repeats)
    point = np.atleast_1d(losses(incidence, rows, rows.outcomes, None))
    rng = np.random.default_rng(0)  # the same patients in every job: differences are paired
    draws = [losses(incidence, rows, rows.outcomes, block) for block in resample_patients(ids, RESAMPLES, rng)]
    return job, np.concatenate([point, *draws])


def main() -> int:
    """Run every job, write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=REPOSITORY.parent / "shared" / "data")
    parser.add_argument("--questions", nargs="+", default=list(BY_NAME), choices=list(BY_NAME), metavar="QUESTION")
    parser.add_argument("--models", nargs="+", default=list(OURS), choices=list(OURS), metavar="MODEL")
    parser.add_argument("--tested", default="cox", help="the model whose pipeline is tested by permuted outcomes")
    parser.add_argument("--permutations", type=int, default=199)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args()
    jobs = [Job(q, m, with_cells=cells) for q in options.questions for m in options.models for cells in (False, True)]
    jobs += [
        Job(q, options.tested, with_cells=True, permutation=i)
        for q in options.questions
        for i in range(options.permutations + 1)
    ]
    os.environ["OMP_NUM_THREADS"] = "1"  # the workers are the parallelism
    with TemporaryDirectory() as store, ProcessPoolExecutor(options.workers, mp_context=get_context("spawn")) as pool:
        futures = [pool.submit(carry_out, job, options.data, Path(store), options.repeats) for job in jobs]
        found = dict(future.result() for future in futures)
    options.results.mkdir(parents=True, exist_ok=True)
    text = page(found, options.questions, options.models, options.tested, options.repeats)
    (options.results / "real_cart.md").write_text(text, encoding="utf-8")
    print(text)
    return 0


def page(
    found: dict[Job, NDArray[np.float64]], questions: Sequence[str], models: Sequence[str], tested: str, repeats: int
) -> str:
    """A table and a sentence for each question."""
    text = [
        "# Single cells and clinic in real CAR-T patients",
        "",
        f"{repeats} × 5-fold cross-validation, patients kept whole, everything chosen in the training folds. IPA of",
        "the event of interest against the Aalen–Johansen estimate of the scored patients, with the 95 % interval over",
        f"patients drawn with replacement ({RESAMPLES} times; predictions held fixed). Made by",
        f"`python -m benchmarks.real_cart` on {platform.machine()}, {os.cpu_count()} cores, CPU.",
    ]
    for name in questions:
        lines = []
        for model in models:
            clinic, both = (100 * (1 - found[Job(name, model, with_cells=cells)]) for cells in (False, True))
            lines.append([model, _shown(clinic), _shown(both), _shown(both - clinic)])
        columns = ["model", "clinic: IPA %", "with cells: IPA %", "difference"]
        text += ["", f"## {name[0].upper()}{name[1:]}", "", markdown(pd.DataFrame(lines, columns=columns)), ""]
        text.append(_verdict(found, name, models, tested))
    return "\n".join(text) + "\n"


def _verdict(found: dict[Job, NDArray[np.float64]], name: str, models: Sequence[str], tested: str) -> str:
    """What the cells add, in one sentence, and the permutation test of the pipeline."""
    gains = [found[Job(name, m, with_cells=False)] - found[Job(name, m, with_cells=True)] for m in models]
    better = [m for m, gain in zip(models, gains, strict=True) if np.nanquantile(gain[1:], 0.025) > 0]
    worse = [m for m, gain in zip(models, gains, strict=True) if np.nanquantile(gain[1:], 0.975) < 0]
    what = BY_NAME[name].cells
    if better:
        said = f"{what[0].upper()}{what[1:]} add to the clinic with {', '.join(better)}"
        said += f" and take away with {', '.join(worse)}." if worse else "."
    else:
        said = f"{what[0].upper()}{what[1:]}: no model shows that they add anything to the clinic"
        said += f", and with {', '.join(worse)} they take away." if worse else "."
    null = [values[0] for job, values in found.items() if job.question == name and job.permutation]
    if null:
        as_good = sum(loss <= found[Job(name, tested, with_cells=True, permutation=0)][0] for loss in null)
        p = (1 + as_good) / (1 + len(null))
        said += f" Permuted outcomes ({len(null)} times, whole pipeline of {tested} with cells): p = {p:.3f}."
    return said


def _shown(values: NDArray[np.float64]) -> str:
    low, high = np.nanquantile(values[1:], (0.025, 0.975))
    return f"{values[0]:+.1f} [{low:+.1f}, {high:+.1f}]"


if __name__ == "__main__":
    sys.exit(main())
