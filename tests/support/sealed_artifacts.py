"""Artifacts changed by hand, and sealed again: what is wrong in them is no broken seal."""

from __future__ import annotations

import json
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

from safetensors.numpy import load_file, save_file

from training.artifact.manifest import MANIFEST, WEIGHTS


def seal(folder: Path, content: dict[str, Any]) -> None:
    """Write a manifest with its own digest."""
    text = json.dumps(content | {"digest": "0" * 64})
    digest = sha256(text.encode()).hexdigest()
    (folder / MANIFEST).write_text(text.replace(f'"digest": "{"0" * 64}"', f'"digest": "{digest}"'), encoding="utf-8")


def spoil(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the arrays."""
    arrays = load_file(folder / WEIGHTS)
    change(arrays)
    save_file(arrays, folder / WEIGHTS)
    content = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    content["files"][WEIGHTS] = sha256((folder / WEIGHTS).read_bytes()).hexdigest()
    seal(folder, content)
