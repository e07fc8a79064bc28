"""The marginal mean number of events, against R and against the truth."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.recurrence import Recurrences
from training.models.mean_count import marginal_mean

GOLDEN = Path(__file__).parents[1] / "golden" / "mean_count.json"


def drawn(seed: int, n: int) -> Recurrences:
    """A homogeneous process of rate 0.01 a day, death at rate 0.004, censoring even over 500 days."""
    rng = np.random.default_rng(seed)
    death, censored = rng.exponential(250, n), rng.uniform(0, 500, n)
    end = np.minimum(death, censored)
    row = np.repeat(np.arange(n), rng.poisson(0.01 * end))
    day = rng.uniform(0, 1, len(row)) * end[row]
    return Recurrences(end, (death < censored).astype(np.int64), row, day, "infection", ("death",))


@pytest.mark.parametrize(("terminal", "key"), [(True, "mean"), (False, "mean_cumulative")], ids=["death", "none"])
def test_equals_r(terminal: bool, key: str) -> None:
    golden = json.loads(GOLDEN.read_text(encoding="utf-8"))
    end = np.array(golden["end"], dtype=float)
    row = np.repeat(np.arange(len(end)), [len(days) for days in golden["events"]])
    day = np.concatenate([np.array(days, dtype=float) for days in golden["events"]])
    died = np.array(golden["terminal"], dtype=np.int64) * int(terminal)
    mean = marginal_mean(Recurrences(end, died, row, day, "infection", ("death",)))
    np.testing.assert_allclose(mean.at(np.array(golden["times"], dtype=float)), golden[key], rtol=1e-12)


def test_finds_the_true_mean() -> None:
    """E N(t) = ∫ 0.01 e^(−0.004 u) du = 2.5 (1 − e^(−0.004 t))."""
    at = np.array([50.0, 150.0, 300.0])
    found = marginal_mean(drawn(0, 20_000)).at(at)
    np.testing.assert_allclose(found, 2.5 * (1 - np.exp(-0.004 * at)), rtol=0.03)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**31), n=st.integers(1, 30))
def test_weights_are_repetitions(seed: int, n: int) -> None:
    recurrences, rng = drawn(seed, n), np.random.default_rng(seed)
    often = rng.integers(0, 3, n)
    often[0] += 1
    at = np.array([0.0, 20.0, 100.0, 400.0])
    weighted = marginal_mean(recurrences, np.stack([often, np.ones(n)])).at(at)
    repeated = marginal_mean(recurrences.take(np.repeat(np.arange(n), often))).at(at)
    np.testing.assert_allclose(weighted[0], repeated, atol=1e-9)
    np.testing.assert_allclose(weighted[1], marginal_mean(recurrences).at(at), atol=1e-12)
    assert (np.diff(weighted, axis=1) >= 0).all()
    assert (weighted[:, 0] == 0).all()


def test_everyone_followed_to_the_end_is_counted() -> None:
    """Nobody censored: the mean is the plain average of the counts, death or not."""
    recurrences = drawn(3, 50)
    all_known = Recurrences(recurrences.end_days, np.ones(50, dtype=np.int64), *_events(recurrences))
    at = np.array([10.0, 60.0, 500.0])
    np.testing.assert_allclose(marginal_mean(all_known).at(at), all_known.count_by(at).mean(axis=0), atol=1e-12)


def _events(recurrences: Recurrences) -> tuple[object, ...]:
    return recurrences.row, recurrences.day, recurrences.name, recurrences.terminals


def test_weights_must_fit() -> None:
    with pytest.raises(ValueError, match="one weight for each row"):
        marginal_mean(drawn(0, 5), np.ones(4))
