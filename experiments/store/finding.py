"""Finding a run by what people call it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.store.entities import PagedList

from experiments.store.connection import KEY, PARENT, SWEEP
from features.errors import SequelaError

Entity = TypeVar("Entity")


def every(search: Callable[..., PagedList[Entity]], **words: object) -> Iterator[Entity]:
    """All that a search of MLflow's client finds, page after page: it gives a thousand at once, or a hundred.

    Args:
        search: A method of the client.
        words: Its arguments, less the page.
    """
    token: str | None = None
    while True:
        page = search(**words, page_token=token)
        yield from page
        token = page.token or None
        if token is None:
            return


def find_run(client: MlflowClient, reference: str, endpoint: str | None = None, *, sweeps: bool = False) -> Run:
    """The parent run with an id, the beginning of an id, or a name (of several the latest finished one).

    Args:
        client: Of the store.
        reference: The id, its beginning, or the name.
        endpoint: Of the run, where runs of a name study several.
        sweeps: Whether a sweep will do, too, which makes no model.

    Raises:
        SequelaError: There is none, or a beginning fits several.
    """
    named = _parents(client, f"attributes.run_name = {_quoted(reference)}", endpoint)
    named = named if sweeps else _without_sweeps(named, reference)
    if len({run.data.tags.get("sequela.endpoint") for run in named}) > 1:
        msg = f"run {reference}: runs of this name study different endpoints; give the id, or --endpoint"
        raise SequelaError(msg + "; `sequela leaderboard EXPERIMENT` lists them")
    if named:
        return max(named, key=lambda run: (run.info.status == "FINISHED", run.info.start_time))
    could_be_id = len(reference) >= 4 and set(reference) <= set("0123456789abcdef")
    begun = _begun(client, reference, endpoint) if could_be_id else []
    if len(begun) == 1:
        return begun[0] if sweeps else _without_sweeps(begun, reference)[0]
    msg = f"run {reference}: " + ("fits several ids; give more of it" if begun else "no run has this id or name")
    raise SequelaError(msg + "; `sequela leaderboard EXPERIMENT` lists them")


def _without_sweeps(runs: Sequence[Run], reference: str) -> list[Run]:
    """Those that made a model.

    Raises:
        SequelaError: There are runs, and all are sweeps.
    """
    models = [run for run in runs if SWEEP not in run.data.tags]
    if runs and not models:
        msg = f"run {reference}: is a sweep, which makes no model; `sequela train` its best.yaml"
        raise SequelaError(msg + ", which is among the run's artifacts")
    return models


def _begun(client: MlflowClient, beginning: str, endpoint: str | None) -> list[Run]:
    """By MLflow's id, or by the one of our own that a run had while the store did not answer."""
    wanted = (f"attributes.run_id LIKE '{beginning}%'", f"tags.`{KEY}` LIKE '{beginning}%'")
    return list({run.info.run_id: run for one in wanted for run in _parents(client, one, endpoint)}.values())


def _parents(client: MlflowClient, which: str, endpoint: str | None) -> list[Run]:
    """Parent runs of all experiments that the server finds; runs of folds are left out."""
    experiments = [one.experiment_id for one in every(client.search_experiments)]
    query = which if endpoint is None else f"{which} and tags.`sequela.endpoint` = {_quoted(endpoint)}"
    found = every(client.search_runs, experiment_ids=experiments, filter_string=query)
    return [run for run in found if PARENT not in run.data.tags]


def _quoted(word: str) -> str:
    """A value in a filter of MLflow's, which knows two quotation marks and no escape.

    Raises:
        SequelaError: The word has both.
    """
    mark = '"' if "'" in word else "'"
    if mark in word:
        msg = f"{word}: holds both ' and \", which MLflow cannot search for; give the beginning of the run's id"
        raise SequelaError(msg)
    return f"{mark}{word}{mark}"
