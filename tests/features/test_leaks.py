"""Nothing leaks: not from after the landmark, not from the test fold; and the check of it would see a leak."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Sequence
from functools import cache

import everything
import numpy as np
import pytest
from everything import CARD, CONFIG, EVENTS, MEASURED, Record
from hypothesis import given, settings
from hypothesis import strategies as st

from features.config import FeatureConfig
from features.encoder import PatientEncoder
from features.patients import FloatArray

N = 30
KNOWN = everything.records(0, N)
PATIENTS = everything.patients(KNOWN)
ENCODER = PatientEncoder.fit(PATIENTS, CARD, CONFIG)

State = tuple[str, dict[str, tuple[tuple[int, ...], str, bytes]]]


def exactly(encoder: PatientEncoder) -> State:
    """All that was learnt, to the last bit."""
    sizes, arrays = encoder.state()
    named = {name: (array.shape, str(array.dtype), array.tobytes()) for name, array in sorted(arrays.items())}
    return json.dumps(sizes, sort_keys=True, allow_nan=False), named


def same_columns(first: dict[str, FloatArray], second: dict[str, FloatArray]) -> bool:
    return list(first) == list(second) and all(
        np.array_equal(column, second[name], equal_nan=True) for name, column in first.items()
    )


# --- nothing after the landmark -------------------------------------------------------------------


def other_future(
    known: Sequence[Record], seed: int, delays: Sequence[float], *, kinds: Sequence[str] = MEASURED
) -> list[Record]:
    """The same patients with everything after their landmark gone, and another future in its place.

    Args:
        known: The patients.
        seed: Of what happens.
        delays: Days after the landmark on which it happens.
        kinds: Variables that are measured.
    """
    rng = np.random.default_rng(seed)
    changed = []
    for record in known:
        landmark = record["landmark_day"]
        days = [max(landmark + delay, np.nextafter(landmark, np.inf)) for delay in delays]
        past = {
            part: [item for item in record[part] if item["day"] <= landmark]
            for part in ("measurements", "events", "samples")
        }
        for day in days:
            n = rng.integers(0, 3)
            values = [everything.measurement(rng, day) | {"variable": str(rng.choice(kinds))} for _ in range(n)]
            past["measurements"] += [value | {"value": value["value"] * 50} for value in values]
            past["events"] += [everything.event(rng, day) for _ in range(rng.integers(0, 3))]
            if rng.random() < 0.3:
                new = everything.sample(rng, day, str(rng.choice(["blood", "infusion_product", "marrow"])))
                past["samples"].append(new | everything.cells(rng, types=("NK", "progenitor"), mean=6.0))
        changed.append(record | past)
    return changed


futures = st.lists(st.floats(0.0, 400.0), max_size=3)


@settings(max_examples=4, deadline=None)
@given(seed=st.integers(0, 10_000), delays=futures)
def test_no_column_changes_with_what_comes_after_the_landmark(seed: int, delays: list[float]) -> None:
    """Columns, matrix and report are those of the same past, bit by bit; and so is all that is learnt from them."""
    changed = everything.patients(other_future(KNOWN, seed, delays))
    assert same_columns(ENCODER.columns(changed), ENCODER.columns(PATIENTS))
    after, before = ENCODER.encode(changed), ENCODER.encode(PATIENTS)
    assert after.x.tobytes() == before.x.tobytes()
    for report in ("missing", "outside", "impossible", "unseen"):
        assert getattr(after, report) == getattr(before, report)
    assert exactly(PatientEncoder.fit(changed, CARD, CONFIG)) == exactly(ENCODER)


def test_the_futures_of_this_test_would_be_seen_if_they_entered() -> None:
    """From a later landmark the altered future does change columns of every kind."""
    changed = everything.patients(other_future(KNOWN, 1, [0.5, 3.0, 25.0])).at_landmark(55.0)
    before, after = ENCODER.columns(PATIENTS.at_landmark(55.0)), ENCODER.columns(changed)
    moved = {name for name in after if not np.array_equal(before[name], after[name], equal_nan=True)}
    assert {"crp:auc", "transgene_copies:cmax", "anc:days_below_0.5", "prior infection:count_30d"} <= moved
    assert {"anc:early_icaht", "platelets:late_t_icaht", "car_hematotox", "easix:log2"} <= moved
    of_cells = ("clr(NK)", "exhaustion", "car_positive", "tcr:shannon", "integration:uc50", "density:pc1")
    assert {f"blood:{name}" for name in of_cells} | {"pseudobulk:pc1", "dispersion:pc1"} <= moved
    assert exactly(PatientEncoder.fit(changed, CARD, CONFIG)) != exactly(ENCODER)


def test_inflamix_sees_nothing_after_infusion() -> None:
    """It is a baseline score: also from a late landmark, only what was measured before infusion enters."""
    late = PATIENTS.at_landmark(90.0)
    np.testing.assert_array_equal(ENCODER.columns(late)["inflamix"], ENCODER.columns(PATIENTS)["inflamix"])
    assert len(set(ENCODER.columns(late)["inflamix"])) > 2


def test_an_event_or_variable_known_only_of_the_future_changes_no_number() -> None:
    """Which variables and events a study records is known beforehand, so a model may name them; nothing else moves."""
    changed = other_future(KNOWN, 3, [2.0], kinds=[*MEASURED, "ldh"])
    changed[0]["events"].append({"event": "zoster", "day": 500.0, "grade": 3})
    named = everything.patients(changed, measured=[*MEASURED, "ldh"], events=[*EVENTS, "zoster"])
    config = CONFIG.model_copy(update={"measurements": MEASURED})
    fitted = PatientEncoder.fit(named, CARD, config)
    assert fitted.feature_names == ENCODER.feature_names
    assert fitted.scaler == ENCODER.scaler
    assert exactly(fitted)[1] == exactly(ENCODER)[1]
    assert fitted.transform(named).tobytes() == ENCODER.transform(PATIENTS).tobytes()


# --- nothing from the test fold -------------------------------------------------------------------

TEST = np.arange(0, N, 4)
TRAIN = np.setdiff1d(np.arange(N), TEST)
FOLD = PatientEncoder.fit(PATIENTS.take(TRAIN), CARD, CONFIG)
assert FOLD.samples is not None
DULL = next(gene for gene in everything.GENES if gene not in FOLD.samples.variable_genes)
"""Not variable in the training fold."""


def edited(change: Callable[[Record], None]) -> list[Record]:
    """The cohort with every test patient changed."""
    changed = copy.deepcopy(KNOWN)
    for i in TEST:
        change(changed[i])
    return changed


def variable_gene(record: Record) -> None:
    """Half of these cells are full of a gene that is not variable elsewhere."""
    for sample in record["samples"]:
        bag = everything.bag_of(sample)
        cell = np.repeat(np.arange(len(bag)), np.diff(bag.indptr))
        planted = everything.GENES.index(DULL)
        values = np.where((bag.indices == planted) & (cell % 2 == 0), 5000.0, bag.values)
        sample["values"] = [float(value) for value in values]


def cell_type(record: Record) -> None:
    for sample in record["samples"]:
        sample["cell_types"] = ["Treg" if i % 3 else kind for i, kind in enumerate(sample["cell_types"])]


def level(record: Record) -> None:
    record["baseline"]["product"] = "leak-cel"


def ordinal_level(record: Record) -> None:
    record["baseline"]["stage"] = "II"


def outlier(record: Record) -> None:
    record["baseline"]["age"] = 119.9


def measured_outlier(record: Record) -> None:
    for value in record["measurements"]:
        value["value"] *= 1000.0


def inflammation(record: Record) -> None:
    record["baseline"] |= {"crp_before": 4000.0, "albumin": 1.0, "haemoglobin": 1.0}


def events(record: Record) -> None:
    record["events"] += [{"event": "steroids", "day": -1.0, "grade": 4}] * 9


def clones(record: Record) -> None:
    for sample in record["samples"]:
        sample["clones"] = [{"locus": "tcr", "clone": "x", "abundance": 1e6, "near_oncogene": None}]


def missingness(record: Record) -> None:
    record["baseline"]["ldh"] = None


def construct(record: Record) -> None:
    for sample in record["samples"]:
        gene = everything.GENES.index(everything.CONSTRUCT)
        sample["values"] = [0.0 if i == gene else v for i, v in zip(sample["indices"], sample["values"], strict=True)]


def everything_at_once(record: Record) -> None:
    for plant in PLANTS.values():
        plant(record)


PLANTS: dict[str, Callable[[Record], None]] = {
    "a gene variable in test samples alone": variable_gene,
    "a cell type in test samples alone": cell_type,
    "a level in test patients alone": level,
    "an ordinal level in test patients alone": ordinal_level,
    "an outlier at baseline": outlier,
    "outlying measurements": measured_outlier,
    "inflammation": inflammation,
    "many events": events,
    "dominant clones": clones,
    "missing values": missingness,
    "no construct": construct,
}


@pytest.mark.parametrize("plant", [*PLANTS.values(), everything_at_once], ids=[*PLANTS, "everything at once"])
def test_a_planted_leak_is_caught_and_the_fold_has_none(plant: Callable[[Record], None]) -> None:
    """Fitted on the fold, nothing learnt depends on the test patients; fitted before the split, it does."""
    planted = everything.patients(edited(plant))
    assert exactly(PatientEncoder.fit(planted.take(TRAIN), CARD, CONFIG)) == exactly(FOLD)
    assert exactly(fitted_on_everyone(plant)) != exactly(ENCODER), "the check would not see a leak"


@cache
def fitted_on_everyone(plant: Callable[[Record], None]) -> PatientEncoder:
    """The classical mistake: preprocessing is fitted before the split."""
    return PatientEncoder.fit(everything.patients(edited(plant)), CARD, CONFIG)


def test_what_the_plants_would_teach() -> None:
    """Each plant reaches the part of the encoder that it was made for when the encoder is fitted on everyone."""
    gene, kind = fitted_on_everyone(variable_gene).samples, fitted_on_everyone(cell_type).samples
    assert gene is not None
    assert kind is not None
    assert FOLD.samples is not None
    assert DULL in gene.variable_genes
    assert ("Treg" in kind.cell_types, "Treg" in FOLD.samples.cell_types) == (True, False)
    assert "leak-cel" in fitted_on_everyone(level).baseline.levels["product"]
    assert "leak-cel" not in FOLD.baseline.levels["product"]
    assert "II" in fitted_on_everyone(ordinal_level).baseline.seen["stage"]
    assert "II" not in FOLD.baseline.seen["stage"]
    planted, honest = ({c.name: c for c in e.scaler.kept}["age"] for e in (fitted_on_everyone(outlier), ENCODER))
    assert planted.median > honest.median
    assert planted.sd > honest.sd
    mixture, before = fitted_on_everyone(inflammation).derived.inflamix, ENCODER.derived.inflamix
    assert mixture is not None
    assert before is not None
    assert (mixture.centre != before.centre).any()


def test_names_that_only_test_patients_bring_change_no_number() -> None:
    changed = copy.deepcopy(KNOWN)
    changed[TEST[0]]["events"].append({"event": "zoster", "day": -9.0, "grade": 3})
    changed[TEST[0]]["samples"].append(everything.sample(np.random.default_rng(0), -9.0, "marrow"))
    named = everything.patients(changed, events=[*EVENTS, "zoster"])
    fitted = PatientEncoder.fit(named.take(TRAIN), CARD, CONFIG)
    assert fitted.feature_names == FOLD.feature_names
    assert exactly(fitted)[1] == exactly(FOLD)[1]
    assert fitted.samples is not None
    assert "marrow" not in fitted.samples.materials
    assert fitted.transform(PATIENTS).tobytes() == FOLD.transform(PATIENTS).tobytes()


@settings(max_examples=3, deadline=None)
@given(st.sets(st.integers(0, N - 1), min_size=5, max_size=12), st.integers(0, 1000))
def test_no_fold_learns_from_its_test_patients(held_out: set[int], seed: int) -> None:
    """Whoever is held out, exchanging them for others changes nothing that was learnt."""
    train = np.array(sorted(set(range(N)) - held_out))
    strangers = everything.records(seed + 1, N)
    mixed = [strangers[i] if i in held_out else record for i, record in enumerate(KNOWN)]
    exchanged = PatientEncoder.fit(everything.patients(mixed).take(train), CARD, CONFIG)
    assert exactly(exchanged) == exactly(PatientEncoder.fit(PATIENTS.take(train), CARD, CONFIG))


def test_impossible_values_teach_nothing() -> None:
    """They are missing to whoever is encoded, and so they are in training."""
    spoilt, absent = copy.deepcopy(KNOWN), copy.deepcopy(KNOWN)
    for i in range(0, N, 3):
        spoilt[i]["baseline"]["crp_before"] = 1e9
        absent[i]["baseline"]["crp_before"] = None
    first, second = (PatientEncoder.fit(everything.patients(known), CARD, CONFIG) for known in (spoilt, absent))
    assert exactly(first) == exactly(second)


def test_the_configuration_of_these_tests_switches_everything_on() -> None:
    """So that a feature that is added does not escape them."""
    off = FeatureConfig()
    chosen = {name for name in FeatureConfig.model_fields if getattr(CONFIG, name) != getattr(off, name)}
    same = {"baseline", "measurements", "events", "recent_days", "minimum_observed"}
    assert chosen | same == set(FeatureConfig.model_fields), "all variables and events is the default"
    every = FeatureConfig.model_fields["cells"].annotation.__args__[0].__args__  # type: ignore[union-attr]
    assert set(CONFIG.cells) == set(every)
    assert ENCODER.derived.inflamix is not None
    assert ENCODER.samples is not None
    assert ENCODER.samples.density is not None
    assert ENCODER.samples.pseudobulk is not None
