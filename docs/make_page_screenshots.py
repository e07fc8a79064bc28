"""Draw the screenshots of docs/how-to/page.md: a model with intervals and states, of simulated patients.

    python docs/make_page_screenshots.py FOLDER

FOLDER becomes (or is) the store: the model is trained once, so that the page can be drawn again in seconds.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

from experiments.home import CONFIGS, Home
from experiments.services import address_of, free_port, running, serve_command
from serving.store import publish
from tests.support.browser import Browser, opened_browser

IMAGES = Path(__file__).parent / "images"
SETTINGS = (
    "model={kind: with_intervals, model: {kind: cox}}",
    "name=cox_with_intervals",
    "states={resamples: 30}",
    "validation.bootstrap=100",
    "trainer.accelerator=cpu",
)
DESKTOP, BROAD, PHONE = (1440, 1400), (1440, 700), (390, 844)
DRAWN = "document.querySelector('.answer:not(.old) .drivers[aria-busy=false] .bars li') !== null"
FIRST, LATER = 0, 1
"""Examples: seen from the first landmark, from which states are told; and from the last, so that there is a course."""
HIGH: dict[str, object] = {
    "landmark_day": 30,
    "baseline": {
        "age": 74,
        "ecog": "2",
        "prior_lines": 6,
        "bridging": "chemotherapy",
        "platelets": 25,
        "anc": 0.4,
        "haemoglobin": 7.2,
    }
    | {"crp": 160, "ferritin": 12_000, "igg": 210},
    "measurements": [
        {"variable": "anc", "day": 21, "value": 0.2},
        {"variable": "anc", "day": 29, "value": 0.1},
        {"variable": "platelets", "day": 29, "value": 15},
        {"variable": "igg", "day": 28, "value": 140},
        {"variable": "crp", "day": 29, "value": 140},
        {"variable": "ferritin", "day": 29, "value": 14_000},
    ],
    "events": [{"event": "crs", "day": 3, "grade": 3}, {"event": "icans", "day": 6, "grade": 3}],
}
"""Of nobody: much of what goes with a high risk, seen from the last landmark."""


def main(folder: Path) -> None:
    """Train where there is no model yet, serve it, and draw its page."""
    os.environ["SEQUELA_HOME"] = str(folder.resolve())
    home = Home.current()
    os.environ["BENTOML_HOME"] = str(home.bentoml)
    artifacts = sorted(home.runs.glob("*/artifact"))
    if not artifacts:
        _train(folder)
        artifacts = sorted(home.runs.glob("*/artifact"))
    port = free_port()
    address = address_of("127.0.0.1", port)
    command, environment = serve_command(home, publish(artifacts[-1], {}), "127.0.0.1", port)
    with (
        running(command, environment, f"{address}/readyz", home.folder / "logs" / "serve.log"),
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile,
        opened_browser(Path(profile)) as browser,
    ):
        if browser is None:
            sys.exit("make_page_screenshots: needs Chromium")
        _save([_seen(browser, address, DESKTOP, "light", "#results", LATER)], "page")
        _save([_seen(browser, address, BROAD, "light", "#benefit", FIRST)], "page_states")
        _save([_seen(browser, address, DESKTOP, "dark", "#landmarks", LATER)], "page_dark")
        parts = ("#risk", "#benefit", "#drivers", "#calibration")
        _save([_seen(browser, address, PHONE, "light", part, LATER) for part in parts], "page_phone")
        parts = ("#results", "#tier", "#drivers", "#noted")
        _save([_seen(browser, address, PHONE, "dark", part, HIGH) for part in parts], "page_high")


def _train(folder: Path) -> None:
    """Simulate the cohort and train, through the command line."""
    sequela = Path(sys.executable).parent / "sequela"
    cohort = folder / "cohort"
    subprocess.run([sequela, "simulate", cohort, "--patients", "400", "--cells-per-sample", "50"], check=True)
    settings = [word for value in (*SETTINGS, f"cohort={cohort}") for word in ("--set", value)]
    subprocess.run([sequela, "train", CONFIGS / "run" / "cox.yaml", *settings], check=True)


def _seen(
    browser: Browser, address: str, size: tuple[int, int], scheme: str, part: str, patient: int | dict[str, object]
) -> Image.Image:
    """What is seen of an example, or of a pasted patient, from a part of the page on; from its top for the results."""
    browser.call("Emulation.setScrollbarsHidden", hidden=True)
    media = [{"name": "prefers-color-scheme", "value": scheme}, {"name": "prefers-reduced-motion", "value": "reduce"}]
    browser.call("Emulation.setEmulatedMedia", features=media)
    browser.open(f"{address}/", *size)
    browser.wait_for("document.querySelectorAll('.example').length > 1")
    if isinstance(patient, int):
        browser.evaluate(f"document.querySelectorAll('.example')[{patient}].click()")
    else:
        browser.evaluate(f"document.querySelector('#pasted').value = {json.dumps(json.dumps(patient))}")
        browser.evaluate("document.querySelector('#pasted ~ .choice button').click()")
    browser.wait_for(DRAWN)
    browser.wait_for("document.querySelector('#benefit[aria-busy=false]') !== null")
    if part != "#results":
        browser.evaluate(f"scrollTo(0, document.querySelector('{part}').getBoundingClientRect().top + scrollY - 12)")
    browser.evaluate("new Promise(done => setTimeout(done, 500))")  # figures are drawn once they have their width
    return Image.open(io.BytesIO(browser.screenshot())).convert("RGB")


def _save(seen: list[Image.Image], name: str) -> None:
    """Screens side by side, in 128 colours."""
    gap = 24
    width = sum(one.width for one in seen) + gap * (len(seen) - 1)
    image = Image.new("RGB", (width, seen[0].height), "white")
    for i, one in enumerate(seen):
        image.paste(one, (i * (one.width + gap), 0))
    path = IMAGES / f"{name}.png"
    image.quantize(128).save(path, optimize=True)
    sys.stdout.write(f"{path}: {path.stat().st_size / 1000:.0f} kB\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
