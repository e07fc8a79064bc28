"""The page for people, driven in Chromium and read back: what is asked, what is answered, and what is seen."""

from __future__ import annotations

import json
import time
from statistics import median
from typing import Any

import pytest
from browser import Browser

Json = dict[str, Any]
THIN = "\u202f"
ANSWERED = "document.querySelector('.answer:not(.old):not([hidden])') !== null"
EXPLAINED = "document.querySelector('.answer:not(.old):not([hidden]) .drivers[aria-busy=false] .bars li') !== null"
OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
OUTLINED = """(focused => {
    const style = getComputedStyle(focused.name === 'horizon' ? focused.nextSibling : focused);
    return style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2;
})(document.activeElement)"""
CLOCK = """
const seen = new MutationObserver(() => {
  const example = document.querySelectorAll('.example')[chosen];
  if (example && !window.chosen) { window.chosen = true; example.click(); }
  if (document.querySelector('[data-risk]') && !window.seenAt) window.seenAt = performance.now();
});
seen.observe(document, {subtree: true, childList: true});
"""
CODES = {"Tab": 9, "Enter": 13, "Space": 32, "Home": 36, "ArrowLeft": 37, "ArrowRight": 39, "ArrowDown": 40}


def visit(browser: Browser, server: Any, width: int = 1440, height: int = 900) -> None:
    browser.open(f"{server.url}/", width, height)
    browser.wait_for("document.querySelectorAll('.example').length > 0", 10)


def choose(browser: Browser, number: int) -> None:
    """Predict for an example, and wait until it is also explained."""
    browser.evaluate(f"document.querySelectorAll('.example')[{number}].click()")
    explained(browser)


def explained(browser: Browser) -> None:
    browser.wait_for(EXPLAINED, 20)


def paste(browser: Browser, content: Json | list[Any] | str) -> None:
    text = content if isinstance(content, str) else json.dumps(content)
    browser.evaluate(f"document.querySelector('#pasted').value = {json.dumps(text)}")
    browser.evaluate(
        "[...document.querySelectorAll('button')].find(b => b.textContent === 'Take this patient').click()"
    )


def enter(browser: Browser, place: str, text: str) -> None:
    """Write into a field of the form, as by hand."""
    browser.evaluate(
        f"(field => {{ field.value = {json.dumps(text)}; field.dispatchEvent(new Event('input', {{bubbles: true}})) }})"
        f"(document.querySelector('[data-place=\"{place}\"]'))"
    )


def submit(browser: Browser) -> None:
    browser.evaluate("document.querySelector('.patient form:not(.key)').requestSubmit()")


def predict_from(browser: Browser, day: float) -> None:
    enter(browser, "landmark_day", f"{day:g}")
    submit(browser)
    explained(browser)


def requests_to(browser: Browser, path: str) -> list[str]:
    """Numbers of the page's requests to a path since it was opened."""
    browser.evaluate("0")
    sent = [e["params"] for e in browser.events if e["method"] == "Network.requestWillBeSent"]
    return [one["requestId"] for one in sent if one["request"]["url"].endswith(path)]


def asked(browser: Browser, path: str) -> Json:
    """The last request of the page to a path."""
    number = requests_to(browser, path)[-1]
    found: Json = json.loads(browser.call("Network.getRequestPostData", requestId=number)["postData"])
    return found


def exchanged(browser: Browser, path: str) -> tuple[Json, Json]:
    """The last request of the page to a path, and its answer."""
    number = requests_to(browser, path)[-1]
    return asked(browser, path), json.loads(browser.call("Network.getResponseBody", requestId=number)["body"])


def predicted(browser: Browser) -> Json:
    """The prediction that the page was last answered."""
    _, answer = exchanged(browser, "/v1/predict")
    one: Json = answer["predictions"][0]
    return one


def rows(browser: Browser, name: str) -> dict[str, list[str]]:
    """Cells of a table's rows, by what heads them."""
    script = f"""[...document.querySelectorAll('[data-table="{name}"] tbody tr')]
        .map(row => [...row.cells].map(cell => cell.textContent))"""
    return {head: cells for head, *cells in browser.evaluate(script)}


def text_of(browser: Browser, selector: str) -> str:
    return str(browser.evaluate(f"document.querySelector({json.dumps(selector)}).textContent"))


def texts_of(browser: Browser, selector: str) -> list[str]:
    script = f"[...document.querySelectorAll({json.dumps(selector)})].map(one => one.textContent)"
    found: list[str] = browser.evaluate(script)
    return found


def percent(share: float) -> str:
    return f"{points(share)}{THIN}%"


def points(share: float) -> str:
    """Hundredths: whole from ten on, and never 0 or 100 for what is not quite."""
    hundredths = round(100 * share, 9)
    if 0 < hundredths < 0.05:
        return "<0.1"
    if 99.95 <= hundredths < 100:
        return ">99.9"
    return f"{hundredths:.1f}" if hundredths < 9.95 or 99.5 <= hundredths < 100 else f"{hundredths:.0f}"


def span(ends: list[float]) -> str:
    low, high = ends
    return f"{points(low)}–{points(high)}{THIN}%"


def title(cause: str) -> str:
    return (text := cause.replace("_", " "))[0].upper() + text[1:]


def press(browser: Browser, key: str) -> None:
    text = {"Enter": {"text": "\r"}, "Space": {"text": " "}}.get(key, {})
    name = " " if key == "Space" else key
    code = CODES[key]
    for kind in ("keyDown", "keyUp"):
        more = text if kind == "keyDown" else {}
        browser.call("Input.dispatchKeyEvent", type=kind, key=name, code=key, windowsVirtualKeyCode=code, **more)


def tab_to(browser: Browser, wanted: str) -> None:
    """Press Tab until what has the focus is what is wanted; everything on the way must show that it has it."""
    for _ in range(200):
        press(browser, "Tab")
        found, outlined = browser.evaluate(f"[document.activeElement.{wanted}, {OUTLINED}]")
        assert outlined, browser.evaluate("document.activeElement.outerHTML")
        if found:
            return
    pytest.fail(f"Tab never reaches what has {wanted}")


def in_view(browser: Browser, selector: str) -> bool:
    """Whether all of it is on the screen, and not under anything else."""
    found: bool = browser.evaluate(
        f"""(node => {{
            const box = node.getBoundingClientRect();
            const on = document.elementFromPoint(box.left + box.width / 2, box.top + box.height / 2);
            const within = box.height > 0 && box.top >= 0 && box.bottom <= innerHeight + 1;
            return within && (node === on || node.contains(on));
        }})(document.querySelector({json.dumps(selector)}))"""
    )
    return found


def held(browser: Browser, path: str) -> str:
    """The number of a request to a path that `Fetch.enable` holds."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        browser.evaluate("0")
        for event in browser.events:
            if event["method"] == "Fetch.requestPaused" and event["params"]["request"]["url"].endswith(path):
                return str(event["params"]["requestId"])
    pytest.fail(f"no request to {path} is held")


def seconds_to_risk(browser: Browser, server: Any, width: int, *, example: int = 0, limit: float = 1.0) -> float:
    """From opening the page, with an example chosen as soon as there is one; nothing is cached.

    The median of three times; where it is above the limit, other tests may have held the machine up, and it is taken
    again, twice at most.
    """
    browser.open("about:blank", width)
    browser.call("Network.setCacheDisabled", cacheDisabled=True)
    clock = CLOCK.replace("[chosen]", f"[{example}]")
    number = browser.call("Page.addScriptToEvaluateOnNewDocument", source=clock)["identifier"]
    try:
        for _ in range(3):
            seen = []
            for _ in range(3):
                browser.open(f"{server.url}/", width)
                seen.append(browser.wait_for("window.seenAt", 10) / 1000)
                browser.open("about:blank", width)
            if median(seen) < limit:
                break
        return median(seen)
    finally:
        browser.call("Page.removeScriptToEvaluateOnNewDocument", identifier=number)
        browser.call("Network.setCacheDisabled", cacheDisabled=False)
