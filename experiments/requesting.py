"""A cohort sent to a service: records out, a table of incidences back, as `sequela predict` writes it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from features.cells.anndata_io import CellFile
from features.check import read_cohort
from features.cohort_records import Record, Wanted, patient_records
from serving.client import Answered, Client
from serving.messages import ModelCard


def request_cohort(
    client: Client,
    folder: Path,
    *,
    landmark_day: float | None = None,
    horizons_days: tuple[float, ...] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> pd.DataFrame:
    """Predict every patient of a cohort through a service.

    Args:
        client: Of the service.
        folder: The cohort; events may be absent.
        landmark_day: Default the first of the model.
        horizons_days: Default the model's.
        progress: Told how many patients of how many are answered.

    Returns:
        patient_id, landmark_day, cause, horizon_days, incidence, n_missing, n_outside_range, model (its version); one
        row a patient, cause and horizon. Of a model with counts also expected_events, as `sequela predict` has it.

    Raises:
        SequelaError: The cohort has findings, or the service refuses a patient or does not answer.
    """
    card = client.card()
    cohort = read_cohort(folder)
    day = card.landmark_days[0] if landmark_day is None else landmark_day
    records = patient_records(cohort, wanted_by(card), day)
    return _answers(client, records, len(cohort.patients), horizons_days, progress)


def request_cells(
    client: Client,
    path: Path,
    material: str,
    day: float,
    *,
    landmark_day: float | None = None,
    horizons_days: tuple[float, ...] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> pd.DataFrame:
    """Predict from cells alone: each sample of an AnnData file is a patient of whom nothing else is known.

    Args:
        client: Of the service.
        path: ``.h5ad`` or ``.zarr``, with obs.sample_id and perhaps obs.cell_type.
        material: Of all samples.
        day: Likewise, since infusion.
        landmark_day: Default the first of the model that is not before the samples.
        horizons_days: Default the model's.
        progress: Told how many samples of how many are answered.

    Returns:
        As `request_cohort`; patient_id is the sample's.

    Raises:
        SequelaError: The file cannot be read, or the service refuses a sample or does not answer.
    """
    days = client.card().landmark_days
    landmark = min(max(days[0], day), days[-1]) if landmark_day is None else landmark_day
    cells = CellFile.open(path)
    records = (
        {"patient_id": name, "landmark_day": landmark, "samples": [{"material": material, "day": day, "cells": bag}]}
        for name, bag in cells.bags()
    )
    return _answers(client, records, len(cells.samples), horizons_days, progress)


def _answers(
    client: Client,
    records: Iterator[Record],
    n_records: int,
    horizons_days: tuple[float, ...] | None,
    progress: Callable[[int, int], None] | None,
) -> pd.DataFrame:
    rows: list[dict[str, Any]] = []
    for done, answered in enumerate(client.predict(records, horizons_days=horizons_days), start=1):
        rows.extend(rows_of(answered))
        if progress is not None:
            progress(done, n_records)
    return pd.DataFrame(rows)


def wanted_by(card: ModelCard) -> Wanted:
    """What the model of a card takes."""
    given = {place: frozenset(v.name for v in card.variables if place in v.given_as) for place in PLACES}
    return Wanted(
        **given,
        events=frozenset(card.events),
        materials=frozenset(card.cells.materials) if card.cells else frozenset(),
        cells=card.cells is not None and bool(card.cells.genes),
        clones=card.cells is not None and card.cells.clones,
    )


PLACES = ("baseline", "measurements")


def rows_of(answered: Answered) -> Iterator[dict[str, Any]]:
    """The rows of one patient; see `request_cohort`."""
    found = answered.prediction
    event = next(iter(found.incidence))  # the causes in their order: that of interest first
    for cause, incidence in found.incidence.items():
        numbers = found.expected_events if cause == event else None
        for i, (horizon, value) in enumerate(zip(found.horizons_days, incidence, strict=True)):
            yield {
                "patient_id": found.patient_id,
                "landmark_day": found.landmark_day,
                "cause": cause,
                "horizon_days": horizon,
                "incidence": value,
                "n_missing": len(found.missing),
                "n_outside_range": len(found.outside_training_range),
                "model": answered.model.version,
                **({} if numbers is None else {"expected_events": numbers[i]}),
            }
