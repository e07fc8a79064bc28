"""Pre-training of the in-context network as a tracked run: curves in MLflow, weights in a file that runs can name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from experiments.courier import Courier
from experiments.home import Home
from experiments.log_items import File, Metrics, Params, flatten
from experiments.tracking import Tracker
from training.config import TrainerConfig
from training.pretrained import Origin, write_weights
from training.pretrained.pretraining import Length, PretrainingConfig, Progress, Told, pretrain
from training.prior import VERSION

EXPERIMENT = "pretraining"
EVERY_STEPS = 20
"""Steps between two points of the curves."""


class PretrainConfig(PretrainingConfig):
    """How the network is pre-trained, and where."""

    trainer: TrainerConfig = TrainerConfig(gradient_clip_norm=1.0, checkpoint_seconds=300.0, deterministic=False)


@dataclass(frozen=True, slots=True)
class Pretrained:
    """What a run of pre-training left."""

    run_id: str
    weights: Path
    progress: Progress
    """Of all runs that went on with one another."""
    explained: float
    """See `training.pretrained.pretraining.Told`."""


def carry_out(
    config: PretrainConfig,
    length: Length,
    state: Path,
    weights: Path,
    home: Home,
    *,
    begin: Path | None = None,
    courier: Courier | None = None,
    advance: Callable[[int, int], None] = lambda done, of: None,
) -> Pretrained:
    """Begin or continue pre-training; what earlier runs left in `state` decides.

    Args:
        config: How and where.
        length: Of this run.
        state: Where the state is kept that the next run goes on from.
        weights: Written at the end of the run.
        home: The stores.
        begin: Weights to go on from where no state is kept; none: at random ones.
        courier: Delivers what the run logs; none: a thread of this process.
        advance: Told (percent done, 100).
    """
    tracker = Tracker.start(home, EXPERIMENT, weights.stem, courier=courier)
    last: list[Told] = []

    def listen(told: Told) -> None:
        last[:] = [told]
        if told.step % EVERY_STEPS == 0:
            curves = {"loss": told.loss, "explained": told.explained, "learning_rate": told.learning_rate}
            tracker.log([Metrics(curves, told.step)], safely=False)
            advance(int(100 * told.elapsed), 100)

    with tracker.ends_truthfully():
        tracker.log([Params({"prior": str(VERSION), **flatten(config.model_dump(mode="json"))})])
        module, progress = pretrain(state, length, config.trainer, weights=begin, config=config, listener=listen)
        write_weights(weights, module, Origin(VERSION, config.seed, **asdict(progress)))
        so_far = {"steps": progress.steps, "tables": progress.tables, "hours": progress.all_hours}
        tracker.log([Metrics(so_far), File(weights.resolve())])
    advance(100, 100)
    return Pretrained(tracker.run_id, weights, progress, last[-1].explained if last else 0.0)
