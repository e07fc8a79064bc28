"""The pages of the reference that are made from the code: the commands, and every key of the configurations."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from pydantic import TypeAdapter

from experiments.commented import commented_yaml
from experiments.home import CONFIGS
from experiments.new_run import new_run_yaml, smallest_model
from experiments.promotion.gate import Gate
from experiments.sweeps.config import SweepConfig
from features.schema import Endpoint, Frozen
from features.simulator.config import SimulatorConfig
from training.config import ModelConfig
from training.models.mixture import PREDICTORS

ABOUT = """# Configurations

Every key there is, with its meaning, what it may hold in brackets, and its default. Made from the models that read the
files; `sequela init` writes the first of these for you, and `sequela schema KIND` prints the same for editors.
"""
FILES: tuple[tuple[str, str, type[Frozen]], ...] = (
    ("A sweep", "sweep/modalities.yaml", SweepConfig),
    ("A gate", "gate/default.yaml", Gate),
    ("An endpoint", "endpoint/severe_infection.yaml", Endpoint),
    ("A simulated cohort", "cohort/simulated.yaml", SimulatorConfig),
)
"""Files other than runs: an example, and the model that reads them."""


def write_reference(folder: Path) -> None:
    """Write `commands.md` and `configurations.md` into a folder, only where they changed."""
    folder.mkdir(parents=True, exist_ok=True)
    typer = [sys.executable, "-m", "typer", "experiments.cli.app", "utils", "docs", "--name", "sequela"]
    commands = subprocess.run(typer, capture_output=True, text=True, check=True).stdout
    _write(folder / "commands.md", commands.replace("# `sequela`", "# Commands", 1))
    _write(folder / "configurations.md", "\n".join((ABOUT, *_configurations())))


def _configurations() -> Iterator[str]:
    endpoint = CONFIGS / "endpoint" / "severe_infection.yaml"
    run = new_run_yaml("cox", Path("cohorts/mine"), endpoint, "mine", Path())
    yield from _section("A run", run.partition("\n")[2].replace(f"{CONFIGS}/", "configs/"))
    yield "## Its model, by kind\n"
    for kind in PREDICTORS:
        model: Frozen = TypeAdapter(ModelConfig).validate_python(smallest_model(kind))
        yield f"### {kind}\n\n{(type(model).__doc__ or '').strip()}\n"
        yield _fenced(commented_yaml(model))
    for title, example, model in FILES:
        yield from _section(title, (CONFIGS / example).read_text(encoding="utf-8"))
        yield from _keys(model)


def _keys(model: type[Frozen]) -> Iterator[str]:
    """Tables of the keys of a block, and of the blocks in it."""
    schema = model.model_json_schema()
    for name, block in ({model.__name__: schema} | schema.get("$defs", {})).items():
        if "properties" not in block:
            continue
        if name != model.__name__:
            yield f"**{name}**: {_line(block.get('description', ''))}\n"
        yield "| key | meaning | default |\n|---|---|---|"
        for key, field in block["properties"].items():
            default = f"`{json.dumps(field['default'], ensure_ascii=False)}`" if "default" in field else ""
            yield f"| `{key}` | {_line(field.get('description', ''))} | {default} |"
        yield ""


def _line(text: str) -> str:
    return " ".join(text.replace("``", "`").replace("|", "\\|").split())


def _section(title: str, text: str) -> Iterator[str]:
    yield f"## {title}\n"
    yield _fenced(text)


def _fenced(text: str) -> str:
    return f"```yaml\n{text.strip()}\n```\n"


def _write(path: Path, text: str) -> None:
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")
