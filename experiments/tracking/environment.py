"""Where and with what a run was made."""

from __future__ import annotations

import platform
import subprocess
from importlib.metadata import version
from pathlib import Path


def environment_tags() -> dict[str, str]:
    """Versions, machine, git state."""
    commit, dirty = git_state()
    packages = ("torch", "lightning", "mlflow", "numpy", "anndata")
    return {
        "mlflow.source.name": "sequela",
        "mlflow.source.type": "LOCAL",
        "mlflow.source.git.commit": commit,
        "sequela.version": version("sequela"),
        "sequela.git_dirty": str(dirty).lower(),
        "sequela.python": platform.python_version(),
        "sequela.packages": ", ".join(f"{name} {version(name)}" for name in packages),
        "sequela.machine": f"{platform.system()} {platform.machine()}",
    }


def git_state() -> tuple[str, bool]:
    """The commit that Sequela runs from, and whether files differ from it; ("unknown", False) outside a checkout."""
    folder = Path(__file__).resolve().parents[2]

    def ask(*words: str) -> str:
        done = subprocess.run(["git", "-C", str(folder), *words], capture_output=True, text=True, check=False)
        return done.stdout.strip() if done.returncode == 0 else ""

    commit = ask("rev-parse", "HEAD")
    return commit or "unknown", bool(commit and ask("status", "--porcelain"))
