"""`evaluate` puts the metrics together, names them, and survives what is not defined."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from features.errors import SequelaError
from features.outcomes import Outcomes
from training.evaluation.arrays import at_horizons
from training.evaluation.brier import brier_score, integrate, null_brier_score, prediction_accuracy
from training.evaluation.calibration import aj_calibration, observed_over_expected
from training.evaluation.calibration_curve import calibration_distances
from training.evaluation.calibration_line import calibration_line
from training.evaluation.discrimination import auc, concordance
from training.evaluation.pseudo import pseudo_values
from training.evaluation.scores import evaluate, mean_scores
from training.models.nonparametric import aalen_johansen

Draw = Callable[..., Any]
OVERALL = ("ibs", "ipa", "c", "aj_calibration")
AT_HORIZON = (
    *("brier", "ipa", "auc", "o_e", "ici", "e50", "e90", "emax"),
    *("calibration_intercept", "calibration_slope"),
)
HORIZONS = [10.0, 25.0]


def test_every_metric_is_in_its_place(draw: Draw) -> None:
    outcomes, times, incidence = draw(1, 120, n_causes=3)
    found = evaluate(incidence, times, outcomes, HORIZONS, np.arange(120), n_bootstrap=20)
    at = np.array(HORIZONS)
    risk = np.stack([incidence[..., 1], incidence[..., 2:].mean(axis=-1)], axis=-1)
    brier, null = brier_score(risk, at, outcomes), null_brier_score(at, outcomes)
    ibs = integrate(brier_score(incidence, times, outcomes), times)
    ibs_null = integrate(null_brier_score(times, outcomes), times)
    pseudo = pseudo_values(outcomes, at)
    expected = {
        "brier": brier,
        "ipa": prediction_accuracy(brier, null),
        "auc": auc(risk, at, outcomes),
        "o_e": observed_over_expected(risk, at, outcomes),
    }
    for k, cause in enumerate(found.causes):
        assert cause.cause == outcomes.causes[k]
        assert cause.ibs.point == pytest.approx(ibs[k])
        assert cause.ipa.point == pytest.approx(1 - ibs[k] / ibs_null[k])
        assert cause.aj_calibration.point == pytest.approx(aj_calibration(incidence, times, outcomes)[k])
        assert cause.c.point == pytest.approx(concordance(risk[..., 1], outcomes, 25.0)[k])
        for j, scores in enumerate(cause.horizons):
            assert scores.horizon_days == HORIZONS[j]
            assert scores.n_events == sum((outcomes.cause == k + 1) & (outcomes.duration_days <= HORIZONS[j]))
            distances = calibration_distances(risk[:, k, j], pseudo[:, k, j])
            line = calibration_line(risk[:, k, j], pseudo[:, k, j])
            found_distances = [scores.ici.point, scores.e50.point, scores.e90.point, scores.emax.point]
            assert found_distances == pytest.approx([float(value) for value in dataclasses.astuple(distances)])
            found_line = [scores.calibration_intercept.point, scores.calibration_slope.point]
            assert found_line == pytest.approx([float(line.intercept), float(line.slope)])
            for name, values in expected.items():
                assert getattr(scores, name).point == pytest.approx(values[k, j]), name


def test_bounds_enclose_and_repeat_with_the_seed(draw: Draw) -> None:
    outcomes, times, incidence = draw(1, 120)
    first, again, other = (
        evaluate(incidence, times, outcomes, HORIZONS, np.arange(120), n_bootstrap=100, seed=seed) for seed in (1, 1, 2)
    )
    assert first == again
    assert first != other
    for row in first.table():
        if row["metric"] not in {"n_events", "ici", "e50", "e90", "emax", "aj_calibration"}:
            # Those are absolute values, and their resamples lie above them.
            assert row["low"] < row["point"] < row["high"], row


def test_names_for_trackers(draw: Draw) -> None:
    outcomes, times, incidence = draw(1, 120)
    metrics = evaluate(incidence, times, outcomes, HORIZONS, np.arange(120), n_bootstrap=20).metrics()
    overall = {f"{name}{end}" for name in OVERALL for end in ("", "_lo", "_hi")}
    at = {f"{name}_{horizon:g}d{end}" for name in AT_HORIZON for horizon in HORIZONS for end in ("", "_lo", "_hi")} | {
        f"n_events_{horizon:g}d" for horizon in HORIZONS
    }
    names = {f"{name}/{cause}" for name in overall | at for cause in outcomes.causes}
    assert set(metrics) == names | {"n_patients", "scored_to_days"}
    assert all(isinstance(value, float) for value in metrics.values())


def test_table_has_a_row_for_each_number(draw: Draw) -> None:
    outcomes, times, incidence = draw(1, 120)
    table = evaluate(incidence, times, outcomes, HORIZONS, np.arange(120), n_bootstrap=0).table()
    assert len(table) == 2 * (4 + 2 * 11)
    assert {tuple(row) for row in table} == {("cause", "horizon_days", "metric", "point", "low", "high")}
    assert all(np.isnan(row["low"]) for row in table)


def test_aalen_johansen_has_no_advantage_over_itself(draw: Draw) -> None:
    outcomes, times, _ = draw(1, 120)
    same = np.tile(aalen_johansen(outcomes).at(times), (120, 1, 1))
    found = evaluate(same, times, outcomes, [10.0, 20.0], np.arange(120), n_bootstrap=0)
    for cause in found.causes:
        assert cause.ipa.point == pytest.approx(0, abs=1e-12)
        assert cause.c.point == 0.5
        assert cause.aj_calibration.point == pytest.approx(0, abs=1e-20)
        for scores in cause.horizons:
            assert scores.ipa.point == pytest.approx(0, abs=1e-12)
            assert scores.auc.point == 0.5
            assert scores.o_e.point == pytest.approx(1)
            assert scores.ici.point == pytest.approx(0, abs=1e-12)
            assert scores.emax.point == pytest.approx(0, abs=1e-12)
            assert scores.calibration_intercept.point == pytest.approx(0, abs=1e-8)
            assert np.isnan(scores.calibration_slope.point)


def test_null_estimated_elsewhere(draw: Draw) -> None:
    outcomes, times, incidence = draw(1, 120)
    null = np.full_like(incidence, 0.3) * times / times[-1]
    found = evaluate(incidence, times, outcomes, [10.0], np.arange(120), n_bootstrap=30, null_incidence=null).causes[0]
    expected = [integrate(brier_score(model, times, outcomes), times)[0] for model in (incidence, null)]
    assert found.ipa.point == pytest.approx(1 - expected[0] / expected[1])
    at = [brier_score(model[..., 1:2], times[1:2], outcomes)[0, 0] for model in (incidence, null)]
    assert found.horizons[0].ipa.point == pytest.approx(1 - at[0] / at[1])
    assert found.ipa.low < found.ipa.point < found.ipa.high


def test_cause_without_events_is_nan_and_nothing_breaks(draw: Draw) -> None:
    outcomes, times, incidence = draw(1, 120, n_causes=3)
    cause = np.where(outcomes.cause == 2, 0, outcomes.cause)
    outcomes = dataclasses.replace(outcomes, cause=cause)
    found = evaluate(incidence, times, outcomes, HORIZONS, np.arange(120), n_bootstrap=20).causes[1]
    assert np.isnan([found.c.point, found.ipa.point, found.c.low]).all()
    assert found.ibs.point > 0
    for scores in found.horizons:
        assert (scores.n_events, scores.o_e.point) == (0, 0.0)
        assert np.isnan([scores.auc.point, scores.auc.low, scores.ipa.point]).all()
        assert scores.ici.point > 0


def test_horizon_after_all_follow_up_is_nan_and_the_integral_ends_before() -> None:
    rng = np.random.default_rng(0)
    outcomes = Outcomes(np.append(rng.integers(1, 12, 30), 12.0), np.append(rng.integers(0, 2, 30), 0), ("infection",))
    times = np.array([4.0, 8.0, 12.0, 16.0])
    incidence = rng.uniform(0.1, 0.5, (31, 1, 1)) * times / 16
    found = evaluate(incidence, times, outcomes, [8.0, 14.0], np.arange(31), n_bootstrap=20)
    assert found.scored_to_days == 12.0
    short = integrate(brier_score(incidence[..., :3], times[:3], outcomes), times[:3])
    assert found.causes[0].ibs.point == pytest.approx(short[0])
    known, unknown = found.causes[0].horizons
    for name in AT_HORIZON:
        assert np.isfinite(dataclasses.astuple(getattr(known, name))).all(), name
        assert np.isnan(dataclasses.astuple(getattr(unknown, name))).all(), name


def test_a_single_patient() -> None:
    outcomes = Outcomes(np.array([3.0]), np.array([1]), ("infection",))
    found = evaluate(np.full((1, 1, 1), 0.4), np.array([5.0]), outcomes, [5.0], ["a"], n_bootstrap=5)
    assert found.causes[0].horizons[0].brier.point == pytest.approx(0.36)


def test_horizons_between_predicted_times() -> None:
    incidence = np.array([[[0.1, 0.3]]])
    found = at_horizons(incidence, np.array([10.0, 20.0]), np.array([5.0, 10.0, 12.0, 20.0]))
    np.testing.assert_allclose(found, [[[0.05, 0.1, 0.14, 0.3]]])
    with_day_0 = at_horizons(np.array([[[0.0, 0.3]]]), np.array([0.0, 20.0]), np.array([5.0]))
    np.testing.assert_allclose(with_day_0, [[[0.075]]])


def test_mean_of_repeats_is_that_of_each_metric(draw: Draw) -> None:
    outcomes, times, incidence = draw(1, 120)
    repeats = [
        evaluate(model, times, outcomes, HORIZONS, np.arange(120), n_bootstrap=20)
        for model in (incidence, incidence / 2)
    ]
    tables = [mean_scores(repeats).table(), *(scores.table() for scores in repeats)]
    for found, one, other in zip(*tables, strict=True):
        parts = ["point"] if found["metric"] == "n_events" else ["point", "low", "high"]
        assert [found[part] for part in parts] == pytest.approx([(one[part] + other[part]) / 2 for part in parts])


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        pytest.param({"horizons_days": [40.0]}, ValueError, "after the last predicted time", id="late horizon"),
        pytest.param({"horizons_days": [20.0, 10.0]}, ValueError, "must be positive and ascend", id="order"),
        pytest.param({"horizons_days": []}, ValueError, "at least one", id="no horizon"),
        pytest.param({"patient_id": np.arange(3)}, ValueError, "3 patient ids for 120 rows", id="patients"),
        pytest.param({"incidence": np.zeros((1, 2, 4))}, ValueError, "incidence of shape", id="shape"),
        pytest.param({"null_incidence": np.zeros((1, 2, 4))}, ValueError, "incidence of shape", id="shape of null"),
        pytest.param({"times_days": np.arange(996.0, 1000.0)}, SequelaError, "end of all follow-up", id="late times"),
    ],
)
def test_refuses(draw: Draw, change: dict[str, Any], error: type[Exception], message: str) -> None:
    outcomes, times, incidence = draw(1, 120)
    outcomes = dataclasses.replace(outcomes, cause=np.where(outcomes.duration_days < 30, outcomes.cause, 0))
    given = {"incidence": incidence, "times_days": times, "horizons_days": [10.0], "patient_id": np.arange(120)}
    with pytest.raises(error, match=message):
        evaluate(outcomes=outcomes, **(given | change))
