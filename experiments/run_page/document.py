"""A model card as a document: parts with paragraphs and tables, written once and rendered as Markdown and as HTML."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import yaml

from experiments.page.shell import Section, definitions, paragraph, subheading
from experiments.page.tables import html_table
from experiments.run_page.card import Estimate, RunCard, Statement
from experiments.run_page.facts import METRICS, estimate
from training.evaluation.intervals import Interval

STATUS = {"filled": "filled from the run", "partly": "filled in part", "person": "to be filled by a person"}
HEADLINE = ("ibs", "ipa", "c")


@dataclass(frozen=True, slots=True)
class Table:
    """A table; the first cell of a row is its heading."""

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Listed:
    """Things, and what is said of each."""

    caption: str
    entries: tuple[tuple[str, str, str], ...]
    """Name, text, and a word on its state (empty for none)."""


@dataclass(frozen=True, slots=True)
class Part:
    """One part of the document."""

    key: str
    title: str
    blocks: tuple[str | Table | Listed, ...]


def document(card: RunCard) -> tuple[Part, ...]:
    """The card in parts, in the order in which it is read."""
    return (
        Part("use", "Intended use and limits", (_statements("What it is for", card.intended_use),)),
        Part("scores", "Scores of patients not trained on", (_score_table(card),)),
        Part("subgroups", "Subgroups", _subgroup_blocks(card)),
        tripod_part(card),
        chai_part(card),
        Part("reproduce", "How to reproduce", (_statements("What the run was made with", card.reproduce),)),
    )


def tripod_part(card: RunCard) -> Part:
    """The reporting checklist."""
    entries = tuple((f"{item.number} {item.name}", item.text, STATUS[item.status]) for item in card.tripod_ai)
    filled = sum(item.status == "filled" for item in card.tripod_ai)
    partly = sum(item.status == "partly" for item in card.tripod_ai)
    left = len(entries) - filled - partly
    text = (
        f"{filled} of {len(entries)} items are filled from the run, {partly} in part, and {left} are "
        "to be filled by a person. Items as numbered by Collins et al., BMJ 2024;385:e078378, named in our words."
    )
    return Part(
        "tripod",
        "Reporting checklist (TRIPOD+AI)",
        (
            text,
            Listed("The 27 main items", entries),
        ),
    )


def chai_part(card: RunCard) -> Part:
    """The parts of the CHAI applied model card."""
    tables = tuple(_statements(block.title, block.statements) for block in card.chai)
    return Part("chai", "Applied model card (CHAI)", ("Parts as in the applied model card of CHAI, 2024.", *tables))


def _statements(caption: str, statements: Sequence[Statement]) -> Listed:
    return Listed(caption, tuple((one.name, one.text, "") for one in statements))


def _score_table(card: RunCard) -> Table:
    rows = tuple(
        (
            METRICS.get(one.metric, one.metric),
            one.cause,
            f"{one.landmark_day:g}",
            "all times" if one.horizon_days is None else f"{one.horizon_days:g}",
            _estimate(one.estimate, 4 if one.metric in {"ibs", "brier"} else 0 if one.metric == "n_events" else 3),
        )
        for one in card.scores
        if one.metric != "aj_calibration"
    )
    columns = ("score", "cause", "landmark day", "days from it", "estimate (95 % interval)")
    return Table("Out-of-fold scores", columns, rows)


def _subgroup_blocks(card: RunCard) -> tuple[str | Table, ...]:
    if not card.subgroups:
        return ("No subgroup was looked at.",)
    rows = tuple(
        (
            f"{one.variable}: {one.level}",
            one.patients,
            one.events,
            *(
                ("too few to tell", "", "")
                if one.scores is None
                else (_estimate(one.scores[name], 3) for name in ("o_e", "auc", "brier"))
            ),
        )
        for one in card.subgroups
    )
    columns = ("group", "patients", "events", "observed over expected", "AUC", "Brier score")
    caption = f"By {card.subgroup_horizon_days:g} days from the first landmark, with 95 % intervals"
    return (Table(caption, columns, rows),)


def _estimate(value: Estimate, digits: int) -> str:
    nan = float("nan")
    low, high = (nan if one is None else one for one in (value.low, value.high))
    return estimate(Interval(nan if value.point is None else value.point, low, high), digits)


def to_sections(parts: Sequence[Part]) -> list[Section]:
    """As sections of a page."""
    return [Section(part.key, part.title, "".join(map(_html, part.blocks))) for part in parts]


def _html(block: str | Table | Listed) -> str:
    if isinstance(block, str):
        return paragraph(block)
    if isinstance(block, Listed):
        return subheading(block.caption) + definitions(block.entries)
    return html_table(block.caption, block.columns, block.rows)


def to_markdown(card: RunCard) -> str:
    """With the front matter that Hugging Face reads from a README.md."""
    front = yaml.safe_dump(front_matter(card), sort_keys=False, allow_unicode=True, width=110)
    lines = [f"---\n{front}---", f"# {_plain(card.name)}", f"> {_plain(card.warning)}"]
    for part in document(card):
        lines.append(f"## {_plain(part.title)}")
        lines += map(_markdown, part.blocks)
    return "\n\n".join(lines) + "\n"


def _markdown(block: str | Table | Listed) -> str:
    if isinstance(block, str):
        return _plain(block)
    if isinstance(block, Table):
        return _markdown_table(block)
    states = [f" ({state})" if state else "" for _, _, state in block.entries]
    entries = zip(block.entries, states, strict=True)
    lines = [f"- **{_plain(name)}**{state}: {_plain(text)}" for (name, text, _), state in entries]
    return f"### {_plain(block.caption)}\n\n" + "\n".join(lines)


def _markdown_table(table: Table) -> str:
    rows = [table.columns, ("---",) * len(table.columns)]
    lines = [f"| {' | '.join(row)} |" for row in rows]
    lines += [f"| {' | '.join(_plain(cell) for cell in row)} |" for row in table.rows]
    return f"**{_plain(table.caption)}**\n\n" + "\n".join(lines)


def _plain(text: str) -> str:
    """Text in which Markdown and HTML see nothing of their own."""
    return re.sub(r"([\\`*_\[\]<>|#])", r"\\\1", " ".join(text.split()))


def front_matter(card: RunCard) -> dict[str, object]:
    """Tags, and the headline scores of the event of interest as a model-index; the licence is a person's to choose."""
    first, cause = card.endpoint.landmark_days[0], card.endpoint.event.name
    metrics = [
        {
            "type": one.metric,
            "name": f"{METRICS[one.metric]}, {cause} from day {first:g}",
            "value": one.estimate.point,
        }
        for one in card.scores
        if one.horizon_days is None and one.metric in HEADLINE and (one.landmark_day, one.cause) == (first, cause)
    ]
    tags = ["survival-analysis", "competing-risks", "car-t", card.model, f"{card.cohort.provenance}-patients"]
    result = {
        "task": {"type": "survival-analysis", "name": "Competing risks"},
        "dataset": {"type": "cohort", "name": card.cohort.title},
        "metrics": [metric for metric in metrics if metric["value"] is not None],
    }
    return {
        "license": "other",
        "license_name": "to-be-filled-by-a-person",
        "library_name": "sequela",
        "tags": tags,
        "model-index": [{"name": card.name, "results": [result]}],
    }
