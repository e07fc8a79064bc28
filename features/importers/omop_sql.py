"""Queries on the OMOP common data model, version 5.4 (ohdsi.github.io/CommonDataModel, table specifications).

Each takes the tables and lists of concepts, and returns dated rows of persons. Dates are those of the columns ending
in ``_date``, which the model requires.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import pandas as pd

from features.errors import SequelaError
from features.importers.duck import Tables


class Domain(NamedTuple):
    """A table of dated occurrences of concepts."""

    table: str
    concept: str
    date: str


DOMAINS = {
    "conditions": Domain("condition_occurrence", "condition_concept_id", "condition_start_date"),
    "drugs": Domain("drug_exposure", "drug_concept_id", "drug_exposure_start_date"),
    "procedures": Domain("procedure_occurrence", "procedure_concept_id", "procedure_date"),
    "measurements": Domain("measurement", "measurement_concept_id", "measurement_date"),
}
"""Domains by what a specification calls them."""
_LISTED = "(SELECT unnest(CAST(? AS BIGINT[])))"
MALE, FEMALE = 8507, 8532
"""Standard concepts of gender (OHDSI/Vocabulary-v5.0, wiki, "Vocab. GENDER")."""


def with_descendants(tables: Tables, concepts: Sequence[int]) -> list[int]:
    """Concepts and all below them, by concept_ancestor.

    Raises:
        SequelaError: The table is missing.
    """
    source = tables.require("concept_ancestor", ("ancestor_concept_id", "descendant_concept_id"))
    rows = tables.query(
        source,
        f"""SELECT DISTINCT CAST(descendant_concept_id AS BIGINT) AS concept FROM {source.sql}
        WHERE CAST(ancestor_concept_id AS BIGINT) IN {_LISTED}""",  # noqa: S608 - sql is from duck.py
        (*source.parameters, list(concepts)),
    )
    return sorted({*concepts, *rows["concept"].astype(int)})


def loinc_concepts(tables: Tables, code: str) -> list[int]:
    """The concepts of a LOINC code.

    Raises:
        SequelaError: The table of concepts is missing, or does not know the code.
    """
    source = tables.require("concept", ("concept_id", "vocabulary_id", "concept_code"))
    rows = tables.query(
        source,
        f"""SELECT CAST(concept_id AS BIGINT) AS concept FROM {source.sql}
        WHERE vocabulary_id = 'LOINC' AND concept_code = ?""",  # noqa: S608
        (*source.parameters, code),
    )
    if rows.empty:
        msg = f"{source.name}: LOINC code {code!r} is not among the concepts; correct it, or list concepts by their ids"
        raise SequelaError(msg)
    return sorted(rows["concept"].astype(int))


def occurrences(tables: Tables, domain: str, concepts: Sequence[int]) -> pd.DataFrame:
    """person, date: each day on which a person has one of the concepts.

    Raises:
        SequelaError: The table or a column is missing, or a value is no number or date.
    """
    table, concept, date = DOMAINS[domain]
    source = tables.require(table, ("person_id", concept, date))
    return tables.query(
        source,
        f"""SELECT DISTINCT CAST(person_id AS BIGINT) AS person, CAST({date} AS DATE) AS date FROM {source.sql}
        WHERE CAST({concept} AS BIGINT) IN {_LISTED} AND {date} IS NOT NULL ORDER BY 1, 2""",  # noqa: S608
        (*source.parameters, list(concepts)),
    )


def persons(tables: Tables, ids: Sequence[int]) -> pd.DataFrame:
    """person, born (date; the middle of the year or month where the day is not recorded), gender (concept).

    Raises:
        SequelaError: The table or a column is missing, or a value is no number or date.
    """
    source = tables.require("person", ("person_id", "gender_concept_id", "year_of_birth"))
    have = tables.columns("person")
    month = "coalesce(CAST(month_of_birth AS INTEGER), 7)" if "month_of_birth" in have else "7"
    day = "CAST(day_of_birth AS INTEGER)" if "day_of_birth" in have else "NULL"
    known = "month_of_birth" if "month_of_birth" in have else "NULL"
    return tables.query(
        source,
        f"""SELECT CAST(person_id AS BIGINT) AS person, CAST(gender_concept_id AS BIGINT) AS gender,
        make_date(CAST(year_of_birth AS INTEGER), {month},
            coalesce({day}, CASE WHEN {known} IS NULL THEN 1 ELSE 15 END)) AS born
        FROM {source.sql} WHERE CAST(person_id AS BIGINT) IN {_LISTED} ORDER BY 1""",  # noqa: S608
        (*source.parameters, list(ids)),
    )


def observation_periods(tables: Tables, ids: Sequence[int]) -> pd.DataFrame:
    """person, start, stop.

    Raises:
        SequelaError: The table or a column is missing, or a value is no number or date.
    """
    columns = ("observation_period_start_date", "observation_period_end_date")
    source = tables.require("observation_period", ("person_id", *columns))
    return tables.query(
        source,
        f"""SELECT CAST(person_id AS BIGINT) AS person, CAST({columns[0]} AS DATE) AS start,
        CAST({columns[1]} AS DATE) AS stop FROM {source.sql}
        WHERE CAST(person_id AS BIGINT) IN {_LISTED} ORDER BY 1, 2""",  # noqa: S608
        (*source.parameters, list(ids)),
    )


def deaths(tables: Tables, ids: Sequence[int]) -> pd.DataFrame:
    """person, date: the first recorded death of each.

    Raises:
        SequelaError: The table or a column is missing, or a value is no number or date.
    """
    source = tables.require("death", ("person_id", "death_date"))
    return tables.query(
        source,
        f"""SELECT CAST(person_id AS BIGINT) AS person, min(CAST(death_date AS DATE)) AS date FROM {source.sql}
        WHERE CAST(person_id AS BIGINT) IN {_LISTED} AND death_date IS NOT NULL GROUP BY 1""",  # noqa: S608
        (*source.parameters, list(ids)),
    )


def measurements(tables: Tables, concepts: Sequence[int], ids: Sequence[int]) -> pd.DataFrame:
    """person, date, value, unit: numeric values of the concepts.

    The unit is the code of the UCUM concept in unit_concept_id, else unit_source_value; None where there is neither.

    Raises:
        SequelaError: The table or a column is missing, or a value is no number or date.
    """
    needed = ("person_id", "measurement_concept_id", "measurement_date", "value_as_number")
    source = tables.require("measurement", needed)
    have = tables.columns("measurement")
    joined, code, parameters = "", "NULL", (*source.parameters,)
    if "unit_concept_id" in have and tables.has("concept"):
        concept = tables.require("concept", ("concept_id", "vocabulary_id", "concept_code"))
        code = "ucum.concept_code"
        joined = f"""LEFT JOIN (SELECT CAST(concept_id AS BIGINT) AS unit, concept_code FROM {concept.sql}
            WHERE vocabulary_id = 'UCUM') AS ucum ON ucum.unit = CAST(m.unit_concept_id AS BIGINT)"""  # noqa: S608
        parameters = (*parameters, *concept.parameters)
    written = "nullif(trim(m.unit_source_value), '')" if "unit_source_value" in have else "NULL"
    return tables.query(
        source,
        f"""SELECT CAST(m.person_id AS BIGINT) AS person, CAST(m.measurement_date AS DATE) AS date,
        CAST(m.value_as_number AS DOUBLE) AS value, CAST(coalesce({code}, {written}) AS VARCHAR) AS unit
        FROM {source.sql} AS m {joined}
        WHERE CAST(m.measurement_concept_id AS BIGINT) IN {_LISTED} AND m.value_as_number IS NOT NULL
        AND CAST(m.person_id AS BIGINT) IN {_LISTED} ORDER BY 1, 2, 3""",  # noqa: S608
        (*parameters, list(concepts), list(ids)),
    )
