"""What a page must be: valid, quiet, within the screen, and accessible."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from importlib.util import find_spec
from pathlib import Path

from browser import Browser

VOID = {"meta", "link", "br", "img", "hr"}


class Reader(HTMLParser):
    """Collects what a valid page must have, and fails on tags that do not close in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), f"<{tag}> repeats an attribute"
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.text.append(data)


def assert_shown_well(browser: Browser, page: Path, width: int) -> None:
    """No horizontal scroll, no word on the console, no request but for the page, and every figure drawn."""
    url = page.as_uri()
    browser.open(url, width)
    viewport, content = browser.evaluate("[innerWidth, document.documentElement.scrollWidth]")
    assert viewport == width
    assert content <= width
    assert browser.said() == []
    asked = [e["params"]["request"]["url"] for e in browser.events if e["method"] == "Network.requestWillBeSent"]
    assert url in asked
    assert [other for other in asked if other != url and not other.startswith("data:")] == []
    drawn = "[...document.querySelectorAll('svg')].every(s => s.getBoundingClientRect().height > 60)"
    assert browser.evaluate(drawn) is True


def serious_violations(browser: Browser, page: Path, scheme: str) -> list[list[str]]:
    """What axe-core finds that is serious or critical: rule, first element, and what to mend.

    In the dark, contrast alone is looked at again: the rest is the same. Of a figure the element itself is looked at,
    with its text alternative, not the thousands of paths in it.
    """
    browser.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
    browser.open(page.as_uri(), 1280)
    found = axe_violations(browser, contrast_alone=scheme == "dark")
    browser.call("Emulation.setEmulatedMedia", features=[])
    return found


def axe_violations(browser: Browser, *, contrast_alone: bool = False) -> list[list[str]]:
    """What axe-core finds in the page that is open: rule, first element, and what to mend; see `serious_violations`."""
    spec = find_spec("axe_core_python")
    assert spec is not None
    assert spec.origin is not None
    axe = Path(spec.origin).with_name("axe.min.js").read_text(encoding="utf-8")
    browser.evaluate(axe + "; 0")
    options = '{runOnly: ["color-contrast"]}' if contrast_alone else "{}"
    what = "{exclude: [['svg > *']]}"
    result = json.loads(browser.evaluate(f"axe.run({what}, {options}).then(found => JSON.stringify(found))"))
    assert len(result["passes"]) > (0 if contrast_alone else 10), "axe looked at the page"
    return [
        [rule["id"], rule["nodes"][0]["html"], rule["nodes"][0]["failureSummary"]]
        for rule in result["violations"]
        if rule["impact"] in {"serious", "critical"}
    ]
