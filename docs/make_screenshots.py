"""Draw the screenshots of docs/how-to/ui.md: four models on the embedded cohort, in Chromium.

    PYTHONPATH=tests/support python docs/make_screenshots.py FOLDER

FOLDER becomes (or is) the store: the runs are made once, so that pages can be drawn again in seconds.
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from mlflow import MlflowClient
from PIL import Image

from experiments.home import CONFIGS, Home
from experiments.services import address_of, free_port, running, ui_command
from experiments.store import find_run, open_store
from experiments.ui_links import compare_link, experiment_links, run_link
from tests.support.browser import Browser, opened_browser
from tests.support.mlflow_pages import WIDTH, choose_file, close_assistant

IMAGES = Path(__file__).parent / "images"
MODELS = ("aalen_johansen", "cox", "fine_gray", "easix")
SETTINGS = ("experiment=demo", "validation={folds: 3, bootstrap: 100}", "trainer.accelerator=cpu")
READY = {
    "runs": "document.querySelectorAll('[role=gridcell]').length > 30",
    "charts": "document.querySelectorAll('.js-plotly-plot .bars .point').length >= 12",
    "horizons": "document.body.innerText.includes('by day 365, from day 0')",
    "compare": "[...document.images].filter(i => i.complete && i.naturalWidth > 400).length >= 3",
    "run": "document.body.innerText.includes('(simulated patients)')",
}
"""True of a page once it is drawn."""


def main(folder: Path) -> None:
    """Make the runs where they are missing, and draw every page."""
    os.environ["SEQUELA_HOME"] = str(folder.resolve())
    os.environ.pop("MLFLOW_TRACKING_URI", None)
    home = Home.current()
    client = open_store(home)
    if client.get_experiment_by_name("demo") is None:
        _make_runs(folder)
    port = free_port()
    address = address_of("127.0.0.1", port)
    command, environment = ui_command(home, "127.0.0.1", port)
    with (
        running(command, environment, f"{address}/health", home.folder / "logs" / "ui.log"),
        tempfile.TemporaryDirectory() as profile,
        opened_browser(Path(profile)) as browser,
    ):
        if browser is None:
            sys.exit("make_screenshots: needs Chromium")
        close_assistant(browser, address)
        for page, url in _pages(client, address).items():
            _draw(browser, page, url)


def _make_runs(folder: Path) -> None:
    """Simulate the cohort and train, through the command line."""
    sequela = Path(sys.executable).parent / "sequela"
    cohort = folder / "cohort"
    subprocess.run([sequela, "simulate", cohort, "--patients", "400", "--cells-per-sample", "50"], check=True)
    runs = [CONFIGS / "run" / f"{model}.yaml" for model in MODELS]
    settings = [word for value in (*SETTINGS, f"cohort={cohort}") for word in ("--set", value)]
    subprocess.run([sequela, "train", *runs, *settings], check=True)


def _pages(client: MlflowClient, address: str) -> Mapping[str, str]:
    runs = [find_run(client, model) for model in MODELS[1:]]
    pages = {link.page: link.url for link in experiment_links(client, address) if link.subject.startswith("demo")}
    return pages | {link.page: link.url for link in (compare_link(address, runs), run_link(address, runs[0]))}


def _draw(browser: Browser, page: str, url: str) -> None:
    browser.open(url, WIDTH)
    if page != "compare":
        browser.wait_for(READY[page])
        _save(browser, page)
        return
    for name in ("cif", "calibration"):
        file = choose_file(browser, f"{name}.png")
        browser.wait_for(READY[page])
        browser.evaluate(f"{file}.closest('[class*=collapse-item]').scrollIntoView({{inline: 'nearest'}})")
        _save(browser, f"compare_{name}", height=400)


def _save(browser: Browser, name: str, height: int = 900) -> None:
    """The upper part of what is seen, in 64 colours."""
    browser.evaluate("new Promise(done => setTimeout(done, 1500))")  # what moves comes to rest
    path = IMAGES / f"ui_{name}.png"
    image = Image.open(io.BytesIO(browser.screenshot())).convert("RGB").crop((0, 0, WIDTH, height))
    image.quantize(64).save(path, optimize=True)
    sys.stdout.write(f"{path}: {path.stat().st_size / 1000:.0f} kB\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
