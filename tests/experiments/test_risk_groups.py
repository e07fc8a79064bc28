"""The calibration that an artifact carries: whole, right, and of no single patient."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.config import RunConfig
from experiments.home import Home
from experiments.page.privacy import SMALLEST, Disclosure
from experiments.progress import Progress
from experiments.risk_groups import FEWEST_PATIENTS, MOST_GROUPS, groups_of
from experiments.train import train
from features.outcomes import Outcomes
from training.artifact.manifest import read_manifest

CAUSES = ("infection", "death")
HORIZON = 365.0
SHOWN = Disclosure(guarded=False, individual_lines=False)
GUARDED = Disclosure(guarded=True, individual_lines=False)


def uncensored(risk: np.ndarray, rng: np.random.Generator) -> Outcomes:
    """Everyone is followed beyond the horizon, or has an event."""
    cause = np.where(rng.random(len(risk)) < risk, 1, np.where(rng.random(len(risk)) < 0.2, 2, 0))
    return Outcomes(np.where(cause == 0, 400.0, rng.uniform(1, 360, len(risk))), cause, CAUSES)


@given(
    st.lists(st.floats(0, 1), min_size=0, max_size=120),
    st.integers(0, 100),
    st.booleans(),
)
@settings(max_examples=150, deadline=None)
def test_groups_hold_every_patient_once_and_none_is_small(risks: list[float], seed: int, guarded: bool) -> None:
    risk = np.array(risks)
    outcomes = uncensored(risk, np.random.default_rng(seed))
    found = list(groups_of(risk, outcomes, HORIZON, GUARDED if guarded else SHOWN))
    in_all = int((outcomes.cause == 1).sum())
    if len(risk) < FEWEST_PATIENTS or (guarded and 0 < in_all < SMALLEST):
        assert found == []
        return
    assert len(found) <= MOST_GROUPS
    assert sum(group.n_patients for group in found) == len(risk)
    assert [found[0].above, found[-1].up_to] == [0, 1]
    assert [group.up_to for group in found[:-1]] == [group.above for group in found[1:]]
    for i, group in enumerate(found):
        own = (risk > group.above if i else risk >= 0) & (risk <= group.up_to)
        assert group.n_patients == own.sum() >= FEWEST_PATIENTS
        happened = int((outcomes.cause[own] == 1).sum())
        assert group.predicted == pytest.approx(risk[own].mean())
        assert group.observed == pytest.approx(happened / own.sum())  # nobody is censored
        assert (group.low is None) == (happened in (0, own.sum()))
        if guarded:
            assert happened == 0 or happened >= SMALLEST


def test_fifths_of_many_patients_and_bounds_that_are_nobodys_risk() -> None:
    rng = np.random.default_rng(3)
    risk = rng.beta(2, 6, 500)
    found = list(groups_of(risk, uncensored(risk, rng), HORIZON, GUARDED))
    assert [group.n_patients for group in found] == pytest.approx([100] * 5, abs=3)
    bounds = [group.up_to for group in found[:-1]]
    assert not set(bounds) & set(risk)
    for group in found:
        assert group.low is not None
        assert group.high is not None
        assert group.low < group.observed < group.high


def test_a_trained_artifact_carries_the_groups_of_its_out_of_fold_predictions(
    home: Home, run_config: RunConfig
) -> None:
    result = train(run_config, home, Progress(cells=lambda *_: None, folds=lambda *_: None))
    manifest = read_manifest(result.folder / "artifact")
    table = pd.read_parquet(result.folder / "report" / "oof_predictions.parquet")
    event, last = manifest.endpoint.causes[0], manifest.endpoint.horizons_days[-1]
    told = [(one.landmark_day, one.horizon_days) for one in manifest.calibration]
    assert told == [(day, at) for day in manifest.endpoint.landmark_days for at in manifest.endpoint.horizons_days]
    for one in manifest.calibration:
        if one.horizon_days != last:
            continue
        rows = table[(table["cause"] == event) & (table["landmark_day"] == one.landmark_day)]
        risk = rows[np.isclose(rows["horizon_days"], last)].groupby("patient_id")["incidence"].mean()
        assert sum(group.n_patients for group in one.groups) == len(risk)
        mean = sum(group.n_patients * group.predicted for group in one.groups) / len(risk)
        assert mean == pytest.approx(risk.mean())
