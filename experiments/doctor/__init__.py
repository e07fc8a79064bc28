"""What is installed, on what machine, with which stores; what is wrong with it, and what to do."""

from __future__ import annotations

from collections.abc import Iterator

from experiments.doctor.installation import examine_installation
from experiments.doctor.line import Line
from experiments.doctor.machine import examine_machine
from experiments.doctor.stores import examine_stores
from experiments.home import Home


def examine(home: Home) -> Iterator[Line]:
    """Look at everything a run needs; nothing is changed, and nothing waits longer than seconds."""
    yield from examine_installation()
    yield from examine_machine()
    yield from examine_stores(home)


__all__ = ["Line", "examine"]
