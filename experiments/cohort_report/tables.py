"""The tables of the page: who is in the cohort, what happened to them, and what the check found."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import pandas as pd

from experiments.page.privacy import SMALLEST, Disclosure
from experiments.page.tables import MOST_LEVELS, count_and_share, levels_of, median_iqr, with_unit
from features.cohort import Cohort
from features.errors import Finding
from features.patients import Samples
from features.schema import Variable


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
    missing = count_and_share(shown.parts([n - n_known])[0], n - n_known, n)
    return with_unit(name, variable), f"<{SMALLEST} values" if shown.small(n_known) else median_iqr(numbers), missing


def _level_rows(name: str, variable: Variable, values: pd.Series, shown: Disclosure) -> list[tuple[str, str, str]]:
    counts = values.value_counts()
    levels = levels_of(variable, values)
    kept, rest = levels[:MOST_LEVELS], levels[MOST_LEVELS:]
    n_missing, n_known = int(values.isna().sum()), int(counts.sum())
    numbers = [int(counts[level]) for level in kept] + ([int(counts[rest].sum())] if rest else [])
    *texts, missing = shown.parts([*numbers, n_missing])
    names = kept + ([f"{len(rest)} other levels"] if rest else [])
    shares = [count_and_share(text, n, n_known) for text, n in zip(texts, numbers, strict=True)]
    above = (name, "", count_and_share(missing, n_missing, len(values)))
    return [above, *((f"  {level}", text, "") for level, text in zip(names, shares, strict=True))]


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
