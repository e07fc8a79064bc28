"""Which network is asked, about what; and what makes no sense to ask."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from experiments.config import RunConfig
from experiments.data import TrainingRows
from experiments.page.privacy import SMALLEST
from features.cells.programs import PROGRAMS
from features.cells.samples import latest_samples
from features.errors import SequelaError
from features.patients import Patients
from features.schema import CellsCard
from training.config import AttentionConfig, SetTransformerConfig
from training.evaluation.ipcw import identified_days
from training.mechanisms.perturbation import SILENCED, Perturbation
from training.mechanisms.reading import Asked
from training.mechanisms.states import CellState, states_of

FOLDS = (SILENCED, -1.0, 1.0)
"""Changes of a program, as logarithms to base 2."""
IN_STATE = "@"
"""Between a program and the state in whose cells it is changed."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of which network."""

    config: RunConfig
    rows: TrainingRows
    asked: Asked

    @property
    def cause(self) -> str:
        """Name of the cause."""
        return self.rows.outcomes.causes[self.asked.cause - 1]


def require_network(config: RunConfig) -> None:
    """Refuse a run that cannot be asked, before its cells are read.

    Raises:
        SequelaError: Its model is no network of single cells, or learns what exchanged cells leave as it is.
    """
    if not isinstance(config.model, AttentionConfig | SetTransformerConfig):
        msg = f"model.kind: {config.model.kind} is not a network of single cells; choose attention or set_transformer"
        raise SequelaError(msg)
    if config.tuning is not None:
        msg = "tuning: is not done again for every exchange; write the chosen settings under model, remove tuning"
        raise SequelaError(msg)
    if config.also:
        msg = "also: patients of other endpoints would keep their own cells; remove it"
        raise SequelaError(msg)


def ask(
    config: RunConfig,
    rows: TrainingRows,
    *,
    cause: str | None = None,
    horizon_days: float | None = None,
    changes: Sequence[str] = (),
) -> Question:
    """Put the question.

    Args:
        config: The run; see `require_network`.
        rows: Its rows, with their cells.
        cause: Whose risk; None: the endpoint's event.
        horizon_days: By when; None: the endpoint's last horizon that the patients are followed to.
        changes: Programs, or genes joined by commas, of ``TOX,PDCD1`` or ``exhaustion@infusion_product:CD8`` form.

    Raises:
        SequelaError: A cause, horizon, program, gene or state that there is not.
    """
    causes = rows.outcomes.causes
    if cause is not None and cause not in causes:
        near = get_close_matches(cause, causes, n=1)
        msg = f"--cause {cause}: {rows.endpoint.name} has {', '.join(causes)}"
        raise SequelaError(msg + (f"; did you mean {near[0]}?" if near else "; name one of them"))
    if not rows.outcomes.from_landmark.all():
        msg = f"{rows.cohort.folder}: some patients enter observation after the landmark (entry_day); leave them out"
        raise SequelaError(msg)
    number = 1 if cause is None else causes.index(cause) + 1
    horizon = _horizon(rows, horizon_days)
    materials = _materials(rows.patients)
    states = states_of(rows.patients, materials, SMALLEST)
    if not states:
        msg = (
            f"{rows.cohort.folder}: fewer than {SMALLEST} patients have cells by their landmark; nothing can be told "
            "of what cells carry"
        )
        raise SequelaError(msg)
    counts = (rows.cohort.card.cells or CellsCard()).values == "counts"
    if changes and not counts:
        msg = f"--change {changes[0]}: multiplies raw counts, and the cells of {rows.cohort.folder} are intensities"
        raise SequelaError(f"{msg}; leave the option out")
    wanted = tuple(one for text in changes for one in _changes(text, states, rows))
    return Question(config, rows, Asked(states, wanted, number, horizon, counts))


def _materials(patients: Patients) -> tuple[str, ...]:
    samples = patients.samples
    if samples is None:
        return ()
    names = sorted(set(map(str, samples.material)))
    return tuple(name for name in names if (latest_samples(patients, name) >= 0).any())


def _horizon(rows: TrainingRows, asked: float | None) -> float:
    last = identified_days(rows.outcomes)
    horizons = [day for day in (rows.endpoint.horizons_days if asked is None else (asked,)) if 0 < day <= last]
    if horizons:
        return max(horizons)
    option = f"horizons_days of {rows.endpoint.name}" if asked is None else f"--horizon {asked:g}"
    msg = f"{option}: patients are followed for {last:g} days after the landmark; choose a day above 0 and up to that"
    raise SequelaError(msg)


def _changes(text: str, states: tuple[CellState, ...], rows: TrainingRows) -> list[Perturbation]:
    what, _, where = text.partition(IN_STATE)
    chosen = [one for one in states if one.name == where] if where else [one for one in states if one.cell_type is None]
    if not chosen:
        names = ", ".join(one.name for one in states)
        msg = f"--change {text}: {where} is no state that {SMALLEST} patients have; there are {names}"
        raise SequelaError(msg)
    programs = PROGRAMS | dict((rows.cohort.card.cells or CellsCard()).programs)
    assert rows.patients.samples is not None  # noqa: S101 - there are states
    panel = set(rows.patients.samples.summary.genes)
    named = tuple(name.strip() for name in what.split(",") if name.strip())
    there = tuple(gene for gene in programs.get(what, named) if gene in panel)
    if not there or (what not in programs and len(there) < len(named)):
        wrong = next((gene for gene in named if gene not in panel), what)
        near = get_close_matches(wrong, (*programs, *panel), n=1)
        remedy = f"did you mean {near[0]}?" if near else f"there are the programs {', '.join(programs)}"
        msg = f"--change {text}: {wrong} is no program and no gene of the panel; {remedy}"
        raise SequelaError(msg)
    return [Perturbation(what, there, state, fold) for state in chosen for fold in FOLDS]
