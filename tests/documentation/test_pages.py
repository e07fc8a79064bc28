"""What the documentation says is so: its commands exist, and those of the tutorial and the how-to pages run."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import doc_pages
import pytest
import typer.main
from doc_pages import DOCS, ROOT

from experiments.cli.app import app

TUTORIAL = DOCS / "tutorial.md"
RUN = [page for page in doc_pages.pages() if page != TUTORIAL and doc_pages.is_run(page)]


def name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("page", doc_pages.pages(), ids=name)
def test_every_command_and_option_exists(page: Path) -> None:
    group: Any = typer.main.get_command(app)
    for words in doc_pages.commands(page):
        command, arguments = words[0], words[1:]
        if command.startswith("-"):
            continue
        assert command in group.commands, f"{name(page)}: sequela {command}"
        chosen = group.commands[command]
        while hasattr(chosen, "commands"):  # keys add, …
            chosen, arguments = chosen.commands[arguments[0]], arguments[1:]
        context = chosen.context_class(chosen, info_name=command)
        chosen.make_parser(context).parse_args(args=list(arguments))  # refuses an option that is not there
        for word in words:
            file = word.partition("=")[2] or word
            if file.startswith("configs/"):
                assert (ROOT / file).exists(), f"{name(page)}: {file}"


@dataclass(frozen=True)
class World:
    """Where the tutorial was gone through, and what its blocks printed."""

    folder: Path
    environment: dict[str, str]
    printed: list[str]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """The tutorial, run; the how-to pages go on from there, as readers do."""
    folder = tmp_path_factory.mktemp("reader")
    (folder / "configs").symlink_to(ROOT / "configs")
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("SEQUELA_", "MLFLOW_"))}
    return World(folder, environment, doc_pages.run_page(TUTORIAL, folder, environment))


@pytest.mark.timeout(1500)
def test_the_tutorial_prints_what_it_shows(world: World) -> None:
    for block, line in doc_pages.shown(TUTORIAL):
        assert doc_pages.without_numbers(line) in doc_pages.without_numbers(world.printed[block]), line


@pytest.mark.timeout(1500)
@pytest.mark.parametrize("page", RUN, ids=name)
def test_how_to_pages_run(world: World, page: Path) -> None:
    printed = doc_pages.run_page(page, world.folder, world.environment)
    for block, line in doc_pages.shown(page):
        assert doc_pages.without_numbers(line) in doc_pages.without_numbers(printed[block]), line
