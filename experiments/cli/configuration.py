"""Commands on configurations: config, init, schema. They import nothing heavy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer


def config(
    run: Annotated[Path, typer.Argument(metavar="RUN.yaml", help="A run configuration.")],
    overrides: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override a key, as for train; repeatable.")
    ] = None,
    comments: Annotated[bool, typer.Option("--comments", help="With what every key means.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Print the resolved configuration of a run: every default, every path absolute; `train` takes it back.

    Example: sequela config configs/run/network.yaml --set model.members=8 > mine.yaml
    """
    from experiments.commented import commented_yaml, plain_yaml
    from experiments.config import load_run
    from features.errors import SequelaError

    if comments and as_json:
        msg = "config: JSON has no comments; give --comments or --json"
        raise SequelaError(msg)
    resolved = load_run(run, overrides or [])
    content = resolved.model_dump(mode="json")
    plain = json.dumps(content, indent=1, ensure_ascii=False) + "\n" if as_json else plain_yaml(content)
    typer.echo(commented_yaml(resolved) if comments else plain, nl=False)


def init(
    file: Annotated[Path | None, typer.Argument(metavar="FILE", help="The YAML to write; without it, stdout.")] = None,
    model: Annotated[str, typer.Option(metavar="KIND", help="Kind of model; see docs/explanation/models.md.")] = "cox",
    cohort: Annotated[Path, typer.Option(metavar="DIR", help="The cohort folder.")] = Path("cohorts/mine"),
    endpoint: Annotated[
        Path | None, typer.Option(metavar="YAML", help="The endpoint; without it, severe_infection.")
    ] = None,
) -> None:
    """Write a run configuration with every key, what it means and its default. Nothing is overwritten.

    Example: sequela init mine.yaml --model network --cohort cohorts/mine --endpoint configs/endpoint/aml.yaml
    """
    from experiments.home import CONFIGS
    from experiments.new_run import new_run_yaml, write_new

    studied = endpoint or CONFIGS / "endpoint" / "severe_infection.yaml"
    if file is None:
        typer.echo(new_run_yaml(model, cohort, studied, model, Path()), nl=False)
        return
    write_new(file, new_run_yaml(model, cohort, studied, file.stem, file.parent))
    typer.echo(f"wrote {file}; `sequela train {file}` takes it", err=True)


def schema(
    kind: Annotated[
        str | None, typer.Argument(metavar="KIND", help="run, endpoint, cohort, …; without it, all are listed.")
    ] = None,
) -> None:
    """Print the JSON Schema of a kind of YAML file, by which editors complete and check it.

    Example: sequela schema run > run.schema.json
    """
    from experiments.schemas import KINDS, schema_here, schema_text

    typer.echo("\n".join(KINDS) + "\n" if kind is None else schema_text(schema_here(kind)), nl=False)
