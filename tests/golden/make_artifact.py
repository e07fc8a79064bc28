"""Write an artifact of today's format, to be read for ever. Run by hand, once for each released format:

    python tests/golden/make_artifact.py tests/golden/artifacts/v1

A mixture of Aalen–Johansen, Cox and a small network on eighty simulated patients with every kind of feature.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from features.cells.bag import CellBag
from features.cells.summary import CellSummary, summarise
from features.config import FeatureConfig
from features.outcomes import Outcomes
from features.patients import Measurements, Patients, Samples
from features.records import MeasurementRecord, PatientRecord, SampleRecord
from features.schema import CellsCard, CohortCard, Endpoint, EventRule, Variable
from training.artifact.folder import answer_example, model_block, write_artifact
from training.artifact.manifest import Example, Manifest, TrainingCohort
from training.config import AalenJohansenConfig, CoxConfig, MixtureConfig, NetworkConfig, TrainerConfig
from training.fit import fit_risk_model

N = 80
GENES = ("PDCD1", "HAVCR2", "LAG3", "CCR7", "SELL", "TCF7", "ACTB")
CELL_TYPES = np.array(["CD4 T", "CD8 T", "monocyte"], dtype=object)
TIMES_DAYS = (0.0, 30.0, 90.0, 180.0, 365.0)
CARD = CohortCard(
    title="Simulated for tests/golden",
    citation="none",
    licence="CC0-1.0",
    provenance="simulated",
    variables={
        "age": Variable(kind="numeric", unit="a", range=(0, 120)),
        "stage": Variable(kind="ordinal", levels=("I", "II", "III", "IV")),
        "product": Variable(kind="categorical"),
        "ferritin": Variable(kind="numeric", unit="ug/L"),
    },
    cells=CellsCard(),
)
ENDPOINT = Endpoint(
    name="infection",
    event=EventRule(name="infection", min_grade=3),
    competing=(EventRule(name="death"),),
    landmark_days=(0.0, 30.0),
    horizons_days=(90.0, 365.0),
)
MODEL = MixtureConfig(
    members=(
        AalenJohansenConfig(),
        CoxConfig(penalty=20.0),
        NetworkConfig(members=3, hidden=3, max_epochs=20, bins=5, batch_rows=64),
    ),
    weights=(1.0, 2.0, 3.0),
)


def bag(rng: np.random.Generator) -> CellBag:
    """Twenty cells."""
    counts = rng.poisson(rng.gamma(2.0, 1.0, len(GENES)), (20, len(GENES))).astype(float)
    cell, gene = np.nonzero(counts)
    indptr = np.concatenate([[0], np.cumsum(np.bincount(cell, minlength=20))])
    return CellBag(GENES, indptr, gene, counts[cell, gene], rng.choice(CELL_TYPES, 20))


def simulate(rng: np.random.Generator) -> tuple[Patients, Outcomes]:
    """Eighty patients, some of whose values are missing, and what became of them."""
    ages = np.where(rng.random(N) < 0.1, np.nan, rng.normal(60, 10, N))
    row = np.repeat(np.arange(N), rng.integers(0, 5, N))
    ferritin = Measurements.from_columns(
        N, row, ("ferritin",), np.zeros_like(row), rng.uniform(-10, 40, len(row)), rng.lognormal(5, 1, len(row))
    )
    sampled = np.flatnonzero(rng.random(N) < 0.8)
    samples = Samples(
        np.concatenate([[0], np.cumsum(np.isin(np.arange(N), sampled))]),
        np.array([f"s{i}" for i in sampled], dtype=object),
        np.full(len(sampled), -5.0),
        np.full(len(sampled), "infusion_product", dtype=object),
        CellSummary.concatenate([summarise(bag(rng), counts=True) for _ in sampled]),
    )
    baseline = {
        "age": ages,
        "stage": rng.choice(np.array(["I", "II", "III", "IV", None], dtype=object), N),
        "product": rng.choice(np.array(["axi-cel", "liso-cel", "tisa-cel"], dtype=object), N),
    }
    patients = Patients(
        np.array([f"p{i}" for i in range(N)], dtype=object), rng.choice([0.0, 30.0], N), baseline, ferritin, samples
    )
    rate = np.column_stack([0.005 * np.exp((np.nan_to_num(ages, nan=60) - 60) / 15), np.full((N, 2), 0.003)])
    latent = rng.exponential(1 / rate)
    outcomes = Outcomes(np.ceil(latent.min(axis=1)), np.array([1, 2, 0])[latent.argmin(axis=1)], ENDPOINT.causes)
    return patients, outcomes


def example_patient(cells: CellBag) -> PatientRecord:
    """One patient with every kind of input."""
    return PatientRecord(
        landmark_day=30.0,
        baseline={"age": 58.0, "stage": "III", "product": "liso-cel"},
        measurements=(
            MeasurementRecord(variable="ferritin", day=-3, value=0.4, unit="mg/L"),
            MeasurementRecord(variable="ferritin", day=21, value=900, unit="ug/L"),
        ),
        samples=(
            SampleRecord(
                material="infusion_product",
                day=-5,
                genes=cells.genes,
                indptr=tuple(cells.indptr.tolist()),
                indices=tuple(cells.indices.tolist()),
                values=tuple(cells.values.tolist()),
                cell_types=tuple(cells.cell_type.tolist()),
            ),
        ),
    )


def main(folder: Path) -> None:
    """Fit and write."""
    rng = np.random.default_rng(2026)
    patients, outcomes = simulate(rng)
    config, trainer = FeatureConfig(pseudobulk_components=3), TrainerConfig(accelerator="cpu")
    model = fit_risk_model(patients, outcomes, CARD, config, MODEL, trainer, seed=0)
    block, arrays = model_block(model)
    patient = example_patient(bag(rng))
    manifest = Manifest(
        name="golden",
        endpoint=ENDPOINT,
        model=block,
        features=model.encoder.feature_names,
        training_cohort=TrainingCohort(
            title=CARD.title,
            citation=CARD.citation,
            provenance="simulated",
            fingerprint="0" * 64,
            n_patients=N,
            events={"0": outcomes.counts()},
        ),
        metrics={"auc": None},
        run_id="0" * 32,
        git_commit="0" * 40,
        example=Example(patient=patient, times_days=TIMES_DAYS, incidence=answer_example(model, patient, TIMES_DAYS)),
        files={},
    )
    write_artifact(folder, manifest, arrays)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
