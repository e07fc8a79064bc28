"""A process that delivers for one that trains: `python -m experiments.store.process HOME`.

Orders come as lines of JSON on stdin, and are answered on stdout; `experiments.tracking.courier` gives them.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import sys
from pathlib import Path
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:  # imported once signals are ignored
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
    from experiments.tracking.run_folder import RunFolder

    folder: RunFolder | None = None
    for line in orders:
        order = json.loads(line)
        match order["do"]:
            case "deliver_left":
                delivery.deliver_left()
                continue
            case "begin":
                folder = RunFolder(Path(order["folder"]))
        error = _error_of(delivery, order["do"], folder)
        print(json.dumps({"error": error, "folder": folder and str(folder.path)}), file=answers)
        if order["do"] == "end":
            folder = None
    if folder is not None:
        delivery.abandon(folder)


def _error_of(delivery: Delivery, what: str, folder: RunFolder | None) -> str | None:
    """Carry out one order; what was wrong."""
    from features.errors import SequelaError

    try:
        if what == "require_usable":
            delivery.require_usable()
        elif what == "begin" and folder is not None:
            delivery.begin(folder)
        elif what == "end" and folder is not None:
            delivery.end(folder)
    except SequelaError as error:
        return str(error)
    return None


if __name__ == "__main__":
    main()
