"""The page itself: one HTML file that asks nothing of any other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from matplotlib.figure import Figure

from experiments.page.drawing import inline_svg
from features.errors import SequelaError
from features.files import written_beside

_STYLE = Path(__file__).with_name("page.css")
MADE_BY = '<meta name="generator" content="Sequela">'
ONE_PATIENT = '<meta name="sequela-holds" content="one patient">'
"""Of a page that shows a single patient."""


@dataclass(frozen=True, slots=True)
class Section:
    """One part of the page."""

    key: str
    """Its id, and the beginning of the ids of its figures."""
    title: str
    body: str
    """HTML; whatever comes from the cohort is escaped in it."""


@dataclass(frozen=True, slots=True)
class Heading:
    """What stands above all sections."""

    title: str
    kind: str
    banner: str
    """A warning across the page; empty for none."""
    facts: Mapping[str, str]
    tiles: Mapping[str, str]


def words(name: str) -> str:
    """A name that may be broken into lines."""
    return name.replace("_", " ")


def paragraph(text: str) -> str:
    """Plain text as a paragraph."""
    return f"<p>{escape(text)}</p>"


def absent(why: str) -> str:
    """Why a section has nothing to show."""
    return f'<p class="why">{escape(why)}</p>'


def folded(summary: str, body: str) -> str:
    """HTML that is unfolded on demand."""
    return f"<details><summary>{escape(summary)}</summary>{body}</details>"


def subheading(text: str) -> str:
    """A heading within a section."""
    return f"<h3>{escape(text)}</h3>"


def definitions(pairs: Sequence[tuple[str, str, str]]) -> str:
    """What is said of each of some things: name, text, and a word on its state (empty for none)."""

    def pair(name: str, text: str, state: str) -> str:
        note = f'<span class="state">{escape(state)}</span>' if state else ""
        return f"<dt>{escape(name)}{note}</dt><dd>{escape(text)}</dd>"

    return f'<dl class="said">{"".join(pair(*one) for one in pairs)}</dl>'


def code_block(text: str) -> str:
    """Text with its line ends, in a box that scrolls by itself."""
    return f'<pre class="scroll" tabindex="0" role="region" aria-label="Code">{escape(text)}</pre>'


def figures(parts: Sequence[tuple[Figure, str, str]], key: str, *, small: bool = False) -> str:
    """Figures side by side where there is room, each with its caption.

    Args:
        parts: Figure, caption and text alternative.
        key: Begins the ids in them; unique on the page.
        small: Three beside each other on a wide screen, not two.
    """
    drawn = (
        f"<figure>{inline_svg(figure, f'{key}{i}', alternative)}<figcaption>{escape(caption)}</figcaption></figure>"
        for i, (figure, caption, alternative) in enumerate(parts)
    )
    return f'<div class="figures{" small" if small else ""}">{"".join(drawn)}</div>'


def render(heading: Heading, sections: Sequence[Section], *, one_patient: bool = False) -> str:
    """The whole page.

    Args:
        heading: What stands above all sections.
        sections: In their order.
        one_patient: Whether it shows a single patient: reports of models do not take it in.
    """
    style = _STYLE.read_text(encoding="utf-8")
    contents = "".join(f'<li><a href="#{part.key}">{escape(part.title)}</a></li>' for part in sections)
    banner = f'<div class="banner" role="note">{escape(heading.banner)}</div>' if heading.banner else ""
    facts = "".join(f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>" for name, text in heading.facts.items() if text)
    tiles = "".join(f"<li><b>{escape(n)}</b><span>{escape(name)}</span></li>" for name, n in heading.tiles.items())
    body = "".join(
        f'<section id="{part.key}" aria-labelledby="{part.key}-title">'
        f'<h2 id="{part.key}-title">{escape(part.title)}</h2>'
        f"{part.body}</section>"
        for part in sections
    )
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"{MADE_BY}{ONE_PATIENT if one_patient else ''}"
        '<meta name="robots" content="noindex"><link rel="icon" href="data:,">'
        f"<title>{escape(heading.title)}</title>"
        f"<style>{style}</style></head><body>{banner}"
        f'<div class="frame"><header><p class="kind">{escape(heading.kind)}</p><h1>{escape(heading.title)}</h1>'
        f'<dl class="facts">{facts}</dl><ul class="tiles">{tiles}</ul></header>'
        f'<nav aria-label="Contents"><ol>{contents}</ol></nav><main>{body}</main></div></body></html>\n'
    )


def write_page(path: Path, text: str) -> None:
    """Write beside, then rename: readers see the old page or the new one.

    Raises:
        SequelaError: The folder does not exist, or nothing can be written there.
    """
    try:
        with written_beside(path) as beside:
            beside.write_text(text, encoding="utf-8")
    except OSError as error:
        msg = f"{path}: cannot be written ({error.strerror}); choose a file in a folder that exists and is yours"
        raise SequelaError(msg) from error
