"""Another page of ours as one part of a page: what it found, and the rest unfolded on demand."""

from __future__ import annotations

import os
import re
from html import escape, unescape
from html.parser import HTMLParser
from pathlib import Path

from experiments.page.shell import MADE_BY, ONE_PATIENT, Section, folded
from features.errors import SequelaError

_HEAD = re.compile(
    r'<p class="kind">(?P<kind>.*?)</p><h1>(?P<title>.*?)</h1><dl class="facts">(?P<facts>.*?)</dl>', re.DOTALL
)
_BANNER = re.compile(r'<div class="banner" role="note">(.*?)</div>', re.DOTALL)
_MAIN = re.compile(r"<main>(<section.*?</section>)(.*)</main>", re.DOTALL)
_IDS = re.compile(r'(\s(?:id|for)="|url\(#|href="#)([^")]+)')
_LISTS = re.compile(r'(\saria-(?:labelledby|describedby|controls)=")([^"]+)')
_FILES = re.compile(r'(href=")(?!#|data:|[a-z]+:)([^"]+)')


_TAGS = {
    "a", "b", "caption", "clippath", "code", "dd", "defs", "details", "div", "dl", "dt", "figcaption", "figure", "g",
    "h2", "h3", "h4", "h5", "li", "ol", "p", "path", "pre", "rect", "section", "span", "summary", "svg", "table",
    "tbody", "td", "text", "th", "thead", "title", "tr", "ul", "use",
}  # fmt: skip
_ATTRIBUTES = {
    "aria-label", "aria-labelledby", "class", "clip-path", "colspan", "d", "height", "href", "id", "role", "rowspan",
    "scope", "style", "tabindex", "transform", "viewbox", "width", "x", "y",
}  # fmt: skip
"""Of the pages that `render` makes; nothing else comes into another one."""


def added_section(path: Path, number: int, beside: Path, cohort: str) -> Section:
    """A page that `render` made, as a section.

    Args:
        path: The page.
        number: Of the section among those added, from 1.
        beside: The folder of the page that it is added to; links to other files are turned towards it.
        cohort: As the page that it is added to names its own; the two are to be of one.

    Raises:
        SequelaError: It cannot be read, is none of our pages as we wrote it, holds a single patient, or is of another
            cohort.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        msg = (
            f"--add {path}: cannot be read ({getattr(error, 'strerror', None) or 'not UTF-8'}); name a page of sequela"
        )
        raise SequelaError(msg) from error
    head, main = _HEAD.search(text), _MAIN.search(text)
    if MADE_BY not in text or head is None or main is None or not _is_ours("".join(main.groups())):
        msg = f"--add {path}: is no page as this version of sequela writes them; write it again, and leave it as it is"
        raise SequelaError(msg)
    if ONE_PATIENT in text:
        msg = f"--add {path}: shows a single patient, and a report is of a model; write it without --patient"
        raise SequelaError(msg)
    if f"<dd>{escape(cohort)}</dd>" not in head["facts"]:
        msg = f"--add {path}: is not of the run's cohort, {cohort}; add pages of that cohort"
        raise SequelaError(msg)
    key = f"added{number}"
    banner = _BANNER.search(text)
    said = f'<p class="why">{banner[1]}</p>' if banner else ""
    opening, rest = (_within(part, key, path.parent, beside) for part in main.groups())
    facts = f'<dl class="said">{head["facts"]}</dl>'
    return Section(key, unescape(head["title"]), said + opening + folded("All of it", facts + rest))


def _is_ours(html: str) -> bool:
    """Whether there is nothing in it but what our pages are made of."""
    checked = _Checked()
    checked.feed(html)
    checked.close()
    return checked.ours


class _Checked(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.ours = True

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        links = [value or "" for name, value in attrs if name == "href"]
        self.ours &= tag in _TAGS and all(name in _ATTRIBUTES for name, _ in attrs)
        self.ours &= all(link.startswith("#") or ":" not in link for link in links)

    def handle_comment(self, data: str) -> None:
        self.ours = False

    def handle_decl(self, decl: str) -> None:
        self.ours = False

    def unknown_decl(self, data: str) -> None:
        self.ours = False


def _within(html: str, key: str, folder: Path, beside: Path) -> str:
    """Its ids made its own, its headings a level lower, its links turned to where the files are."""
    html = _IDS.sub(lambda found: f"{found[1]}{key}-{found[2]}", html)
    html = _LISTS.sub(lambda found: found[1] + " ".join(f"{key}-{one}" for one in found[2].split()), html)
    html = re.sub(r"(</?)h([2-5])\b", lambda found: f"{found[1]}h{int(found[2]) + 1}", html)
    return _FILES.sub(lambda found: found[1] + Path(os.path.relpath(folder / found[2], beside)).as_posix(), html)
