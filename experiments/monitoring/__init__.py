"""Watching patients: would alerts by a model's risk, or by simpler rules, come before the events, and how often?

`visits` makes the rows, one for each visit; `markers` what is known at each; `rules` fixes thresholds on some patients
and tries them on others; `withheld` leaves out what tells of a few real patients; `landmarks` says how well markers
tell patients apart on each day; `page` and `shown` tell it.
"""

from experiments.monitoring.analysis import Monitoring, monitor
from experiments.monitoring.page import write_monitoring_page
from experiments.monitoring.shown import plain, print_monitoring

__all__ = ["Monitoring", "monitor", "plain", "print_monitoring", "write_monitoring_page"]
