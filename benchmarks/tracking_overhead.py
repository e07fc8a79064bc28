"""What tracking costs: the same training with and without it, in pairs, each in a process of its own.

    python -m benchmarks.tracking_overhead --patients 100 400 --pairs 20 6 --repeats 1 8

Tracked on a new sqlite store, or on MLFLOW_TRACKING_URI where it is set. The run is the one that ships, on so many
``--patients`` that it is as long as is wanted. Most of what tracking costs is the same for a short run and a long
one, and a difference of two short ones is the less noisy: there the seconds are measured, and in the long ones their
share is. With ``--repeats``, each of which has five child runs, tracking costs more of the same time. The two of a
pair follow each other, in the next pair the other way round, on ``--cores`` cores. Beside the pairs stands what is
known of the tracked ones: seconds for which training waited for its tracker, and processor seconds of the courier
beside it. Writes ``results/tracking_overhead.md``.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from experiments import cli
from experiments.home import CONFIGS, Home

if TYPE_CHECKING:  # the command under measurement imports them when it needs them
    from experiments.log_items import LogItem
    from training.splits import Fold

RESULT = Path(__file__).parent / "results" / "tracking_overhead.md"


class Untracked:
    """In the place of a tracker: the run has its folder, and nobody is told of it."""

    waiting = 0

    def __init__(self, folder: Path) -> None:
        self.folder, self.run_id, self.started = folder, folder.name, time.time()

    @classmethod
    def start(cls, home: Home, experiment: str, name: str, *, record: dict[str, str], courier: NoCourier) -> Untracked:
        """A folder, and nothing else."""
        folder = home.runs / f"{experiment}-{name}-{len(record)}"
        folder.mkdir(parents=True)
        return cls(folder)

    def log(self, items: Iterable[LogItem]) -> None:
        """Make the items, as for a tracker."""
        for _ in items:
            pass

    def fold_started(self, fold: Fold) -> None:
        """A fold begins."""

    def epoch_ended(self, fold: Fold, epoch: int, loss: float, out_of_bag_loss: float) -> None:
        """An epoch ended."""

    def fold_ended(self, fold: Fold, incidence: NDArray[np.float64]) -> None:
        """A fold ended."""

    @contextmanager
    def ends_truthfully(self) -> Iterator[None]:
        """However the block ends, nobody is told."""
        yield


class NoCourier:
    """In the place of a courier."""

    def __init__(self, home: Home) -> None:
        """No process is started."""

    def deliver_left(self) -> None:
        """Nothing is delivered."""

    def __enter__(self) -> NoCourier:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing was begun."""


class Waited:
    """Seconds for which training waited for its tracker."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._within = False

    def watch(self, owner: object, name: str) -> None:
        """Count the seconds of a function that training calls; of one within another, once."""
        watched = getattr(owner, name)

        def timed(*args: object, **words: object) -> object:
            if self._within:
                return watched(*args, **words)
            self._within, began = True, time.perf_counter()
            try:
                return watched(*args, **words)
            finally:
                self.seconds += time.perf_counter() - began
                self._within = False

        setattr(owner, name, timed)


def train_once(kind: str, arguments: list[str]) -> None:
    """`sequela train` in this process; says at the end what the tracker took."""
    from experiments import courier, tracking  # not yet what trains: the command starts the courier first

    waited = Waited()
    if kind == "untracked":
        tracking.Tracker = Untracked  # type: ignore[assignment,misc]
        courier.start_courier = NoCourier  # type: ignore[assignment]
    else:
        for name in ("_begin", "log", "fold_started", "epoch_ended", "fold_ended", "_end"):
            waited.watch(tracking.Tracker, name)
        for name in ("__init__", "deliver_left", "close"):
            waited.watch(courier.CourierProcess, name)
    sys.argv = ["sequela", "train", *arguments]
    try:
        cli.main()
    finally:  # which exits
        own, beside = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
        courier_cpu, cpu = (one.ru_utime + one.ru_stime for one in (beside, own))
        print(json.dumps({"waited": waited.seconds, "courier": courier_cpu, "cpu": cpu + courier_cpu}))


def measured(kind: str, cores: str, cohort: Path, home: Path, repeats: int) -> dict[str, float]:
    """One training in a process of its own, from its start to its end: seconds."""
    validation = f"validation={{folds: 5, repeats: {repeats}}}"
    settings = (f"cohort={cohort}", validation, "trainer.accelerator=cpu")
    run = [str(CONFIGS / "run" / "network.yaml"), *(word for setting in settings for word in ("--set", setting))]
    command = [sys.executable, "-m", "benchmarks.tracking_overhead", "--one", kind, *run]
    environment = os.environ | cli.ENVIRONMENT | {"SEQUELA_HOME": str(home)}
    began = time.perf_counter()
    on_cores = ["taskset", "--cpu-list", cores, *command]
    done = subprocess.run(on_cores, env=environment, capture_output=True, text=True, check=True)
    found = {"wall": time.perf_counter() - began, **json.loads(done.stdout.splitlines()[-1])}
    print(kind, found, file=sys.stderr)
    return found


def measure(n_pairs: int, repeats: int, n_patients: int, cores: str) -> str:
    """Train in pairs, one after the other; what came of it, in Markdown."""
    from experiments.store import open_store
    from features.simulator import simulate

    with TemporaryDirectory() as folder:
        cohort, home = Path(folder) / "cohort", Path(folder) / "home"
        simulate(cohort, n_patients=n_patients, cells_per_sample=0, seed=1)
        open_store(Home(home))  # a store is made once, not for each run
        pairs = []
        for number in range(n_pairs):
            homes = {"tracked": home, "untracked": Path(folder) / f"none-{number}"}
            order = sorted(homes, reverse=number % 2 == 1)
            pairs.append({kind: measured(kind, cores, cohort, homes[kind], repeats) for kind in order})
    return section(pairs, repeats, n_patients)


def section(pairs: list[dict[str, dict[str, float]]], repeats: int, n_patients: int) -> str:
    """The pairs of one training, in Markdown."""
    lines = [
        f"## {n_patients:,} patients, {repeats} × 5 folds",
        "",
        "| pair | untracked s | tracked s | more | processor s untracked | tracked | more |",
        "|---|---|---|---|---|---|---|",
    ]
    for number, pair in enumerate(pairs, 1):
        cells = []
        for clock in ("wall", "cpu"):
            without, with_it = pair["untracked"][clock], pair["tracked"][clock]
            cells += [f"{without:.1f}", f"{with_it:.1f}", f"{with_it / without - 1:+.1%}"]
        lines.append(f"| {number} | " + " | ".join(cells) + " |")
    for clock, name in (("wall", "wall time"), ("cpu", "processor time")):
        without = np.array([pair["untracked"][clock] for pair in pairs])
        more = np.array([pair["tracked"][clock] for pair in pairs]) - without
        error = more.std(ddof=1) / len(pairs) ** 0.5 if len(pairs) > 1 else np.nan
        lines += ["", f"More {name}, mean of the pairs: {more.mean():+.2f} s (standard error {error:.2f} s),"]
        lines[-1] += f" {more.mean() / without.mean():+.1%} of {without.mean():.0f} s ({error / without.mean():.1%})."
    tracked = [pair["tracked"] for pair in pairs]
    waited, courier = (float(np.median([one[name] for one in tracked])) for name in ("waited", "courier"))
    lines += [
        "",
        f"Median of the tracked ones: training waited {waited:.2f} s for its tracker; the processes beside it",
    ]
    lines[-1] += f" (the courier, and git) took {courier:.1f} s of processor time."
    return "\n".join(lines)


def page(sections: list[str], cores: str) -> str:
    """The result in Markdown."""
    lines = [
        "# What tracking costs",
        "",
        "The network on simulated patients without cells, with and without tracking, one after the other.",
        f"Made by `python -m benchmarks.tracking_overhead {' '.join(sys.argv[1:])}`",
        f"on {platform.machine()}, cores {cores} of {os.cpu_count()}, {store()}.",
    ]
    return "\n\n".join(["\n".join(lines), *sections]) + "\n"


def store() -> str:
    """What is tracked on."""
    return "an MLflow server" if os.environ.get("MLFLOW_TRACKING_URI", "").startswith("http") else "sqlite"


def main() -> None:
    """Measure, or train once for a measurement."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--patients", type=int, nargs="+", default=[100, 400])
    parser.add_argument("--pairs", type=int, nargs="+", default=[20, 6])
    parser.add_argument("--repeats", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--cores", default="0-1", metavar="LIST", help="As taskset takes them.")
    parser.add_argument("--one", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    words = parser.parse_args()
    if words.one:
        train_once(words.one[0], words.one[1:])
        return
    sizes = zip(words.pairs, words.repeats, words.patients, strict=True)
    RESULT.write_text(page([measure(*size, words.cores) for size in sizes], words.cores), "utf-8")


if __name__ == "__main__":
    main()
