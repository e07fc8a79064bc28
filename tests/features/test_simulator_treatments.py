"""Simulated treatments: they change nothing else, start when a value is low, and prevent as many infections as told."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from features.check import examine
from features.errors import SequelaError
from features.simulator import Treatments, load_treatments, simulate
from features.simulator.treatments import Treatment

CONFIG = Path(__file__).resolve().parents[2] / "configs" / "cohort" / "treatments.yaml"
TABLES = ("patients.csv", "measurements.csv", "events.csv")
N = 1500


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The same cohort without treatments, and with them."""
    folder = tmp_path_factory.mktemp("cohorts")
    without, treated = folder / "without", folder / "treated"
    simulate(without, n_patients=N, cells_per_sample=0, seed=5)
    simulate(treated, n_patients=N, cells_per_sample=0, seed=5, treatments=load_treatments(CONFIG))
    return without, treated


def test_all_but_infections_and_starts_is_as_without(folders: tuple[Path, Path]) -> None:
    without, treated = folders
    for name in ("patients.csv", "measurements.csv"):
        assert (without / name).read_bytes() == (treated / name).read_bytes()
    assert examine(treated).findings == ()
    before, after = (pd.read_csv(folder / "events.csv") for folder in folders)
    started = list(load_treatments(CONFIG).treatments)
    same = before[before["event"] != "infection"]
    kept = after[~after["event"].isin(["infection", *started])]
    columns = ["patient_id", "day", "event", "grade"]
    pd.testing.assert_frame_equal(same[columns].reset_index(drop=True), kept[columns].reset_index(drop=True))
    assert not after[after["event"].isin(started)].duplicated(["patient_id", "event"]).any()


def test_no_treatments_is_no_change(folders: tuple[Path, Path], tmp_path: Path) -> None:
    simulate(tmp_path / "none", n_patients=N, cells_per_sample=0, seed=5, treatments=Treatments(treatments={}))
    for name in TABLES:
        assert (tmp_path / "none" / name).read_bytes() == (folders[0] / name).read_bytes()


def test_infections_after_a_start_are_as_many_fewer_as_told(tmp_path: Path, folders: tuple[Path, Path]) -> None:
    """Of those that a start precedes, half are left where it halves the hazard, but none of those that kill."""
    one = Treatment(lab="igg", below=400, start_per_day=0.01, low_ratio=1.0, infection_hazard_ratio=0.5)
    simulate(
        tmp_path / "one", n_patients=N, cells_per_sample=0, seed=5, treatments=Treatments(treatments={"given": one})
    )
    events = pd.read_csv(tmp_path / "one" / "events.csv")
    start = events[events["event"] == "given"].set_index("patient_id")["day"]

    def counts(table: pd.DataFrame) -> tuple[int, int]:
        own = table[(table["event"] == "infection") & (table["grade"] < 5)]
        after = own["day"] > own["patient_id"].map(start)
        return int(after.sum()), int((~after).sum())

    with_it, without = counts(events), counts(pd.read_csv(folders[0] / "events.csv"))
    assert with_it[1] == without[1]  # before a start, and on its day
    assert abs(with_it[0] - 0.5 * without[0]) < 4 * np.sqrt(without[0] / 4)


def test_low_values_and_frailty_bring_starts_forward(folders: tuple[Path, Path]) -> None:
    treated = folders[1]
    events, measured = pd.read_csv(treated / "events.csv"), pd.read_csv(treated / "measurements.csv")
    start = events[events["event"] == "immunoglobulin"].set_index("patient_id")["day"]
    igg = measured[(measured["variable"] == "igg") & (measured["day"].between(20, 40))]
    follow_up = pd.read_csv(treated / "patients.csv").set_index("patient_id")["follow_up_days"]
    own = igg.assign(start=igg["patient_id"].map(start).fillna(np.inf), end=igg["patient_id"].map(follow_up))
    own = own[(own["start"] > own["day"]) & (own["end"] > own["day"] + 40)]
    soon = (own["start"] <= own["day"] + 40).groupby(own["value"] < 400).mean()
    assert soon[True] > 2 * soon[False]


def test_a_value_that_is_not_simulated_is_refused(tmp_path: Path) -> None:
    one = Treatment(lab="troponin", below=1, start_per_day=0.01, low_ratio=1.0, infection_hazard_ratio=0.5)
    with pytest.raises(SequelaError, match=r"treatments.given.lab troponin: is not measured; there are .*igg"):
        simulate(
            tmp_path / "c", n_patients=20, cells_per_sample=0, seed=1, treatments=Treatments(treatments={"given": one})
        )
