"""Strategies that say when a treatment starts, compared as a target trial would: `sequela strategies`.

treated     when the treatment started, and values below which a strategy asks for it
changing    what is known of patients before each day
question    who is eligible, which strategies, and what makes no sense
protocol    the target trial, and how it is emulated
benefit_risk  benefit against harm of each strategy, and weighted days
analysis    incidence under each strategy, contrasts, weights, and what followed a start as it was seen
lines       every number, one line each, for tables and for other programs
withheld    what is not shown of real patients
sentences   what was found and what it assumes, in words
shown       in the terminal
figures, page   one page for people
"""

from experiments.strategies.analysis import Strategies, analyse
from experiments.strategies.lines import plain
from experiments.strategies.page import write_strategies_page
from experiments.strategies.question import Question, ask
from experiments.strategies.shown import print_strategies
from experiments.strategies.treated import lows_of

__all__ = ["Question", "Strategies", "analyse", "ask", "lows_of", "plain", "print_strategies", "write_strategies_page"]
