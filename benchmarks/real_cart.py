"""What single cells add over the clinic in real CAR-T patients: every model, nested choices, permutation tests.

Two public studies: 52 myeloma patients after BCMA CAR-T (progression; CRS of grade 2 or more), and children after CD19
CAR-T (relapse by type, from clonality and expansion). Whatever is chosen (penalty, genes, components, weights) is
chosen inside the training folds.

    python -m benchmarks.real_cart --data ../shared/data

What is done is kept under `--work`, fold by fold: stopped, it goes on where it was.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import cache
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pandas as pd
from filelock import FileLock
from numpy.typing import NDArray

from benchmarks.accuracy.models import CPU, OURS
from benchmarks.accuracy.page import markdown
from benchmarks.made import made_by
from experiments.config import RunConfig
from experiments.crossval import Unheard, cross_validate
from experiments.data import TrainingRows, load_rows
from experiments.out_of_fold import evaluation_times
from experiments.pipeline_test import pipeline_test
from features.check import read_endpoint
from features.config import FeatureConfig
from features.importers import IMPORTERS
from training.config import ValidationConfig
from training.evaluation.brier import brier_score, integrate, null_brier_score
from training.evaluation.comparison import simultaneous_intervals
from training.evaluation.intervals import resample_patients
from training.evaluation.ipcw import scorable_times, scoring_weights
from training.evaluation.permutation import PermutationTest

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


@dataclass(frozen=True, slots=True)
class Job:
    """One model with one set of features, cross-validated; or, with `permutations`, its pipeline tested."""

    question: str
    model: str
    with_cells: bool
    repeats: int
    permutations: int = 0

    def config(self, work: Path) -> RunConfig:
        """The run that a user would write."""
        question = BY_NAME[self.question]
        return RunConfig(
            name=self.model,
            experiment=question.endpoint,
            cohort=work / "cohorts" / question.importer,
            endpoint=REPOSITORY / "configs" / "endpoint" / f"{question.endpoint}.yaml",
            features=question.both if self.with_cells else question.clinic,
            model=OURS[self.model],
            trainer=CPU,
            validation=ValidationConfig(repeats=self.repeats, permutations=self.permutations),
        )


@cache
def rows_of(name: str, data: Path, work: Path) -> TrainingRows:
    """Import the study and apply the endpoint; cells are read, whichever features are looked at later."""
    question, folder = BY_NAME[name], work / "cohorts"
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / f"{question.importer}.lock"):
        if not (folder / question.importer).exists():
            IMPORTERS[question.importer].run(data / question.source, folder / question.importer)
        endpoint = read_endpoint(REPOSITORY / "configs" / "endpoint" / f"{question.endpoint}.yaml")
        return load_rows(folder / question.importer, endpoint, question.both, work / "features")


def carry_out(job: Job, data: Path, work: Path) -> tuple[Job, NDArray[np.float64] | PermutationTest | None]:
    """1 − IPA (1 + resamples,), of all patients and of patients drawn with replacement; or the test of the pipeline."""
    rows, config = rows_of(job.question, data, work), job.config(work)
    folder = work / "jobs" / config.model_copy(update={"cohort": Path(), "endpoint": Path()}).digest()[:16]
    folder = folder / BY_NAME[job.question].endpoint
    if job.permutations:
        return job, pipeline_test(rows, config, folder)
    incidence = cross_validate(rows, config, folder, Unheard()).incidence
    point = np.atleast_1d(losses(incidence, rows, None))
    rng = np.random.default_rng(0)  # the same patients in every job: differences are paired
    draws = resample_patients(rows.patients.patient_id, RESAMPLES, rng)
    return job, np.concatenate([point, *(losses(incidence, rows, block) for block in draws)])


def losses(
    incidence: NDArray[np.float64], rows: TrainingRows, resamples: NDArray[np.float64] | None
) -> NDArray[np.float64]:
    """IBS of cause 1 (..., ) over the null's, mean over repeats and landmarks: 1 − IPA."""
    found = []
    for day in rows.endpoint.landmark_days:
        at = np.flatnonzero((rows.patients.landmark_day == day) & rows.outcomes.from_landmark)
        own = rows.outcomes.take(at)
        times = scorable_times(own, evaluation_times(rows.endpoint))
        weights = scoring_weights(own, times, resamples=None if resamples is None else resamples[..., at])
        null = integrate(null_brier_score(times, own, weights), times)[..., 0]
        for repeat in incidence:
            score = brier_score(repeat[at][..., : len(times)], times, own, weights)
            found.append(integrate(score, times)[..., 0] / null)
    mean: NDArray[np.float64] = np.mean(found, axis=0)
    return mean


def main() -> int:
    """Run every job, write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=REPOSITORY.parent / "shared" / "data")
    parser.add_argument("--work", type=Path, default=REPOSITORY / ".sequela" / "real_cart")
    parser.add_argument("--questions", nargs="+", default=list(BY_NAME), choices=list(BY_NAME), metavar="QUESTION")
    parser.add_argument("--models", nargs="+", default=list(OURS), choices=list(OURS), metavar="MODEL")
    parser.add_argument("--tested", default="cox", help="the model whose pipeline is tested by permuted outcomes")
    parser.add_argument("--permutations", type=int, default=199)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args()
    both = (False, True)
    jobs = [Job(q, options.tested, c, 1, options.permutations) for q in options.questions for c in both]
    jobs += [Job(q, m, c, options.repeats) for m in options.models for q in options.questions for c in both]
    os.environ["OMP_NUM_THREADS"] = "1"  # the workers are the parallelism
    with ProcessPoolExecutor(options.workers, mp_context=get_context("spawn")) as pool:
        futures = [pool.submit(carry_out, job, options.data, options.work.resolve()) for job in jobs]
        for number, future in enumerate(as_completed(futures), 1):
            print(f"{number}/{len(jobs)}", future.result()[0], file=sys.stderr, flush=True)
        done = [future.result() for future in futures]
    found = {job: value for job, value in done if isinstance(value, np.ndarray)}
    tests = {job: value for job, value in done if isinstance(value, PermutationTest)}
    options.results.mkdir(parents=True, exist_ok=True)
    text = page(found, tests, options.questions, options.models, options.repeats)
    (options.results / "real_cart.md").write_text(text, encoding="utf-8")
    print(text)
    return 0


def page(
    found: Mapping[Job, NDArray[np.float64]],
    tests: Mapping[Job, PermutationTest],
    questions: Sequence[str],
    models: Sequence[str],
    repeats: int,
) -> str:
    """A table and a sentence for each question."""
    text = [
        "# Single cells and clinic in real CAR-T patients",
        "",
        f"{repeats} × 5-fold cross-validation, patients kept whole, everything chosen in the training folds. IPA of",
        "the event of interest against the Aalen–Johansen estimate of the scored patients, with the 95 % interval over",
        f"patients drawn with replacement ({RESAMPLES} times; predictions held fixed). Sentences below go by",
        f"the intervals of the differences that hold for all {len(models) * len(questions)} at once (max-t).",
        made_by("benchmarks.real_cart"),
    ]
    gains = {(name, model): _gain(found, name, model, repeats) for name in questions for model in models}
    drawn = np.column_stack(list(gains.values()))
    together = dict(zip(gains, simultaneous_intervals(drawn[0], drawn[1:]), strict=True))
    for name in questions:
        lines = []
        for model in models:
            clinic, both = (100 * (1 - found[Job(name, model, cells, repeats)]) for cells in (False, True))
            low, high = together[name, model]
            joint = f"[{low:+.1f}, {high:+.1f}]"
            lines.append([model, _shown(clinic), _shown(both), _shown(gains[name, model]), joint])
        columns = ["model", "clinic: IPA %", "with cells: IPA %", "difference", "95 %, all at once"]
        text += ["", f"## {name[0].upper()}{name[1:]}", "", markdown(pd.DataFrame(lines, columns=columns)), ""]
        own = {model: together[name, model] for model in models}
        text.append(
            _verdict(name, own) + "".join(_tested(job, one) for job, one in tests.items() if job.question == name)
        )
    return "\n".join(text) + "\n"


def _gain(found: Mapping[Job, NDArray[np.float64]], name: str, model: str, repeats: int) -> NDArray[np.float64]:
    """Points of IPA (1 + resamples,) that the cells add to the clinic."""
    clinic, both = (found[Job(name, model, cells, repeats)] for cells in (False, True))
    return 100 * (clinic - both)


def _verdict(name: str, together: Mapping[str, NDArray[np.float64]]) -> str:
    """What the cells add, in one sentence, by intervals (low, high) that hold for all models and questions at once."""
    better = [model for model, (low, _) in together.items() if low > 0]
    worse = [model for model, (_, high) in together.items() if high < 0]
    what = BY_NAME[name].cells
    what = f"{what[0].upper()}{what[1:]}"
    if better:
        said = f"{what} add to the clinic with {', '.join(better)}"
        return said + (f" and take away with {', '.join(worse)}." if worse else ".")
    said = f"{what}: no model shows that they add anything to the clinic"
    return said + (f", and with {', '.join(worse)} they take away." if worse else ".")


def _tested(job: Job, test: PermutationTest) -> str:
    """The permutation test of a pipeline."""
    features = "with cells" if job.with_cells else "clinic alone"
    shown = f"p = {test.p:.3f} [{test.p_low:.3f}, {test.p_high:.3f}]"
    return f" Whole pipeline of {job.model}, {features}, on outcomes permuted {len(test.permuted)} times: {shown}."


def _shown(values: NDArray[np.float64]) -> str:
    low, high = np.nanquantile(values[1:], (0.025, 0.975))
    return f"{values[0]:+.1f} [{low:+.1f}, {high:+.1f}]"


if __name__ == "__main__":
    sys.exit(main())
