"""What is installed, which accelerator, which stores, and what is wrong."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from experiments.home import CONFIGS, Home

PACKAGES = ("numpy", "torch", "safetensors", "pydantic", "lightning", "mlflow", "anndata", "zarr", "bentoml")
FORBIDDEN = {"lightning": {"2.6.2", "2.6.3"}}
"""Releases that were malicious uploads."""


@dataclass(frozen=True, slots=True)
class Line:
    """One thing looked at."""

    subject: str
    ok: bool
    detail: str


def examine_installation(prefix: Path) -> Iterator[Line]:
    """Look at everything a run needs, one line each."""
    supported = sys.version_info >= (3, 11)
    yield Line("python", supported, f"{sys.version.split()[0]} in {prefix}" + ("" if supported else "; 3.11 is needed"))
    for name in PACKAGES:
        yield _package(name)
    for name in ("features", "training", "experiments", "serving"):
        spec = find_spec(name)
        ours = spec is not None and spec.origin is not None and Path(spec.origin).parents[1] == CONFIGS.parent
        where = spec.origin if spec else "not found"
        yield Line(name, ours, f"{where}" + ("" if ours else "; another package shadows ours: change folder"))
    yield _accelerator()
    yield from _stores(Home.current())


def _package(name: str) -> Line:
    try:
        found = version(name)
    except PackageNotFoundError:
        return Line(name, ok=False, detail="not installed; `make install` does")
    if found in FORBIDDEN.get(name, set()):
        return Line(name, ok=False, detail=f"{found} was a malicious upload; uninstall it and rotate all secrets")
    return Line(name, ok=True, detail=found)


def _accelerator() -> Line:
    import torch

    if torch.cuda.is_available():
        names = ", ".join(torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count()))
        return Line("accelerator", ok=True, detail=f"CUDA {torch.version.cuda}: {names}")
    kind = "Apple MPS" if torch.backends.mps.is_available() else f"none; CPU with {os.cpu_count()} cores"
    return Line("accelerator", ok=True, detail=kind)


def _stores(home: Home) -> Iterator[Line]:
    folder = home.folder if home.folder.exists() else home.folder.parent
    writable = os.access(folder, os.W_OK)
    yield Line("SEQUELA_HOME", writable, f"{home.folder}" + ("" if writable else "; not writable"))
    free = shutil.disk_usage(folder).free / 2**30
    yield Line("disk", free > 1, f"{free:.1f} GiB free")
    yield Line("tracking", ok=True, detail=home.tracking_uri)
    from experiments import registry
    from experiments.tracking import open_store
    from features.errors import SequelaError

    if not home.database.exists() and home.tracking_uri.startswith("sqlite"):
        return
    try:
        champion = registry.find_champion(open_store(home))
    except SequelaError as error:
        yield Line("champion", ok=True, detail=str(error))
    else:
        yield Line("champion", ok=True, detail=f"{champion.endpoint} version {champion.version}")
