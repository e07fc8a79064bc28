"""The package of docs/how-to/custom_models.md, installed where only tests see it."""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "custom_models.md"
KIND = "constant_hazards"


def install(folder: Path) -> Path:
    """Write the page's files as pip would install them; returns the folder to put on ``sys.path``."""
    files = dict(re.findall(r"```(?:toml|python)\n# (\S+)\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL))
    project = tomllib.loads(files.pop("pyproject.toml"))["project"]
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    about = folder / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    about.mkdir()
    metadata = f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    (about / "METADATA").write_text(metadata, encoding="utf-8")
    groups = project["entry-points"].items()
    points = [f"[{group}]\n" + "".join(f"{name} = {value}\n" for name, value in of.items()) for group, of in groups]
    (about / "entry_points.txt").write_text("\n".join(points), encoding="utf-8")
    return folder


def path_without_it() -> list[str]:
    """``sys.path`` as if the package were not installed."""
    return [folder for folder in sys.path if not (Path(folder) / KIND).is_dir()]
