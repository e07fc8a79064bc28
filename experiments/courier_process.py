"""A process that delivers for one that trains: `python -m experiments.courier_process HOME`.

Orders come as lines of JSON on stdin, and are answered on stdout; `experiments.courier` gives them. The module is of no
package that imports MLflow: signals are to be ignored before that.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from experiments.store.delivery import Delivery
    from experiments.tracking.run_folder import RunFolder

NICE = 5
"""Training goes before."""


def main() -> None:
    """Carry out orders until nobody gives any."""
    for one in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(one, signal.SIG_IGN)  # meant for the process that trains, whose end is still to be delivered
    os.nice(NICE)
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", buffering=1)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what libraries print is no answer
    gc.disable()  # it would look for garbage some hundred times during the imports
    from experiments.home import Home
    from experiments.store.delivery import Delivery

    gc.enable()
    _follow(Delivery(Home(Path(sys.argv[1]))), sys.stdin, answers)
    os._exit(0)  # tearing down what MLflow has imported takes half a second


def _follow(delivery: Delivery, orders: IO[str], answers: IO[str]) -> None:
    """One order after another; a run whose process is gone in the middle of it, was killed."""
    open_run: RunFolder | None = None
    for line in orders:
        order = json.loads(line)
        folder = None if order["folder"] is None else _folder(order["folder"])
        error = _carry_out(delivery, order["do"], folder)
        if folder is not None:
            open_run = folder if order["do"] != "end" and error is None else None
        with suppress(BrokenPipeError):  # nobody waits for it any more
            print(json.dumps({"number": order["number"], "error": error}), file=answers)
    if open_run is not None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())  # nobody reads it any more
        delivery.abandon(open_run)


def _folder(path: str) -> RunFolder:
    from experiments.tracking.run_folder import RunFolder

    return RunFolder(Path(path))


def _carry_out(delivery: Delivery, what: str, folder: RunFolder | None) -> str | None:
    """Carry out one order; what was wrong."""
    from features.errors import SequelaError

    try:
        if folder is None:
            delivery.deliver_left()
        else:
            {"contact": delivery.contact, "go_on": delivery.go_on, "end": delivery.end}[what](folder)
    except SequelaError as error:
        return str(error)
    return None


if __name__ == "__main__":
    main()
