"""Another page of ours as one part of a page: what it found, and the rest unfolded on demand."""

from __future__ import annotations

import os
import re
from html import unescape
from pathlib import Path

from experiments.page.shell import MADE_BY, Section, folded
from features.errors import SequelaError

_HEAD = re.compile(
    r'<p class="kind">(?P<kind>.*?)</p><h1>(?P<title>.*?)</h1><dl class="facts">(?P<facts>.*?)</dl>', re.DOTALL
)
_BANNER = re.compile(r'<div class="banner" role="note">(.*?)</div>', re.DOTALL)
_MAIN = re.compile(r"<main>(<section.*?</section>)(.*)</main>", re.DOTALL)
_ACTIVE = re.compile(r"<script|<iframe|<object|<embed|<form|\son\w+=|javascript:", re.IGNORECASE)
_IDS = re.compile(r'(\s(?:id|for)="|url\(#|href="#)([^")]+)')
_LISTS = re.compile(r'(\saria-(?:labelledby|describedby|controls)=")([^"]+)')
_FILES = re.compile(r'(href=")(?!#|data:|[a-z]+:)([^"]+)')


def added_section(path: Path, number: int, beside: Path) -> Section:
    """A page that `render` made, as a section.

    Args:
        path: The page.
        number: Of the section among those added, from 1.
        beside: The folder of the page that it is added to; links to other files are turned towards it.

    Raises:
        SequelaError: It cannot be read, or is none of our pages as we wrote it.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        msg = (
            f"--add {path}: cannot be read ({getattr(error, 'strerror', None) or 'not UTF-8'}); name a page of sequela"
        )
        raise SequelaError(msg) from error
    head, main = _HEAD.search(text), _MAIN.search(text)
    if MADE_BY not in text or head is None or main is None or _ACTIVE.search(text):
        msg = f"--add {path}: is no page that sequela wrote; name one of monitor, effects, strategies and the like"
        raise SequelaError(msg)
    key = f"added{number}"
    banner = _BANNER.search(text)
    said = f'<p class="why">{banner[1]}</p>' if banner else ""
    opening, rest = (_within(part, key, path.parent, beside) for part in main.groups())
    facts = f'<dl class="said">{head["facts"]}</dl>'
    return Section(key, unescape(head["title"]), said + opening + folded("All of it", facts + rest))


def _within(html: str, key: str, folder: Path, beside: Path) -> str:
    """Its ids made its own, its headings a level lower, its links turned to where the files are."""
    html = _IDS.sub(lambda found: f"{found[1]}{key}-{found[2]}", html)
    html = _LISTS.sub(lambda found: found[1] + " ".join(f"{key}-{one}" for one in found[2].split()), html)
    html = re.sub(r"(</?)h([2-5])\b", lambda found: f"{found[1]}h{int(found[2]) + 1}", html)
    return _FILES.sub(lambda found: found[1] + Path(os.path.relpath(folder / found[2], beside)).as_posix(), html)
