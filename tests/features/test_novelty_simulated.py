"""Novelty on the simulator: what it promises of fresh patients, and that it sees what no single variable shows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from features.check import examine, read_endpoint
from features.cohort import outcomes_at, to_patients
from features.config import FeatureConfig
from features.encoder import PatientEncoder
from features.novelty import Novelty
from features.patients import Patients
from features.schema import CohortCard
from features.simulator import simulate

ENDPOINT = Path(__file__).resolve().parents[2] / "configs" / "endpoint" / "severe_infection.yaml"
CONFIG = FeatureConfig(cells=())
TRAINED = 300
SEEDS = range(6)


@dataclass(frozen=True)
class Split:
    """An encoder and a novelty of 300 patients, and patients of the same population whom neither has seen."""

    encoder: PatientEncoder
    novelty: Novelty
    trained: Patients
    fresh: Patients

    def share(self, patients: Patients) -> NDArray[np.float64]:
        return self.novelty.share(self.encoder.transform(patients), patients.landmark_day)


def population(folder: Path) -> tuple[Patients, CohortCard]:
    """Everyone of a simulated clinic at both landmarks of the endpoint."""
    simulate(folder, n_patients=2000, cells_per_sample=0, seed=7)
    endpoint = read_endpoint(ENDPOINT)
    cohort = examine(folder, endpoint).cohort
    assert cohort is not None
    at_risk = [outcomes_at(cohort, endpoint, day)[0] for day in endpoint.landmark_days]
    days = np.repeat(endpoint.landmark_days, [len(rows) for rows in at_risk])
    return to_patients(cohort).take(np.concatenate(at_risk)).at_landmark(days), cohort.card


@pytest.fixture(scope="module")
def splits(tmp_path_factory: pytest.TempPathFactory) -> list[Split]:
    patients, card = population(tmp_path_factory.mktemp("simulated") / "cohort")
    ids = patients.patient_id.astype(str)
    found = []
    for seed in SEEDS:
        chosen = np.isin(ids, np.random.default_rng(seed).permutation(np.unique(ids))[:TRAINED])
        trained = patients.take(np.flatnonzero(chosen))
        encoder = PatientEncoder.fit(trained, card, CONFIG)
        novelty = Novelty.fit(encoder.transform(trained), trained.patient_id, trained.landmark_day)
        found.append(Split(encoder, novelty, trained, patients.take(np.flatnonzero(~chosen))))
    return found


@pytest.mark.parametrize("landmark_day", [0.0, 30.0])
@pytest.mark.parametrize("least", [0.01, 0.05, 0.2])
def test_of_fresh_patients_no_more_are_unlike_than_the_share_says(
    splits: list[Split], landmark_day: float, least: float
) -> None:
    """At each landmark by itself; the mean over training cohorts, of which 300 patients let each rate vary."""
    rates = []
    for split in splits:
        fresh = split.fresh.take(np.flatnonzero(split.fresh.landmark_day == landmark_day))
        rates.append((split.share(fresh) <= least).mean())
    slack = 2 * np.std(rates, ddof=1) / np.sqrt(len(rates))
    assert np.mean(rates) <= least + slack
    assert np.mean(rates) >= 0.25 * least, "a rate of zero would hold of what says nothing"


def test_landmarks_together_would_flag_far_too_many_at_the_later_one(splits: list[Split]) -> None:
    """Why patients are compared within their landmark."""
    split = splits[0]
    x = split.encoder.transform(split.trained)
    pooled = Novelty.fit(x, split.trained.patient_id, np.zeros(len(x)))
    later = split.fresh.take(np.flatnonzero(split.fresh.landmark_day == 30))
    assert (pooled.share(split.encoder.transform(later), np.zeros(len(later))) <= 0.2).mean() > 0.3


def test_two_values_that_contradict_each_other_are_told_though_each_is_usual(splits: list[Split]) -> None:
    """Few platelets go with much ferritin: ferritin is mirrored by rank where both were far out and agreed."""
    before, after, n_outside = [], [], 0
    for split in splits:
        fresh, own = split.fresh, np.sort(split.trained.baseline["ferritin"].astype(float))
        own = own[np.isfinite(own)]
        value = fresh.baseline["ferritin"].astype(float)
        mirrored = np.quantile(own, np.clip(1 - np.searchsorted(own, value) / len(own), 0.006, 0.994))
        names = list(split.encoder.input_names)
        encoded = split.encoder.encode(fresh)
        platelets, ferritin = (encoded.x[:, names.index(name)] for name in ("platelets", "ferritin"))
        usual = np.array([not flagged for flagged in encoded.outside])
        agreed = np.isfinite(value) & usual & (platelets < -1) & (ferritin > 1) & (fresh.landmark_day == 0)
        patients = fresh.take(np.flatnonzero(agreed))
        changed = replace(patients, baseline={**patients.baseline, "ferritin": mirrored[agreed]})
        n_outside += sum(map(bool, split.encoder.encode(changed).outside))
        before.append((split.share(patients) <= 0.05).mean())
        after.append((split.share(changed) <= 0.05).mean())
    assert n_outside == 0, "no single value is outside"
    assert np.mean(after) > 3 * np.mean(before)
    assert np.mean(after) > 0.3
