"""Expected numbers of events that go with a run's risk model into its artifact."""

from __future__ import annotations

from dataclasses import dataclass

from experiments.config import RunConfig
from experiments.count_findings import count_findings, fit_expected
from experiments.count_records import CountFindings
from experiments.counted_rows import CountedRows, counted_rows
from experiments.data import TrainingRows
from experiments.home import Home
from features.records import PatientRecord
from training.artifact.blocks import CountsBlock
from training.artifact.parts import counts_of_example
from training.models.expected_counts import ExpectedCounts
from training.models.risk_model import FittedRiskModel


@dataclass(frozen=True, slots=True)
class Counts:
    """Rows of counting, and what cross-validation found on them."""

    rows: CountedRows
    found: CountFindings


def find_counts(rows: TrainingRows, config: RunConfig, home: Home) -> Counts | None:
    """Cross-validate the model of numbers that the configuration asks for; None where it asks for none.

    Raises:
        SequelaError: Numbers cannot be counted in the cohort, or nothing can be learnt of them in a fold.
    """
    if config.counts is None:
        return None
    counted = counted_rows(rows, config, home)
    return Counts(counted, count_findings(rows, counted, config))


def fit_served_counts(
    counts: Counts | None,
    config: RunConfig,
    model: FittedRiskModel,
    patient: PatientRecord,
    times_days: tuple[float, ...],
) -> tuple[ExpectedCounts | None, CountsBlock | None]:
    """Fit to everyone at risk of counting at any landmark; with what the manifest says of it.

    Args:
        counts: None: there is nothing to fit.
        config: Of the run.
        model: The run's risk model, whose encoder says what is seen of patients.
        patient: Of the example.
        times_days: Of the example.
    """
    if counts is None:
        return None, None
    fitted = fit_expected(counts.rows, model.encoder, config, config.seed)
    found = counts.found
    return fitted, CountsBlock(
        event=found.event,
        terminal_events=counts.rows.recurrences.terminals,
        landmark_days=fitted.landmark_days,
        n_times=fitted.n_times,
        n_patients=found.n_patients,
        n_events=found.n_events,
        penalty=fitted.penalty,
        scores=found.scores,
        example=counts_of_example(model, fitted, patient, times_days),
    )
