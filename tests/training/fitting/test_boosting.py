"""Boosted hazards: their follow-up in bins, their likelihood, their fitting."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from features.errors import SequelaError
from features.outcomes import Outcomes
from training.config import BoostingConfig
from training.fitting import boosting as boosting_fit
from training.fitting.binning import bin_edges
from training.fitting.boosting import BinnedFollowUp, fit_boosting
from training.models.boosting import Boosting, places
from training.models.cox import CauseSpecificCox
from training.models.nonparametric import aalen_johansen

FloatArray = NDArray[np.float64]
TIMES = np.array([30.0, 60.0, 120.0, 200.0, 300.0])
SMALL = BoostingConfig(members=3, rounds=40, learning_rate=0.2, bins=8)


def ids(n: int) -> NDArray[np.object_]:
    return np.array([f"p{i:04d}" for i in range(n)], dtype=object)


def rates(x: FloatArray) -> FloatArray:
    """Cause 1 is frequent where the first two features have one sign, cause 2 where they have not."""
    same = x[:, 0] * x[:, 1] > 0
    return np.column_stack([np.where(same, 0.010, 0.001), np.where(same, 0.001, 0.004)])


def truth(x: FloatArray) -> FloatArray:
    total = rates(x).sum(axis=1)[:, None, None]
    return rates(x)[:, :, None] / total * -np.expm1(-total * TIMES)


def draw(x: FloatArray, seed: int) -> Outcomes:
    """Constant hazards; censored at a rate of 0.001 and at 400 days."""
    rng = np.random.default_rng(seed)
    latent = np.column_stack([rng.exponential(1 / rates(x)), np.minimum(rng.exponential(1000, len(x)), 400)])
    return Outcomes(latent.min(axis=1), np.array([1, 2, 0])[latent.argmin(axis=1)], ("infection", "death"))


def rmse(model: Any, x: FloatArray, expected: FloatArray) -> float:
    return float(np.sqrt(np.mean((model.incidence(x, np.zeros(len(x)), TIMES) - expected) ** 2)))


@pytest.fixture(scope="module")
def xor() -> tuple[FloatArray, Outcomes, FloatArray]:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(1200, 4))
    return x, draw(x, 1), rng.normal(size=(500, 4))


@given(seed=st.integers(0, 1000), late=st.booleans())
@settings(deadline=None, max_examples=30)
def test_bins_hold_all_the_time_at_risk_and_all_events(seed: int, late: bool) -> None:
    rng = np.random.default_rng(seed)
    duration = rng.integers(1, 30, 50).astype(float)
    entry = duration * rng.uniform(0, 0.9, 50) if late else np.zeros(50)
    cause = rng.integers(0, 3, 50)
    cause[0] = 1
    outcomes = Outcomes(duration, cause, ("infection", "death"), entry if late else None)
    edges = bin_edges(outcomes, 6)
    binned = BinnedFollowUp.of(outcomes, edges)
    seen = np.maximum(np.minimum(duration, edges[-1]) - np.minimum(entry, edges[-1]), 0)
    np.testing.assert_allclose(binned.exposure @ np.diff(edges), seen, atol=1e-9)
    happened = cause > 0
    assert (edges[binned.event_bin[happened]] < duration[happened]).all()
    assert (duration[happened] <= edges[binned.event_bin[happened] + 1]).all()
    assert (binned.exposure[happened, binned.event_bin[happened]] > 0).all()


def test_base_is_events_by_time_at_risk() -> None:
    x = np.random.default_rng(0).normal(size=(4000, 2))
    outcomes = draw(x, 0)
    edges = bin_edges(outcomes, 6)
    binned = BinnedFollowUp.of(outcomes, edges)
    base = binned.base(np.zeros((4000, 6)), 2)
    events = np.histogram(outcomes.duration_days[outcomes.cause == 2], edges)[0]
    np.testing.assert_allclose(np.exp(base), events / binned.exposure.sum(axis=0), rtol=0.02)


def test_gradient_is_that_of_the_likelihood(xor: tuple[FloatArray, Outcomes, FloatArray]) -> None:
    x, outcomes, _ = xor
    binned = BinnedFollowUp.of(outcomes, bin_edges(outcomes, 8))
    side = boosting_fit._Side(x.astype(np.float32), binned, 1)
    rng = np.random.default_rng(0)
    side.effect = rng.normal(0, 0.3, (len(x), 2))
    base = binned.base(side.shifts(), 1)
    expected = side.expected(base)
    gradient = np.column_stack([side.event - expected.sum(axis=1), side.event_place - expected @ side.place])
    direction = rng.normal(size=side.effect.shape)
    start = side.effect
    numeric = []
    for step in (1e-5, -1e-5):
        side.effect = start + step * direction
        numeric.append(side.deviance(base))
    assert (numeric[0] - numeric[1]) / 2e-5 == pytest.approx(-(gradient * direction).sum(), rel=1e-6)


def test_shifts_are_the_mean_of_the_members_trees(
    monkeypatch: pytest.MonkeyPatch, xor: tuple[FloatArray, Outcomes, FloatArray]
) -> None:
    """Our arrays against the library's own trees."""
    x, outcomes, new = xor
    grown: list[Any] = []
    boost = boosting_fit._boost

    def spy(*args: Any) -> Any:
        kept = boost(*args)
        grown.extend(kept)
        return kept

    monkeypatch.setattr(boosting_fit, "_boost", spy)
    model = fit_boosting(x, outcomes, ids(1200), SMALL, seed=0)
    assert len(grown) == len(model.trees.root) > 60
    for cause in (1, 2):
        effect = sum(one.steps[one.tree.apply(new.astype(np.float32))] for one in grown if one.cause == cause)
        expected = (effect[:, :1] + effect[:, 1:] * places(8)) / SMALL.members
        np.testing.assert_allclose(model.shifts(new)[:, cause - 1], expected, atol=1e-12)


def test_boosting_finds_an_interaction_without_main_effects(xor: tuple[FloatArray, Outcomes, FloatArray]) -> None:
    x, outcomes, new = xor
    model = fit_boosting(x, outcomes, ids(1200), BoostingConfig(), seed=0)
    cox = CauseSpecificCox.fit(x, outcomes, penalty=None, patient_id=ids(1200), seed=0)
    assert rmse(model, new, truth(new)) < 0.14
    assert rmse(model, new, truth(new)) < 0.6 * rmse(cox, new, truth(new))


def test_boosting_finds_a_hazard_ratio_that_turns_round() -> None:
    """The rate is 0.012 before day 60 and 0.003 after it for some, and the other way round for the others."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(1500, 2))
    early = np.where(x[:, 0] > 0, 0.012, 0.003)
    late = np.where(x[:, 0] > 0, 0.003, 0.012)
    e = rng.exponential(size=1500)
    time = np.where(e < 60 * early, e / early, 60 + (e - 60 * early) / late)
    outcomes = Outcomes(np.minimum(time, 365.0), (time < 365).astype(np.int64), ("infection",))
    hazard = early[:, None] * np.minimum(TIMES, 60) + late[:, None] * np.maximum(TIMES - 60, 0)
    expected = -np.expm1(-hazard)[:, None, :]
    model = fit_boosting(x, outcomes, ids(1500), BoostingConfig(), seed=0)
    cox = CauseSpecificCox.fit(x, outcomes, penalty=None, patient_id=ids(1500), seed=0)
    assert rmse(model, x, expected) < 0.5 * rmse(cox, x, expected)


def test_noise_teaches_nearly_nothing(xor: tuple[FloatArray, Outcomes, FloatArray]) -> None:
    _, outcomes, new = xor
    noise = np.random.default_rng(9).normal(size=(1200, 4))
    model = fit_boosting(noise, outcomes, ids(1200), BoostingConfig(), seed=0)
    spread = model.incidence(new, np.zeros(500), TIMES).std(axis=0)
    assert spread.max() < 0.02


def test_without_features_it_is_about_the_aalen_johansen_estimate(xor: tuple[FloatArray, Outcomes, FloatArray]) -> None:
    x, outcomes, _ = xor
    model = fit_boosting(x[:, :0], outcomes, ids(1200), BoostingConfig(), seed=0)
    assert len(model.trees.root) == 0
    found = model.incidence(x[:1, :0], np.zeros(1), TIMES)[0]
    np.testing.assert_allclose(found, aalen_johansen(outcomes).at(TIMES), atol=0.012)
    again = Boosting.from_state(*model.state())
    np.testing.assert_array_equal(again.incidence(x[:1, :0], np.zeros(1), TIMES)[0], found)


def test_the_base_makes_expected_events_those_that_were_seen(xor: tuple[FloatArray, Outcomes, FloatArray]) -> None:
    x, outcomes, _ = xor
    model = fit_boosting(x, outcomes, ids(1200), SMALL, seed=0)
    binned = BinnedFollowUp.of(outcomes, model.edges_days)
    expected = binned.exposure[:, None] * np.exp(model.base + model.shifts(x))
    for cause in (1, 2):
        seen = np.bincount(binned.event_bin[outcomes.cause == cause], minlength=8)
        np.testing.assert_allclose(expected[:, cause - 1].sum(axis=0), seen, atol=1.5)


def test_late_entry_is_allowed_for() -> None:
    """Who is seen from late on has survived till then; taken as seen from the start, hazards would seem lower."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2000, 2))
    outcomes = draw(x, 0)
    entry = np.where(rng.random(2000) < 0.5, rng.uniform(0, 200, 2000), 0.0)
    seen = np.flatnonzero(outcomes.duration_days > entry)
    late = replace(outcomes, entry_days=entry).take(seen)

    def error(rows: Outcomes) -> float:
        model = fit_boosting(x[seen], rows, ids(len(seen)), SMALL, seed=0)
        return float(np.abs(model.incidence(x, np.zeros(2000), TIMES).mean(axis=0) - truth(x).mean(axis=0)).max())

    assert error(late) < 0.025
    assert error(replace(late, entry_days=None)) > 0.05


def test_rows_of_a_patient_are_trained_on_or_held_out_together(monkeypatch: pytest.MonkeyPatch) -> None:
    sides: list[tuple[set[float], set[float]]] = []
    boost = boosting_fit._boost

    def spy(train: Any, held_out: Any, *rest: Any) -> Any:
        sides.append((set(train.values[:, 0].tolist()), set(held_out.values[:, 0].tolist())))
        return boost(train, held_out, *rest)

    monkeypatch.setattr(boosting_fit, "_boost", spy)
    patient = np.random.default_rng(0).permutation(np.repeat(np.arange(50), 3))
    x = np.column_stack([patient, np.random.default_rng(1).normal(size=150)]).astype(float)
    fit_boosting(x, draw(np.random.default_rng(2).normal(size=(150, 2)), 3), ids(50)[patient], SMALL, seed=0)
    assert len(sides) == 3 * 2
    for train, held_out in sides:
        assert not train & held_out
        assert train | held_out == set(map(float, range(50)))
    assert set.union(*(held_out for _, held_out in sides)) == set(map(float, range(50)))


def test_a_cause_that_never_happens_gets_no_risk(xor: tuple[FloatArray, Outcomes, FloatArray]) -> None:
    x, outcomes, new = xor
    three = replace(outcomes, causes=("infection", "death", "lightning"))
    model = fit_boosting(x, three, ids(1200), SMALL, seed=0)
    assert model.incidence(new, np.zeros(500), TIMES)[:, 2].max() < 1e-6


@pytest.mark.parametrize(
    ("n", "cause", "message"),
    [
        pytest.param(20, 0, "boosting: no event of any cause", id="no event"),
        pytest.param(2, 1, "members = 3 for 2 patients", id="too few patients"),
    ],
)
def test_what_cannot_be_learnt_from_is_refused(n: int, cause: int, message: str) -> None:
    outcomes = Outcomes(np.arange(1.0, n + 1), np.full(n, cause), ("infection",))
    with pytest.raises(SequelaError, match=message):
        fit_boosting(np.zeros((n, 2)), outcomes, ids(n), SMALL, seed=0)
