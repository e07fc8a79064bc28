"""What in the cells carries a network's risk: `sequela mechanisms`.

question    which run, cause and horizon, and which programs are changed
analysis    networks read out of fold, and again with exchanged cells
lines       every number, one line each, for tables and for other programs
sentences   what was found and what it assumes, in words
shown       in the terminal
figures, page   one page for people
"""

from experiments.mechanisms.analysis import Found, analyse
from experiments.mechanisms.lines import plain
from experiments.mechanisms.page import write_mechanisms_page
from experiments.mechanisms.question import Question, ask
from experiments.mechanisms.shown import print_mechanisms

__all__ = ["Found", "Question", "analyse", "ask", "plain", "print_mechanisms", "write_mechanisms_page"]
