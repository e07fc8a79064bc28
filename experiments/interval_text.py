"""An estimate and its interval as text."""

from __future__ import annotations

from math import isfinite


def interval_text(point: float, low: float, high: float, *, percent: bool = False, digits: int = 3) -> str:
    """Point and interval, e.g. ``0.712 [0.650, 0.770]``; a dash where undefined."""
    if not isfinite(point):
        return "–"
    scale, digits = (100, 1) if percent else (1, digits)
    shown = f"{point * scale:z.{digits}f}"
    return shown + (f" [{low * scale:z.{digits}f}, {high * scale:z.{digits}f}]" if isfinite(low) else "")
