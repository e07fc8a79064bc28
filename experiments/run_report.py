"""What a run writes beside its artifact: predictions, splits, scores and figures, as files that others read."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from experiments.config import RunConfig
from experiments.crossval import tuning_table
from experiments.data import TrainingRows
from experiments.figures import calibration_figure, counts_figure, incidence_figure, net_benefit_figure
from experiments.importance_figure import importance_figure
from experiments.out_of_fold import OutOfFold, predictions_table, splits_record
from experiments.scoring import scored_rows, scores_table
from experiments.usefulness import counts_table, net_benefit_table
from training.evaluation.importance import SourceImportance
from training.evaluation.intervals import Interval
from training.evaluation.permutation import PermutationTest
from training.evaluation.scores import Scores


@dataclass(frozen=True, slots=True)
class Findings:
    """What cross-validation found."""

    scores: Mapping[float, Scores]
    """By landmark day."""
    importance: Sequence[SourceImportance] = ()
    """Empty where none is asked for."""
    pipeline: PermutationTest | None = None
    """None where no permutation is asked for."""


def write_report(rows: TrainingRows, out_of_fold: OutOfFold, found: Findings, config: RunConfig, folder: Path) -> None:
    """Write every table and figure of a run into its report folder."""
    folder.mkdir(exist_ok=True)
    predictions_table(rows, out_of_fold).to_parquet(folder / "oof_predictions.parquet", index=False)
    (folder / "splits.json").write_text(json.dumps(splits_record(rows, out_of_fold), indent=1), "utf-8")
    scores_table(found.scores).to_csv(folder / "scores.csv", index=False)
    if config.tuning is not None:
        tuning_table(folder.parent / "folds").to_csv(folder / "tuning.csv", index=False)
    if found.importance:
        importance_table(found.importance).to_csv(folder / "importance.csv", index=False)
    if found.pipeline is not None:
        _write_pipeline_test(found.pipeline, folder / "permutation_test.json")
    net_benefit, counts = net_benefit_table(rows, out_of_fold, config), counts_table(rows, out_of_fold, config)
    net_benefit.to_csv(folder / "net_benefit.csv", index=False)
    if counts is not None:
        counts.to_csv(folder / "counts.csv", index=False)
    _draw(rows, out_of_fold, config, folder)
    _draw_usefulness(rows, found, config, net_benefit, counts, folder)


def importance_table(importance: Sequence[SourceImportance]) -> pd.DataFrame:
    """cause, source, and by how much the integrated Brier score rises and concordance falls, with intervals."""

    def columns(name: str, value: Interval) -> dict[str, str | float]:
        return {name: value.point, f"{name}_low": value.low, f"{name}_high": value.high}

    return pd.DataFrame(
        [
            {"cause": one.cause, "source": one.source} | columns("ibs_increase", one.ibs) | columns("c_decrease", one.c)
            for one in importance
        ]
    ).sort_values(["cause", "ibs_increase"], ascending=[True, False], kind="stable")


def _write_pipeline_test(test: PermutationTest, path: Path) -> None:
    content = {
        "statistic": "IPA of the event of interest in one cross-validation, mean over landmarks",
        "observed": test.observed,
        "p": test.p,
        "p_low": test.p_low,
        "p_high": test.p_high,
        "permuted": test.permuted.tolist(),
    }
    path.write_text(json.dumps(content, indent=1), "utf-8")


def _draw(rows: TrainingRows, out_of_fold: OutOfFold, config: RunConfig, folder: Path) -> None:
    """Curves and calibration of the first landmark, of the first repeat's predictions."""
    of_day = scored_rows(rows, out_of_fold, rows.endpoint.landmark_days[0])
    outcomes, incidence = rows.outcomes.take(of_day), out_of_fold.incidence[0, of_day]
    title, times = _title(rows, config), out_of_fold.times_days
    incidence_figure(incidence, times, outcomes, title).savefig(folder / "cif.png")
    calibration_figure(incidence, times, outcomes, _middle_horizon(rows), title).savefig(folder / "calibration.png")


def _draw_usefulness(
    rows: TrainingRows,
    found: Findings,
    config: RunConfig,
    net_benefit: pd.DataFrame,
    counts: pd.DataFrame | None,
    folder: Path,
) -> None:
    """Decision curve, numbers of events and importances, where there are any."""
    title, event = _title(rows, config), rows.endpoint.event.name
    horizon = _middle_horizon(rows)
    first = net_benefit["landmark_day"] == rows.endpoint.landmark_days[0]
    shown = net_benefit[first & (net_benefit["horizon_days"] == horizon)]
    net_benefit_figure(shown, horizon, title).savefig(folder / "net_benefit.png")
    if counts is not None:
        counts_figure(counts, event, title).savefig(folder / "counts.png")
    if found.importance:
        importance_figure(found.importance, rows.endpoint.causes[0], title).savefig(folder / "importance.png")


def _middle_horizon(rows: TrainingRows) -> float:
    horizons = rows.endpoint.horizons_days
    return horizons[(len(horizons) - 1) // 2]


def _title(rows: TrainingRows, config: RunConfig) -> str:
    """Simulated is called simulated."""
    endpoint = rows.endpoint
    day, provenance = endpoint.landmark_days[0], rows.cohort.card.provenance
    return f"{config.name}: {endpoint.name} from day {day:g} ({provenance})"
