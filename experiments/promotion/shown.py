"""Verdicts and the history of promotions in the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite

from rich.markup import escape
from rich.table import Table

from experiments.cli.output import stdout
from experiments.promotion.history import Entry
from experiments.promotion.verdict import Check, Verdict

COLOURS = {"passed": "green", "failed": "red", "not applicable": "yellow"}


def print_verdict(verdict: Verdict) -> None:
    """A line for each check; of subgroups, only those that were not passed are named one by one."""
    passed = "passed" if verdict.passed else "refused"
    table = Table(title=f"gate {verdict.gate}: {passed}", title_justify="left", box=None)
    for column in ("check", "verdict", "value [95 %]", "rule", "remark"):
        table.add_column(column, no_wrap=column in ("verdict", "value [95 %]"))
    quiet = [check for check in verdict.checks if check.part == "subgroups" and check.status == "passed"]
    for check in verdict.checks:
        if check not in quiet:
            status = f"[{COLOURS[check.status]}]{check.status}[/]"
            table.add_row(escape(check.name), status, escape(_value(check)), escape(check.rule), escape(check.remark))
    if quiet:
        table.add_row("subgroups", "[green]passed[/]", "", f"{len(quiet)} more checks", "gate.json has each")
    stdout.print(table)


def _value(check: Check) -> str:
    value = check.value
    if not isfinite(value.point):
        return ""
    return f"{value.point:.3g}" + (f" [{value.low:.3g}, {value.high:.3g}]" if isfinite(value.low) else "")


def print_history(endpoint: str, history: Sequence[Entry]) -> None:
    """Who served for an endpoint when and why, oldest first."""
    table = Table(title=f"champions of {endpoint}", title_justify="left", box=None)
    for column in ("from", "version", "instead of", "how", "gate", "by", "run id", "reason"):
        table.add_column(column, no_wrap=column in ("from", "run id"))
    for entry in history:
        judged = {True: "passed", False: "failed", None: ""}[entry.passed]
        how = entry.action if entry.done else f"{entry.action}, not finished"
        cells = (entry.at, entry.version, entry.replaced or "", how, f"{entry.gate or ''} {judged}".strip())
        table.add_row(*map(escape, (*cells, entry.by, entry.run_id[:8], entry.override or "")))
    stdout.print(table)
