"""How often the share of `features.novelty` is small: of patients like those of training, and of contradictory ones.

    python -m benchmarks.novelty --cohorts 20

Each simulated cohort, clinic alone, has 300 patients to learn from and 500 others. Of these, values are exchanged so
that each stays one that patients have; patients of whom a variable is outside the training range, before or after, are
left out of these rows. Of a network of cells, it is cells that are changed, and the clinic stays as it is.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.accuracy.page import markdown
from benchmarks.cohorts import t_interval
from benchmarks.made import made_by
from benchmarks.planted import CARD, planted
from experiments.data import at_landmarks
from features.cells.bag import Bags, CellBag
from features.cells.quality import select_cells
from features.check import examine, read_endpoint
from features.cohort import to_patients
from features.config import FeatureConfig
from features.encoder import PatientEncoder
from features.novelty import Novelty
from features.patients import FloatArray, Patients
from features.schema import CohortCard
from features.simulator import simulate
from training.config import AttentionConfig, TrainerConfig
from training.fit import fit_risk_model

ROOT = Path(__file__).resolve().parents[1]
RESULTS = Path(__file__).parent / "results"
TRAINED, FRESH = 300, 500
FRESH_CELLS, N_CELLS = 200, 200
LEAST = (0.01, 0.05)
CONFIG = FeatureConfig(cells=())
Told = tuple[str, FloatArray]
"""What was done to patients, and their shares."""


@dataclass(frozen=True, slots=True)
class Learnt:
    """From the patients of a cohort."""

    encoder: PatientEncoder
    novelty: Novelty
    trained: Patients

    def told(self, patients: Patients) -> tuple[FloatArray, NDArray[np.bool_]]:
        """(rows,): shares, and of whom no variable is outside the training range."""
        encoded = self.encoder.encode(patients)
        usual = np.array([not names for names in encoded.outside])
        return self.novelty.share(encoded.x, patients.landmark_day), usual

    def ranks(self, patients: Patients, name: str) -> FloatArray:
        """(rows,): of baseline values among those of training, 0 to 1; NaN where missing."""
        value = patients.baseline[name].astype(float)
        ranks = np.searchsorted(self._known(name), value) / len(self._known(name))
        return np.where(np.isfinite(value), ranks, np.nan)

    def with_ranks(self, patients: Patients, name: str, ranks: FloatArray) -> Patients:
        """The same patients with baseline values of these ranks, within the central 99 % of training."""
        values = np.quantile(self._known(name), np.clip(np.nan_to_num(ranks), 0.006, 0.994))
        return replace(patients, baseline={**patients.baseline, name: np.where(np.isfinite(ranks), values, np.nan)})

    def _known(self, name: str) -> FloatArray:
        values = self.trained.baseline[name].astype(float)
        return np.sort(values[np.isfinite(values)])


def learnt_of(patients: Patients, card: CohortCard) -> Learnt:
    """As the final fit of a run learns it."""
    encoder = PatientEncoder.fit(patients, card, CONFIG)
    novelty = Novelty.fit(encoder.transform(patients), patients.patient_id, patients.landmark_day)
    return Learnt(encoder, novelty, patients)


def rows_of(learnt: Learnt, fresh: Patients) -> Iterator[Told]:
    """Everything that is told of one cohort."""
    at = {day: fresh.take(np.flatnonzero(fresh.landmark_day == day)) for day in (0.0, 30.0)}
    for day, patients in at.items():
        yield f"like those of training, day {day:g}", learnt.told(patients)[0]
    yield from contradicting(learnt, at[0.0])
    for day, patients in at.items():
        other = np.roll(np.arange(len(patients)), 1)
        _, usual = learnt.told(patients)
        exchanged = replace(patients, measurements=patients.take(other).measurements)
        after, usual_after = learnt.told(exchanged)
        yield f"measurements of another patient, day {day:g}", after[usual & usual_after]


def contradicting(learnt: Learnt, patients: Patients) -> Iterator[Told]:
    """Few platelets go with much ferritin (rank correlation −0.4): not so here."""
    before, usual = learnt.told(patients)
    platelets, ferritin = (learnt.ranks(patients, name) for name in ("platelets", "ferritin"))
    agree = (platelets < 0.16) & (ferritin > 0.84)
    mirrored = learnt.with_ranks(patients, "ferritin", 1 - ferritin)
    after, usual_after = learnt.told(mirrored)
    chosen = agree & usual & usual_after
    yield "few platelets, much ferritin, day 0", before[chosen]
    yield "the same, ferritin mirrored by rank", after[chosen]
    known = np.isfinite(platelets) & np.isfinite(ferritin)
    swapped = learnt.with_ranks(learnt.with_ranks(patients, "ferritin", platelets), "platelets", ferritin)
    after, usual_after = learnt.told(swapped)
    yield "anyone, ranks of platelets and ferritin swapped, day 0", after[known & usual & usual_after]


def rows_of_cells(seed: int) -> Iterator[Told]:
    """Of planted cells, under a network of attention: as they are, genes exchanged, and cells of one type left out."""
    cohort = planted(TRAINED + FRESH_CELLS, seed, n_cells=N_CELLS)
    train = np.arange(TRAINED)
    trained, fresh = cohort.patients.take(train), cohort.patients.take(np.arange(TRAINED, TRAINED + FRESH_CELLS))
    cpu = TrainerConfig(accelerator="cpu")
    model = fit_risk_model(trained, cohort.outcomes.take(train), CARD, CONFIG, AttentionConfig(), cpu, seed=seed)

    novelty, bags = Novelty.fit(model.embedding(trained), trained.patient_id, trained.landmark_day), bags_of(fresh)

    def told(change: Callable[[CellBag], CellBag]) -> FloatArray:
        assert fresh.samples is not None
        changed = replace(fresh, samples=replace(fresh.samples, bags=Bags.of([change(bag) for bag in bags])))
        return novelty.share(model.embedding(changed), fresh.landmark_day)

    yield "cells like those of training", told(lambda bag: bag)
    order = np.random.default_rng(seed).permutation(len(bags[0].genes))
    yield "genes told for one another", told(lambda bag: replace(bag, genes=tuple(np.array(bag.genes)[order])))
    common = str(pd.Series(np.concatenate([bag.cell_type for bag in bags])).mode()[0])
    yield "cells of the commonest type left out", told(lambda bag: select_cells(bag, bag.cell_type != common))


def bags_of(patients: Patients) -> list[CellBag]:
    """One a patient."""
    assert patients.samples is not None
    assert patients.samples.bags is not None
    return [patients.samples.bags[i] for i in range(len(patients.samples.bags))]


def main() -> int:
    """Simulate, measure, write the page."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--cohorts", type=int, default=20, help="of the clinic")
    parser.add_argument("--cell-cohorts", type=int, default=6, help="of cells")
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args()
    endpoint = read_endpoint(ROOT / "configs" / "endpoint" / "severe_infection.yaml")
    found: dict[str, list[FloatArray]] = {}
    for seed in range(options.cohorts):
        with TemporaryDirectory() as folder:
            simulate(Path(folder) / "cohort", n_patients=TRAINED + FRESH, cells_per_sample=0, seed=seed)
            cohort = examine(Path(folder) / "cohort", endpoint).cohort
            assert cohort is not None
            everyone = to_patients(cohort)
            rows, _ = at_landmarks(cohort, endpoint, everyone)
        first = np.isin(rows.patient_id.astype(str), everyone.patient_id[:TRAINED].astype(str))
        learnt = learnt_of(rows.take(np.flatnonzero(first)), cohort.card)
        for name, shares in rows_of(learnt, rows.take(np.flatnonzero(~first))):
            found.setdefault(name, []).append(shares)
    of_cells: dict[str, list[FloatArray]] = {}
    for seed in range(options.cell_cohorts):
        for name, shares in rows_of_cells(seed):
            of_cells.setdefault(name, []).append(shares)
    text = "\n".join(
        [
            "# Patients unlike those of training",
            "",
            f"Per cent of simulated patients, not trained on, whose share is small; {options.cohorts} cohorts of",
            f"{TRAINED} patients and {FRESH} others, with 95 % t intervals over cohorts, cut at 0 and 100.",
            made_by("benchmarks.novelty"),
            "",
            _table(found),
            "",
            "## What a network makes of single cells",
            "",
            f"Simulated cells of `benchmarks.planted`, {N_CELLS} a patient; attention fitted to {TRAINED} patients,",
            f"{FRESH_CELLS} others; {options.cell_cohorts} cohorts. Their clinic is left as it was.",
            "",
            _table(of_cells),
            "",
        ]
    )
    options.results.mkdir(parents=True, exist_ok=True)
    (options.results / "novelty.md").write_text(text, encoding="utf-8")
    print(text)
    return 0


def _table(found: Mapping[str, Sequence[FloatArray]]) -> str:
    lines = []
    for name, cohorts in found.items():
        cells = []
        for least in LEAST:
            rates = 100 * np.array([(shares <= least).mean() for shares in cohorts if len(shares)])
            mean, low, high = t_interval(rates)
            cells.append(f"{mean:.1f} [{max(low, 0.0):.1f}, {min(high, 100.0):.1f}]")
        lines.append((name, f"{sum(map(len, cohorts)):,}", *cells))
    return markdown(pd.DataFrame(lines, columns=["patients", "rows", *(f"share ≤ {least:g}" for least in LEAST)]))


if __name__ == "__main__":
    sys.exit(main())
