"""Expected numbers of events, cross-validated for a run with `counts`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from experiments.config import RunConfig
from experiments.count_records import CountFindings, CountGroup
from experiments.counted_rows import CountedRows, counted_folds, known_before_test
from experiments.data import TrainingRows
from experiments.optional_findings import measured
from experiments.page.privacy import Disclosure
from experiments.temporal import before_test
from features.encoder import PatientEncoder
from features.patients import FloatArray, IntArray
from training.artifact.blocks import CountScore
from training.evaluation.count_scores import Foretold, count_accuracy, count_calibration
from training.fitting.mean_count import Stratum
from training.fitting.mean_count_penalty import fit_counts
from training.models.expected_counts import ExpectedCounts
from training.models.mean_count import marginal_mean

GROUPS = 5
PATIENTS_A_GROUP = 10
"""Fewer groups where there would be fewer patients in each."""


@dataclass(frozen=True, slots=True)
class CountsOutOfFold:
    """Expected numbers of every row by a model that never saw its patient, once a repeat."""

    expected: FloatArray
    """(repeats, rows, horizons); NaN for rows that are never tested."""
    marginal: FloatArray
    """The same of the Ghosh–Lin mean of each fold's training patients."""


def strata_of(counted: CountedRows, encoder: PatientEncoder) -> dict[float, Stratum]:
    """For each landmark, encoded patients and their events."""
    x = encoder.transform(counted.patients)
    return {day: (x[rows], counted.recurrences.take(rows)) for day, rows in counted.by_landmark()}


def fit_expected(counted: CountedRows, encoder: PatientEncoder, config: RunConfig, seed: int) -> ExpectedCounts:
    """Fit the model that a run asks for to some rows, encoded by the encoder of the run.

    Raises:
        SequelaError: Nobody of them has an event.
    """
    ids = {day: counted.patients.patient_id[rows] for day, rows in counted.by_landmark()}
    penalty = None if config.counts is None else config.counts.penalty
    return fit_counts(strata_of(counted, encoder), ids, penalty=penalty, seed=seed)


def count_out_of_fold(rows: TrainingRows, counted: CountedRows, config: RunConfig) -> CountsOutOfFold:
    """Fit on all but one fold, foretell it, for every fold of the run.

    The encoder is fitted anew on the training rows of the risk model; penalty and means on those of counting.

    Raises:
        SequelaError: Nobody in the training rows of a fold has an event, or is followed before a temporal test span.
    """
    times = np.array(rows.endpoint.horizons_days)
    expected = np.full((config.validation.repeats, len(counted), len(times)), np.nan)
    marginal = expected.copy()
    for fold, own in counted_folds(rows, counted, config):
        then, trained = before_test(rows, config, fold)
        encoder = PatientEncoder.fit(then.patients.take(trained.train), rows.cohort.card, config.features)
        train, test = known_before_test(rows, counted, config, fold, own), counted.patients.take(own.test)
        model = fit_expected(train, encoder, config, config.seed * 1000 + fold.number)
        expected[fold.repeat, own.test] = model.expected(encoder.transform(test), test.landmark_day, times)
        for day, of_day in train.by_landmark():
            at_day = own.test[test.landmark_day == day]
            marginal[fold.repeat, at_day] = marginal_mean(train.recurrences.take(of_day)).at(times)
    return CountsOutOfFold(expected, marginal)


def count_findings(rows: TrainingRows, counted: CountedRows, config: RunConfig) -> CountFindings:
    """Everything that cross-validation says of expected numbers; small numbers of real patients are withheld."""
    out_of_fold = count_out_of_fold(rows, counted, config)
    shown = Disclosure.of(rows.cohort)
    scores: list[CountScore] = []
    calibration: list[CountGroup] = []
    for _, of_day in counted.by_landmark():
        foretold = list(_foretold(rows, counted, out_of_fold, of_day))
        for day, one in foretold:
            scores.append(_scored(day, one, config, shown))
        known = [(day, one) for day, one in foretold if one.time_days <= _known_days(one)]
        calibration += _calibrated(*known[-1], config, shown) if known else []
    n_patients, n_events = numbers_of(counted)
    return CountFindings(
        provenance=rows.cohort.card.provenance,
        event=rows.endpoint.event.name,
        n_patients=None if shown.small(n_patients) else n_patients,
        n_events=None if shown.small(n_events) else n_events,
        scores=tuple(scores),
        calibration=tuple(calibration),
    )


def numbers_of(counted: CountedRows) -> tuple[int, int]:
    """Patients, and events after the first landmark at which each was at risk; landmarks ascend."""
    _, first = np.unique(counted.patients.patient_id.astype(str), return_index=True)
    return len(first), len(counted.recurrences.take(first).day)


def _foretold(
    rows: TrainingRows, counted: CountedRows, out_of_fold: CountsOutOfFold, of_day: IntArray
) -> Iterator[tuple[float, Foretold]]:
    """The tested rows of one landmark at each horizon."""
    both = np.stack([out_of_fold.expected[:, of_day], out_of_fold.marginal[:, of_day]])
    at = of_day[np.isfinite(both).all(axis=(0, 1, 3))]
    part = counted.take(at)
    for number, time in enumerate(rows.endpoint.horizons_days if len(at) else ()):
        expected, marginal = out_of_fold.expected[:, at, number], out_of_fold.marginal[:, at, number]
        foretold = Foretold(part.recurrences, time, expected, marginal, part.patients.patient_id)
        yield float(part.patients.landmark_day[0]), foretold


def _scored(day: float, foretold: Foretold, config: RunConfig, shown: Disclosure) -> CountScore:
    found = None
    if not shown.small(int((foretold.happened > 0).sum())):
        rng = np.random.default_rng(config.seed)
        found = count_accuracy(foretold, rng=rng, n_bootstrap=config.validation.bootstrap)
    return CountScore(
        landmark_day=day,
        horizon_days=foretold.time_days,
        explained=None if found is None else measured(found.explained),
        observed_over_expected=None if found is None else measured(found.observed_over_expected),
    )


def _known_days(foretold: Foretold) -> float:
    """To which day somebody is followed, or all are gone."""
    ends, terminal = foretold.recurrences.end_days, foretold.recurrences.terminal
    return np.inf if terminal[ends == ends.max()].all() else float(ends.max())


def _calibrated(day: float, foretold: Foretold, config: RunConfig, shown: Disclosure) -> Iterator[CountGroup]:
    n_groups = int(np.clip(len(foretold.patient_id) // PATIENTS_A_GROUP, 1, GROUPS))
    rng = np.random.default_rng(config.seed)
    for group in count_calibration(foretold, n_groups, rng=rng, n_bootstrap=config.validation.bootstrap):
        met = int((foretold.happened[group.rows] > 0).sum())
        small = shown.small(met) or shown.small(len(group.rows))
        yield CountGroup(
            landmark_day=day,
            horizon_days=foretold.time_days,
            n_patients=None if shown.small(len(group.rows)) else len(group.rows),
            expected=group.expected,
            observed=None if small else measured(group.observed),
        )
