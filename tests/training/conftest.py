"""A small synthetic study, and every risk model fitted on it once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from custom_package import install
from numpy.typing import NDArray
from pydantic import TypeAdapter
from small_models import MODELS

from features.cells.bag import Bags, CellBag
from features.cells.summary import CellSummary, summarise
from features.config import FeatureConfig
from features.outcomes import Outcomes
from features.patients import Measurements, Patients, Samples
from features.records import PatientRecord
from features.schema import CellsCard, CohortCard, Endpoint, EventRule, Variable
from training.artifact.folder import answer_example, model_block
from training.artifact.manifest import Example, Manifest, TrainingCohort
from training.config import (
    ModelConfig,
    TrainerConfig,
)
from training.fit import fit_risk_model
from training.models.risk_model import FittedRiskModel

CAUSES = ("infection", "death")
GENES = ("PDCD1", "HAVCR2", "LAG3", "CCR7", "SELL", "TCF7", "GZMA", "ACTB")
CELL_TYPES = ("CD4 T", "CD8 T", "monocyte")
MATERIALS = ("infusion_product", "blood")
NAMES = ("ferritin", "neutrophils")
CPU = TrainerConfig(accelerator="cpu")
CARD = CohortCard(
    title="A synthetic study",
    citation="none",
    licence="CC0-1.0",
    provenance="simulated",
    variables={
        "age": Variable(kind="numeric", unit="a", range=(0, 120)),
        "stage": Variable(kind="ordinal", levels=("I", "II", "III", "IV")),
        "product": Variable(kind="categorical"),
        "ferritin": Variable(kind="numeric", unit="ug/L", range=(0, 1e6)),
        "neutrophils": Variable(kind="numeric", unit="10*9/L"),
    },
    cells=CellsCard(),
)


@dataclass(frozen=True)
class Ward:
    """Patients before they are put in order: what a shuffle must not change."""

    patient_id: NDArray[np.object_]
    landmark_day: NDArray[np.float64]
    baseline: dict[str, Any]
    row: NDArray[np.int64]
    """(measurements,): and so the next three."""
    variable: NDArray[np.int64]
    day: NDArray[np.float64]
    value: NDArray[np.float64]
    bags: tuple[tuple[int, float, str, CellBag], ...]
    """Row, day, material and cells of each sample, ordered by row and day."""

    def patients(self, shuffle: np.random.Generator | None = None) -> Patients:
        """As the models take them; with `shuffle`, from measurements, cells and genes in another order."""
        order = np.arange(len(self.row)) if shuffle is None else shuffle.permutation(len(self.row))
        measurements = Measurements.from_columns(
            len(self.patient_id), self.row[order], NAMES, self.variable[order], self.day[order], self.value[order]
        )
        bags = [bag if shuffle is None else shuffled_bag(bag, shuffle) for *_, bag in self.bags]
        return Patients(self.patient_id, self.landmark_day, self.baseline, measurements, self._samples(bags))

    def _samples(self, bags: list[CellBag]) -> Samples | None:
        if not bags:
            return None
        rows, days, materials, _ = zip(*self.bags, strict=True)
        counts = np.bincount(rows, minlength=len(self.patient_id))
        return Samples(
            np.concatenate([[0], np.cumsum(counts)]),
            np.array([f"s{i}" for i in range(len(bags))], dtype=object),
            np.array(days),
            np.array(materials, dtype=object),
            CellSummary.concatenate([summarise(bag, counts=True) for bag in bags]),
            bags=Bags.of(bags),
        )

    def with_another_future(self, rng: np.random.Generator) -> Ward:
        """The same up to each landmark; afterwards other values and days, and other cells, some of another type."""
        past = self.day <= self.landmark_day[self.row]
        n = len(self.patient_id)
        row = rng.integers(n, size=3 * n)
        return replace(
            self,
            row=np.concatenate([self.row[past], row]),
            variable=np.concatenate([self.variable[past], rng.integers(len(NAMES), size=3 * n)]),
            day=np.concatenate([self.day[past], self.landmark_day[row] + rng.exponential(20, 3 * n) + 1e-6]),
            value=np.concatenate([self.value[past], rng.choice([np.nan, 1e9, -1.0, 3.0], 3 * n)]),
            bags=self._bags_with_another_future(rng),
        )

    def _bags_with_another_future(self, rng: np.random.Generator) -> tuple[tuple[int, float, str, CellBag], ...]:
        kept = [sample for sample in self.bags if sample[1] <= self.landmark_day[sample[0]]]
        new = []
        for row, landmark in enumerate(self.landmark_day):
            bag = random_bag(rng, 5.0)
            bag.cell_type[:4] = "basophil"
            new.append((row, float(landmark + 1 + rng.integers(50)), MATERIALS[row % 2], bag))
        return tuple(sorted(kept + new, key=lambda sample: sample[:2]))


def random_bag(rng: np.random.Generator, level: float) -> CellBag:
    """Twelve to thirty cells with counts around `level`."""
    n_cells = int(rng.integers(12, 30))
    counts = rng.poisson(level * rng.gamma(2.0, 0.5, len(GENES)), (n_cells, len(GENES))).astype(float)
    cell, gene = np.nonzero(counts)
    indptr = np.concatenate([[0], np.cumsum(np.bincount(cell, minlength=n_cells))])
    types = np.array(CELL_TYPES, dtype=object)[rng.choice(3, n_cells, p=rng.dirichlet([3, 3, 1]))]
    return CellBag(GENES, indptr, gene, counts[cell, gene], types)


def shuffled_bag(bag: CellBag, rng: np.random.Generator) -> CellBag:
    """The same cells in another order, over the same genes in another order."""
    cells, genes = rng.permutation(len(bag)), rng.permutation(len(bag.genes))
    dense = np.zeros((len(bag), len(bag.genes)))
    dense[np.repeat(np.arange(len(bag)), np.diff(bag.indptr)), bag.indices] = bag.values
    dense = dense[cells][:, genes]
    cell, gene = np.nonzero(dense)
    indptr = np.concatenate([[0], np.cumsum(np.bincount(cell, minlength=len(bag)))])
    names = tuple(bag.genes[i] for i in genes)
    return CellBag(names, indptr, gene, dense[cell, gene], bag.cell_type[cells])


def make_ward(seed: int, n: int, missing: float = 0.15) -> Ward:
    """Patients seen from day 0 or 30, with gaps, tied days, and samples and values on both sides of the landmark."""
    rng = np.random.default_rng(seed)

    def gaps(values: NDArray[Any], nothing: object) -> NDArray[Any]:
        return np.where(rng.random(n) < missing, nothing, values)

    stage = np.array(["I", "II", "III", "IV"], dtype=object)[rng.integers(4, size=n)]
    product = np.array(["axi-cel", "tisa-cel", "liso-cel"], dtype=object)[rng.integers(3, size=n)]
    baseline = {
        "age": gaps(rng.normal(60, 10, n), np.nan).astype(float),
        "stage": gaps(stage, None),
        "product": gaps(product, None),
    }
    row = np.repeat(np.arange(n), rng.integers(0, 9, n))
    value = rng.lognormal(5, 1, len(row))
    value[rng.random(len(row)) < 0.1] = np.nan
    bags = [
        (i, float(day), material, random_bag(rng, 1.0 + 2.0 * rng.random()))
        for i in range(n)
        for day, material in ((-5, "infusion_product"), (14, "blood"), (45, "blood"))
        if rng.random() > missing
    ]
    return Ward(
        np.array([f"p{i:03d}" for i in range(n)], dtype=object),
        rng.choice([0.0, 30.0], n),
        baseline,
        row,
        rng.integers(len(NAMES), size=len(row)),
        rng.integers(-10, 60, len(row)).astype(float),
        value,
        tuple(bags),
    )


def make_outcomes(patients: Patients, seed: int) -> Outcomes:
    """Infection grows with age and the last ferritin before the landmark; death does not."""
    rng = np.random.default_rng(seed)
    age = np.nan_to_num((patients.baseline["age"].astype(float) - 60) / 10)
    rate = np.column_stack([0.006 * np.exp(0.8 * age), np.full(len(patients), 0.003), np.full(len(patients), 0.003)])
    latent = rng.exponential(1 / rate)
    cause = np.array([1, 2, 0])[latent.argmin(axis=1)]
    return Outcomes(np.ceil(latent.min(axis=1)), cause, CAUSES)


@pytest.fixture(scope="session")
def ward() -> Callable[..., Ward]:
    """`ward(seed, n, missing=0.15)`: patients in a form that can be shuffled."""
    return make_ward


@pytest.fixture(scope="session")
def outcomes_for() -> Callable[[Patients, int], Outcomes]:
    """`outcomes_for(patients, seed)`."""
    return make_outcomes


@pytest.fixture(scope="session")
def custom_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the package of docs/how-to/custom_models.md is installed."""
    return install(tmp_path_factory.mktemp("site-packages"))


@pytest.fixture(autouse=True)
def custom_package(custom_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Models of the package are known in every test here, and nowhere else."""
    monkeypatch.syspath_prepend(custom_folder)


@pytest.fixture(scope="session")
def fit() -> Callable[..., FittedRiskModel]:
    """`fit(kind, patients, seed=0, features=…)`: a model fitted on patients and outcomes that follow from them."""

    def _fit(
        kind: str, patients: Patients, seed: int = 0, features: FeatureConfig | None = None, card: CohortCard = CARD
    ) -> FittedRiskModel:
        outcomes = make_outcomes(patients, 1)
        config = features or FeatureConfig(pseudobulk_components=3)
        model = MODELS.get(kind) or TypeAdapter(ModelConfig).validate_python({"kind": kind})
        return fit_risk_model(patients, outcomes, card, config, model, CPU, seed=seed)

    return _fit


@pytest.fixture(scope="session")
def fitted(fit: Callable[..., FittedRiskModel]) -> Callable[[str], FittedRiskModel]:
    """`fitted(kind)`: the model of a kind, fitted once on 90 patients."""
    return cache(lambda kind: fit(kind, make_ward(0, 90).patients()))


@pytest.fixture(scope="session")
def manifest_of() -> Callable[[FittedRiskModel], tuple[Manifest, dict[str, NDArray[Any]]]]:
    """`manifest_of(model)`: what `write_artifact` takes, with an example that uses every kind of input."""

    def _manifest_of(model: FittedRiskModel) -> tuple[Manifest, dict[str, NDArray[Any]]]:
        block, arrays = model_block(model)
        patient = PatientRecord.model_validate(
            {
                "baseline": {"age": 61.5, "stage": "II", "product": "axi-cel"},
                "measurements": [{"variable": "ferritin", "day": -1, "value": 350, "unit": "ug/L"}],
                "samples": [sample_record(random_bag(np.random.default_rng(0), 2.0))],
            }
        )
        times = (30.0, 90.0, 365.0)
        manifest = Manifest(
            name="synthetic",
            endpoint=Endpoint(
                name="infection",
                event=EventRule(name="infection"),
                competing=(EventRule(name="death"),),
                landmark_days=(0.0, 30.0),
                horizons_days=(90.0, 365.0),
            ),
            model=block,
            features=model.encoder.feature_names,
            training_cohort=TrainingCohort(
                title=CARD.title,
                citation="none",
                provenance="simulated",
                fingerprint="0" * 64,
                n_patients=90,
                events={},
            ),
            metrics={"auc": None, "brier": 0.2},
            run_id="0" * 32,
            git_commit="0" * 40,
            example=Example(patient=patient, times_days=times, incidence=answer_example(model, patient, times)),
            files={},
        )
        return manifest, arrays

    return _manifest_of


def sample_record(bag: CellBag) -> dict[str, Any]:
    """The bag as a request holds it."""
    return {
        "material": "infusion_product",
        "day": -5,
        "genes": bag.genes,
        "indptr": bag.indptr.tolist(),
        "indices": bag.indices.tolist(),
        "values": bag.values.tolist(),
        "cell_types": bag.cell_type.tolist(),
    }
