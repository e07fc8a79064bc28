"""Figures as inline SVG that takes its colours from the page, so that one drawing serves light and dark."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from html import escape
from io import StringIO
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import PercentFormatter

from experiments.figures import PALETTE
from experiments.page.privacy import Disclosure
from features.patients import FloatArray, IntArray

WIDTH_INCHES, SMALL_INCHES = 4.6, 3.5
"""Of a figure that stands beside one other, and beside two, on a desk's screen; a phone's is filled by each."""
INK, FAINT = "#16191d", "#c9ced5"
"""Drawn with these, shown in the page's colours of text and of rules."""
TINTS = ("#54b0d3", "#e8a07c", "#9dc680", "#b9a3d9", "#bdbdbd", "#dfc071")
"""Paler companions of the palette, for more than six groups; groups are told apart by order and label as well."""
COLORS = (*PALETTE, *TINTS)
_VARIABLES = {INK: "--ink", FAINT: "--rule"} | {color: f"--c{i}" for i, color in enumerate(COLORS)}
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "font.size": 9.5,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.labelsize": 9.5,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "legend.fontsize": 8.5,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "axes.facecolor": "none",
    "figure.facecolor": "none",
    "axes.axisbelow": True,
    "grid.linewidth": 0.6,
    "grid.color": FAINT,
    "axes.edgecolor": FAINT,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "text.color": INK,
}
RASTER_DPI = 200
"""Dots per inch of what is too much for vectors: cells, and lines of patients."""

FAINTEST, DEEPEST = 0.04, 0.5
"""Opacity of the emptiest and of the fullest cell of a heat map: text stays legible on it, in light and in dark."""


def color_of(index: int) -> str:
    """The colour of a group, in the order of groups."""
    return COLORS[index % len(COLORS)]


@contextmanager
def drawing(
    height_inches: float,
    rows: int = 1,
    *,
    width_inches: float = WIDTH_INCHES,
    **subplots: Any,  # noqa: ANN401
) -> Iterator[tuple[Figure, list[Axes]]]:
    """Yield a figure of the page's width and its axes, in the page's style."""
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(width_inches, height_inches), layout="constrained", dpi=RASTER_DPI)
        axes = figure.subplots(rows, 1, squeeze=False, **subplots)
        yield figure, list(axes[:, 0])


def inline_svg(figure: Figure, name: str, alternative: str) -> str:
    """A figure as an <svg> element with a text alternative; equal figures give equal text.

    Args:
        figure: The figure.
        name: Made part of every id within, so that figures on one page do not meet.
        alternative: What a reader who does not see the figure should know of it.
    """
    text = StringIO()
    with mpl.rc_context(_STYLE | {"svg.hashsalt": name}):
        figure.savefig(text, format="svg", metadata={"Date": None})
    body = text.getvalue()
    view = re.search(r'viewBox="([^"]+)"', body)
    inner = body[body.index(">", body.index("<svg")) + 1 : body.rindex("</svg>")]
    inner = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>|<defs>\s*</defs>", "", inner, flags=re.DOTALL)
    inner = re.sub(r"font-family: [^;\"]+;? ?", "", inner)
    inner = _own_ids(inner.replace("xlink:href", "href"), name)
    inner = re.sub(r"#[0-9a-f]{6}\b", lambda found: _variable(found[0]), inner)
    inner = re.sub(r"(?<=\d\.\d\d)\d+(?= |\n|\"|\))", "", inner)
    box = view[1] if view else "0 0 1 1"
    return (
        f'<svg viewBox="{box}" role="img" aria-labelledby="{name}-alt">'
        f'<title id="{name}-alt">{escape(alternative)}</title>{inner}</svg>'
    )


def _variable(color: str) -> str:
    return f"var({_VARIABLES[color]})" if color in _VARIABLES else color


def _own_ids(svg: str, name: str) -> str:
    """Keep the ids that something refers to, with the name of the figure before them."""
    used = set(re.findall(r"(?:url\(|href=\")#([^)\"]+)", svg))
    svg = re.sub(r' id="([^"]+)"', lambda found: f' id="{name}-{found[1]}"' if found[1] in used else "", svg)
    return re.sub(r"(url\(|href=\")#([^)\"]+)", lambda found: f"{found[1]}#{name}-{found[2]}", svg)


def heat_map(axes: Axes, values: FloatArray, color: Callable[[float], str], text: Callable[[float], str]) -> None:
    """Cells (rows, columns) whose opacity is the size of the value, so that they suit a light and a dark page alike."""
    for (i, j), value in np.ndenumerate(values):
        if np.isfinite(value):
            shade = FAINTEST + min(abs(float(value)), 1.0) * (DEEPEST - FAINTEST)
            axes.add_patch(Rectangle((j - 0.47, i - 0.45), 0.94, 0.9, color=color(value), alpha=shade, lw=0))
            axes.text(j, i, text(value), ha="center", va="center", fontsize=8)
    axes.set_xlim(-0.5, values.shape[1] - 0.5)
    axes.set_ylim(values.shape[0] - 0.5, -0.5)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)


def heading(figure: Figure, text: str) -> None:
    """A title from the left edge of the figure, for axes whose labels are long."""
    figure.suptitle(text, x=0.01, ha="left", fontsize=10)


def legend_below(figure: Figure, axes: Axes, columns: int = 2, handle: float = 1.2) -> None:
    """The legend of one of the axes under the figure, where it covers nothing; dashes need a longer handle."""
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower left", ncols=columns, handlelength=handle, columnspacing=1.2)


def days_axis(axes: Axes, ticks: FloatArray, last: float, at_risk: IntArray, shown: Disclosure) -> None:
    """Days along the axis, with the patients at risk under them, and shares upwards."""
    axes.set_xlim(0, max(last, 1.0))
    labels = [f"{day:g}\n{shown.count(int(n))}" for day, n in zip(ticks, at_risk, strict=True)]
    axes.set_xticks(ticks, labels)
    axes.set_xlabel("days (upper row), patients at risk (lower row)")
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=None))
    axes.grid(axis="y")


def listed(names: Sequence[str], most: int = 12) -> str:
    """Names in a row, the rest counted."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
