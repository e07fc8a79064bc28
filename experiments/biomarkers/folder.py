"""What a screen leaves behind: the table, its page, and a page for each leading marker."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from experiments.biomarkers.analysis import SEED, Screen
from experiments.biomarkers.cells_map import cells_map
from experiments.biomarkers.marker_page import marker_page
from experiments.biomarkers.page import screen_page
from experiments.biomarkers.table import table_of
from experiments.page.privacy import Disclosure
from experiments.page.shell import write_page
from features.cohort import new_folder
from features.schema import CellsCard

TABLE, PAGE, MARKERS = "biomarkers.csv", "index.html", "markers"
MOST_PAGES = 12


def write_screen(
    folder: Path,
    screen: Screen,
    *,
    most_pages: int = MOST_PAGES,
    seed: int = SEED,
    progress: Callable[[int, int], None] = lambda _done, _of: None,
) -> None:
    """Write ``biomarkers.csv``, ``index.html`` and ``markers/*.html``, all or nothing.

    Args:
        folder: Where; must be absent or empty.
        screen: The screen.
        most_pages: Of markers at most: those found, or where none is found those of smallest p.
        seed: Of the cells that are drawn on a plane.
        progress: Told how many pages of how many are written.

    Raises:
        SequelaError: `folder` exists and is not empty, or cannot be written.
    """
    first = screen.causes[0]
    leading = [int(first.tested[j]) for j in (first.found if len(first.found) else first.order)[:most_pages]]
    pages = {screen.matrix.markers[j].name: f"{MARKERS}/{_file_name(i, screen, j)}" for i, j in enumerate(leading)}
    card = screen.question.cohort.card.cells or CellsCard()
    with new_folder(folder) as beside:
        table_of(screen).to_csv(beside / TABLE, index=False, float_format="%.6g", lineterminator="\n")
        (beside / MARKERS).mkdir()
        shown = Disclosure.of(screen.question.cohort)
        counts = card.values == "counts"
        cells = None
        if leading:
            cells = cells_map(screen.matrix.patients, shown, counts=counts, seed=seed, progress=progress)
        for done, (j, address) in enumerate(zip(leading, pages.values(), strict=True)):
            write_page(beside / address, marker_page(screen, j, cells))
            progress(done + 1, len(leading))
        write_page(beside / PAGE, screen_page(screen, pages))


def _file_name(number: int, screen: Screen, marker: int) -> str:
    """A name that every file system takes: number, then letters and digits of the marker's name."""
    words = re.sub(r"[^A-Za-z0-9]+", "_", screen.matrix.markers[marker].name).strip("_")
    return f"{number + 1:02d}_{words[:80]}.html"
