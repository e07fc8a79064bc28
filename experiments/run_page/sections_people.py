"""Sections on whom the model serves less well, and on what it looks at."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from experiments.page.privacy import SMALLEST
from experiments.page.shell import Section, absent, figures, folded, paragraph
from experiments.page.tables import count_and_share, html_table
from experiments.run_page import facts
from experiments.run_page.analysis import Analysis
from experiments.run_page.card_of import subgroup_counts
from experiments.run_page.facts import estimate
from experiments.run_page.figures import importance_figure, subgroup_figure
from experiments.run_page.subgroups import LEAST_EVENTS, LEAST_PATIENTS
from training.evaluation.intervals import Interval

SUBGROUP_METRICS = (("o_e", "Observed over expected", 2), ("auc", "AUC", 3), ("brier", "Brier score", 3))
MOST_ROWS = 20


def fairness_section(a: Analysis) -> Section:
    """Scores in subgroups, with what they cannot tell."""
    title = "Subgroups"
    if not a.subgroups:
        return Section("fairness", title, absent(facts.fairness(a)))
    scored = [one for one in a.subgroups if one.scores is not None]
    n = len(scored) * len(SUBGROUP_METRICS)
    body = paragraph(
        f"Is the model as good for everyone? By {a.record.horizon_days:g} days from day {a.landmarks[0].at.day:g}, for "
        f"{a.cause}. {facts.fairness(a)} Groups of fewer than {LEAST_PATIENTS} patients, or of fewer than "
        f"{LEAST_EVENTS} with or without the event, are too small to tell anything from chance."
    )
    body += paragraph(
        f"{n} intervals are shown here: were the model equally good for all, about {0.05 * n:.0f} of them would still "
        "leave out the value of everyone. A difference here is a reason to look, not a finding; that none is seen does "
        "not show that there is none. A Brier score also depends on how frequent the event is in the group."
    )
    if scored:
        body += figures(_subgroup_parts(a), "sub")
    rows = [
        (
            f"{one.variable}: {one.level}",
            patients,
            events,
            *(
                ("too few to tell", "–", "–")
                if one.scores is None
                else (estimate(one.scores[name], digits) for name, _, digits in SUBGROUP_METRICS)
            ),
        )
        for one, (patients, events) in zip(a.subgroups, subgroup_counts(a), strict=True)
    ]
    columns = ("group", "patients", "events", *(label for _, label, _ in SUBGROUP_METRICS))
    return Section("fairness", title, body + html_table("Subgroups, with 95 % intervals", columns, rows))


def _subgroup_parts(a: Analysis) -> list[tuple[Figure, str, str]]:
    parts = []
    for name, label, digits in SUBGROUP_METRICS[:2]:
        everyone = a.at_horizon(name)
        scored = [(one, one.scores[name]) for one in a.subgroups if one.scores is not None]
        words = "; ".join(f"{one.variable} {one.level} {estimate(value, digits)}" for one, value in scored)
        caption = f"Dotted: everyone, {estimate(everyone, digits)}. Lines are 95 % intervals."
        figure = subgroup_figure(a.subgroups, name, f"{label} by group", everyone.point)
        parts.append((figure, caption, f"{label} by group: {words}."))
    return parts


def importance_section(a: Analysis) -> Section:
    """What the predictions need."""
    title, table = "What the predictions need", a.record.tables.get("importance")
    if table is None:
        why = "The run did not ask for importances; set validation.importance to the number of permutations."
        return Section("importance", title, absent(why))
    rows = table[table["cause"] == a.cause].sort_values("ibs_increase", ascending=False)
    words = [
        (
            str(row["source"]),
            *(
                estimate(Interval(row[name], row[f"{name}_low"], row[f"{name}_high"]), digits)
                for name, digits in (("ibs_increase", 4), ("c_decrease", 3))
            ),
        )
        for row in rows.head(MOST_ROWS).to_dict("records")
    ]
    top = ", ".join(row[0] for row in words[:3])
    text = (
        f"Each source of information is exchanged between patients in turn, and predictions of {a.cause} get worse by "
        "this much. Of two sources that tell the same, neither may seem needed; none of it says what causes anything."
    )
    part = (importance_figure(table, a.cause), f"Needed most: {top}.", f"Needed most: {top}.")
    body = paragraph(text) + figures([part], "imp")
    columns = ("source", "rise of the integrated Brier score", "fall of concordance")
    return Section(
        "importance", title, body + folded("The numbers", html_table("Importances with 95 % intervals", columns, words))
    )


def failures_section(a: Analysis) -> Section:
    """What kinds of patients are predicted worst, in groups."""
    title, found = "Where it fails", a.failures
    if found is None:
        why = "Too few patients to describe those predicted worst without naming them."
        return Section("failures", title, absent(why))
    kinds = zip(found.kinds, a.shown.parts(list(found.kinds.values())), found.kinds.values(), strict=True)
    rows = [(kind, count_and_share(text, n, found.n_worst)) for kind, text, n in kinds]
    body = paragraph(
        f"The {found.n_worst:,} of {found.n_patients:,} patients who add most to the Brier score by "
        f"{found.horizon_days:g} days make up {found.share_of_loss:.0%} of it. A good model fails on them too: an "
        "event that is rare at a given risk is a surprise whenever it happens."
    )  # fmt: skip
    body += html_table("Kinds of failure among the worst predicted", ("what happened", "patients"), rows)
    if found.by_group:
        columns = ("group", "worst predicted", "others")
        body += html_table("Who they are", columns, _group_rows(a))
    who = "No patient is shown, and no value: only groups" + (
        f", with counts below {SMALLEST} withheld." if a.shown.guarded else "."
    )
    return Section("failures", title, body + paragraph(who))


def _group_rows(a: Analysis) -> list[tuple[str, ...]]:
    assert a.failures is not None  # noqa: S101 - for the type checker
    n_worst, n_others = a.failures.n_worst, a.failures.n_patients - a.failures.n_worst
    found: list[tuple[str, ...]] = []
    for variable in dict.fromkeys(group[0] for group in a.failures.by_group):
        groups = [group for group in a.failures.by_group if group[0] == variable and group[2] + group[3]]
        counts = np.array([group[2:] for group in groups], dtype=np.int64)
        for (_, level, worst, others), texts in zip(groups, a.shown.table(counts), strict=True):
            shares = count_and_share(texts[0], worst, n_worst), count_and_share(texts[1], others, n_others)
            found.append((f"{variable}: {level}", *shares))
    return found
