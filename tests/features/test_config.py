"""`FeatureConfig`: every mistake is named with its place, the nearest valid name, and what to do."""

from __future__ import annotations

from typing import Any

import everything
import numpy as np
import pytest
from everything import CARD, CONFIG
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from features.config import FeatureConfig
from features.documents import DocumentError, validate
from features.encoder import PatientEncoder
from features.errors import SequelaError
from features.schema import CellsCard
from features.scores import SCORES

PATIENTS = everything.patients(everything.records(2, 20))


def configured(content: dict[str, Any]) -> FeatureConfig:
    """As the features block of a run's YAML is read."""
    return validate({"cells": []} | content, FeatureConfig, "run.yaml")


WRITTEN: dict[str, tuple[dict[str, Any], str]] = {
    "unknown key": ({"score": ["easix"]}, r"^run\.yaml: score: No such key\. Did you mean scores\?$"),
    "unknown statistic": (
        {"statistics": ["lst"]},
        r"statistics\.0: No statistic is called 'lst'; the nearest is last\.",
    ),
    "statistic like no other": (
        {"statistics": ["??"]},
        r"no statistic is called '\?\?'; those valid are last, age, .*",
    ),
    "window backwards": (
        {"statistics": ["auc_28_0"]},
        r"statistics\.0: The window of auc_28_0 must begin before it ends",
    ),
    "unknown grade": ({"grades": ["icath"]}, r"grades\.0: Input should be 'icaht' or 't_icaht'\."),
    "unknown feature of samples": (
        {"cells": ["compositon"]},
        r"cells\.0: Input should be 'composition', 'pseudobulk', ",
    ),
    "unknown key of thresholds": (
        {"thresholds": {"anc": {"under": [0.5]}}},
        r"thresholds\.anc\.under: No such key\. Did you mean .*|thresholds\.anc\.under: No such key\. Valid keys here",
    ),
    "thresholds without a limit": (
        {"thresholds": {"anc": {}}},
        r"thresholds\.anc: Give limits under below, above or both",
    ),
    "infinite limit": (
        {"thresholds": {"anc": {"below": [float("inf")]}}},
        r"thresholds\.anc\.below\.0: Input should be a",
    ),
    "no recent days": ({"recent_days": 0}, r"recent_days: Input should be greater than 0\."),
    "more than all rows": ({"minimum_observed": 1.5}, r"minimum_observed: Input should be less than or equal to 1\."),
    "fewer than no rows": (
        {"minimum_observed": -0.1},
        r"minimum_observed: Input should be greater than or equal to 0\.",
    ),
    "no component": (
        {"pseudobulk_components": 0},
        r"pseudobulk_components: Input should be greater than or equal to 1\.",
    ),
    "no gene": ({"variable_genes": 0}, r"variable_genes: Input should be greater than or equal to 1\."),
    "scores as text": ({"scores": "easix"}, r"scores: Input should be a valid tuple\."),
}


@pytest.mark.parametrize(("content", "message"), WRITTEN.values(), ids=WRITTEN)
def test_mistakes_of_writing_are_named_when_the_file_is_read(content: dict[str, Any], message: str) -> None:
    with pytest.raises(DocumentError, match=f"(?i){message}") as caught:
        configured(content)
    assert all(problem.key and problem.rule and problem.remedy for problem in caught.value.problems)


MEANT: dict[str, tuple[dict[str, Any], str]] = {
    "unknown score": (
        {"scores": ["car_hematotx"]},
        r"^features\.scores: no score is named 'car_hematotx'\. Did you mean car_hematotox\?$",
    ),
    "score like no other": ({"scores": ["apache"]}, r"no score is named 'apache'\. There are car_hematotox, easix, "),
    "scale of no ratio": (
        {"scores": ["car_hematotox:log2"]},
        r"features\.scores: score 'car_hematotox:log2': car_hematotox has no scale 'log2'\. Write 'car_hematotox'",
    ),
    "unknown scale": (
        {"scores": ["easix:log10"]},
        r"easix has no scale 'log10'\. Write 'easix'; logarithms are easix:log2",
    ),
    "score without inputs": (
        {"scores": ["hscore"]},
        r"features\.scores: score hscore needs temperature, .* Declare it in cohort\.yaml, .* or leave hscore out\.$",
    ),
    "thresholds of an unknown variable": (
        {"thresholds": {"acn": {"below": [0.5]}}},
        r"^features\.thresholds: no measured variable is called 'acn'; did you mean anc\?$",
    ),
    "thresholds of a baseline variable": (
        {"thresholds": {"age": {"below": [0.5]}}},
        r"features\.thresholds: no measured variable is called 'age'; there are anc, creatinine, .* or leave it out\.$",
    ),
    "thresholds of a pattern": (
        {"thresholds": {"*": {"below": [1]}}},
        r"no measured variable is called '\*'; there are anc",
    ),
    "unknown baseline variable": (
        {"baseline": ["agee"]},
        r"^features\.baseline: no variable of the cohort matches 'agee'; did you mean age\?$",
    ),
    "unknown measurement": (
        {"measurements": ["cd4_*"]},
        r"^features\.measurements: no variable of the cohort matches 'cd4_\*'; there are anc, .* leave it out\.$",
    ),
    "unknown event": (
        {"events": ["infectoin"]},
        r"^features\.events: no event of the cohort matches 'infectoin'; did you mean infection\?$",
    ),
    "a cofactor of counts": (
        {"cells": ["composition"], "processing": {"cofactor": 5}},
        r"^features\.processing\.cofactor: it is of intensities, .* Declare values: intensities, or leave .* out\.$",
    ),
}


@pytest.mark.parametrize(("content", "message"), MEANT.values(), ids=MEANT)
def test_what_the_cohort_does_not_have_is_named_when_the_encoder_is_fitted(
    content: dict[str, Any], message: str
) -> None:
    with pytest.raises(SequelaError, match=message):
        PatientEncoder.fit(PATIENTS, CARD, configured(content))


def test_a_grade_without_its_counts_is_refused() -> None:
    without = everything.patients(everything.records(2, 6))
    few = CARD.model_copy(update={"variables": {n: v for n, v in CARD.variables.items() if n != "anc"}})
    config = configured({"grades": ["icaht"], "measurements": ["crp"]})
    with pytest.raises(
        SequelaError, match=r"features\.grades: icaht needs repeated counts of anc, .* leave the grade out"
    ):
        PatientEncoder.fit(without, few, config)


def test_too_few_patients_for_a_mixture_are_named() -> None:
    few = PATIENTS.take(np.arange(6))
    with pytest.raises(
        SequelaError, match=r"inflamix: 6 training patients .* Name fewer values, or leave inflamix out"
    ):
        PatientEncoder.fit(few, CARD, configured({"inflamix": True}))


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "scores": st.lists(st.text(max_size=8) | st.sampled_from([*SCORES, "easix:log2", "easix:"]), max_size=2),
            "events": st.lists(st.text(max_size=8) | st.sampled_from(["*", "inf*", "[", "steroids"]), max_size=2),
            "baseline": st.lists(st.text(max_size=8) | st.sampled_from(["*", "a?e", "stage"]), max_size=2),
            "measurements": st.lists(st.text(max_size=8) | st.sampled_from(["*", "crp", "[a-c]*"]), max_size=2),
            "statistics": st.lists(st.text(max_size=8) | st.sampled_from(["last", "auc_0_28", "auc_-5_5"]), max_size=2),
            "thresholds": st.dictionaries(
                st.text(max_size=8) | st.sampled_from(["anc", "crp", "age"]),
                st.dictionaries(st.sampled_from(["below", "above"]), st.lists(st.floats(), max_size=2)),
                max_size=2,
            ),
            "grades": st.lists(st.sampled_from(["icaht", "t_icaht", "", "crs"]), max_size=2),
            "recent_days": st.floats() | st.text(max_size=3),
            "minimum_observed": st.floats(),
        },
    )
)
def test_whatever_is_written_is_fitted_or_refused_in_words(content: dict[str, Any]) -> None:
    """No configuration ends in anything but an encoder or a `SequelaError`."""
    try:
        encoder = PatientEncoder.fit(PATIENTS, CARD, configured(content))
    except SequelaError as error:
        said = str(error)
    else:
        said = "fitted"
        assert encoder.transform(PATIENTS).shape == (20, len(encoder.feature_names))
    assert said.strip()


def test_a_configuration_is_written_and_read_unchanged() -> None:
    assert FeatureConfig.model_validate(CONFIG.model_dump(mode="json")) == CONFIG
    assert FeatureConfig.model_validate_json(CONFIG.model_dump_json()) == CONFIG
    with pytest.raises(ValidationError, match="frozen"):
        CONFIG.scores = ()  # type: ignore[misc]


def test_intensities_may_have_a_cofactor() -> None:
    """What is refused for counts is how cytometry is read."""
    card = CARD.model_copy(update={"cells": CellsCard(values="intensities")})
    config = configured({"cells": ["composition"], "processing": {"cofactor": 5}})
    encoder = PatientEncoder.fit(PATIENTS, card, config)
    assert encoder.samples is not None
    assert not encoder.samples.counts
