"""Where tiers begin: as the endpoint says, or where of its range acting is shown to be of use, and said as it was."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from experiments.config import RunConfig, load_run
from experiments.data import TrainingRows, load_rows
from experiments.home import CONFIGS
from experiments.optional_findings import read_finding, write_finding
from experiments.out_of_fold import OutOfFold, evaluation_times
from experiments.scoring import scored_rows
from experiments.thresholds import THRESHOLDS, Settled, settle_thresholds, with_decision
from experiments.usefulness import net_benefit_table
from features.check import read_endpoint
from features.config import FeatureConfig
from features.schema import Decision
from serving.decision import came_of, worth_of
from training.splits import Fold

HORIZON = 90.0


@pytest.fixture(scope="module")
def rows(cohort: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainingRows:
    endpoint = read_endpoint(CONFIGS / "endpoint" / "severe_infection.yaml")
    return load_rows(cohort, endpoint, FeatureConfig(measurements=(), cells=()), tmp_path_factory.mktemp("stores"))


@pytest.fixture(scope="module")
def config(cohort: Path) -> RunConfig:
    return load_run(CONFIGS / "run" / "cox.yaml", [f"cohort={cohort}", "validation={folds: 3, bootstrap: 40}"])


def predicting(rows: TrainingRows, risk: Any) -> OutOfFold:
    """Out-of-fold predictions of the event of interest that are `risk` at every time."""
    times = evaluation_times(rows.endpoint)
    incidence = np.zeros((1, len(rows.patients), len(rows.endpoint.causes), len(times)))
    incidence[0, :, 0] = np.asarray(risk)[:, None]
    folds = (Fold(0, 0, np.arange(0), np.arange(len(rows.patients))),)
    return OutOfFold(folds, times, incidence, np.zeros(incidence.shape[:2], dtype=np.int64))


@pytest.fixture(scope="module")
def knowing(rows: TrainingRows) -> OutOfFold:
    """Who knows the future, nearly."""
    infected = (rows.outcomes.cause == 1) & (rows.outcomes.duration_days <= HORIZON)
    return predicting(rows, np.where(infected, 0.6, 0.01))


def deciding(rows: TrainingRows, *begins: float | Sequence[float]) -> TrainingRows:
    """The same rows, with tiers that begin there."""
    tiers = [{"name": "standard"}, *({"name": f"tier {i}", "from_risk": one} for i, one in enumerate(begins))]
    decision = Decision.model_validate({"horizon_days": HORIZON, "tiers": tiers})
    return replace(rows, endpoint=rows.endpoint.model_copy(update={"decision": decision}))


def test_of_a_range_the_lowest_stands_that_is_shown_to_be_of_use(
    rows: TrainingRows, knowing: OutOfFold, config: RunConfig
) -> None:
    settled = settle_thresholds(rows, knowing, config)
    assert settled is not None
    raised, high = settled.thresholds
    assert (raised.how, high.how) == ("chosen", "chosen")
    assert (raised.accepted, high.accepted) == ((0.05, 0.15), (0.2, 0.4))
    assert settled.decision.settled
    assert settled.decision.thresholds == (raised.threshold, high.threshold)
    assert raised.at_once == high.at_once == 11 + 21
    for one in settled.thresholds:
        assert one.gain is not None
        assert one.gain[1] > 0
        said = came_of(one)
        assert f"The threshold of {100 * one.threshold:g} % was chosen by net benefit: of" in said
        assert f"(95 % interval {100 * one.gain[1]:.1f} to {100 * one.gain[2]:.1f}, at once for all 32" in said
    below = deciding(rows, [0.02, round(raised.threshold - 0.01, 2)]) if raised.threshold > 0.03 else None
    found = settle_thresholds(below, knowing, config) if below else None
    assert found is None or found.thresholds[0].threshold <= raised.threshold


def test_where_none_is_shown_the_least_stands_and_it_is_said(rows: TrainingRows, config: RunConfig) -> None:
    rng = np.random.default_rng(0)
    settled = settle_thresholds(rows, predicting(rows, rng.uniform(0.02, 0.5, len(rows.patients))), config)
    assert settled is not None
    assert [(one.how, one.threshold) for one in settled.thresholds] == [("not_shown", 0.05), ("not_shown", 0.2)]
    assert "From no threshold of 5 to 15 % on was acting shown" in came_of(settled.thresholds[0])
    assert "the least, 5 %, stands" in came_of(settled.thresholds[0])


def test_numbers_are_taken_as_they_are_with_intervals_of_each_alone(
    rows: TrainingRows, knowing: OutOfFold, config: RunConfig
) -> None:
    of = deciding(rows, 0.1, 0.25)
    settled = settle_thresholds(of, knowing, config)
    assert settled is not None
    assert settled.decision == of.endpoint.decision
    assert [(one.how, one.gain, one.at_once) for one in settled.thresholds] == [("given", None, 1)] * 2
    assert "10 % was given with the endpoint" in came_of(settled.thresholds[0])
    table = net_benefit_table(of, knowing, config).set_index(["landmark_day", "horizon_days", "threshold"])
    assert [(one.landmark_day, one.threshold) for one in settled.benefits] == [
        (day, threshold) for day in of.endpoint.landmark_days for threshold in (0.1, 0.25)
    ]
    for one in settled.benefits:
        line = table.loc[(one.landmark_day, HORIZON, one.threshold)]
        assert one.flagged == line["treated"]
        assert one.gain == tuple(line[["gain", "gain_low", "gain_high"]])


def test_at_each_landmark_what_was_searched_has_the_interval_for_all_that_were(
    rows: TrainingRows, knowing: OutOfFold, config: RunConfig
) -> None:
    searched = settle_thresholds(deciding(rows, [0.05, 0.15], 0.3), knowing, config)
    assert searched is not None
    chosen = searched.thresholds[0].threshold
    given = settle_thresholds(deciding(rows, chosen, 0.3), knowing, config)
    assert given is not None
    wide, narrow = searched.benefits[0], given.benefits[0]
    assert wide.gain is not None
    assert narrow.gain is not None
    assert (wide.at_once, narrow.at_once) == (11, 1)
    assert wide.gain[0] == pytest.approx(narrow.gain[0])
    assert wide.gain[2] - wide.gain[1] > narrow.gain[2] - narrow.gain[1]
    assert "at once for all 11 thresholds searched" in worth_of(chosen, wide)
    assert searched.benefits[1] == given.benefits[1]  # a number beside a range


def test_only_rows_that_are_scored_count(rows: TrainingRows, knowing: OutOfFold, config: RunConfig) -> None:
    untested = replace(knowing, incidence=knowing.incidence.copy())
    left = scored_rows(rows, knowing, 0.0)[::2]
    untested.incidence[:, left] = np.nan
    settled = settle_thresholds(rows, untested, config)
    assert settled is not None
    assert settled.thresholds[0].gain is not None


def test_what_was_settled_is_read_again(
    rows: TrainingRows, knowing: OutOfFold, config: RunConfig, tmp_path: Path
) -> None:
    settled = settle_thresholds(rows, knowing, config)
    write_finding(settled, tmp_path / THRESHOLDS)
    assert read_finding(Settled, tmp_path / THRESHOLDS) == settled
    assert settled is not None
    assert with_decision(rows.endpoint, settled).decision == settled.decision


def test_without_tiers_nothing_is_settled(
    rows: TrainingRows, knowing: OutOfFold, config: RunConfig, tmp_path: Path
) -> None:
    without = replace(rows, endpoint=rows.endpoint.model_copy(update={"decision": None}))
    settled = settle_thresholds(without, knowing, config)
    assert settled is None
    write_finding(settled, tmp_path / THRESHOLDS)
    assert list(tmp_path.iterdir()) == []
    assert read_finding(Settled, tmp_path / THRESHOLDS) is None
    assert with_decision(without.endpoint, settled) == without.endpoint
