"""On what a run was computed: numbers of the last digits depend on it."""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path

from experiments.config import RunConfig
from training.config import custom_requirements

HARDWARE = "sequela.hardware"
CUSTOM_MODELS = "sequela.custom_models"
"""Tags of a run."""


def machine_tags(config: RunConfig) -> dict[str, str]:
    """Processor, and graphics cards where the run may use one; packages that provide its model."""
    may_use = config.trainer.accelerator in {"auto", "gpu"}
    tags = {HARDWARE: ", ".join([processor(), *(graphics_cards() if may_use else [])])}
    custom = custom_requirements(config.model)
    return tags | ({CUSTOM_MODELS: ", ".join(custom)} if custom else {})


def processor() -> str:
    """The name of the processor, as far as the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):  # no Linux, or a processor that has no name there
        if platform.system() != "Darwin":
            return platform.processor() or platform.machine()
        ask = ["sysctl", "-n", "machdep.cpu.brand_string"]
        return subprocess.run(ask, capture_output=True, text=True, check=False).stdout.strip() or platform.machine()


def graphics_cards() -> list[str]:
    """Names of the CUDA devices that can be seen."""
    import torch

    return [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
