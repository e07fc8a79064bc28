"""How long a model takes for 1,000 patients at once, on one thread, without the service around it.

    python -m benchmarks.serving.model_time --home .sequela

The model is the champion of a store in which `sequela demo` has run. The patients are simulated, each
another, with laboratory values until day 30 and without cells. Writes ``results/serving_model_time.md``.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch

from experiments.home import Home
from experiments.requesting import wanted_by
from features.check import read_cohort
from features.cohort_records import patient_records
from features.records import PatientRecord
from features.request import to_patients
from features.simulator.folder import simulate
from serving.answer import answer
from serving.card import model_card
from serving.champions import read_champion
from serving.messages import PredictRequest
from training.artifact.folder import Artifact, read_artifact
from training.models.seeing import seeing

RESULT = Path(__file__).parents[1] / "results" / "serving_model_time.md"
PATIENTS, RUNS = 1_000, 20
SEED, LANDMARK_DAY = 5, 30.0


def records_of(artifact: Artifact) -> tuple[PatientRecord, ...]:
    """Patients of a cohort that is simulated anew, as a client would send them."""
    with tempfile.TemporaryDirectory() as folder:
        simulate(Path(folder) / "cohort", n_patients=PATIENTS, cells_per_sample=0, seed=SEED)
        cohort = read_cohort(Path(folder) / "cohort")
        found = patient_records(cohort, wanted_by(model_card(artifact, "v")), LANDMARK_DAY)
        return tuple(PatientRecord.model_validate(record) for record in found)


def parts_of(artifact: Artifact) -> dict[str, Callable[[], object]]:
    """From the model alone to the whole answer."""
    model, request = artifact.model, PredictRequest(patients=records_of(artifact))
    patients = to_patients(request.patients, model.encoder)
    times, day = np.array(artifact.manifest.endpoint.horizons_days), patients.landmark_day
    x, predictor = model.encoder.transform(patients), seeing(model.predictor, patients)
    unlike = np.random.default_rng(SEED).normal(size=x.shape)
    return {
        "the predictor: features to incidences": lambda: predictor.incidence(x, day, times),
        "the predictor, where no feature is alike in all (drawn at random)": lambda: predictor.incidence(
            unlike, day, times
        ),
        "the model: patients to incidences": lambda: model.predict_incidence(patients, times),
        "the answer: request to answer, without HTTP and JSON": lambda: answer(artifact, "v", request),
    }


def seconds_of(parts: dict[str, Callable[[], object]]) -> dict[str, list[float]]:
    """Of each part in every round; parts take turns, so that a machine that slows down slows all."""
    found: dict[str, list[float]] = {name: [] for name in parts}
    for _ in range(RUNS + 1):  # the first warms up
        for name, part in parts.items():
            began = time.perf_counter()
            part()
            found[name].append(time.perf_counter() - began)
    return {name: seconds[1:] for name, seconds in found.items()}


def page(found: dict[str, list[float]], artifact: Artifact) -> str:
    """The result in Markdown."""
    lines = [
        "# The model's part of 1,000 patients in one request",
        "",
        f"Made by `python -m benchmarks.serving.model_time` on {platform.machine()}, {os.cpu_count()} cores shared",
        f"with other work, Python {platform.python_version()}, torch {version('torch')}, one thread. A champion of",
        f"simulated patients, kind {artifact.manifest.model.kind}; {RUNS} runs, parts in turn.",
        "",
        "| | median ms | least, most ms | patients/s, median | at best |",
        "|---|---|---|---|---|",
    ]
    for name, seconds in found.items():
        median, least, most = statistics.median(seconds), min(seconds), max(seconds)
        rates = f"{PATIENTS / median:,.0f} | {PATIENTS / least:,.0f}"
        lines.append(f"| {name} | {median * 1e3:.1f} | {least * 1e3:.1f}, {most * 1e3:.1f} | {rates} |")
    return "\n".join([*lines, ""])


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", type=Path, required=True, help="A store in which `sequela demo` has run.")
    home = Home(parser.parse_args().home)
    torch.set_num_threads(1)
    (exported,) = (home.folder / "champions").glob("*.json")
    tag = read_champion(exported).tag
    artifact = read_artifact(home.bentoml / "models" / Path(*tag.split(":")) / "artifact")
    RESULT.write_text(page(seconds_of(parts_of(artifact)), artifact), "utf-8")
    print(RESULT.read_text("utf-8"))


if __name__ == "__main__":
    main()
