"""Tables, and the numbers in them."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

import numpy as np
import pandas as pd

from features.patients import FloatArray
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


def threshold_text(value: float) -> str:
    """A threshold as it is applied: all of its up to four significant digits (`training.evaluation.alerts`)."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def p_value(value: float) -> str:
    """With three digits; a dash where there is none."""
    if not np.isfinite(value):
        return "–"
    return "<0.001" if value < 0.001 else f"{value:.3f}"


def median_iqr(values: FloatArray) -> str:
    """Median and quartiles, e.g. ``63.1 [55.0, 70.2]``; linear interpolation, as numpy and pandas do."""
    known = values[np.isfinite(values)]
    if not len(known):
        return "–"
    low, middle, high = np.quantile(known, [0.25, 0.5, 0.75])
    return f"{number(middle)} [{number(low)}, {number(high)}]"


def count_and_share(text: str, count: int, total: int) -> str:
    """A count in words with its share of a total, unless the count is 0 or is not shown."""
    if text != f"{count:,}" or not count:
        return text
    share = 100 * count / total
    return f"{text} (<1 %)" if share < 1 else f"{text} ({share:.0f} %)"


def with_unit(name: str, variable: Variable) -> str:
    """A variable's name and its unit, where it has one."""
    return f"{name}, {variable.unit}" if variable.unit != "1" else name


def levels_of(variable: Variable, values: pd.Series[Any]) -> list[str]:
    """Levels that occur: the declared ones in their order, then the others, most frequent first."""
    counts = values.value_counts()
    levels = [level for level in variable.levels or () if level in counts.index]
    return levels + [str(level) for level in counts.index if level not in levels]
