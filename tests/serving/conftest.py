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
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from counted import block_of, counts_for

from features.cells.bag import Bags, CellBag
from features.cells.summary import CellSummary, summarise
from features.config import FeatureConfig
from features.landmark import Thresholds
from features.novelty import Novelty
from features.outcomes import Outcomes
from features.patients import Clones, Events, Measurements, Patients, Samples
from features.records import PatientRecord
from features.schema import CellsCard, CohortCard, Endpoint, EventRule, Variable
from serving.store import publish
from training.artifact.folder import Artifact, answer_example, model_block, read_artifact, write_artifact
from training.artifact.manifest import Example, Manifest, TrainingCohort
from training.artifact.parts import count_arrays, novelty_block
from training.config import CoxConfig, MixtureConfig, NetworkConfig, TrainerConfig
from training.fit import fit_risk_model
from training.models.risk_model import FittedRiskModel

REPOSITORY = Path(__file__).resolve().parents[2]
N = 160
GENES = (*(f"G{i}" for i in range(8)), "PDCD1", "HAVCR2", "LAG3", "TIGIT")
MATERIALS = ("infusion_product", "blood")
MEASURED = ("ferritin", "anc", "platelets")
EVENTS = ("icans", "infection")
FEATURES = FeatureConfig(
    pseudobulk_components=3,
    thresholds={"anc": Thresholds(below=(500.0,))},
    scores=("car_hematotox",),
    grades=("icaht", "t_icaht"),
    cells=("composition", "pseudobulk", "programs", "clonality"),
)
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
        "haemoglobin": Variable(kind="numeric", unit="g/L"),
        "crp": Variable(kind="numeric", unit="mg/L"),
        "anc": Variable(kind="numeric", unit="/uL"),
        "platelets": Variable(kind="numeric", unit="10*9/L"),
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


def make_clones(rng: np.random.Generator) -> list[dict[str, object]]:
    """Clones of one sample: receptors, and sites that were looked at and not."""
    receptors = [{"locus": "tcr", "clone": f"c{i}", "abundance": float(rng.integers(1, 40))} for i in range(6)]
    sites = [{"locus": "integration", "clone": f"chr1+{i}", "abundance": 1.0 + i} for i in range(3)]
    return [*receptors, *({**site, "near_oncogene": bool(rng.random() < 0.5)} for site in sites[:2]), sites[2]]


def bag_of(sample: Mapping[str, object]) -> CellBag | None:
    """The cells of a sample, as the cohort folder holds them."""
    if "genes" not in sample:
        return None
    arrays = {name: np.array(sample[name]) for name in ("indptr", "indices", "values")}
    labels = np.array(sample["cell_types"], dtype=object)
    return CellBag(GENES, arrays["indptr"], arrays["indices"], arrays["values"], labels)


def summary_of(sample: Mapping[str, object]) -> CellSummary:
    """What the cohort folder would have made of it."""
    bag = bag_of(sample)
    return CellSummary.of_no_cells(1) if bag is None else summarise(bag, counts=True)


@pytest.fixture(scope="session")
def card() -> CohortCard:
    return CARD


def clones_of(samples: list[dict[str, Any]]) -> Clones:
    """The clones of all samples."""
    found = [clone for sample in samples for clone in sample.get("clones", ())]
    return Clones(
        np.cumsum([0, *(len(sample.get("clones", ())) for sample in samples)]),
        np.array([clone["locus"] for clone in found], dtype=object),
        np.array([clone["clone"] for clone in found], dtype=object),
        np.array([clone["abundance"] for clone in found]),
        np.array([clone.get("near_oncogene", np.nan) for clone in found], dtype=float),
    )


@dataclass(frozen=True)
class Cohort:
    """The same patients twice: as training sees them, and as requests."""

    patients: Patients
    outcomes: Outcomes
    records: list[dict[str, Any]]


def make_record(i: int, rng: np.random.Generator) -> dict[str, Any]:
    """One patient as a request writes it."""
    measured = [("ferritin", float(d), float(rng.lognormal(6, 1))) for d in sorted(rng.integers(-7, 60, 3))]
    for day in rng.choice(np.arange(-1, 45), 6, replace=False):
        measured.append(("anc", float(day), float(np.round(rng.lognormal(6.5, 1.2)))))
        measured.append(("platelets", float(day), float(np.round(rng.lognormal(4, 0.9)))))
    samples = [
        {"material": material, "day": day, **make_sample(rng), **({"clones": make_clones(rng)} if i % 3 else {})}
        for material, day in zip(MATERIALS, (0.0, 28.0), strict=True)
        if rng.random() < 0.7
    ]
    if i % 7 == 0:
        samples.append({"material": "blood", "day": 29.0, "clones": make_clones(rng)})
    happened = [(str(rng.choice(EVENTS)), float(day)) for day in rng.integers(-5, 60, rng.integers(0, 4))]
    return {
        "patient_id": f"p{i}",
        "landmark_day": float(rng.choice([0.0, 30.0])),
        "baseline": {
            "age": None if i % 11 == 0 else float(rng.uniform(20, 80)),
            "ecog": str(rng.choice(["0", "1", "2"])),
            "product": str(rng.choice(["axi-cel", "tisa-cel", "ide-cel"])),
            "haemoglobin": float(rng.uniform(70, 130)),
            "crp": None if i % 9 == 0 else float(rng.lognormal(3, 1)),
        },
        "measurements": [{"variable": name, "day": d, "value": v} for name, d, v in measured],
        "samples": samples,
        "events": [
            {"event": event, "day": day} | ({"grade": 3} if event == "infection" else {}) for event, day in happened
        ],
    }


@pytest.fixture(scope="session")
def cohort() -> Cohort:
    rng = np.random.default_rng(7)
    records = [make_record(i, rng) for i in range(N)]
    age = np.array([record["baseline"]["age"] or np.nan for record in records])
    time_to = rng.exponential(300 * np.exp(-(np.nan_to_num(age, nan=50.0) - 50) / 40), N) + 1
    cause = rng.choice([0, 1, 2], N, p=[0.3, 0.5, 0.2])
    outcomes = Outcomes(np.minimum(time_to, 800.0), np.where(time_to > 800, 0, cause), ENDPOINT.causes)
    return Cohort(patients_of(records), outcomes, records)


def samples_of(records: list[dict[str, Any]]) -> Samples | None:
    """All samples of the patients."""
    samples = [sample for record in records for sample in record["samples"]]
    if not samples:
        return None
    return Samples(
        np.cumsum([0, *(len(record["samples"]) for record in records)]),
        np.array([f"s{i}" for i in range(len(samples))], dtype=object),
        np.array([sample["day"] for sample in samples]),
        np.array([sample["material"] for sample in samples], dtype=object),
        CellSummary.concatenate([summary_of(sample) for sample in samples]),
        clones_of(samples),
        Bags.of([bag_of(sample) for sample in samples]),
    )


def patients_of(records: list[dict[str, Any]]) -> Patients:
    """The patients as a cohort folder holds them, built apart from the code that reads requests."""
    measured = [(i, m) for i, record in enumerate(records) for m in record["measurements"]]
    happened = [(i, event) for i, record in enumerate(records) for event in record["events"]]
    numeric = {
        name: np.array([record["baseline"][name] for record in records], dtype=float)
        for name in ("age", "haemoglobin", "crp")
    }
    return Patients(
        np.array([record["patient_id"] for record in records], dtype=object),
        np.array([record["landmark_day"] for record in records]),
        numeric
        | {n: np.array([record["baseline"][n] for record in records], dtype=object) for n in ("ecog", "product")},
        Measurements.from_columns(
            len(records),
            np.array([i for i, _ in measured], dtype=np.int64),
            MEASURED,
            np.array([MEASURED.index(m["variable"]) for _, m in measured], dtype=np.int64),
            np.array([m["day"] for _, m in measured]),
            np.array([m["value"] for _, m in measured]),
        ),
        samples_of(records),
        Events.from_columns(
            len(records),
            np.array([i for i, _ in happened], dtype=np.int64),
            EVENTS,
            np.array([EVENTS.index(event["event"]) for _, event in happened], dtype=np.int64),
            np.array([event["day"] for _, event in happened]),
            np.array([event.get("grade", np.nan) for _, event in happened]),
        ),
    )


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
            FEATURES,
            MixtureConfig(members=(CoxConfig(penalty=1.0), network)),
            TrainerConfig(accelerator="cpu"),
            seed=1,
        )


def make_artifact(
    fitted: FittedRiskModel, folder: Path, name: str, patients: Patients | None = None, **more: Any
) -> None:
    """Write the artifact of a model; with patients also novelty, learnt from them, and expected numbers of nobody.

    ``more`` goes into the manifest.
    """
    block, arrays = model_block(fitted)
    if patients is not None:
        novelty = Novelty.fit(fitted.encoder.transform(patients), patients.patient_id, patients.landmark_day)
        more["novelty"], of_novelty = novelty_block(novelty)
        arrays |= of_novelty | count_arrays(counts_for(len(fitted.encoder.feature_names)))
    patient = PatientRecord(
        patient_id="example", landmark_day=30.0, baseline={"age": 55.0, "ecog": "1", "product": "axi-cel"}
    )
    times = ENDPOINT.horizons_days
    if patients is not None:
        more["counts"] = block_of(fitted, counts_for(len(fitted.encoder.feature_names)), patient, times)
    manifest = Manifest(
        name=name,
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
    ).model_copy(update=more)
    write_artifact(folder, manifest, arrays)


@pytest.fixture(scope="session")
def artifact_dir(fitted: FittedRiskModel, cohort: Cohort, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("artifact") / "artifact"
    make_artifact(fitted, folder, "mixture-for-tests", cohort.patients)
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
def serving(folder: Path, command: Sequence[str], env: Mapping[str, str], *, ready: int = 200) -> Iterator[Server]:
    """A server in a process group of its own, on a port of its own, until /readyz answers `ready`; then its end."""
    port, log = free_port(), folder / f"server-{time.monotonic_ns()}.log"
    environment = bare_environment() | {"BENTOML_HOST": "127.0.0.1", "BENTOML_PORT": str(port)} | dict(env)
    with log.open("wb") as out:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=out, stderr=out, start_new_session=True)
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
    """``start_server(folder, env, ready=200)``: the service of this checkout, as `sequela serve` starts it."""

    def start(folder: Path, env: Mapping[str, str], ready: int = 200) -> contextlib.AbstractContextManager[Server]:
        command = [sys.executable, "-m", "bentoml", "serve", "serving.service:RiskService"]
        return serving(folder, command, server_env | dict(env), ready=ready)

    return start


@pytest.fixture(scope="session")
def serve() -> StartServer:
    """``serve(folder, command, env)``: any command that starts the service, in a folder elsewhere."""
    return serving


@pytest.fixture(scope="session")
def server(
    store_home: Path, tag: str, start_server: StartServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """The service, with a limit of 2 MiB a request, and a ledger."""
    folder = tmp_path_factory.mktemp("server")
    env = {"BENTOML_HOME": str(store_home), "SEQUELA_MODEL": tag, "SEQUELA_MAX_BODY_MIB": "2"}
    env["SEQUELA_LEDGER"] = str(folder / "ledger")
    with start_server(folder, env) as running:
        yield running


@pytest.fixture
def service_module() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # BentoML's own, of pydantic's older hooks
        return importlib.import_module("serving.service")
