"""How the cells of two groups of patients differ: `sequela differential`.

question    which patients are compared with which, and what makes no sense
analysis    cell types, genes and pathways, by cell type
lines       rows of tables for people
sentences   what was found and what it assumes, in words
shown       in the terminal
figures     the volcanoes
page, folder   the page, and what is written where
"""

from experiments.differential.analysis import Differential, compare
from experiments.differential.folder import write_differential
from experiments.differential.question import Question, by_outcome, by_variable
from experiments.differential.shown import print_differential

__all__ = [
    "Differential",
    "Question",
    "by_outcome",
    "by_variable",
    "compare",
    "print_differential",
    "write_differential",
]
