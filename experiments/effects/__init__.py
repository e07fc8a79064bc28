"""How outcomes differ between arms of a cohort: `sequela effects`.

question    who is compared, in what, and what makes no sense
counting    which events that come back are counted
analysis    tests, contrasts, and adjusted ones
lines       every number, one line each, for tables and for other programs
withheld    what is not shown of real patients
sentences   what was found and what it assumes, in words
shown       in the terminal
individual  effects patient by patient: tables and words
figures, individual_page, page   one page for people
"""

from experiments.effects.analysis import Effects, analyse
from experiments.effects.lines import plain
from experiments.effects.page import write_effects_page
from experiments.effects.question import Question, ask
from experiments.effects.shown import print_effects

__all__ = ["Effects", "Question", "analyse", "ask", "plain", "print_effects", "write_effects_page"]
