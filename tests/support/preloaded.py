"""The console script `sequela` without the seconds of its imports: commands are forked off a process that has them.

A command is a process of its own all the same, with its own arguments, environment, folder and open files; it dies with
whoever started it. Tests of starting, of signals and of what is imported take the console script itself.
"""

from __future__ import annotations

import array
import atexit
import gc
import importlib
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

IMPORTED = ("experiments.cli.app", "lightning.pytorch", "mlflow.tracking", "matplotlib.figure", "anndata", "optuna")
"""Whatever many commands wait for. BentoML is not among them: it reads its home when it is imported."""
SCRIPT = """#!{python} -IS
import array, json, os, signal, socket, sys, time
service = socket.socket(socket.AF_UNIX)
for attempt in range(1200):
    try:
        service.connect({address!r})
        break
    except OSError:
        time.sleep(0.1)
said = json.dumps([sys.argv[1:], dict(os.environ), os.getcwd()]).encode()
files = array.array("i", [0, 1, 2])
service.sendmsg([len(said).to_bytes(4, "big")], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, files)])
service.sendall(said)
answers = service.makefile()
command = int(answers.readline())
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, lambda number, frame: os.kill(command, number))
code = int(answers.readline())
if code < 0:
    if -code != signal.SIGKILL:
        signal.signal(-code, signal.SIG_DFL)
    os.kill(os.getpid(), -code)
sys.exit(code)
"""


def started() -> Path:
    """A script that takes the place of `sequela`; what it asks gets ready meanwhile, and ends with this process."""
    folder = Path(tempfile.mkdtemp(prefix="sequela-"))
    script = folder / "sequela"
    address = str(folder / "socket")
    script.write_text(SCRIPT.format(python=sys.executable, address=address), "utf-8")
    script.chmod(0o700)
    server = subprocess.Popen([sys.executable, __file__, address], stdin=subprocess.PIPE, start_new_session=True)
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    atexit.register(server.kill)
    return script


def serve(address: str) -> None:
    """Fork a command for each connection, until whoever started us is gone."""
    sys.path.pop(0)  # this folder, which the console script does not see
    from experiments.cli import ENVIRONMENT

    os.environ.update(ENVIRONMENT)
    for name in IMPORTED:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(f"{address}.new")
    listening.listen(64)
    Path(f"{address}.new").rename(address)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the keepers
    while True:
        ready, _, _ = select.select([listening, sys.stdin], [], [])
        if sys.stdin in ready:  # its other end is closed
            return
        connection, _ = listening.accept()
        if os.fork() == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            listening.close()
            os._exit(keep(connection))
        connection.close()


def keep(connection: socket.socket) -> int:
    """Run the command that a connection asks for, and say how it ended."""
    size, ancillary, _, _ = connection.recvmsg(4, socket.CMSG_LEN(3 * array.array("i").itemsize))
    files = array.array("i", ancillary[0][2])
    arguments, environment, folder = json.loads(read(connection, int.from_bytes(size, "big")))
    command = os.fork()
    if command == 0:
        connection.close()
        become(arguments, environment, folder, files)
    connection.sendall(f"{command}\n".encode())
    for file in (*files, 0, 1, 2):  # else pipes stay open after the command
        os.close(file)
    ended = os.pidfd_open(command)
    ready, _, _ = select.select([ended, connection], [], [])
    if ended not in ready:
        os.killpg(command, signal.SIGKILL)
    _, status = os.waitpid(command, 0)
    connection.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())
    return 0


def read(connection: socket.socket, size: int) -> bytes:
    """So many bytes."""
    parts = bytearray()
    while len(parts) < size:
        parts += connection.recv(size - len(parts))
    return bytes(parts)


def become(arguments: list[str], environment: dict[str, str], folder: str, files: array.array[int]) -> None:
    """Be the console script; never returns."""
    os.setsid()
    for target, file in enumerate(files):
        os.dup2(file, target)
        os.close(file)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    tempfile.tempdir = None
    sys.argv = [str(Path(sys.executable).parent / "sequela"), *arguments]
    from experiments.cli import main

    code = 1
    try:
        main()
        code = 0
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
    except BaseException:  # noqa: BLE001  as the interpreter does
        sys.excepthook(*sys.exc_info())  # type: ignore[arg-type]
    finally:
        end(code)


def end(code: int) -> None:
    """As the interpreter would: threads are waited for, exit handlers run, output is flushed."""
    import threading

    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(code)


if __name__ == "__main__":
    serve(sys.argv[1])
else:
    SEQUELA = started()
