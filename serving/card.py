"""The model card: what the manifest says, and a worked example."""

from __future__ import annotations

from typing import Literal

from features.derived import GRADED
from features.encoder import PatientEncoder
from features.guidance import OPTIONS
from features.schema import Endpoint
from serving.answer import CLONALITY, answer
from serving.counting import counts_card
from serving.decision import came_of, thresholds_of, worth_of
from serving.messages import (
    BenefitCard,
    CellsCardAnswer,
    GuidanceCard,
    ModelCard,
    PredictRequest,
    StatesCard,
    ThresholdCard,
    VariableCard,
    WorkedExample,
)
from training.artifact.folder import Artifact
from training.models.in_context_predictor import rows_held


def model_card(artifact: Artifact, version: str) -> ModelCard:
    """The card of a model, under its tag in the model store.

    Raises:
        InputError: The artifact's example is no request that the service would answer.
    """
    manifest, encoder = artifact.manifest, artifact.model.encoder
    endpoint = manifest.endpoint
    return ModelCard(
        name=manifest.name,
        version=version,
        format=manifest.format,
        kind=manifest.model.kind,
        endpoint=endpoint,
        causes=endpoint.causes,
        landmark_days=endpoint.landmark_days,
        horizons_days=endpoint.horizons_days,
        variables=tuple(_variable(name, encoder) for name in encoder.variables),
        cells=_cells(encoder),
        events=encoder.events,
        scores=encoder.derived.scores,
        grades=tuple(grade for grade in GRADED if grade in encoder.derived.grades),
        features=manifest.features,
        training_cohort=manifest.training_cohort,
        training_rows_held=rows_held(artifact.model.predictor),
        metrics=manifest.metrics,
        decision=tuple(BenefitCard(**one.model_dump(), said=worth_of(one.threshold, one)) for one in manifest.decision),
        thresholds=tuple(ThresholdCard(**one.model_dump(), said=came_of(one)) for one in thresholds_of(manifest)),
        guidance=_guidance(endpoint),
        states=_states(artifact),
        alerts=manifest.alerts,
        counts=counts_card(artifact),
        calibration=manifest.calibration,
        run_id=manifest.run_id,
        git_commit=manifest.git_commit,
        example=worked_example(artifact, version),
    )


def worked_example(artifact: Artifact, version: str) -> WorkedExample:
    """The artifact's example as a request, with its answer.

    Examples may also have times for which nobody can ask, as day 0: they are left out.

    Raises:
        InputError: It is no request that the service would answer.
    """
    example, last = artifact.manifest.example, artifact.manifest.endpoint.horizons_days[-1]
    asked = tuple(day for day in example.times_days if 0 < day <= last)
    request = PredictRequest(patients=(example.patient,), horizons_days=asked or None)
    return WorkedExample(request=request, answer=answer(artifact, version, request))


def _variable(name: str, encoder: PatientEncoder) -> VariableCard:
    variable = encoder.variables[name]
    places: list[Literal["baseline", "measurements"]] = []
    if name in encoder.baseline_inputs:
        places.append("baseline")
    if name in encoder.measured_inputs:
        places.append("measurements")
    return VariableCard(
        name=name,
        given_as=tuple(places),
        kind=variable.kind,
        unit=variable.unit,
        range=variable.range,
        levels=variable.levels or encoder.baseline.levels.get(name),
        loinc=variable.loinc,
        description=variable.description,
    )


def _states(artifact: Artifact) -> StatesCard | None:
    block, states = artifact.manifest.states, artifact.states
    if block is None or states is None:
        return None
    return StatesCard(
        names=block.names,
        landmark_day=block.landmark_day,
        followed_days=block.followed_days,
        n_patients=block.n_patients,
        n_refits=states.n_refits,
    )


def _guidance(endpoint: Endpoint) -> dict[str, GuidanceCard]:
    """What the tiers of an endpoint point to."""
    tiers = () if endpoint.decision is None else endpoint.decision.tiers
    options = [OPTIONS[key] for tier in tiers for key in tier.options]
    return {one.key: GuidanceCard(title=one.title, text=one.text, source=one.source) for one in options}


def _cells(encoder: PatientEncoder) -> CellsCardAnswer | None:
    samples = encoder.samples
    if samples is None:
        return None
    return CellsCardAnswer(
        materials=samples.materials,
        values="counts" if samples.counts else "intensities",
        genes=samples.genes,
        cell_types=samples.cell_types,
        features=samples.features,
        clones=CLONALITY in samples.features,
    )
