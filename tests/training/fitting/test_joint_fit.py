"""Networks of several endpoints with one hidden layer: what is shared, what is not, and what it is good for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from features.config import FeatureConfig
from features.outcomes import Outcomes
from features.patients import Patients
from tests.training.conftest import CARD, make_outcomes, make_ward
from training.config import MixtureConfig, NetworkConfig, TrainerConfig
from training.fit import fit_risk_model
from training.fitting.companions import Companion, of_fold
from training.fitting.joint import Task, fit_together
from training.fitting.network import fit_network
from training.models.network import HazardNetwork

CPU = TrainerConfig(accelerator="cpu", checkpoint_seconds=0.0)
TINY = NetworkConfig(members=4, max_epochs=8)
TIMES = np.array([60.0, 180.0])


class KilledError(Exception):
    """What stops a fit in these tests."""


def ids(n: int) -> NDArray[np.object_]:
    return np.array([f"p{i}" for i in range(n)], dtype=object)


def bent(x: NDArray[np.float64], daily: float, seed: int) -> Outcomes:
    """Hazards that rise on both sides of the mean of the first feature, with one competing cause."""
    rng = np.random.default_rng(seed)
    event = rng.exponential(1 / (daily * np.exp(2.5 * np.abs(x[:, 0]) - 2.0)))
    other, censored = rng.exponential(600.0, len(x)), rng.uniform(100, 400, len(x))
    days = np.column_stack([censored, event, other])
    return Outcomes(np.ceil(days.min(axis=1)), days.argmin(axis=1), ("event", "other"))


def error(network: HazardNetwork, x: NDArray[np.float64], daily: float) -> float:
    """Root mean squared error of the incidence of the first cause at day 180."""
    rate = daily * np.exp(2.5 * np.abs(x[:, 0]) - 2.0)
    total = rate + 1 / 600.0
    true = rate / total * -np.expm1(-total * 180.0)
    found = network.incidence(x, np.zeros(len(x)), np.array([180.0]))[:, 0, 0]
    return float(np.sqrt(((found - true) ** 2).mean()))


def test_a_rare_endpoint_learns_from_a_common_one_what_is_not_linear() -> None:
    rng = np.random.default_rng(0)
    x, new = rng.normal(size=(1500, 2)), rng.normal(size=(1000, 2))
    config = NetworkConfig(members=4, max_epochs=120)
    alone, together = [], []
    for seed in range(2):
        rare, common = bent(x, 0.0002, seed), bent(x, 0.01, seed + 10)
        alone.append(error(fit_network(x, rare, ids(len(x)), config, CPU, seed=seed), new, 0.0002))
        tasks = [Task(x, rare, ids(len(x))), Task(x, common, ids(len(x)))]
        networks = fit_together(tasks, config, CPU, seed=seed)
        together.append(error(networks[0], new, 0.0002))
    assert np.mean(together) < np.mean(alone)


def test_each_endpoint_has_an_ordinary_network_of_its_own() -> None:
    """Its causes and bins are its own, and it comes back from its arrays as it was."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(120, 3))
    first = bent(x, 0.002, 0)
    second = Outcomes(first.duration_days[:80], np.minimum(first.cause[:80], 1), ("any",))
    networks = fit_together([Task(x, first, ids(120)), Task(x[:80], second, ids(80))], TINY, CPU, seed=0)
    for network, outcomes in zip(networks, (first, second), strict=True):
        assert network.module.hidden.shape[:2] == (4, len(outcomes.causes))
        again = HazardNetwork.from_state(*network.state())
        before, after = (one.incidence(x, np.zeros(120), TIMES) for one in (network, again))
        assert before.shape == (120, len(outcomes.causes), 2)
        np.testing.assert_array_equal(after, before)
    assert networks[0].module.hidden.data_ptr() != networks[1].module.hidden.data_ptr()


@pytest.fixture(scope="module")
def study() -> tuple[Patients, Outcomes, Companion]:
    patients = make_ward(0, 80).patients()
    return patients, make_outcomes(patients, 0), Companion(patients, make_outcomes(patients, 1))


def test_the_same_seed_gives_the_same_network(study: tuple[Patients, Outcomes, Companion]) -> None:
    one, two = (
        fit_risk_model(*study[:2], CARD, FeatureConfig(), TINY, CPU, seed=0, companions=study[2:]) for _ in range(2)
    )
    np.testing.assert_array_equal(*(m.predict_incidence(study[0], TIMES).values for m in (one, two)))


def test_a_killed_fit_goes_on_with_the_same_numbers(
    study: tuple[Patients, Outcomes, Companion], tmp_path: Path
) -> None:
    model = MixtureConfig(members=(TINY, NetworkConfig(members=2, max_epochs=4)))

    def risks(checkpoint: Path | None, kill: int | None = None) -> NDArray[np.float64]:
        def listener(epoch: int, *_: float) -> None:
            if epoch == kill:
                raise KilledError

        fitted = fit_risk_model(
            *study[:2],
            CARD,
            FeatureConfig(),
            model,
            CPU,
            seed=0,
            listener=listener,
            checkpoint=checkpoint,
            companions=study[2:],
        )
        return fitted.predict_incidence(study[0], TIMES).values

    whole = risks(None)
    with pytest.raises(KilledError):
        risks(tmp_path / "fit.ckpt", kill=5)
    np.testing.assert_array_equal(risks(tmp_path / "fit.ckpt"), whole)
    assert not list(tmp_path.iterdir())


def test_who_is_held_out_of_a_fold_is_in_no_companion(study: tuple[Patients, Outcomes, Companion]) -> None:
    patients, companion = study[0], study[2]
    everyone = np.unique(patients.patient_id.astype(str))
    train = np.flatnonzero(np.isin(patients.patient_id.astype(str), everyone[::2]))
    (left,) = of_fold([companion], patients, train)
    assert set(map(str, left.patients.patient_id)) == set(everyone[::2])
    assert len(left.outcomes) == len(left.patients)
    # one who never was at risk of the endpoint itself still teaches
    only = patients.take(train)
    (kept,) = of_fold([companion], only, np.arange(len(only)))
    assert set(map(str, kept.patients.patient_id)) == set(everyone)


@pytest.mark.parametrize("n_rows", [80, 0], ids=["no event", "no row"])
def test_a_companion_without_events_takes_no_part_and_that_is_said_once(
    n_rows: int, study: tuple[Patients, Outcomes, Companion], caplog: pytest.LogCaptureFixture
) -> None:
    patients, outcomes, companion = study
    nothing = Outcomes(np.ones(80), np.zeros(80, dtype=np.int64), (f"rare event {n_rows}",))
    rows = np.arange(n_rows)
    empty = Companion(patients.take(rows), nothing.take(rows))

    def risks(*companions: Companion) -> NDArray[np.float64]:
        model = fit_risk_model(patients, outcomes, CARD, FeatureConfig(), TINY, CPU, seed=0, companions=companions)
        return model.predict_incidence(patients, TIMES).values

    np.testing.assert_array_equal(risks(empty), risks())
    np.testing.assert_array_equal(risks(empty, companion), risks(companion))
    assert [record.getMessage() for record in caplog.records] == [
        f"also: no event of the endpoint of rare event {n_rows} among the patients of a fit; it takes no part there"
    ]
