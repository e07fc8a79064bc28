"""Making a run again from what was logged of it, and telling whether the numbers are the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from mlflow import MlflowClient
from mlflow.entities import Run

from experiments.config import RunConfig
from experiments.home import Home
from experiments.progress import Progress
from experiments.reproduction.check import Compared, compare, download, run_files
from experiments.reproduction.definition import ENDPOINTS, RUN_YAML, read_definition
from experiments.reproduction.machine import CUSTOM_MODELS, HARDWARE, machine_tags
from experiments.tracking import environment_tags
from experiments.train import train
from features.check import fingerprint
from features.errors import SequelaError

REPRODUCES = "sequela.reproduces"
"""Tag of a reproduction: the id of the run that it reproduces."""
ENVIRONMENT = {
    "mlflow.source.git.commit": "commit",
    "sequela.git_dirty": "uncommitted changes",
    "sequela.version": "sequela",
    "sequela.python": "python",
    "sequela.machine": "system",
    HARDWARE: "hardware",
    CUSTOM_MODELS: "custom models",
}
"""Tags that tell where a run was made, and what people call them."""


@dataclass(frozen=True, slots=True)
class Difference:
    """Something of then that is not so now."""

    what: str
    then: str
    now: str


@dataclass(frozen=True, slots=True)
class Recalled:
    """A run, as it can be made again here."""

    run: Run
    config: RunConfig
    elsewhere: Sequence[Difference]
    """In what code, packages and machine differ from those of the run."""


@dataclass(frozen=True, slots=True)
class Reproduction:
    """What came of it."""

    run_id: str
    """Of the new run."""
    compared: Sequence[Compared]
    tolerance: float

    @property
    def differing(self) -> list[Compared]:
        """What is not the same."""
        return [one for one in self.compared if not one.difference <= self.tolerance]


def recall(client: MlflowClient, home: Home, run: Run, cohort: Path | None = None) -> Recalled:
    """Fetch what a run was made from, and see whether it can be made again.

    Args:
        client: The store.
        home: Its folder ``reproduced`` keeps what was fetched.
        run: Which run.
        cohort: Where the cohort is now, if it was moved.

    Raises:
        SequelaError: The run did not finish, its definition is not in the store, or the cohort is another one.
    """
    if run.info.status != "FINISHED":
        msg = f"run {run.info.run_name} is {run.info.status}; only a finished run has numbers to compare"
        raise SequelaError(msg)
    folder = home.folder / "reproduced" / run.info.run_id
    folder.mkdir(parents=True, exist_ok=True)
    for name in (RUN_YAML, ENDPOINTS):
        download(client, run, name, folder)
    config = read_definition(folder, cohort)
    if not config.cohort.is_dir():
        msg = f"run {run.info.run_name}: its cohort {config.cohort} is not there; say where it is now by --cohort DIR"
        raise SequelaError(msg)
    found, logged = fingerprint(config.cohort), run.data.tags["sequela.cohort"]
    if found != logged:
        msg = f"{config.cohort}: its files are not those that run {run.info.run_name} was trained on (sha256 "
        raise SequelaError(msg + f"{found[:12]}, then {logged[:12]}); give the cohort of then by --cohort DIR")
    now = environment_tags() | machine_tags(config)
    return Recalled(run, config, tuple(_elsewhere(run.data.tags, now)))


def reproduce(
    client: MlflowClient,
    home: Home,
    recalled: Recalled,
    progress: Callable[[str], Progress],
    tolerance: float = 0.0,
) -> Reproduction:
    """Train again, as a new run of the same experiment, and compare.

    Args:
        client: The store.
        home: Where the new run is put.
        recalled: From `recall`.
        progress: Makes the progress of a run from its name.
        tolerance: Largest absolute difference of numbers that count as the same.

    Raises:
        SequelaError: The run cannot be made, or its files are no longer in the store.
    """
    run = recalled.run
    config = recalled.config.model_copy(update={"name": f"{recalled.config.name}-reproduced"})
    with TemporaryDirectory() as folder:
        then = run_files(client, run, Path(folder) / "then")  # before hours are spent
        again = train(config, home, progress(config.name), tags={REPRODUCES: run.info.run_id})
        now = run_files(client, client.get_run(again.run_id), Path(folder) / "now")
        return Reproduction(again.run_id, tuple(compare(then, now)), tolerance)


def _elsewhere(then: Mapping[str, str], now: Mapping[str, str]) -> Iterator[Difference]:
    for tag, name in ENVIRONMENT.items():
        if then.get(tag) != now.get(tag):
            yield Difference(name, then.get(tag, "none"), now.get(tag, "none"))
    packages, here = (_versions(tags.get("sequela.packages", "")) for tags in (then, now))
    for name in sorted({*packages, *here}):
        if packages.get(name) != here.get(name):
            yield Difference(name, packages.get(name, "none"), here.get(name, "none"))


def _versions(text: str) -> dict[str, str]:
    """Versions by package, of a tag such as ``torch 2.9.0, numpy 2.3.1``."""
    return {name: version for name, _, version in (part.partition(" ") for part in text.split(", ") if part)}
