"""Several processes that train one model together, as torchrun starts them."""

from __future__ import annotations

import os
from datetime import timedelta

import torch
import torch.distributed as dist

from features.errors import SequelaError

LONGEST_WAIT = timedelta(hours=12)
"""While the leading process reads cells, the others wait."""


def launched() -> int:
    """Processes that torchrun started on this machine; 0 without it."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "0")) if "TORCHELASTIC_RUN_ID" in os.environ else 0


def join() -> None:
    """Meet the other processes that torchrun started, if it did, over NCCL where each has a GPU, else over gloo."""
    if launched() and not dist.is_initialized():
        on_gpu = torch.cuda.is_available()
        if on_gpu:
            torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
        dist.init_process_group("cpu:gloo,cuda:nccl" if on_gpu else "gloo", timeout=LONGEST_WAIT)


def leave() -> None:
    """Part from the others."""
    if dist.is_initialized():
        dist.destroy_process_group()


def rank() -> int:
    """Number of this process among those that train together; 0 leads, and is alone in writing files."""
    return dist.get_rank() if dist.is_initialized() else 0


def n_processes() -> int:
    """How many processes train together."""
    return dist.get_world_size() if dist.is_initialized() else 1


def wait() -> None:
    """Until every process has come here."""
    if dist.is_initialized():
        dist.barrier()


def from_leader(text: str) -> str:
    """What the leading process gave, in every process."""
    box = [text]
    if dist.is_initialized():
        dist.broadcast_object_list(box, src=0)
    return box[0]


def check_devices(accelerator: str, devices: int | str) -> None:
    """Refuse an accelerator that is not there, and several devices without torchrun.

    Raises:
        SequelaError: There is none of the kind, or more than one device is asked for.
    """
    there = {"gpu": torch.cuda.is_available() or torch.backends.mps.is_available()}
    there["mps"] = torch.backends.mps.is_available()
    if not there.get(accelerator, True):
        msg = f"trainer.accelerator: {accelerator}, but torch {torch.__version__} finds none on this machine; "
        raise SequelaError(msg + "choose auto or cpu, or see what `sequela doctor` says of accelerators")
    if isinstance(devices, int) and devices > 1 and not launched():
        msg = (
            f"trainer.devices: {devices}, but one process trains on one device; leave it at 1, and start "
            f"`torchrun --nproc-per-node {devices} --no-python sequela train …`"
        )
        raise SequelaError(msg)
