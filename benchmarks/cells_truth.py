"""A rare population that carries the risk: who finds it, from how many patients on.

In half of the patients, one cell in fifty of the product, of any type, expresses eight markers that other cells express
a little and each patient at a level of his own: neither labels nor pseudobulks show it well. Writes
``results/cells_truth.md``.

    python -m benchmarks.cells_truth 100 300
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from features.cells.bag import Bags, CellBag
from features.cells.summary import CellSummary, summarise
from features.config import FeatureConfig
from features.outcomes import Outcomes
from features.patients import Measurements, Patients, Samples
from features.schema import CellsCard, CohortCard, Variable
from training.config import AttentionConfig, CoxConfig, ModelConfig, SetTransformerConfig, TrainerConfig
from training.fit import fit_risk_model
from training.models.risk_model import FittedRiskModel

RESULTS = Path(__file__).parent / "results"
N_GENES, N_TEST, N_MARKERS = 100, 500, 8
SHARE, LOG_HAZARD_RATIO, HORIZON_DAYS = 0.02, 2.0, 180.0
CPU = TrainerConfig(accelerator="cpu")
CARD = CohortCard(
    title="A planted population",
    citation="none",
    licence="CC0-1.0",
    provenance="simulated",
    variables={"age": Variable(kind="numeric", unit="a")},
    cells=CellsCard(),
)
CLINIC = FeatureConfig(cells=())
ARMS: dict[str, tuple[FeatureConfig, ModelConfig]] = {
    "clinic, ridge Cox": (CLINIC, CoxConfig()),
    "composition + programs + pseudobulk (8), ridge Cox": (FeatureConfig(), CoxConfig()),
    "composition + pseudobulk (30), ridge Cox": (
        FeatureConfig(cells=("composition", "pseudobulk"), pseudobulk_components=30),
        CoxConfig(),
    ),
    "density, ridge Cox": (FeatureConfig(cells=("density",), pseudobulk_components=30), CoxConfig()),
    "attention": (CLINIC, AttentionConfig()),
    "set transformer": (CLINIC, SetTransformerConfig()),
}


def planted(n: int, seed: int, n_cells: int = 200) -> tuple[Patients, Outcomes, NDArray[np.bool_]]:
    """Patients, outcomes, and who carries the population."""
    rng = np.random.default_rng(seed)
    types = _types(rng)
    carrier = rng.random(n) < 0.5
    age = rng.normal(0, 1, n)
    bags = [_bag(rng, types, n_cells, carries=bool(carries)) for carries in carrier]
    names = np.array([f"p{i}" for i in range(n)], dtype=object)
    summary = CellSummary.concatenate([summarise(bag, counts=True) for bag in bags])
    material = np.full(n, "infusion_product", dtype=object)
    samples = Samples(np.arange(n + 1), names, np.full(n, -1.0), material, summary, bags=Bags.of(bags))
    rate = 0.004 * np.exp(LOG_HAZARD_RATIO * (carrier - 0.5) + 0.4 * age)
    latent = np.column_stack([rng.exponential(1 / rate), rng.exponential(1000.0, n), rng.exponential(500.0, n)])
    cause = np.array([1, 2, 0])[latent.argmin(axis=1)]
    outcomes = Outcomes(np.ceil(latent.min(axis=1)), cause, ("relapse", "death"))
    return Patients(names, np.zeros(n), {"age": age}, Measurements.empty(n), samples), outcomes, carrier


def _types(rng: np.random.Generator) -> NDArray[np.float64]:
    """(3, genes): mean counts of three types of cells; the markers are the first genes, and alike in all."""
    base = rng.gamma(0.5, 1.0, N_GENES) + 0.05
    differs = rng.random((3, N_GENES)) < 0.15
    types: NDArray[np.float64] = base * np.exp(np.where(differs, rng.normal(0, 1.5, (3, N_GENES)), 0.0))
    types[:, :N_MARKERS] = 0.3
    return types


def _bag(rng: np.random.Generator, types: NDArray[np.float64], n_cells: int, *, carries: bool) -> CellBag:
    label = rng.choice(3, n_cells, p=rng.dirichlet([5, 5, 3]))
    mean = types[label] * np.exp(rng.normal(0, 0.3, N_GENES))
    if carries:
        mean[rng.random(n_cells) < SHARE, :N_MARKERS] = 4.0
    counts = rng.poisson(mean * rng.lognormal(0, 0.3, (n_cells, 1)))
    cell, gene = np.nonzero(counts)
    indptr = np.concatenate([[0], np.cumsum(np.bincount(cell, minlength=n_cells))]).astype(np.int64)
    genes = tuple(f"gene{i}" for i in range(N_GENES))
    return CellBag(genes, indptr, gene, counts[cell, gene].astype(float), np.array(["A", "B", "C"], object)[label])


def risk(model: FittedRiskModel, patients: Patients) -> NDArray[np.float64]:
    """(rows,): risk of relapse at the horizon."""
    values: NDArray[np.float64] = model.predict_incidence(patients, np.array([HORIZON_DAYS])).values[:, 0, 0]
    return values


def auc(score: NDArray[np.float64], positive: NDArray[np.bool_]) -> float:
    """Area under the ROC curve (Hanley & McNeil, Radiology 1982;143:29)."""
    n = positive.sum()
    return float((rankdata(score)[positive].sum() - n * (n + 1) / 2) / (n * (len(positive) - n)))


def main() -> int:
    """Measure every arm at every size, and write the page."""
    sizes = [int(text) for text in sys.argv[1:]] or [100, 300, 1000]
    lines = [
        "# A rare population that carries the risk",
        "",
        __doc__.split("\n\n")[1].replace("\n", " ").replace(" Writes ``results/cells_truth.md``.", ""),
        "",
        f"{N_TEST} held-out patients, 200 cells each, hazard ratio {np.exp(LOG_HAZARD_RATIO):.1f} of carriers; one",
        "simulation a size. AUC of the risk at day 180: for relapse by then, and for carrying the population.",
        "",
        "| patients | model | AUC, relapse | AUC, carrier | seconds |",
        "| --- | --- | --- | --- | --- |",
    ]
    for n in sizes:
        patients, outcomes, carrier = planted(n + N_TEST, seed=n)
        train, test = np.arange(n), np.arange(n, n + N_TEST)
        relapsed = (outcomes.cause[test] == 1) & (outcomes.duration_days[test] <= HORIZON_DAYS)
        truth = LOG_HAZARD_RATIO * carrier[test] + 0.4 * patients.baseline["age"][test].astype(float)
        lines.append(f"| {n} | the truth | {auc(truth, relapsed):.3f} | {auc(truth, carrier[test]):.3f} | |")
        for name, (features, config) in ARMS.items():
            start = time.perf_counter()
            model = fit_risk_model(patients.take(train), outcomes.take(train), CARD, features, config, CPU, seed=0)
            score = risk(model, patients.take(test))
            seconds = time.perf_counter() - start
            found = f"{auc(score, relapsed):.3f} | {auc(score, carrier[test]):.3f}"
            lines.append(f"| {n} | {name} | {found} | {seconds:.1f} |")
            print(lines[-1], flush=True)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "cells_truth.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
