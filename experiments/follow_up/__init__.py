"""How a served model's predictions compare with what happened then: calibration and discrimination over time.

joined      the ledger's predictions and outcomes, put together by patient, model version and time
judged      scores with intervals, tests and alerts, with correction for their number
compared    a challenger in the shadow, against the champion on the same patients
page        one page for people
"""

from experiments.follow_up.compared import Compared, compare
from experiments.follow_up.joined import Followed, Known, followed_in, outcomes_of, predictions_in, unread
from experiments.follow_up.judged import Judged, judge, latest
from experiments.follow_up.page import write_follow_up_page

__all__ = [
    "Compared",
    "Followed",
    "Judged",
    "Known",
    "compare",
    "followed_in",
    "judge",
    "latest",
    "outcomes_of",
    "predictions_in",
    "unread",
    "write_follow_up_page",
]
