"""Processor, memory and accelerators."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from experiments.doctor.line import Line
from experiments.reproduction.machine import cores, processor

LEAST_MEMORY_GIB = 4.0
LIMIT_FILE = Path("/sys/fs/cgroup/memory.max")
"""What a container may use (control groups, version 2)."""


def examine_machine() -> Iterator[Line]:
    """What there is to compute with."""
    yield Line("processor", "ok", f"{processor()}, {cores()} cores")
    memory = memory_gib()
    remedy = "cohorts with many cells want more; choose fewer cells (model.most_cells), or a larger machine"
    little = memory < LEAST_MEMORY_GIB
    yield Line("memory", "note" if little else "ok", f"{memory:.1f} GiB", remedy if little else "")
    if find_spec("torch") is not None:
        yield from _accelerators()


def memory_gib() -> float:
    """What this process may use: the machine's memory, or less in a container."""
    whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = LIMIT_FILE.read_text(encoding="ascii").strip() if LIMIT_FILE.is_file() else "max"
    return float(min(whole, int(limit)) if limit.isdigit() else whole) / 2**30


def _accelerators() -> Iterator[Line]:
    import torch

    for number in range(torch.cuda.device_count()):
        yield _card(number)
    if torch.cuda.device_count():
        return
    if torch.backends.mps.is_available():
        yield Line("accelerator", "ok", "Apple MPS; precision 32-true")
    elif shutil.which("nvidia-smi"):
        remedy = "install the torch that is built for your driver (pytorch.org), or update the driver"
        yield Line("accelerator", "note", f"an NVIDIA driver, but torch {torch.__version__} sees no device", remedy)
    else:
        yield Line("accelerator", "ok", "none; networks are trained on the processor")


def _card(number: int) -> Line:
    """A CUDA device, tried with one multiplication."""
    import torch

    try:
        card = torch.cuda.get_device_properties(number)
        square = torch.ones(2, 2, device=f"cuda:{number}")
        if not bool((square @ square == 2).all()):
            return Line("accelerator", "fail", f"{card.name}: 1·1 + 1·1 is not 2", "test or replace the device")
    except RuntimeError as error:
        remedy = "update the driver, or set trainer.accelerator=cpu"
        return Line("accelerator", "fail", f"CUDA device {number}: {str(error).splitlines()[0]}", remedy)
    half = "bf16-mixed is possible" if torch.cuda.is_bf16_supported() else "no bf16"
    memory = f"{card.total_memory / 2**30:.0f} GiB"
    return Line("accelerator", "ok", f"{card.name}, {memory}, CUDA {torch.version.cuda}, {half}")
