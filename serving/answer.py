"""The answer to a request, without HTTP: patients in, incidences out, with what was not as usual about each patient."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from features.cells.genes import resolve
from features.cells.samples import SampleFeatures
from features.encoder import Encoded
from features.errors import InputError
from features.patients import Patients
from features.records import PatientRecord, SampleRecord
from features.request import requested_horizons, to_patients
from features.schema import Endpoint
from serving.counting import expected_events
from serving.event_free import happened
from serving.messages import PredictAnswer, Prediction, PredictRequest, ServedModel
from serving.refusals import TooLargeError
from training.artifact.folder import Artifact
from training.artifact.manifest import Manifest
from training.models.conformal import WithIntervals
from training.models.incidence import CumulativeIncidence
from training.models.seeing import materials_of, seeing

BLOCK_ROWS = 1_000
"""Patients encoded at a time."""
BLOCK_SUMS = 4_000_000
"""Sums over cells (samples · cell types · genes) held at a time: 64 MB of summaries."""
PATIENT_SUMS = 4 * BLOCK_SUMS
"""The same of one patient, who is not divided."""
MAX_CLONES = 100_000
"""Clones of one sample."""
MAX_EVENTS = 10_000
"""Events of one patient."""
CLONALITY = "clonality"
"""The sample feature that is made of clones; all others are made of cells."""


Seen = Callable[[Encoded, CumulativeIncidence], None]


def answer(artifact: Artifact, version: str, request: PredictRequest, seen: Seen | None = None) -> PredictAnswer:
    """Predict for every patient of a request.

    Args:
        artifact: The model.
        version: Its tag in the model store.
        request: Patients, and days after the landmark.
        seen: Told of each block of patients what the model sees of it, and what it answers.

    Raises:
        InputError: A landmark, a horizon, or a patient's field breaks a rule; names the field, never the value.
    """
    times = checked(artifact, request)
    predictions: list[Prediction] = []
    for start, stop in blocks(request.patients):
        predictions += _predict(artifact, request.patients[start:stop], start, times, seen)
    return PredictAnswer(model=served_model(artifact.manifest, version), predictions=tuple(predictions))


def checked(artifact: Artifact, request: PredictRequest) -> tuple[float, ...]:
    """The horizons of a request, whose landmarks and sizes the model accepts.

    Raises:
        InputError: It does not.
    """
    endpoint = artifact.manifest.endpoint
    for i, record in enumerate(request.patients):
        _check_record(record, f"patients[{i}]", endpoint, artifact.model.encoder.samples)
    return requested_horizons(request.horizons_days, endpoint)


def served_model(manifest: Manifest, version: str) -> ServedModel:
    """The model as answers name it."""
    return ServedModel(
        name=manifest.name,
        version=version,
        run_id=manifest.run_id,
        endpoint=manifest.endpoint.name,
        provenance=manifest.training_cohort.provenance,
    )


def blocks(records: Sequence[PatientRecord]) -> Iterator[tuple[int, int]]:
    """Runs of patients that are encoded together: all samples of a run share one table of cell types and genes."""
    start, n_samples = 0, 0
    cell_types: set[str] = set()
    genes: set[str] = set()
    for i, record in enumerate(records):
        own_types = {name for sample in record.samples for name in sample.labels}
        own_genes = {gene for sample in record.samples for gene in sample.genes}
        n_sums = (n_samples + len(record.samples)) * len(cell_types | own_types) * len(genes | own_genes)
        if i > start and (i - start >= BLOCK_ROWS or n_sums > BLOCK_SUMS):
            yield start, i
            start, n_samples, cell_types, genes = i, 0, set(), set()
        n_samples += len(record.samples)
        cell_types |= own_types
        genes |= own_genes
    yield start, len(records)


def ignored(
    record: PatientRecord, samples: SampleFeatures | None = None, materials: tuple[str, ...] = ()
) -> tuple[str, ...]:
    """What did not enter: records after the landmark, and what a later sample of the same material replaces.

    Cells and clones are looked for apart: the latest sample of a material that has the one need not have the other.

    Args:
        record: The patient.
        samples: What the model makes of samples; None: both of cells and of clones.
        materials: Of which the model looks at the cells of every sample up to the landmark.
    """
    late = [f"measurements[{j}]" for j, m in enumerate(record.measurements) if m.day > record.landmark_day]
    late += [f"events[{j}]" for j, event in enumerate(record.events) if event.day > record.landmark_day]
    takes = ("values", "clones") if samples is None else _parts_taken(samples)
    latest: dict[tuple[str, str], tuple[float, int]] = {}
    for j, sample in enumerate(record.samples):
        if sample.day <= record.landmark_day:
            for part in _parts(sample):
                key = (sample.material, part)
                latest[key] = max(latest.get(key, (sample.day, j)), (sample.day, j))
    used = {(j, part) for (_, part), (_, j) in latest.items() if part in takes}
    for j, sample in enumerate(record.samples):
        if sample.genes and sample.material in materials and sample.day <= record.landmark_day:
            used.add((j, "values"))
    for j, sample in enumerate(record.samples):
        unused = [part for part in _parts(sample) if (j, part) not in used]
        late += [f"samples[{j}]"] if len(unused) == len(_parts(sample)) else [f"samples[{j}].{p}" for p in unused]
    return tuple(late)


def _parts(sample: SampleRecord) -> tuple[str, ...]:
    """What was measured of a sample, by the field that holds it."""
    return (*(("values",) if sample.genes else ()), *(("clones",) if sample.clones else ()))


def _parts_taken(samples: SampleFeatures) -> tuple[str, ...]:
    """What a model makes features of."""
    clones = ("clones",) if CLONALITY in samples.features else ()
    return clones if set(samples.features) == {CLONALITY} else ("values", *clones)


def known_patients(artifact: Artifact, records: Sequence[PatientRecord], start: int) -> Patients:
    """Patients as the encoder takes them, the first of which is number `start` of the request.

    Raises:
        InputError: A field breaks a rule.
    """
    try:
        return to_patients(records, artifact.model.encoder)
    except InputError as error:
        field = re.sub(r"^patients\[(\d+)\]", lambda number: f"patients[{start + int(number[1])}]", error.field)
        raise InputError(field, error.rule) from error


def _predict(
    artifact: Artifact, records: Sequence[PatientRecord], start: int, times: tuple[float, ...], seen: Seen | None
) -> list[Prediction]:
    """The predictions of one block, whose first patient is number `start` of the request."""
    patients = known_patients(artifact, records, start)
    incidence, encoded = artifact.model.explain_input(patients, np.array(times))
    if seen is not None:
        seen(encoded, incidence)
    event_free = incidence.event_free
    materials = materials_of(artifact.model.predictor)
    intervals = _intervals(artifact, encoded, patients, times)
    unlike = _unlike(artifact, encoded, patients)
    expected = expected_events(artifact, encoded, patients, records, times)
    return [
        Prediction(
            patient_id=record.patient_id,
            landmark_day=record.landmark_day,
            horizons_days=times,
            incidence=dict(zip(incidence.causes, map(floats, incidence.values[i]), strict=True)),
            event_free=floats(event_free[i]),
            interval=None if intervals is None else intervals[i],
            expected_events=expected[i],
            missing=(*encoded.missing[i], *_absent_genes(record, artifact)),
            impossible=encoded.impossible[i],
            outside_training_range=encoded.outside[i],
            unseen_levels=encoded.unseen[i],
            ignored=ignored(record, artifact.model.encoder.samples, materials),
            unlike_training=unlike[i],
            happened=happened(record, artifact.manifest.endpoint),
        )
        for i, record in enumerate(records)
    ]


def _intervals(
    artifact: Artifact, encoded: Encoded, patients: Patients, times: tuple[float, ...]
) -> list[dict[str, tuple[tuple[float, float], ...]]] | None:
    """For each patient and cause, the interval at each time; None where the model has none."""
    predictor = seeing(artifact.model.predictor, patients)
    if not isinstance(predictor, WithIntervals):
        return None
    both = np.stack(predictor.interval(encoded.x, patients.landmark_day, np.array(times)), axis=-1)
    return [
        {
            cause: tuple((float(low), float(high)) for low, high in ends)
            for cause, ends in zip(artifact.model.causes, of_patient, strict=True)
        }
        for of_patient in both
    ]


def _unlike(artifact: Artifact, encoded: Encoded, patients: Patients) -> list[float | None]:
    """For each patient, the share of training patients at least as unlike the others; None where it is not known."""
    if artifact.novelty is None:
        return [None] * len(patients)
    share = artifact.novelty.share(encoded.x, patients.landmark_day)
    if artifact.cell_novelty is not None:
        of_cells = artifact.cell_novelty.share(artifact.model.embedding(patients), patients.landmark_day)
        smaller = np.minimum(2 * np.minimum(share, of_cells), 1.0)  # Bonferroni's, of two
        share = np.where(np.isnan(of_cells), share, smaller)
    return [None if np.isnan(one) else float(one) for one in share]


def _absent_genes(record: PatientRecord, artifact: Artifact) -> Iterator[str]:
    """For each sample without some genes of the model's panel, how many: they count as not expressed."""
    samples = artifact.model.encoder.samples
    for j, sample in enumerate(record.samples):
        if samples is None or not sample.genes:
            continue
        genes = resolve(sample.genes).canonical if samples.human_genes else sample.genes
        n_absent = len(set(samples.genes) - set(genes))
        if n_absent:
            yield f"samples[{j}].genes: {n_absent} of {len(samples.genes)}"


def _check_record(record: PatientRecord, place: str, endpoint: Endpoint, samples: SampleFeatures | None) -> None:
    field = f"{place}.landmark_day"
    if not endpoint.predicts_from(record.landmark_day):
        raise InputError(field, f"must be {endpoint.landmark_range}: from there {endpoint.name} is predicted")
    if len(record.events) > MAX_EVENTS:
        raise InputError(f"{place}.events", f"may hold at most {MAX_EVENTS:,} events")
    for j, sample in enumerate(record.samples):
        _check_sample(sample, f"{place}.samples[{j}]", samples)
    labels = frozenset().union(*(sample.labels for sample in record.samples))
    genes = frozenset().union(*(sample.genes for sample in record.samples))
    if len(record.samples) * len(labels) * len(genes) > PATIENT_SUMS:
        rule = f"may make at most {PATIENT_SUMS:,} sums together: samples times different labels times different genes"
        raise TooLargeError(f"{place}.samples", rule)


def _check_sample(sample: SampleRecord, place: str, samples: SampleFeatures | None) -> None:
    """Refuse what the model does not look at, and what would not fit in memory."""
    if len(sample.clones) > MAX_CLONES:
        raise InputError(f"{place}.clones", f"may hold at most {MAX_CLONES:,} clones")
    if not sample.genes:  # then it has clones
        return
    if samples is not None and not samples.genes:
        raise InputError(f"{place}.genes", "must be left out: this model takes clones, and no cells")
    if not sample.n_values:
        rule = "must hold at least one value; leave out a sample in which nothing was measured"
        raise InputError(f"{place}.values", rule)
    n_labels = len(sample.labels)
    if n_labels * len(sample.genes) > BLOCK_SUMS:
        most = max(1, BLOCK_SUMS // len(sample.genes))
        raise InputError(f"{place}.cell_types", f"may hold at most {most:,} different labels with so many genes")


def floats(values: NDArray[np.float64]) -> tuple[float, ...]:
    """Plain numbers, as JSON takes them."""
    return tuple(map(float, values))
