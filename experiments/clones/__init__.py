"""Clones over time: which expand, and in whom that calls for a closer look.

`followed` compares a patient's samples one after the other; `shown` and `page` tell what was found.
"""

from experiments.clones.followed import Followed, follow
from experiments.clones.page import write_clones_page
from experiments.clones.shown import print_clones, write_csv

__all__ = ["Followed", "follow", "print_clones", "write_clones_page", "write_csv"]
