"""What a request and an answer may say: the pydantic models of the service's JSON."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import FailFast, Field, model_validator

from features.cells.samples import SampleFeature
from features.config import Grade
from features.records import EventRecord, PatientRecord
from features.schema import Endpoint, Frozen
from serving.count_messages import CountsCard
from training.artifact.blocks import AlertsBlock
from training.artifact.manifest import RiskGroups, ThresholdBenefit, TierThreshold, TrainingCohort

MAX_PATIENTS = 10_000
MAX_HORIZONS = 1_000
LONGEST_DAYS = 50_000
"""That a patient can be followed."""
MAX_EXPLAINED = 100
"""Patients that are explained in one request."""


class PredictRequest(Frozen):
    """Patients to predict for, many in one request."""

    patients: Annotated[tuple[PatientRecord, ...], Field(min_length=1, max_length=MAX_PATIENTS), FailFast()]
    """The patients; the same `patient_id` may occur more than once."""
    horizons_days: Annotated[tuple[float, ...], Field(min_length=1, max_length=MAX_HORIZONS)] | None = None
    """Days after the landmark, ascending, at most the last horizon of the endpoint; absent: the endpoint's horizons."""


class ServedModel(Frozen):
    """Which model answered."""

    name: str
    version: str
    """Tag in the model store."""
    run_id: str
    """MLflow run that fitted it."""
    endpoint: str
    provenance: Literal["real", "simulated"]
    """Of the training cohort."""


class Prediction(Frozen):
    """One patient's answer, in the order of the request."""

    patient_id: str
    landmark_day: float
    """Days since infusion from which the prediction looks ahead."""
    time_unit: Literal["days"] = "days"
    horizons_days: tuple[float, ...]
    """Days after the landmark."""
    incidence: dict[str, tuple[float, ...]]
    """For each cause, the probability that it has happened by each horizon, others competing."""
    event_free: tuple[float, ...]
    """Probability that no cause has happened by each horizon."""
    interval: dict[str, tuple[tuple[float, float], ...]] | None = None
    """For each cause, low and high ends of the 90 % interval of its incidence at each horizon: how well the risk itself
    is known, on average over patients. Null where the model was not fitted with intervals."""
    expected_events: tuple[float, ...] | None = None
    """Expected number of events of interest by each horizon, the first and those that come back, earlier ones not
    counted; a competing event ends the counting. Null where the model was not fitted with counts, between two landmarks
    of training, and where the record has a competing event by the landmark."""
    missing: tuple[str, ...]
    """What was missing and was imputed, e.g. ``baseline.ferritin``, ``measurements.crp``, ``samples.blood``."""
    impossible: tuple[str, ...]
    """Variables with a value that cannot be, treated as missing."""
    outside_training_range: tuple[str, ...]
    """Features outside the central 99 % of the training patients."""
    unseen_levels: tuple[str, ...]
    """Categorical variables whose level no training patient had."""
    ignored: tuple[str, ...]
    """What did not enter, by its place: measurements, events and samples after the landmark, samples that a later one
    of the same material replaces, and ``clones`` or ``values`` of a sample of which only the other entered."""
    unlike_training: Annotated[float, Field(gt=0, le=1)] | None = None
    """Share of training patients at the same landmark who are at least as unlike the others, in all that the model sees
    together; small: the model has seen few such patients. Null between two landmarks of training, and where the
    artifact does not know."""
    happened: tuple[str, ...] = ()
    """Events of the endpoint, of interest or competing, that the record has by the landmark. Where there is one the
    prediction is not of this patient: it is of a first event, learnt from patients who had none by then."""


class PredictAnswer(Frozen):
    """The answer to a `PredictRequest`."""

    model: ServedModel
    predictions: tuple[Prediction, ...]


class Explanation(Frozen):
    """What moved one patient's risks away from those of the average patient, in the order of the request."""

    patient_id: str
    landmark_day: float
    """Days since infusion from which the prediction looks ahead."""
    horizons_days: tuple[float, ...]
    """Days after the landmark."""
    incidence: dict[str, tuple[float, ...]]
    """For each cause, the risk by each horizon, as `Prediction` has it."""
    average: dict[str, tuple[float, ...]]
    """The same of the average training patient, from the same landmark."""
    contributions: dict[str, dict[str, tuple[float, ...]]]
    """For each cause and each part of the record, what it adds by each horizon; 0.041 is 4.1 percentage points. Summed,
    they are `incidence` − `average`. They speak of the model, not of causes in the body."""
    standard_error: dict[str, dict[str, tuple[float, ...]]] | None = None
    """Of the contributions, where they are means over drawn orders; null where they are exact."""


class ExplainAnswer(Frozen):
    """The answer to a `PredictRequest` that asks why."""

    model: ServedModel
    explanations: tuple[Explanation, ...]


class PatientOutcome(Frozen):
    """All that is known of what became of a patient; a later report takes the place of an earlier one."""

    patient_id: Annotated[str, Field(min_length=1, max_length=200)]
    """As in the requests that asked for predictions."""
    follow_up_days: Annotated[float, Field(ge=0, le=LONGEST_DAYS)]
    """Days since infusion to which the patient's course is known."""
    events: Annotated[tuple[EventRecord, ...], Field(max_length=1_000)] = ()
    """What has happened by then, since infusion."""

    @model_validator(mode="after")
    def _within(self) -> PatientOutcome:
        if any(event.day > self.follow_up_days for event in self.events):
            msg = "events must not be after follow_up_days"
            raise ValueError(msg)
        return self


class OutcomesRequest(Frozen):
    """What became of patients for whom predictions were asked."""

    patients: Annotated[tuple[PatientOutcome, ...], Field(min_length=1, max_length=MAX_PATIENTS), FailFast()]
    """The patients, each once."""

    @model_validator(mode="after")
    def _each_once(self) -> OutcomesRequest:
        if len({one.patient_id for one in self.patients}) < len(self.patients):
            msg = "patients must name a patient once"
            raise ValueError(msg)
        return self


class OutcomesAnswer(Frozen):
    """The answer to an `OutcomesRequest`."""

    received: int
    """Patients whose course stands in the ledger."""


class Fault(Frozen):
    """What is wrong with a request. Never holds a patient's value."""

    field: str | None
    """Where the fault lies, e.g. `patients[3].baseline.ferritin`; null when it is not in a field."""
    rule: str
    """What holds for that field."""


class Problem(Fault):
    """Why a request was refused: problem details (RFC 9457), with field and rule."""

    type: Literal["about:blank"] = "about:blank"
    """No page of its own: the status says it."""
    title: str
    """Of the status."""
    status: int
    """Of the answer."""
    detail: str
    """Field and rule in one sentence."""


class VariableCard(Frozen):
    """One clinical variable the model takes."""

    name: str
    given_as: tuple[Literal["baseline", "measurements"], ...]
    """Where in a patient's record it may stand."""
    kind: Literal["numeric", "ordinal", "categorical"]
    unit: str
    """UCUM unit of numbers given without one."""
    range: tuple[float, float] | None
    """Values outside are refused."""
    levels: tuple[str, ...] | None
    """Ordered levels of an ordinal variable; levels of a categorical one, as declared or else as seen in training."""
    loinc: str | None
    description: str


class CellsCardAnswer(Frozen):
    """What cells the model takes."""

    materials: tuple[str, ...]
    values: Literal["counts", "intensities"]
    genes: tuple[str, ...]
    """The panel; other genes of a sample only count towards a cell's total."""
    cell_types: tuple[str, ...]
    """Labels the model knows; others are left out."""
    features: tuple[SampleFeature, ...]
    """What is computed from each material's latest sample."""
    clones: bool
    """Whether clones of a sample enter."""


class GuidanceCard(Frozen):
    """What published guidance offers; information for a clinician, no order."""

    title: str
    text: str
    source: str


class RefusedModel(Frozen):
    """A model that should serve and was refused; the server's log says why. Another goes on serving."""

    version: str
    """Tag in the model store."""


class WorkedExample(Frozen):
    """A request, and what this model answers to it. The patient is made of training medians: nobody's values."""

    request: PredictRequest
    answer: PredictAnswer


class StatesCard(Frozen):
    """The states that patients go through, of which each transition has a Cox model; not validated."""

    names: tuple[str, ...]
    """In their order: event-free, that of the event of interest, then what competes with it."""
    landmark_day: float
    """From which they are told; from other landmarks first events are."""
    followed_days: float | None
    """After it, the last day by which somebody's state is known; None: everyone's to the end."""
    n_patients: int
    """At risk at that landmark in training."""
    n_refits: int
    """For the intervals."""


class ThresholdCard(TierThreshold):
    """How the risk from which a tier begins came, for machines and for people."""

    said: str


class BenefitCard(ThresholdBenefit):
    """What acting from a threshold on was worth, for machines and for people."""

    said: str


class ModelCard(Frozen):
    """What the model is, what it takes, what it was trained on, and how good it was."""

    name: str
    version: str
    """Tag in the model store."""
    format: str
    """Of the artifact."""
    kind: str
    """Of the predictor."""
    endpoint: Endpoint
    causes: tuple[str, ...]
    """The event of interest first, then those that compete with it."""
    landmark_days: tuple[float, ...]
    horizons_days: tuple[float, ...]
    time_unit: Literal["days"] = "days"
    variables: tuple[VariableCard, ...]
    cells: CellsCardAnswer | None
    """None: the model takes neither cells nor clones."""
    events: tuple[str, ...]
    """Events up to the landmark that the model counts; a record may name these."""
    scores: tuple[str, ...]
    """Published scores that the model was offered; their inputs are among the variables."""
    grades: tuple[Grade, ...]
    """Grades of haematotoxicity that the model was offered, from repeated counts."""
    features: tuple[str, ...]
    """Columns that enter the predictor."""
    training_cohort: TrainingCohort
    training_rows_held: int = 0
    """Rows of the training cohort in the model's files, encoded, with outcomes and without identifiers; 0 for most."""
    metrics: dict[str, float | None]
    """Cross-validated, on patients not trained on."""
    decision: tuple[BenefitCard, ...] = ()
    """What acting by the tiers of `endpoint.decision` was worth, on patients not trained on."""
    thresholds: tuple[ThresholdCard, ...] = ()
    """How the risks came from which those tiers begin."""
    guidance: dict[str, GuidanceCard] = Field(default_factory=dict)
    """What the options of those tiers are, by key."""
    states: StatesCard | None = None
    """Models of transitions between states, from which `/v1/states` answers; None: it answers by first events."""
    alerts: AlertsBlock | None = None
    """The rule by which `/v1/monitor` raises alerts, and what it did for patients not trained on; None: by tiers."""
    counts: CountsCard | None = None
    """What `expected_events` of predictions counts, and how well; None: the model was not fitted with counts."""
    calibration: tuple[RiskGroups, ...] = ()
    """Cross-validated: what became of patients of similar predicted risk; empty where the artifact does not say."""
    run_id: str
    git_commit: str
    example: WorkedExample
    refused: RefusedModel | None = None
    """The newer champion, where it could not be served."""
