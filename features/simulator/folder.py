"""A simulated cohort folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from features.cohort import write_cohort
from features.errors import SequelaError
from features.patients import FloatArray
from features.schema import CellsCard, CohortCard
from features.simulator.clinic import simulate_clinic
from features.simulator.config import SimulatorConfig, load_simulator_config
from features.simulator.expression import write_cells
from features.simulator.tables import events_table, patients_table, samples_table
from features.simulator.trajectories import measurements
from features.simulator.treatments import Treatments, treated, with_starts
from features.simulator.truth import write_truth


def simulate(
    folder: Path,
    *,
    n_patients: int,
    cells_per_sample: int,
    seed: int,
    config: SimulatorConfig | None = None,
    treatments: Treatments | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Write a simulated cohort folder and, in it, ``truth.parquet``; whole or not at all.

    The same arguments give the same bytes of every table and the same matrix. The clinic does not depend on
    `cells_per_sample`.

    Args:
        folder: Where; must be absent or empty.
        n_patients: At least 1.
        cells_per_sample: Mean number of cells in a sample; 0 for a cohort without samples.
        seed: At least 0.
        config: The numbers of the simulator; those of ``configs/cohort/simulated.yaml`` when absent.
        treatments: That start during follow-up; all else is drawn as without them, and the truth is of the untreated.
        progress: Called with the number of steps done and of all steps: the tables, and each sample.

    Raises:
        SequelaError: A number is too small, or `folder` exists and is not empty.
    """
    for name, value, least in (
        ("n_patients", n_patients, 1),
        ("cells_per_sample", cells_per_sample, 0),
        ("seed", seed, 0),
    ):
        if value < least:
            msg = f"simulate: {name} = {value}; must be at least {least}; choose a larger number"
            raise SequelaError(msg)
    config = config or load_simulator_config()
    of_clinic, of_tables, of_cells = np.random.SeedSequence(seed).spawn(3)
    clinic = simulate_clinic(config, n_patients, np.random.default_rng(of_clinic))
    draws = [np.random.default_rng(child) for child in of_tables.spawn(4)]
    patients, measured = patients_table(config, clinic, draws[0]), measurements(config, clinic, draws[2])
    starts: Mapping[str, FloatArray] = {}
    if treatments is not None:
        (of_treatments,) = of_tables.spawn(1)
        clinic, starts = treated(clinic, patients, measured, treatments, np.random.default_rng(of_treatments))
    tables = {
        "patients": patients,
        "events": with_starts(events_table(config, clinic, draws[1]), clinic, starts),
        "measurements": measured,
        "samples": samples_table(config, clinic, draws[3]),
    }
    samples = tables["samples"] if cells_per_sample else tables.pop("samples").iloc[:0]

    def report(done: int) -> None:
        if progress is not None:
            progress(1 + done, 1 + len(samples))

    def write_rest(beside: Path) -> None:
        write_truth(beside / "truth.parquet", clinic.patient_ids, clinic.rates)
        report(0)
        if len(samples):
            write_cells(beside / "cells.h5ad", config, clinic, samples, cells_per_sample, of_cells, report)

    card = _card(config, seed, with_cells=len(samples) > 0)
    write_cohort(folder, card, tables, write_cells=write_rest)


def _card(config: SimulatorConfig, seed: int, *, with_cells: bool) -> CohortCard:
    return CohortCard(
        title=config.title,
        citation=config.citation,
        licence=config.licence,
        provenance="simulated",
        variables=config.variables,
        cells=CellsCard(values="counts", genes="genes") if with_cells else None,
        notes=f"{config.notes.strip()} Seed {seed}.",
    )
