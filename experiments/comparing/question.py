"""From words on the command line to the answer whether cells add anything: train, test, compare, log."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from experiments.comparing.added_value import AddedValue, added_value, clinic_twin, require_clinic_and_cells
from experiments.comparing.cell_test import cell_test
from experiments.comparing.compared_runs import Place, load_compared
from experiments.comparing.comparison import SIGNIFICANT
from experiments.comparing.record import log_answer
from experiments.config import RunConfig, load_run
from experiments.data import rows_of_run
from experiments.home import Home
from experiments.progress import Progress
from experiments.store import open_store
from experiments.train import folders_of, train
from features.check import read_cohort
from features.errors import SequelaError

Bar = Callable[[str], Callable[[int, int], None]]


@dataclass(frozen=True, slots=True)
class Question:
    """How it is asked."""

    permutations: int
    bootstrap: int
    seed: int
    endpoint: str | None
    """Whose runs are meant, where runs of several have one name."""
    place: Place

    def __post_init__(self) -> None:
        smallest = 1 / (1 + self.permutations)
        if self.permutations and smallest > SIGNIFICANT:
            msg = (
                f"--permutations {self.permutations}: the smallest p they can give is {smallest:.2g}, which tells "
                f"nothing; use {round(1 / SIGNIFICANT) - 1} or more, or 0 for none"
            )
            raise SequelaError(msg)


def trained_pair(words: Sequence[str], overrides: Sequence[str], home: Home, question: Question, bar: Bar) -> list[str]:
    """The two runs that are named, or ids of a configuration's run and its twin, trained where they are not yet.

    Raises:
        SequelaError: Neither two runs nor one configuration is named, or it cannot be trained.
    """
    if len(words) == 2 and not overrides:
        return list(words)
    if len(words) != 1 or Path(words[0]).suffix not in (".yaml", ".yml"):
        msg = "added-value: takes two runs, CLINIC_RUN CELLS_RUN, or one RUN.yaml with cells (and --set KEY=VALUE)"
        raise SequelaError(msg)
    config = question.place.of(load_run(Path(words[0]), overrides))
    return [_trained(one, home, bar) for one in (clinic_twin(config), config)]


def _trained(config: RunConfig, home: Home, bar: Bar) -> str:
    """The id of the finished run of a configuration and cohort; one that is unfinished is gone on with."""
    folders = folders_of(home, config, read_cohort(config.cohort).fingerprint)
    finished = [folder for folder in folders if folder.status == "finished"]
    if finished:
        return str(finished[0].record["run_id"])
    steps = ("cells", "folds", "trials", "epochs", "permutations")
    progress = Progress(*(bar(f"{config.name}: {step}") for step in steps))
    return train(config, home, progress, resume=bool(folders)).run_id


def ask(pair: Sequence[str], home: Home, question: Question, bar: Bar) -> tuple[AddedValue, Path]:
    """The answer, logged with the cells' run, and its file.

    Raises:
        SequelaError: The runs cannot be compared, or the first sees cells, or the second none.
    """
    client = open_store(home)
    compared = load_compared(client, home, pair, question.place, question.endpoint)
    clinic, cells = compared.runs
    require_clinic_and_cells(clinic.config, cells.config)
    folder = home.runs / cells.run.info.run_id / "added_value"
    test = None
    if question.permutations:
        rows = rows_of_run(cells.config, home, bar("storing cells"))
        told = bar("exchanging cells")
        test = cell_test(rows, cells.config, question.permutations, folder / "exchanged", told)
    told = bar("comparing")
    answer = added_value(compared, test, n_bootstrap=question.bootstrap, seed=question.seed, progress=told)
    return answer, log_answer(client, compared, answer, folder)
