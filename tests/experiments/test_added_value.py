"""Do the cells add anything? Found where cells decide, denied where they do not; and the command as a user gives it."""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from mlflow import MlflowClient
from preloaded import SEQUELA

from benchmarks.planted import CARD, Effect, planted
from experiments.comparing.added_value import (
    AddedValue,
    added_value,
    clinic_twin,
    require_clinic_and_cells,
    sensible_thresholds,
)
from experiments.comparing.cell_test import cell_test
from experiments.comparing.compared_runs import ComparedRun, ComparedRuns
from experiments.comparing.question import Question
from experiments.config import RunConfig, load_run
from experiments.crossval import Unheard, cross_validate
from experiments.data import TrainingRows
from experiments.home import CONFIGS, Home
from experiments.store import find_run, open_store
from features.check import read_cohort, read_endpoint
from features.cohort import write_yaml
from features.errors import SequelaError
from features.patients import Samples
from features.schema import Endpoint, EventRule

ENDPOINT = Endpoint(
    name="relapse", event=EventRule(name="relapse"), competing=(EventRule(name="death"),), horizons_days=(180.0, 365.0)
)


@pytest.fixture
def config(run_config: RunConfig) -> RunConfig:
    """A run on pseudobulks that is fitted in a moment."""
    features = run_config.features.model_copy(update={"cells": ("pseudobulk",), "variable_genes": 50})
    return run_config.model_copy(update={"name": "cells", "features": features})


def rows_of(cohort: Path, effect: Effect) -> TrainingRows:
    """120 planted patients, in a fifth of whose cells the population shows, where it does; tables of another cohort."""
    some = planted(120, 1, effect, n_cells=60, share=0.2)
    card = replace(read_cohort(cohort), card=CARD)
    return TrainingRows(card, ENDPOINT, some.patients, some.outcomes)


def answer_of(rows: TrainingRows, config: RunConfig, client: MlflowClient, folder: Path) -> AddedValue:
    """The answer, with 19 exchanges, on runs that are fitted here."""
    runs = []
    for one in (clinic_twin(config), config):
        run = client.create_run("0", run_name=one.name)
        runs.append(ComparedRun(one.name, run, one, cross_validate(rows, one, folder / one.name, Unheard())))
    test = cell_test(rows, config, 19, folder / "exchanged")
    return added_value(ComparedRuns(rows, tuple(runs)), test, n_bootstrap=200)


def test_cells_that_decide_add_to_the_clinic(cohort: Path, config: RunConfig, home: Home, tmp_path: Path) -> None:
    answer = answer_of(rows_of(cohort, "alone"), config, open_store(home), tmp_path)
    assert answer.verdict == "add"
    assert answer.test is not None
    assert answer.test.p == 1 / 20
    assert answer.overall.gain.point > 0.05
    assert answer.sentence.startswith("The cells add to the clinic: the IPA of relapse goes from")
    assert re.search(rf"120 simulated patients, {answer.n_events} events\.$", answer.sentence)
    assert {(gain.metric, gain.horizon_days) for gain in answer.gains} == {
        (metric, horizon) for metric in ("ipa", "auc", "net_benefit") for horizon in ENDPOINT.horizons_days
    }
    best = max(gain.gain.point for gain in answer.gains if gain.metric == "net_benefit")
    assert best > 0.01


def test_cells_that_decide_nothing_add_nothing(cohort: Path, config: RunConfig, home: Home, tmp_path: Path) -> None:
    answer = answer_of(rows_of(cohort, "nothing"), config, open_store(home), tmp_path)
    assert answer.verdict != "add"
    assert answer.test is not None
    assert answer.test.p > 0.05
    assert "add to the clinic" not in answer.sentence


def test_only_cells_are_exchanged_and_finished_folds_are_not_fitted_again(
    cohort: Path, config: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = rows_of(cohort, "alone")
    shown: list[TrainingRows] = []

    def watched(given: TrainingRows, *asked: object) -> object:
        shown.append(given)
        return cross_validate(given, *asked)  # type: ignore[arg-type]

    monkeypatch.setattr("experiments.comparing.cell_test.cross_validate", watched)
    first = cell_test(rows, config, 2, tmp_path)
    own, *exchanged = (given.patients for given in shown)
    assert rows.patients.samples is not None
    names = list(rows.patients.samples.sample_id)
    for patients, same in ((own, True), *((one, False) for one in exchanged)):
        assert patients.samples is not None
        assert (list(patients.samples.sample_id) == names) == same
        assert sorted(patients.samples.sample_id) == sorted(names)
        assert patients.baseline is rows.patients.baseline
    assert all(given.outcomes is rows.outcomes for given in shown)

    def forbidden(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr("experiments.crossval.fit_fold", forbidden)
    again = cell_test(rows, config, 2, tmp_path)
    np.testing.assert_array_equal(again.permuted, first.permuted)


def test_cells_go_only_to_patients_sampled_alike(cohort: Path, config: RunConfig, tmp_path: Path) -> None:
    """Who has a sample, of which material, at which landmark, is not what is tested."""
    rows = rows_of(cohort, "alone")
    samples = rows.patients.samples
    assert samples is not None
    days = np.where(np.arange(120) % 2, -1.0, 5.0)  # half of the samples come after the landmark
    materials = np.where(np.arange(120) % 3 == 0, "blood", samples.material)
    changed = replace(samples, day=days, material=materials)
    seen: list[Samples] = []

    def watched(given: TrainingRows, *asked: object) -> object:
        assert given.patients.samples is not None
        seen.append(given.patients.samples)
        return cross_validate(given, *asked)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("experiments.comparing.cell_test.cross_validate", watched)
        cell_test(replace(rows, patients=replace(rows.patients, samples=changed)), config, 2, tmp_path)
    for exchanged in seen[1:]:
        np.testing.assert_array_equal(exchanged.day, days)
        before = days < 0
        np.testing.assert_array_equal(exchanged.material[before], materials[before])


def test_questions_that_make_no_sense_are_refused(config: RunConfig) -> None:
    twin = clinic_twin(config)
    assert twin.features.cells == ()
    with pytest.raises(SequelaError, match="swap them"):
        require_clinic_and_cells(config, twin)
    with pytest.raises(SequelaError, match="the first run has to be of the clinic alone"):
        require_clinic_and_cells(config, config)
    with pytest.raises(SequelaError, match="the second run has to see them"):
        require_clinic_and_cells(twin, twin)
    with pytest.raises(SequelaError, match="sees no cells"):
        clinic_twin(twin)
    with pytest.raises(SequelaError, match="cannot do without cells"):
        clinic_twin(load_run(CONFIGS / "run" / "attention.yaml"))
    with pytest.raises(SequelaError, match=r"--permutations 5: the smallest p they can give is 0\.17"):
        Question(5, 100, 0, None, None)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("risk", "expected"), [(0.1, (0.05, 0.1, 0.15, 0.2)), (0.001, (0.01,)), (0.9, (0.5,))], ids=["some", "few", "most"]
)
def test_thresholds_lie_near_the_observed_risk(risk: float, expected: tuple[float, ...]) -> None:
    assert sensible_thresholds(risk) == expected


def test_the_command_trains_what_is_missing_answers_and_logs(home: Home, cohort: Path, tmp_path: Path) -> None:
    """Of a configuration: the run and its twin are trained; asked again with exchanges, neither is trained again."""
    endpoint = tmp_path / "endpoint.yaml"
    severe = read_endpoint(CONFIGS / "endpoint" / "severe_infection.yaml")
    write_yaml(endpoint, severe.model_copy(update={"landmark_days": (0.0,)}).model_dump(mode="json"))
    features = {"baseline": ["age"], "measurements": [], "events": [], "cells": ["composition"]}
    content = {"experiment": "trial", "cohort": str(cohort), "endpoint": str(endpoint), "features": features}
    content |= {"model": {"kind": "cox", "penalty": 50}, "validation": {"folds": 2, "bootstrap": 20}}
    write_yaml(tmp_path / "cells.yaml", content)

    def ask(permutations: int) -> str:
        words = ["added-value", tmp_path / "cells.yaml", "--permutations", permutations, "--bootstrap", 100]
        done = subprocess.run([SEQUELA, *map(str, words)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    first = ask(0)
    client = open_store(home)
    runs = [find_run(client, name).info.run_id for name in ("cells_clinic", "cells")]
    assert client.get_run(runs[1]).data.tags["sequela.added_value"] == first.splitlines()[0]
    assert "exchanging" not in first
    second = ask(19)
    assert [find_run(client, name).info.run_id for name in ("cells_clinic", "cells")] == runs
    assert len(list(home.runs.iterdir())) == 2
    run = client.get_run(runs[1])
    sentence = run.data.tags["sequela.added_value"]
    assert second.splitlines()[0] == sentence
    assert "exchanging cells between patients; 150 simulated patients" in sentence
    written = json.loads(Path(client.download_artifacts(runs[1], "added_value.json")).read_text())
    assert written["answer"] == sentence
    assert written["permutation_of_cells"]["p"] == run.data.metrics["added_ipa_permutation_p/infection"]
    assert run.data.metrics["added_ipa/infection"] == pytest.approx(written["overall"]["point"])
    assert len(list((home.runs / runs[1] / "added_value" / "exchanged").iterdir())) == 20
