"""Clones over time: which expand, and in whom that calls for a closer look.

`rule` says which clones of a sample call for a look, `followed` applies it to a cohort, `oncogenes` and `near` tell
which sites lie near oncogenes; `shown` and `page` show what was found.
"""

from experiments.clones.followed import Followed, follow
from experiments.clones.page import write_clones_page
from experiments.clones.shown import print_clones, write_csv

__all__ = ["Followed", "follow", "print_clones", "write_clones_page", "write_csv"]
