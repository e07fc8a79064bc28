"""Figures of the page read back: what is drawn, as numbers, by the ticks that a reader would go by."""

from __future__ import annotations

import json
import re
from typing import Any

import numpy as np
from browser import Browser
from numpy.typing import NDArray
from risk_page import THIN

PIXEL = 1.0
"""By which what is drawn may be off."""
READ = """(svg => {
    const numbers = (node, names) => names.map(name => Number(node.getAttribute(name)));
    const all = (selector, names) => [...svg.querySelectorAll(selector)].map(node => numbers(node, names));
    const nodes = selector => [...svg.querySelectorAll(selector)];
    const texts = selector => nodes(selector).map(node => [node.textContent, ...numbers(node, ['x', 'y'])]);
    const name = node => node.getAttribute('class').split(' ').at(-1);
    const paths = selector => Object.fromEntries(nodes(selector).map(node => [name(node), node.getAttribute('d')]));
    return {
        levels: all('line.grid, line.axis:not(.at)', ['y1']), shares: texts('text.tick:not(.at)'),
        places: all('line.axis.at', ['x1']), values: texts('text.tick.at'),
        lines: paths('path.line'), bands: paths('path.band'), dots: all('circle.dot', ['cx', 'cy']),
        whiskers: all('line.whisker', ['x1', 'y1', 'y2']), named: texts('text.value'), marks: paths('path.mark'),
    };
})(document.querySelector(%s))"""


class Figure:
    """A figure of the page, whose axes are read off its ticks."""

    def __init__(self, browser: Browser, selector: str) -> None:
        browser.wait_for(f"document.querySelector({json.dumps(selector)})?.querySelector('.tick') != null", 10)
        self.read: dict[str, Any] = browser.evaluate(READ % json.dumps(selector))
        shares, values = ([number(text) for text, *_ in self.read[kind]] for kind in ("shares", "values"))
        self.x = _scale(values, [at for (at,) in self.read["places"]])
        self.y = _scale(shares, [at for (at,) in self.read["levels"]])

    def points(self, kind: str, name: str) -> NDArray[np.float64]:
        """(points, 2): those of a path, in pixels."""
        return np.array(re.findall(r"(-?[\d.]+) (-?[\d.]+)", self.read[kind][name]), dtype=float)

    def at(self, x: Any, y: Any) -> NDArray[np.float64]:
        """(points, 2): where values belong, in pixels."""
        return np.column_stack([self.x(np.asarray(x, dtype=float)), self.y(np.asarray(y, dtype=float))])


def number(text: str) -> float:
    """What a tick says; shares as parts of one."""
    plain = text.replace("−", "-").replace(THIN, "").replace("<", "")
    return float(plain.removesuffix("%")) / 100 if plain.endswith("%") else float(plain)


def _scale(values: list[float], places: list[float]) -> Any:
    """Pixels of a value; each tick stands where the straight line through all says."""
    assert len(values) == len(places) >= 2
    slope, start = np.polyfit(values, places, 1)
    assert np.abs(start + slope * np.array(values) - places).max() < PIXEL
    return lambda value: start + slope * value


def overlapping(browser: Browser, selector: str) -> list[str]:
    """Texts of a figure that lie over another one, or beyond its edge."""
    found: list[str] = browser.evaluate(
        f"""(svg => {{
            const room = svg.getBoundingClientRect();
            const texts = [...svg.querySelectorAll('text')];
            const boxes = texts.map(node => [node.textContent, node.getBoundingClientRect()]);
            const over = (a, b) => a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;
            const wrong = boxes.filter(([, box], i) => box.left < room.left - 1 || box.right > room.right + 1
                || boxes.some(([, other], j) => j !== i && over(box, other)));
            return wrong.map(([text]) => text);
        }})(document.querySelector({json.dumps(selector)}))"""
    )
    return found
