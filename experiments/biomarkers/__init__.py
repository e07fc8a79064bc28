"""Which markers of a cohort go with a cause: `sequela biomarkers`.

question    patients at risk, strata, the clinic, arms; and what makes no sense
matrix      the markers as columns
pathway_markers   activities of gene sets
analysis    every marker against every cause
table       every number, a row for each marker and cause
lines       rows of tables for people
sentences   what was found and what it assumes, in words
shown       in the terminal
figures     the volcano
tertiles    patients in thirds of a marker
cells_map   cells on a plane, by marker
page, marker_page, folder   pages, and what is written where
"""

from experiments.biomarkers.analysis import Screen, screen
from experiments.biomarkers.folder import write_screen
from experiments.biomarkers.matrix import marker_matrix
from experiments.biomarkers.question import Question, ask
from experiments.biomarkers.shown import print_screen

__all__ = ["Question", "Screen", "ask", "marker_matrix", "print_screen", "screen", "write_screen"]
