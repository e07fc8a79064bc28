"""What was found and what it assumes, in words; also that nothing was found."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from experiments.mechanisms.analysis import LEVEL, Found
from experiments.page.drawing import listed
from experiments.page.tables import p_value
from features.patients import FloatArray

MOST_NAMED = 8


def findings(found: Found) -> Iterator[str]:
    """Whether cells tell anything at all; then which states, genes and changes."""
    own = found.mechanisms
    for j, state in enumerate(own.asked.states):
        if state.cell_type is None:
            yield _whole(found, j)
    yield _types(found)
    yield _genes(found)
    yield from _changes(found)


def _changes(found: Found) -> Iterator[str]:
    """One sentence for each program in each state."""
    own, seen = found.mechanisms, found.seen()
    together: dict[tuple[str, str], list[int]] = {}
    for j, change in enumerate(own.asked.changes):
        together.setdefault((change.program, change.state.name), []).append(j)
    for (program, state), places in together.items():
        parts = [
            f"{own.asked.changes[j].how} {100 * own.effect_interval[j].point:+.1f} (p {p_value(own.effect.p[j])})"
            for j in places
        ]
        genes = f"{seen[places[0]]} of its {len(own.asked.changes[places[0]].genes)} measured genes are seen"
        yield f"{program} in {state}, mean change of the predicted risk in points: {', '.join(parts)}; {genes}."


def _whole(found: Found, j: int) -> str:
    own, name = found.mechanisms, found.mechanisms.asked.states[j].name
    gain, p = own.gain_interval[j], own.gain.p[j]
    moved = f"The cells of {name} move the risk by {100 * own.spread[j]:.1f} points (standard deviation)"
    told = f"with cells of other patients the Brier score changes by {100 * gain.point:+.2f} hundredths "
    told += f"[{100 * gain.low:+.2f}, {100 * gain.high:+.2f}], p {p_value(p)}"
    if gain.low > 0 and p <= LEVEL:
        return f"{moved}, and help to predict in patients never seen: {told}."
    return f"{moved}; that they help to predict in patients never seen is not shown: {told}."


def _types(found: Found) -> str:
    own, largest = found.mechanisms, found.mechanisms.agreement.p_of_largest(found.is_type)
    if not found.is_type.any():
        return "Cells have no types that enough patients have."
    passing = [j for j in np.argsort(-own.agreement.observed) if largest[j] <= LEVEL]
    if not passing:
        return f"That what a type of cells moves the risk by agrees with what happened {_not_shown(found, largest)}."
    names = listed([own.asked.states[j].name for j in passing], MOST_NAMED)
    return (
        f"What the cells of {names} move the risk by agrees with what happened better than of any type of exchanged "
        f"cells (p ≤ {LEVEL:g})."
    )


def _genes(found: Found) -> str:
    own, largest = found.mechanisms, found.gene_p
    passing = [j for j in found.gene_order if largest[j] <= LEVEL]
    if not passing:
        return f"That what a gene moves the risk by agrees with what happened {_not_shown(found, largest)}."
    names = listed([own.genes[j] for j in passing], MOST_NAMED)
    return (
        f"What {len(passing):,} of {len(own.genes):,} genes move the risk by agrees with what happened better than of "
        f"any gene of exchanged cells (p ≤ {LEVEL:g}), the best first: {names}."
    )


def _not_shown(found: Found, p: FloatArray) -> str:
    least = f"is not shown (least p {p_value(float(np.nanmin(p)))}"
    return f"{least}, of {found.least_p:.3g} that could be)" if found.least_p > LEVEL else f"{least})"


def assumptions(found: Found) -> Iterator[str]:
    """What must hold for the numbers to mean what they seem to."""
    own, question = found.mechanisms, found.question
    if question.rows.cohort.card.provenance == "simulated":
        yield "The patients are simulated: nothing here says anything about a mechanism."
    yield (
        f"Every patient is read by a network ({question.config.model.kind}) fitted to others ({found.n_folds} folds). "
        f"p compares with {found.n_exchanges} times the same, networks fitted anew, on patients with one another's "
        f"cells, clinic and outcomes being left in place; it is at least {found.least_p:.3g}. That is exact if cells "
        "go with nothing in the clinic, and an approximation otherwise. p of largest is against the largest gain of "
        "all types, or of all genes; changes are not corrected for their number."
    )
    yield (
        "First-order gain: what the Brier score falls by, for each unit, when a little of the moves is added to the "
        "risk with all cells alike; above 0, they agree with what happened to patients never seen. Where some cells do "
        "carry risk, types and genes that merely go with them agree, too: confirm in other data."
    )
    yield (
        "This speaks of the network, and of what goes with the outcome; whether a state or a gene brings it about, it "
        "cannot say. Moves by genes are integrated gradients from cells all alike to the cells as they are, off by at "
        f"most {100 * max(one.gap for one in own.readings):.2g} points in all; a gene that goes with another shares "
        "its move."
    )
    yield (
        "The Brier gain of a state is of having one's own such cells and not another patient's, number and all; "
        "standard deviations are over patients, at each landmark, and intervals over patients drawn anew."
    )
    if own.asked.changes:
        yield (
            "Changed cells ask the network, not the body: other genes stay as they are, the cell stays of its type, "
            "and counts that are 0 stay 0. Strange are changed cells further from the middle than 99 % of the training "
            "cells; where they become many, the network answers about cells that nobody has seen. What it does not see "
            "of a program acts only through the cell's sum of counts."
        )
