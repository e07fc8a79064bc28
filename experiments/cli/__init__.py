"""The command line: one console script, `sequela`. Heavy libraries are imported when a command runs, not before."""

from __future__ import annotations

import gc
import os
import signal
import sys


def main() -> None:
    """Entry point: run a command, and turn errors into one line each and exit code 1."""
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    gc.set_threshold(*GARBAGE)
    from experiments.cli.app import app
    from features.errors import SequelaError

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends like Ctrl-C: the run is marked KILLED
    try:
        app()
    except SequelaError as error:
        sys.stderr.write(f"sequela: {error}\n")
        sys.exit(1)
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        sys.stderr.write(f"sequela: {place}{error.strerror or error}; check the path, its permissions and free space\n")
        sys.exit(1)
    except KeyboardInterrupt:
        sys.stderr.write("sequela: interrupted\n")
        sys.exit(130)


ENVIRONMENT = {
    "BENTOML_DO_NOT_TRACK": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "OMP_WAIT_POLICY": "PASSIVE",  # threads that spin while they wait slow down everything beside them
}
"""No usage statistics leave the machine; no pickle is loaded; waiting threads sleep."""
GARBAGE = (20_000, 20, 20)
"""When Python looks for garbage: not, as it would, some hundred times while a command imports what it needs."""
