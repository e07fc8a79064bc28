"""What is found of many."""

from __future__ import annotations

import pytest
from mlflow import MlflowClient

from experiments.home import Home
from experiments.store import PARENT, SWEEP, every, find_run, open_store
from features.errors import SequelaError


def test_every_page_of_a_search_is_read(home: Home) -> None:
    client = open_store(home)
    made = {client.create_experiment(f"e{i}") for i in range(7)}
    assert len(client.search_experiments(max_results=2)) == 2
    found = [one.experiment_id for one in every(client.search_experiments, max_results=2)]
    assert len(found) == len(set(found))
    assert made < set(found)


def run_of(client: MlflowClient, experiment: str, name: str, status: str = "FINISHED", **tags: str) -> str:
    run_id: str = client.create_run(experiment, tags=tags, run_name=name).info.run_id
    client.set_terminated(run_id, status)
    return run_id


def test_a_run_is_found_by_name_or_the_beginning_of_its_id(home: Home) -> None:
    client = open_store(home)
    experiment = client.create_experiment("infection")
    finished = run_of(client, experiment, "mine")
    run_of(client, experiment, "mine", "FAILED")
    run_of(client, experiment, "mine", **{PARENT: finished})
    assert find_run(client, "mine").info.run_id == finished
    assert find_run(client, finished[:12]).info.run_id == finished
    with pytest.raises(SequelaError, match="run yours: no run has this id or name"):
        find_run(client, "yours")


def test_a_sweep_is_no_run_that_made_a_model(home: Home) -> None:
    client = open_store(home)
    experiment = client.create_experiment("infection")
    sweep = run_of(client, experiment, "models", **{SWEEP: "models"})
    for reference in ("models", sweep[:12]):
        with pytest.raises(SequelaError, match=rf"run {reference}: is a sweep, which makes no model; .* best\.yaml"):
            find_run(client, reference)
    trained = run_of(client, experiment, "models")
    assert find_run(client, "models").info.run_id == trained
