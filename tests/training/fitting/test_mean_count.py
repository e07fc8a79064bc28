"""Expected numbers of recurrent events, against R and against the truth."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.errors import SequelaError
from features.recurrence import Recurrences
from training.fitting.mean_count import fit_proportional_means
from training.models.mean_count import ProportionalMeans, marginal_mean

GOLDEN = Path(__file__).parents[2] / "golden" / "mean_count.json"


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


def golden_means() -> tuple[np.ndarray[Any, Any], Recurrences, dict[str, Any]]:
    golden = json.loads((GOLDEN.parent / "proportional_means.json").read_text(encoding="utf-8"))
    row = np.repeat(np.arange(len(golden["end"])), [len(days) for days in golden["events"]])
    day = np.concatenate([np.array(days, dtype=float) for days in golden["events"]])
    end, died = np.array(golden["end"], dtype=float), np.array(golden["died"], dtype=np.int64)
    return np.array(golden["x"], dtype=float), Recurrences(end, died, row, day, "infection", ("death",)), golden


@pytest.mark.parametrize("key", ["with_death", "without_death"])
def test_proportional_means_equal_r(key: str) -> None:
    x, recurrences, golden = golden_means()
    if key == "without_death":
        recurrences = replace(recurrences, terminal=np.zeros_like(recurrences.terminal))
    model = fit_proportional_means(x, recurrences, penalty=0.0)
    np.testing.assert_allclose(model.beta, golden[key]["beta"], rtol=1e-7)
    base = model.expected_count(np.zeros((1, 2)), np.array(golden["times"], dtype=float))[0]
    np.testing.assert_allclose(base, golden[key]["mean"], rtol=1e-7)


def test_proportional_means_find_the_truth() -> None:
    """Patients of a group have twice the events of the others, and die no sooner: β = log 2."""
    rng = np.random.default_rng(5)
    plain, double = drawn(1, 4000), drawn(2, 4000)
    further = np.repeat(np.arange(4000), rng.poisson(0.01 * double.end_days))
    row = np.concatenate([plain.row, 4000 + double.row, 4000 + further])
    day = np.concatenate([plain.day, double.day, rng.uniform(0, 1, len(further)) * double.end_days[further]])
    both = Recurrences(
        np.concatenate([plain.end_days, double.end_days]),
        np.concatenate([plain.terminal, double.terminal]),
        row,
        day,
        "infection",
        ("death",),
    )
    x = np.repeat([0.0, 1.0], 4000)[:, None]
    model = fit_proportional_means(x, both, penalty=0.0)
    np.testing.assert_allclose(model.beta, np.log(2), atol=0.06)
    at = np.array([50.0, 150.0, 300.0])
    np.testing.assert_allclose(model.expected_count(x[:1], at)[0], 2.5 * (1 - np.exp(-0.004 * at)), rtol=0.06)


def test_without_features_it_is_the_marginal_mean() -> None:
    recurrences = drawn(4, 80)
    at = np.array([30.0, 120.0, 350.0])
    model = fit_proportional_means(np.zeros((80, 0)), recurrences, penalty=1.0)
    np.testing.assert_allclose(
        model.expected_count(np.zeros((1, 0)), at)[0], marginal_mean(recurrences).at(at), rtol=1e-9
    )


def test_a_strong_penalty_takes_the_effects_away() -> None:
    x, recurrences, _ = golden_means()
    betas = [np.abs(fit_proportional_means(x, recurrences, penalty=p).beta).sum() for p in (0.0, 10.0, 1e6)]
    assert betas[0] > betas[1] > betas[2]
    assert betas[2] < 1e-3


def test_proportional_means_come_back_from_their_state() -> None:
    x, recurrences, _ = golden_means()
    model = fit_proportional_means(x, recurrences, penalty=1.0)
    again = ProportionalMeans.from_state(*model.state())
    at = np.array([10.0, 200.0])
    np.testing.assert_array_equal(again.expected_count(x, at), model.expected_count(x, at))


def test_no_event_is_said() -> None:
    nothing = Recurrences(np.ones(3), np.zeros(3, np.int64), np.zeros(0, np.int64), np.zeros(0), "infection", ())
    with pytest.raises(SequelaError, match="counts of infection: nobody had one"):
        fit_proportional_means(np.zeros((3, 1)), nothing, penalty=1.0)
