"""Handles on MLflow's pages."""

from __future__ import annotations

from browser import Browser

WIDTH = 1440


def close_assistant(browser: Browser, address: str) -> None:
    """MLflow opens its assistant once, on the first visit: as if it had been closed."""
    browser.open(address, WIDTH)
    for key, value in {"fab.autoOpenedOnFirstLoad_v1": "true", "panelOpen_v1": "false"}.items():
        browser.evaluate(f"localStorage.setItem('mlflow.assistant.{key}', '{value}')")


def choose_file(browser: Browser, name: str) -> str:
    """Click a file of the compare page, once it is there; the JavaScript expression for it."""
    file = f"document.querySelector('[artifact-name=\"{name}\"]')"
    browser.wait_for(f"Boolean({file})")
    browser.evaluate(f"{file}.click()")
    return file
