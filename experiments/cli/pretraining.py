"""The command that trains a network on simulated cohorts: pretrain."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

import typer

from features.errors import SequelaError


def pretrain(
    minutes: Annotated[float | None, typer.Option(help="Of this run.")] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Of this run, at most.")] = None,
    overrides: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Set a key, e.g. --set learning_rate=3e-4.")
    ] = None,
    out: Annotated[
        Path, typer.Option(metavar="FILE", help="Where the weights go; what the next run needs lies beside them.")
    ] = Path("in_context.safetensors"),
    weights: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Where there is no state yet, go on from these; training/pretrained has those that ship.",
        ),
    ] = None,
) -> None:
    """Train the in-context network on simulated cohorts; a second start goes on where the first one ended.

    The learning rate falls in the last quarter of each run, so that its weights are of use; the next run goes on from
    before the fall. One run of ten minutes on a GPU and many on processors, one after the other, make one network.

    Examples: sequela pretrain --minutes 60 --set trainer.threads=8

              sequela pretrain --minutes 10 --set trainer.accelerator=gpu --set trainer.precision=bf16-mixed

              sequela train configs/run/in_context.yaml --set model.weights=in_context.safetensors
    """
    if minutes is None and steps is None:
        msg = "pretrain: say how long: --minutes 60, or --steps 2000"
        raise SequelaError(msg)
    from experiments.courier import start_courier
    from experiments.home import Home

    home = Home.current()
    with start_courier(home) as courier:
        from experiments.cli.output import progress_bars, stderr
        from experiments.config import with_overrides
        from experiments.pretrain import PretrainConfig, carry_out
        from training.pretrained.pretraining import Length

        config = with_overrides(PretrainConfig(), overrides or [])
        length = Length(math.inf if minutes is None else minutes, math.inf if steps is None else steps)
        with progress_bars() as bar:
            state = out.with_suffix(".state")
            done = carry_out(
                config, length, state, out, home, begin=weights, courier=courier, advance=bar("pretrain: percent")
            )
    progress = done.progress
    told = (
        f"run {done.run_id}: {progress.steps:,} steps, {progress.tables:,} tables, {progress.all_hours:.1f} h in all; "
        f"at {done.explained:.0%} of the way to the true hazards; weights in {out}"
    )
    stderr.print(told, highlight=False, soft_wrap=True)
