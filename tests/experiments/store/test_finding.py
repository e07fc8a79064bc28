"""What is found of many."""

from __future__ import annotations

from experiments.home import Home
from experiments.store import every, open_store


def test_every_page_of_a_search_is_read(home: Home) -> None:
    client = open_store(home)
    made = {client.create_experiment(f"e{i}") for i in range(7)}
    assert len(client.search_experiments(max_results=2)) == 2
    found = [one.experiment_id for one in every(client.search_experiments, max_results=2)]
    assert len(found) == len(set(found))
    assert made < set(found)
