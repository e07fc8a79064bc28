"""How a served model's inputs and predictions have drifted from its training patients.

counted     the counts that services wrote, added up by window
judged      index, tests and alerts, with correction for their number
page        one page for people
"""

from experiments.drift.counted import Window, windows_in
from experiments.drift.judged import Judgement, judge, latest
from experiments.drift.page import write_drift_page

__all__ = ["Judgement", "Window", "judge", "latest", "windows_in", "write_drift_page"]
