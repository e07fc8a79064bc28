"""What tracking costs: the same training with and without it, in pairs, each in a process of its own.

    python -m benchmarks.tracking_overhead --patients 400 1500 --pairs 8 2

Tracked on a new sqlite store, or on MLFLOW_TRACKING_URI where it is set. The run is the one that ships, on so many
``--patients`` that it is as long as is wanted. Most of what tracking costs is the same for a short run and a long
one, and a difference of two short ones is the less noisy: there the seconds are measured, and in the long ones their
share is. With ``--repeats``, each of which has five child runs, tracking costs more of the same time. The two of a
pair run at the same time, each on one core, in the next pair on the other: what else happens on the machine befalls
both, and the tracker's thread has no core to hide on. Beside the pairs, what the tracker took is added up within the
tracked ones: seconds for which training waited for it, and processor seconds of its thread meanwhile. Writes
``results/tracking_overhead.md``.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from experiments import cli
from experiments.home import CONFIGS, Home
from experiments.log_items import LogItem
from features.simulator import simulate
from training.splits import Fold

if TYPE_CHECKING:  # it imports what is to be timed
    from experiments.tracking.courier import Courier

CORES = sorted(os.sched_getaffinity(0))[:2]
RESULT = Path(__file__).parent / "results" / "tracking_overhead.md"


class Untracked:
    """In the place of a tracker: the run has its folder, and nobody is told of it."""

    waiting = 0

    def __init__(self, folder: Path) -> None:
        self.folder, self.run_id, self.started = folder, folder.name, time.time()

    @classmethod
    def start(cls, home: Home, experiment: str, name: str, **record: str) -> Untracked:
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


class Spent:
    """Seconds that tracking took from a training: those it waited, and those the courier's thread worked meanwhile."""

    def __init__(self) -> None:
        self.waited = self.courier = 0.0
        self._within = False

    def watch(self, owner: object, name: str) -> None:
        """Count the seconds of a function that training calls; of one within another, once."""
        watched = getattr(owner, name)

        def timed(*args: object, **words: object) -> object:
            if self._within or threading.current_thread() is not threading.main_thread():
                return watched(*args, **words)
            self._within, began = True, time.perf_counter()
            try:
                return watched(*args, **words)
            finally:
                self.waited += time.perf_counter() - began
                self._within = False

        setattr(owner, name, timed)

    def watch_courier(self, courier: type[Courier]) -> None:
        """Count the processor seconds of its thread up to the end of the run, for which training waits anyway."""
        close = courier.close

        def timed(one: Courier) -> None:
            self.courier += time.clock_gettime(time.pthread_getcpuclockid(one._thread.ident or 0))
            close(one)

        courier.close = timed  # type: ignore[method-assign]


def train_once(kind: str, arguments: list[str]) -> None:
    """`sequela train` in this process; says at the end what the tracker took."""
    importing = imported()
    from experiments import train
    from experiments.tracking.courier import Courier

    spent = Spent()
    if kind == "untracked":
        train.Tracker = Untracked  # type: ignore[assignment,misc]
        train.require_usable = train.deliver_left = lambda home: None
    else:
        for name in ("_begin", "log", "fold_started", "epoch_ended", "fold_ended", "_end"):
            spent.watch(train.Tracker, name)
        spent.watch(train, "require_usable")
        spent.watch(train, "deliver_left")
        spent.watch_courier(Courier)
    sys.argv = ["sequela", "train", *arguments]
    try:
        cli.main()
    finally:  # which exits
        used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        cpu = sum(one.ru_utime + one.ru_stime for one in used)
        print(json.dumps({"waited": spent.waited, "courier": spent.courier, "cpu": cpu, **importing}))


def imported() -> dict[str, float]:
    """Seconds of importing what only tracking needs, after what training needs anyway; whoever trains imports both."""
    importlib.import_module("experiments.scoring")
    for name in ("anndata", "lightning.pytorch", "matplotlib.figure", "optuna", "training.fit", "training.artifact"):
        importlib.import_module(name)
    wall, cpu = time.perf_counter(), time.process_time()
    importlib.import_module("experiments.tracking")
    return {"importing_wall": time.perf_counter() - wall, "importing_cpu": time.process_time() - cpu}


def measured(kind: str, core: int, cohort: Path, home: Path, repeats: int) -> dict[str, float]:
    """One training in a process of its own on a core, from its start to its end: seconds."""
    validation = f"validation={{folds: 5, repeats: {repeats}}}"
    settings = (f"cohort={cohort}", validation, "trainer.accelerator=cpu")
    run = [str(CONFIGS / "run" / "network.yaml"), *(word for setting in settings for word in ("--set", setting))]
    command = [sys.executable, "-m", "benchmarks.tracking_overhead", "--one", kind, *run]
    environment = os.environ | cli.ENVIRONMENT | {"SEQUELA_HOME": str(home)}
    began = time.perf_counter()
    on_core = ["taskset", "--cpu-list", str(core), *command]
    done = subprocess.run(on_core, env=environment, capture_output=True, text=True, check=True)
    found = {"wall": time.perf_counter() - began, **json.loads(done.stdout.splitlines()[-1])}
    print(kind, "on core", core, found, file=sys.stderr)
    return found


def measure(n_pairs: int, repeats: int, n_patients: int) -> str:
    """Train in pairs, the two at the same time; what came of it, in Markdown."""
    from experiments.tracking import open_store

    with TemporaryDirectory() as folder:
        cohort = Path(folder) / "cohort"
        simulate(cohort, n_patients=n_patients, cells_per_sample=0, seed=1)
        open_store(Home(Path(folder) / "home"))  # a store is made once, not for each run
        pairs = []
        for number in range(n_pairs):
            homes = {"tracked": Path(folder) / "home", "untracked": Path(folder) / f"none-{number}"}
            with ThreadPoolExecutor(2) as both:
                running = {
                    kind: both.submit(measured, kind, CORES[(number + place) % len(CORES)], cohort, home, repeats)
                    for place, (kind, home) in enumerate(homes.items())
                }
            pairs.append({kind: one.result() for kind, one in running.items()})
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
        # The untracked ones import what tracking needs as well, since the modules around it do.
        without = np.array([p["untracked"][clock] - p["untracked"][f"importing_{clock}"] for p in pairs])
        more = np.array([p["tracked"][clock] for p in pairs]) - without
        error = (more / without).std(ddof=1) / len(pairs) ** 0.5 if len(pairs) > 1 else np.nan
        lines += ["", f"More {name}, mean of the pairs, what is imported for tracking among it:"]
        lines[-1] += f" {more.mean():+.1f} s, {(more / without).mean():+.1%}, standard error {error:.1%}."
    lines += ["", added_up([pair["tracked"] for pair in pairs])]
    return "\n".join(lines)


def page(sections: list[str]) -> str:
    """The result in Markdown."""
    lines = [
        "# What tracking costs",
        "",
        "The network on simulated patients without cells, with and without tracking at the same time, each on a core,",
        f"in the next pair on the other. Made by `python -m benchmarks.tracking_overhead {' '.join(sys.argv[1:])}`",
        f"on {platform.machine()}, {os.cpu_count()} cores, {store()}.",
    ]
    return "\n\n".join(["\n".join(lines), *sections]) + "\n"


def added_up(tracked: list[dict[str, float]]) -> str:
    """What the tracker took within the tracked trainings, in words."""
    names = ("importing_wall", "waited", "courier", "wall")
    importing, waited, courier, wall = (float(np.median([one[name] for one in tracked])) for name in names)
    whole = importing + waited + courier
    return (
        f"Added up within the tracked trainings: {importing:.1f} s of importing MLflow and what speaks to it, "
        f"{waited:.1f} s for which training waited for it (opening the store, its items, and the last delivery), "
        f"{courier:.1f} s of processor time of its thread meanwhile: at most {whole:.1f} s of {wall:.0f} s, "
        f"**{whole / wall:.1%}**."
    )


def store() -> str:
    """What is tracked on."""
    return "an MLflow server" if os.environ.get("MLFLOW_TRACKING_URI", "").startswith("http") else "sqlite"


def main() -> None:
    """Measure, or train once for a measurement."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--patients", type=int, nargs="+", default=[400, 1500])
    parser.add_argument("--pairs", type=int, nargs="+", default=[8, 2])
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--one", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    words = parser.parse_args()
    if words.one:
        train_once(words.one[0], words.one[1:])
    else:
        both = zip(words.pairs, words.patients, strict=True)
        RESULT.write_text(page([measure(n_pairs, words.repeats, n) for n_pairs, n in both]), "utf-8")


if __name__ == "__main__":
    main()
