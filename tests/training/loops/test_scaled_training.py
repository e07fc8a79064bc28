"""Training that is spread over processes, interrupted, or cut into smaller batches gives what plain training gives."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from small_models import MODELS, TINY

from features.config import FeatureConfig
from features.errors import SequelaError
from features.outcomes import Outcomes
from features.patients import Patients
from tests.training.conftest import CARD, make_outcomes, make_ward
from training.config import MixtureConfig, ModelConfig, TrainerConfig
from training.fit import fit_risk_model
from training.loops.batches import RowBatches
from training.loops.checkpoints import Checkpoint

CPU = TrainerConfig(accelerator="cpu", checkpoint_seconds=0.0)
NETWORKS = ("network", "deephit", "attention", "set_transformer")
TIMES = np.array([60.0, 180.0])
PROGRAM = Path(__file__).parent / "fit_together.py"
every_network = pytest.mark.parametrize("kind", NETWORKS)


class KilledError(Exception):
    """What stops a fit in these tests."""


@pytest.fixture(scope="module")
def study() -> tuple[Patients, Outcomes]:
    patients = make_ward(0, 80).patients()
    return patients, make_outcomes(patients, 0)


def risks(
    study: tuple[Patients, Outcomes],
    model: ModelConfig,
    listener: Callable[[int, float, float], None] | None = None,
    checkpoint: Path | None = None,
    trainer: TrainerConfig = CPU,
    seed: int = 3,
) -> NDArray[np.float64]:
    fitted = fit_risk_model(
        *study, CARD, FeatureConfig(), model, trainer, seed=seed, listener=listener, checkpoint=checkpoint
    )
    return fitted.predict_incidence(study[0], TIMES).values


def killed_at(epoch: int) -> Callable[[int, float, float], None]:
    def listener(at: int, *_: float) -> None:
        if at == epoch:
            raise KilledError

    return listener


def test_two_processes_learn_what_one_learns(tmp_path: Path) -> None:
    """To 1e-5 in every loss and risk: sums of gradients are added in another order."""
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    for starter, name in (([sys.executable], "one"), (torchrun, "two")):
        done = subprocess.run(
            [*starter, PROGRAM, tmp_path / f"{name}.npz"], capture_output=True, text=True, check=False, timeout=300
        )
        assert done.returncode == 0, done.stderr
        assert "Warning" not in done.stderr
    with np.load(tmp_path / "one.npz") as one, np.load(tmp_path / "two.npz") as two:
        names = {*NETWORKS, "few cells", "few rows"}
        assert set(one) == {*names, *(f"{name} losses" for name in names)}
        for name in one:
            np.testing.assert_allclose(two[name], one[name], rtol=0, atol=1e-5, err_msg=name)


@every_network
def test_a_killed_fit_goes_on_with_the_same_numbers(
    kind: str, study: tuple[Patients, Outcomes], tmp_path: Path
) -> None:
    model, path, heard = MODELS[kind], tmp_path / "fold-000.ckpt", list[int]()
    whole = risks(study, model, lambda epoch, *_: heard.append(epoch))
    with pytest.raises(KilledError):
        risks(study, model, killed_at(4), path)
    assert path.exists()
    rest = list[int]()
    np.testing.assert_array_equal(risks(study, model, lambda epoch, *_: rest.append(epoch), path), whole)
    assert rest == heard[4:], "epoch 4 was not finished"
    assert not path.exists(), "nothing is left of a fit that is finished"


@pytest.mark.parametrize("patience", [1, 100], ids=["stopped", "at the last epoch"])
def test_a_fit_killed_after_its_last_epoch_trains_no_more(
    patience: int, study: tuple[Patients, Outcomes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, path = TINY.model_copy(update={"max_epochs": 6, "patience": patience}), tmp_path / "final.ckpt"
    with monkeypatch.context() as patched:
        patched.setattr(Checkpoint, "done", _killed)
        with pytest.raises(KilledError):
            risks(study, model, checkpoint=path)
    heard = list[int]()
    again = risks(study, model, lambda epoch, *_: heard.append(epoch), path)
    np.testing.assert_array_equal(again, risks(study, model))
    assert not heard


def _killed(_: Checkpoint) -> None:
    raise KilledError


def test_another_fit_does_not_go_on_with_it(study: tuple[Patients, Outcomes], tmp_path: Path) -> None:
    path = tmp_path / "fold-000.ckpt"
    with pytest.raises(KilledError):
        risks(study, TINY, killed_at(4), path)
    kept = path.read_bytes()
    patients, outcomes = study
    other = Outcomes(outcomes.duration_days + 1.0, outcomes.cause, outcomes.causes)
    cases = [
        (study, TINY.model_copy(update={"hidden": 5}), 3),
        (study, TINY, 4),
        ((patients, other), TINY, 3),
    ]
    for rows, model, seed in cases:
        path.write_bytes(kept)
        heard = list[int]()
        np.testing.assert_array_equal(
            risks(rows, model, lambda epoch, *_, heard=heard: heard.append(epoch), path, seed=seed),
            risks(rows, model, seed=seed),
        )
        assert heard[0] == 0


def test_members_of_a_mixture_keep_checkpoints_of_their_own(study: tuple[Patients, Outcomes], tmp_path: Path) -> None:
    wider = TINY.model_copy(update={"hidden": 6})
    model = MixtureConfig(members=(TINY, wider))
    calls = list[int]()

    def second(epoch: int, *_: float) -> None:
        calls.append(epoch)
        if calls.count(4) == 2:
            raise KilledError

    with pytest.raises(KilledError):
        risks(study, model, second, tmp_path / "fold-000.ckpt")
    assert [path.name for path in tmp_path.iterdir()] == ["fold-000-1.ckpt"]
    np.testing.assert_array_equal(risks(study, model, checkpoint=tmp_path / "fold-000.ckpt"), risks(study, model))


def test_accumulated_batches_are_one_larger_batch(study: tuple[Patients, Outcomes]) -> None:
    large = TINY.model_copy(update={"batch_rows": 80})
    small = TINY.model_copy(update={"batch_rows": 20})
    together = CPU.model_copy(update={"accumulate_batches": 4})
    np.testing.assert_allclose(risks(study, small, trainer=together), risks(study, large), rtol=0, atol=1e-5)
    assert np.abs(risks(study, small) - risks(study, large)).max() > 1e-5


def test_half_precision_learns_the_same_but_for_rounding(study: tuple[Patients, Outcomes]) -> None:
    half = CPU.model_copy(update={"precision": "bf16-mixed"})
    difference = np.abs(risks(study, TINY, trainer=half) - risks(study, TINY))
    assert 0 < difference.max() < 0.02


def test_several_devices_need_torchrun(study: tuple[Patients, Outcomes]) -> None:
    with pytest.raises(SequelaError, match=r"trainer\.devices: 2, .* start `torchrun --nproc-per-node 2"):
        risks(study, TINY, trainer=CPU.model_copy(update={"devices": 2}))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_named(study: tuple[Patients, Outcomes]) -> None:
    with pytest.raises(SequelaError, match=r"trainer\.accelerator: gpu, but torch .* finds none"):
        risks(study, TINY, trainer=CPU.model_copy(update={"accelerator": "gpu"}))


def test_every_row_is_seen_once_an_epoch_and_never_in_the_same_order() -> None:
    batches = RowBatches(np.arange(10), 4, seed=0)
    first, second = (torch.cat([batch.rows for batch in batches]).tolist() for _ in range(2))
    assert sorted(first) == sorted(second) == list(range(10))
    assert first != second
    assert [round(1 / batch.per_row) for batch in batches] == [4, 3, 3]
