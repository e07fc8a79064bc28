"""What a run is made from, logged when it begins: run.yaml, and the endpoints it names. Enough to make it again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from experiments.config import RunConfig, load_run
from experiments.log_items import File, LogItem
from features.check import read_endpoint
from features.cohort import write_yaml
from features.errors import SequelaError

RUN_YAML = "run.yaml"
ENDPOINTS = "endpoints"
"""Folder of the endpoints, one folder each, numbered: 0 is the run's own, 1, 2, … those of `also`."""


def write_definition(folder: Path, config: RunConfig) -> Iterator[LogItem]:
    """Write the resolved configuration, and the endpoints as they are read, and say that they are to be logged."""
    processing = config.features.processing.resolved()  # with the digest of a file that it refers to
    features = config.features.model_copy(update={"processing": processing})
    write_yaml(folder / RUN_YAML, config.model_copy(update={"features": features}).model_dump(mode="json"))
    yield File(Path(RUN_YAML))
    for number, path in enumerate((config.endpoint, *config.also)):
        copy = folder / ENDPOINTS / str(number) / path.name
        copy.parent.mkdir(parents=True, exist_ok=True)
        write_yaml(copy, read_endpoint(path).model_dump(mode="json"))
    yield File(Path(ENDPOINTS), ENDPOINTS)


def read_definition(folder: Path, cohort: Path | None = None) -> RunConfig:
    """The configuration that `write_definition` wrote; endpoints that were moved or changed are taken from there.

    Args:
        folder: Where it lies.
        cohort: Where the cohort is now, if it was moved.

    Raises:
        SequelaError: The endpoints are not there, or this version cannot read the configuration.
    """
    moved = [] if cohort is None else [f"cohort={cohort.resolve()}"]
    config = load_run(folder / RUN_YAML, moved)
    own, *also = [_endpoint(folder, number, path) for number, path in enumerate((config.endpoint, *config.also))]
    return config.model_copy(update={"endpoint": own, "also": tuple(also)})


def _endpoint(folder: Path, number: int, path: Path) -> Path:
    copy = folder / ENDPOINTS / str(number) / path.name
    logged = read_endpoint(copy)
    try:
        return path if read_endpoint(path) == logged else copy
    except SequelaError:  # it was moved
        return copy
