"""A fitted model that knows every kind of input, its artifact, and a real server of it."""

from __future__ import annotations

import contextlib
import importlib
import os
import signal
import socket
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np
import pytest

from features.cells.bag import CellBag
from features.cells.summary import CellSummary, summarise
from features.config import FeatureConfig
from features.outcomes import Outcomes
from features.patients import Measurements, Patients, Samples
from features.request import PatientRecord
from features.schema import CellsCard, CohortCard, Endpoint, EventRule, Variable
from serving.store import publish
from training.artifact import (
    Artifact,
    Example,
    Manifest,
    TrainingCohort,
    answer_example,
    model_block,
    read_artifact,
    write_artifact,
)
from training.config import CoxConfig, MixtureConfig, NetworkConfig, TrainerConfig
from training.fit import fit_risk_model
from training.models.risk_model import FittedRiskModel

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # BentoML's own, of pathspec's old pattern names
    importlib.import_module("bentoml.models")

REPOSITORY = Path(__file__).resolve().parents[2]
N = 160
GENES = (*(f"G{i}" for i in range(8)), "PDCD1", "HAVCR2", "LAG3", "TIGIT")
MATERIALS = ("infusion_product", "blood")
ENDPOINT = Endpoint(
    name="severe_infection",
    event=EventRule(name="infection", min_grade=3),
    competing=(EventRule(name="death"),),
    landmark_days=(0.0, 30.0),
    horizons_days=(90.0, 180.0, 365.0),
)
CARD = CohortCard(
    title="Numbers made for tests",
    citation="none",
    licence="none",
    provenance="simulated",
    variables={
        "age": Variable(kind="numeric", unit="a", range=(18, 100), description="Age at infusion"),
        "ecog": Variable(kind="ordinal", levels=("0", "1", "2")),
        "product": Variable(kind="categorical"),
        "ferritin": Variable(kind="numeric", unit="ng/mL", range=(1, 1e6), loinc="2276-4"),
    },
    cells=CellsCard(),
)


def make_sample(rng: np.random.Generator, n_cells: int = 30) -> dict[str, object]:
    """One sample's matrix and labels, as a request writes them."""
    dense = rng.poisson(1.0, (n_cells, len(GENES)))
    cell, gene = np.nonzero(dense)
    return {
        "genes": list(GENES),
        "indptr": [0, *np.cumsum(np.bincount(cell, minlength=n_cells)).tolist()],
        "indices": gene.tolist(),
        "values": dense[cell, gene].astype(float).tolist(),
        "cell_types": rng.choice(["CD4 T", "CD8 T", "monocyte"], n_cells).tolist(),
    }


def summary_of(sample: Mapping[str, object]) -> CellSummary:
    """What the cohort folder would have made of it."""
    arrays = {name: np.array(sample[name]) for name in ("indptr", "indices", "values")}
    labels = np.array(sample["cell_types"], dtype=object)
    return summarise(CellBag(GENES, arrays["indptr"], arrays["indices"], arrays["values"], labels), counts=True)


@pytest.fixture(scope="session")
def card() -> CohortCard:
    return CARD


@dataclass(frozen=True)
class Cohort:
    """The same patients twice: as training sees them, and as requests."""

    patients: Patients
    outcomes: Outcomes
    records: list[dict[str, object]]


@pytest.fixture(scope="session")
def cohort() -> Cohort:
    rng = np.random.default_rng(7)
    landmark = rng.choice([0.0, 30.0], N)
    age = rng.uniform(20, 80, N)
    ecog, product = rng.choice(["0", "1", "2"], N), rng.choice(["axi-cel", "tisa-cel", "ide-cel"], N)
    records, summaries, materials, days = [], [], [], []
    row: list[int] = []
    measured_day, measured_value = [], []
    sample_counts = np.zeros(N, dtype=np.int64)
    for i in range(N):
        measured = [(float(d), float(rng.lognormal(6, 1))) for d in sorted(rng.integers(-7, 60, rng.integers(0, 5)))]
        samples = []
        for material, day in zip(MATERIALS, (0.0, 28.0), strict=True):
            if rng.random() < 0.7:
                sample = make_sample(rng)
                samples.append({"material": material, "day": day, **sample})
                summaries.append(summary_of(sample))
                materials.append(material)
                days.append(day)
        sample_counts[i] = len(samples)
        row += [i] * len(measured)
        measured_day += [d for d, _ in measured]
        measured_value += [v for _, v in measured]
        records.append(
            {
                "patient_id": f"p{i}",
                "landmark_day": float(landmark[i]),
                "baseline": {
                    "age": None if i % 11 == 0 else float(age[i]),
                    "ecog": str(ecog[i]),
                    "product": str(product[i]),
                },
                "measurements": [{"variable": "ferritin", "day": d, "value": v} for d, v in measured],
                "samples": samples,
            }
        )
    patients = Patients(
        np.array([f"p{i}" for i in range(N)], dtype=object),
        landmark,
        {
            "age": np.where(np.arange(N) % 11 == 0, np.nan, age),
            "ecog": ecog.astype(object),
            "product": product.astype(object),
        },
        Measurements.from_columns(
            N,
            np.array(row, dtype=np.int64),
            ("ferritin",),
            np.zeros(len(row), dtype=np.int64),
            np.array(measured_day),
            np.array(measured_value),
        ),
        Samples(
            np.concatenate([[0], np.cumsum(sample_counts)]),
            np.array([f"s{i}" for i in range(len(days))], dtype=object),
            np.array(days),
            np.array(materials, dtype=object),
            CellSummary.concatenate(summaries),
        ),
    )
    time_to = rng.exponential(300 * np.exp(-(age - 50) / 40), N) + 1
    cause = rng.choice([0, 1, 2], N, p=[0.3, 0.5, 0.2])
    outcomes = Outcomes(np.minimum(time_to, 800.0), np.where(time_to > 800, 0, cause), ENDPOINT.causes)
    return Cohort(patients, outcomes, records)


@pytest.fixture(scope="session")
def fitted(cohort: Cohort) -> FittedRiskModel:
    """A mixture of Cox models and a small network, in the process that trained it."""
    network = NetworkConfig(members=2, bins=6, hidden=4, max_epochs=3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Lightning's, of torch's deprecations
        return fit_risk_model(
            cohort.patients,
            cohort.outcomes,
            CARD,
            FeatureConfig(pseudobulk_components=3),
            MixtureConfig(members=(CoxConfig(penalty=1.0), network)),
            TrainerConfig(accelerator="cpu"),
            seed=1,
        )


@pytest.fixture(scope="session")
def artifact_dir(fitted: FittedRiskModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    block, arrays = model_block(fitted)
    patient = PatientRecord(
        patient_id="example", landmark_day=30.0, baseline={"age": 55.0, "ecog": "1", "product": "axi-cel"}
    )
    times = ENDPOINT.horizons_days
    manifest = Manifest(
        name="mixture-for-tests",
        endpoint=ENDPOINT,
        model=block,
        features=fitted.encoder.feature_names,
        training_cohort=TrainingCohort(
            title=CARD.title,
            citation=CARD.citation,
            provenance=CARD.provenance,
            fingerprint="0" * 64,
            n_patients=N,
            events={"0": {"censored": 1}},
        ),
        metrics={"auc": 0.7, "undefined": None},
        run_id="0123456789abcdef0123456789abcdef",
        git_commit="f" * 40,
        example=Example(patient=patient, times_days=times, incidence=answer_example(fitted, patient, times)),
        files={},
    )
    folder = tmp_path_factory.mktemp("artifact") / "artifact"
    write_artifact(folder, manifest, arrays)
    return folder


@pytest.fixture(scope="session")
def artifact(artifact_dir: Path) -> Artifact:
    return read_artifact(artifact_dir)


@dataclass(frozen=True)
class Server:
    """A running `bentoml serve`."""

    url: str
    pid: int
    log: Path

    def client(self) -> httpx.Client:
        return httpx.Client(base_url=self.url, timeout=60, trust_env=False)


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def bare_environment() -> dict[str, str]:
    """The environment without what would decide for the server where it finds its code and its model."""
    kept = {
        k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "BENTOML_HOME") and not k.startswith("SEQUELA")
    }
    return kept | {"BENTOML_DO_NOT_TRACK": "true", "OMP_NUM_THREADS": "1"}


@contextlib.contextmanager
def serving(
    folder: Path,
    target: str,
    env: Mapping[str, str],
    *,
    python: str = sys.executable,
    ready: int = 200,
    cwd: Path | None = None,
) -> Iterator[Server]:
    """`bentoml serve TARGET` in a process group of its own, until /readyz answers `ready`; then its end."""
    port, log = free_port(), folder / f"server-{time.monotonic_ns()}.log"
    command = [python, "-m", "bentoml", "serve", target, "--host", "127.0.0.1", "--port", str(port)]
    environment = bare_environment() | dict(env)
    with log.open("wb") as out:
        process = subprocess.Popen(
            command, cwd=cwd or folder, env=environment, stdout=out, stderr=out, start_new_session=True
        )
    try:
        server = Server(f"http://127.0.0.1:{port}", process.pid, log)
        wait_for(server, process, ready)
        yield server
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(20)


def wait_for(server: Server, process: subprocess.Popen[bytes], status: int) -> None:
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        with contextlib.suppress(httpx.HTTPError):
            if httpx.get(f"{server.url}/readyz", timeout=5, trust_env=False).status_code == status:
                return
        time.sleep(0.2)
    pytest.fail(f"/readyz never answered {status}\n{server.log.read_text()[-4000:]}")


@pytest.fixture(scope="session")
def store_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bentoml")


@pytest.fixture(scope="session")
def tag(artifact_dir: Path, store_home: Path) -> str:
    """The artifact, published."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BENTOML_HOME", str(store_home))
        return publish(artifact_dir, {"registry_version": "3"})


@pytest.fixture(scope="session")
def server_env() -> dict[str, str]:
    """The environment of a server that runs this checkout."""
    return bare_environment() | {"PYTHONPATH": str(REPOSITORY)}


StartServer = Callable[..., contextlib.AbstractContextManager[Server]]


@pytest.fixture(scope="session")
def start_server(server_env: dict[str, str]) -> StartServer:
    """``start_server(folder, env, ready=200)``: the service of this checkout, in a folder elsewhere."""

    def start(folder: Path, env: Mapping[str, str], ready: int = 200) -> contextlib.AbstractContextManager[Server]:
        return serving(folder, "serving.service:RiskService", server_env | dict(env), ready=ready)

    return start


@pytest.fixture(scope="session")
def serve_bento() -> StartServer:
    """``serve_bento(folder, target, env, python=…)``: any target, any interpreter, in a folder elsewhere."""
    return serving


@pytest.fixture(scope="session")
def server(
    store_home: Path, tag: str, start_server: StartServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """The service, with a limit of 2 MiB a request."""
    env = {"BENTOML_HOME": str(store_home), "SEQUELA_MODEL": tag, "SEQUELA_MAX_BODY_MIB": "2"}
    with start_server(tmp_path_factory.mktemp("server"), env) as running:
        yield running
