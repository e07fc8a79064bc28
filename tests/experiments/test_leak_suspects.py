"""Leak suspects by name, on simulated cohorts with planted leaks and without."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from experiments.home import CONFIGS
from experiments.leaks import leak_warnings
from features.check import read_cohort, read_endpoint
from features.cohort import Cohort, outcomes_at
from features.schema import Endpoint, Variable
from features.simulator import simulate

SEEDS = range(5)


@pytest.fixture(scope="module")
def endpoint() -> Endpoint:
    return read_endpoint(CONFIGS / "endpoint" / "severe_infection.yaml")


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], Cohort]:
    """Simulated cohorts without cells, by seed."""

    def of_seed(seed: int) -> Cohort:
        folder = tmp_path_factory.mktemp("sound") / "cohort"
        simulate(folder, n_patients=300, cells_per_sample=0, seed=seed)
        return read_cohort(folder)

    return of_seed


def with_columns(cohort: Cohort, **columns: object) -> Cohort:
    """The cohort with more baseline variables."""
    kinds = {
        name: "numeric" if np.asarray(values).dtype.kind == "f" else "categorical" for name, values in columns.items()
    }
    more = {name: Variable.model_validate({"kind": kind}) for name, kind in kinds.items()}
    card = cohort.card.model_copy(update={"variables": cohort.card.variables | more})
    return replace(cohort, card=card, patients=cohort.patients.assign(**columns))


def test_planted_leaks_are_flagged_by_name_and_nothing_else(sound: Callable[[int], Cohort], endpoint: Endpoint) -> None:
    cohort = sound(11)
    rng = np.random.default_rng(0)
    n = len(cohort.patients)
    at_risk, outcomes = outcomes_at(cohort, endpoint, 0.0)
    cause = np.zeros(n, dtype=int)
    cause[at_risk] = outcomes.cause
    names = np.array(["alive", *endpoint.causes], dtype=object)
    planted = with_columns(
        cohort,
        icu_score=(cause == 1) + rng.normal(scale=0.2, size=n),
        days_to_last_contact=cohort.patients["follow_up_days"].to_numpy(dtype=float) + rng.normal(scale=5, size=n),
        reason_off_study=names[cause],
        relapse_marker=(cause == 3) + rng.normal(scale=0.2, size=n),
    )
    ids = cohort.patients["patient_id"].to_numpy()[cause == 1]
    lab = pd.DataFrame({"patient_id": ids, "day": 0, "variable": "procalcitonin", "value": rng.normal(5, 1, len(ids))})
    variables = planted.card.variables | {"procalcitonin": Variable(kind="numeric", unit="ng/mL")}
    planted = replace(
        planted,
        card=planted.card.model_copy(update={"variables": variables}),
        measurements=pd.concat([planted.measurements, lab], ignore_index=True),
    )
    said = leak_warnings(planted, endpoint)
    flagged = {line.split("] ")[1].split(": ")[0] for line in said}
    expected = {"icu_score", "reason_off_study", "relapse_marker"}
    assert {f"baseline.{name}" for name in expected} | {"measurements.procalcitonin"} <= flagged
    assert flagged <= {f"baseline.{name}" for name in (*expected, "days_to_last_contact")} | {
        "measurements.procalcitonin"
    }
    assert any("whether procalcitonin:last is missing tells infection" in line for line in said)
    assert all(line.startswith("warning [leak-suspect] ") for line in said)


def test_sound_cohorts_flag_nothing(sound: Callable[[int], Cohort], endpoint: Endpoint) -> None:
    """The simulator's real predictors, its laboratory values and what is missing of them."""
    for seed in SEEDS:
        cohort = sound(seed)
        for name in ("severe_infection", "non_relapse_death"):
            assert leak_warnings(cohort, read_endpoint(CONFIGS / "endpoint" / f"{name}.yaml")) == []


def test_no_warning_where_nobody_has_the_event(sound: Callable[[int], Cohort], endpoint: Endpoint) -> None:
    cohort = sound(0)
    nothing = replace(cohort, events=cohort.events.iloc[:0])
    assert leak_warnings(nothing, endpoint) == []


def test_check_warns_by_name(sound: Callable[[int], Cohort], tmp_path: Path) -> None:
    """Through the command line, with exit code 0: a suspicion is no error."""
    from typer.testing import CliRunner

    from experiments.cli.app import app

    cohort = sound(1)
    endpoint = CONFIGS / "endpoint" / "severe_infection.yaml"
    severe = cohort.events[(cohort.events["event"] == "infection") & (cohort.events["grade"] >= 3)]["patient_id"]
    patients = pd.read_csv(cohort.folder / "patients.csv")
    patients["crp_peak"] = patients["patient_id"].isin(severe) + np.random.default_rng(0).normal(0, 0.2, len(patients))
    patients.to_csv(cohort.folder / "patients.csv", index=False)
    card = (cohort.folder / "cohort.yaml").read_text()
    (cohort.folder / "cohort.yaml").write_text(
        card.replace("variables:\n", "variables:\n  crp_peak: {kind: numeric}\n")
    )
    done = CliRunner().invoke(app, ["check", str(cohort.folder), "--endpoint", str(endpoint)])
    assert done.exit_code == 0, done.output
    assert "warning [leak-suspect] baseline.crp_peak: crp_peak tells infection" in done.output
