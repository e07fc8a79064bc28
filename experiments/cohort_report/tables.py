"""The tables of the page: who is in the cohort, what happened to them, and what the check found."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from html import escape

import numpy as np
import pandas as pd

from experiments.cohort_report.privacy import SMALLEST, Disclosure
from features.cohort import Cohort
from features.errors import Finding
from features.patients import FloatArray, Samples
from features.schema import Variable

MOST_LEVELS = 20
Row = Sequence[str]


def html_table(caption: str, columns: Row, rows: Sequence[Row], *, numeric_from: int = 1) -> str:
    """A table in a box that scrolls by itself; the first cell of a row is its heading. All text is escaped.

    Args:
        caption: What the table shows.
        columns: Headings.
        rows: Cells; a row whose first cell begins with two spaces belongs to the one above.
        numeric_from: First column whose cells are aligned right.
    """

    def cell(i: int, text: str) -> str:
        kind = ' class="n"' if i >= numeric_from else ""
        if i:
            return f"<td{kind}>{escape(text)}</td>"
        under = ' class="under"' if text.startswith("  ") else ""
        return f'<th scope="row"{under}>{escape(text.strip())}</th>'

    heads = "".join(
        f'<th scope="col"{" class=n" if i >= numeric_from else ""}>{escape(name)}</th>'
        for i, name in enumerate(columns)
    )
    body = "".join(f"<tr>{''.join(cell(i, text) for i, text in enumerate(row))}</tr>" for row in rows)
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(caption)}"><table>'
        f"<caption>{escape(caption)}</caption><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def number(value: float) -> str:
    """A value with three significant digits or all before the point, without exponent or zeros at the end."""
    if not np.isfinite(value):
        return "–"
    digits = max(0, 2 - int(np.floor(np.log10(abs(value))))) if value else 0
    text = f"{value:,.{digits}f}"
    return text.rstrip("0").rstrip(".") if digits else text


def median_iqr(values: FloatArray) -> str:
    """Median and quartiles, e.g. ``63.1 [55.0, 70.2]``; linear interpolation, as numpy and pandas do."""
    known = values[np.isfinite(values)]
    if not len(known):
        return "–"
    low, middle, high = np.quantile(known, [0.25, 0.5, 0.75])
    return f"{number(middle)} [{number(low)}, {number(high)}]"


def baseline_rows(cohort: Cohort, shown: Disclosure) -> list[tuple[str, str, str]]:
    """Table 1: variable or level, median [quartiles] or n (%), and missing n (%)."""
    rows: list[tuple[str, str, str]] = []
    columns = dict(cohort.baseline_variables)
    if "site" in cohort.patients and "site" not in columns:
        columns["site"] = Variable(kind="categorical")
    for name, variable in columns.items():
        values = cohort.patients[name]
        if variable.kind == "numeric":
            rows.append(_numeric_row(name, variable, values, shown))
        else:
            rows.extend(_level_rows(name, variable, values, shown))
    return rows


def _numeric_row(name: str, variable: Variable, values: pd.Series, shown: Disclosure) -> tuple[str, str, str]:
    numbers = values.to_numpy(dtype=float)
    n_known, n = int(np.isfinite(numbers).sum()), len(numbers)
    label = f"{name}, {variable.unit}" if variable.unit != "1" else name
    missing = _of(shown.parts([n - n_known])[0], n - n_known, n)
    return label, f"<{SMALLEST} values" if shown.small(n_known) else median_iqr(numbers), missing


def _level_rows(name: str, variable: Variable, values: pd.Series, shown: Disclosure) -> list[tuple[str, str, str]]:
    counts = values.value_counts()
    levels = [level for level in variable.levels or () if level in counts.index]
    levels += [str(level) for level in counts.index if level not in levels]
    kept, rest = levels[:MOST_LEVELS], levels[MOST_LEVELS:]
    n_missing, n_known = int(values.isna().sum()), int(counts.sum())
    numbers = [int(counts[level]) for level in kept] + ([int(counts[rest].sum())] if rest else [])
    *texts, missing = shown.parts([*numbers, n_missing])
    names = kept + ([f"{len(rest)} other levels"] if rest else [])
    shares = [_of(text, n, n_known) for text, n in zip(texts, numbers, strict=True)]
    above = (name, "", _of(missing, n_missing, len(values)))
    return [above, *((f"  {level}", text, "") for level, text in zip(names, shares, strict=True))]


def _of(text: str, count: int, total: int) -> str:
    """A count in words with its share of a total, unless the count is 0 or is not shown."""
    if text != f"{count:,}" or not count:
        return text
    share = 100 * count / total
    return f"{text} (<1 %)" if share < 1 else f"{text} ({share:.0f} %)"


def event_rows(cohort: Cohort, shown: Disclosure) -> list[tuple[str, ...]]:
    """Event, patients with it, events, events by grade, median day of the first; most frequent first."""
    rows = []
    for name, of_name in cohort.events.groupby("event"):
        first = of_name.groupby("patient_id")["day"].min()
        n = len(first)
        grades = of_name["grade"].value_counts().sort_index()
        guarded = shown.parts([int(count) for count in grades])
        by_grade = ", ".join(f"{grade:g}: {text}" for grade, text in zip(grades.index, guarded, strict=True))
        day = "–" if shown.small(n) else median_iqr(first.to_numpy(dtype=float))
        events = shown.count(n) if shown.small(n) else shown.count(len(of_name))
        rows.append((n, (str(name), shown.count(n), events, by_grade or "–", day)))
    return [row for _, row in sorted(rows, key=lambda pair: (-pair[0], pair[1][0]))]


def finding_rows(findings: Sequence[Finding]) -> list[tuple[str, str, str, str]]:
    """Findings by code and place, with neither rows nor values: severity and code, place, how many, rule and remedy."""
    kinds: Counter[tuple[str, str, str]] = Counter()
    text: dict[tuple[str, str, str], str] = {}
    for finding in findings:
        place = finding.file if finding.field is None else f"{finding.file}: {finding.field}"
        kind = (f"{finding.severity} {finding.code}", place, finding.rule)
        kinds[kind] += 1
        text.setdefault(kind, f"{finding.rule} {finding.remedy}")
    return [(kind[0], kind[1], f"{n:,}", text[kind]) for kind, n in kinds.items()]


def sample_rows(samples: Samples, shown: Disclosure) -> list[tuple[str, ...]]:
    """Material, patients, samples, samples with cells, cells, cells per sample, days; in alphabetical order."""
    cells, row = samples.summary.cells_by_type.sum(axis=1), samples.row
    rows: list[tuple[str, ...]] = []
    for material in sorted(set(samples.material)):
        of_it = samples.material == material
        n_cells, n_patients = cells[of_it], len(np.unique(row[of_it]))
        counts = (shown.count(int(of_it.sum())), shown.count(int((n_cells > 0).sum())))
        per_sample = median_iqr(n_cells[n_cells > 0])
        days = "–" if shown.small(n_patients) else median_iqr(samples.day[of_it])
        rows.append((str(material), shown.count(n_patients), *counts, f"{int(n_cells.sum()):,}", per_sample, days))
    return rows


__all__ = [
    "baseline_rows", "event_rows", "finding_rows", "html_table", "median_iqr", "number", "sample_rows",
]  # fmt: skip
