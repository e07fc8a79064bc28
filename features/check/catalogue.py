"""Every code a finding can have: how grave it is, the rule that is broken, and the remedy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from features.errors import Severity


class Rule(NamedTuple):
    """What a code says; words in braces are filled in for each finding."""

    severity: Severity
    rule: str
    remedy: str


RULES: Mapping[str, Rule] = {
    # the folder and its YAML files
    "not-a-cohort": Rule("error", "A cohort is a folder with {what}.", "Check the path."),
    "bad-yaml": Rule("error", "{rule}", "{remedy}"),
    "bad-card": Rule("error", "{rule}", "{remedy}"),
    "reserved-name": Rule("error", "The name is taken by a column that is no variable.", "Rename the variable."),
    "absent-variable": Rule("warning", "The variable is declared, and no table has it.", "{near}Remove it, or add it."),
    "unknown-unit": Rule("error", "The unit{of} is not a UCUM unit known here.", "{near}"),
    "ambiguous-file": Rule("error", "{other} is there, too.", "Remove the one that is out of date."),
    # any table
    "empty-file": Rule("error", "The first line must be the header.", "Write the header, or remove the file."),
    "not-utf8": Rule("error", "The file is not UTF-8 text.", "Save it as CSV UTF-8."),
    "unreadable-table": Rule("error", "The file cannot be read ({why}).", "Write it again, complete."),
    "unbalanced-quote": Rule(
        "error",
        "A quotation mark is opened and never closed, so that rows run together.",
        'Close it, or double a mark inside a value ("").',
    ),
    "wrong-separator": Rule("error", "Columns are separated by {mark}.", "Save it with commas and decimal points."),
    "line-break": Rule(
        "warning", "The value spans lines.", "If a quote is missing, rows are hidden in it; else join the lines."
    ),
    "ragged-row": Rule(
        "error", "The row has {n} values where the header has {expected}.", "Quote values with a comma; complete rows."
    ),
    "duplicate-column": Rule("error", "Every column has a name of its own.", "Rename or remove one of them."),
    "missing-column": Rule("error", "The column is required.", "{near}Add it."),
    "undeclared-column": Rule(
        "warning",
        "The column is not declared, and is left out.",
        "{near}Declare it in cohort.yaml under variables, or remove it.",
    ),
    "unreadable-column": Rule("error", "Its type {kind} is no number and no text.", "Write one plain value a row."),
    "missing-id": Rule("error", "Every row has an identifier.", "Fill it in."),
    "missing-value": Rule("error", "A value is required.", "Fill it in."),
    "not-a-number": Rule(
        "error",
        "Every value is a finite number.",
        "Write it with a decimal point, without unit, < or >; leave it empty when missing.",
    ),
    "unknown-patient": Rule(
        "error", "The patient is not in the patients table.", "Add the patient, or correct the identifier."
    ),
    "impossible-value": Rule(
        "warning",
        "The value lies outside the range of {name}, and counts as missing.",
        "Correct the value or its unit, or widen the range in cohort.yaml.",
    ),
    # patients
    "no-patients": Rule("error", "The cohort has no patients.", "Add one row for each patient to patients.csv."),
    "duplicate-patient": Rule("error", "The identifier was used in an earlier row.", "Keep one row for each patient."),
    "negative-duration": Rule(
        "error", "Follow-up ends before infusion (day 0).", "Count days from infusion to the last contact."
    ),
    "zero-follow-up": Rule(
        "warning",
        "Without follow-up a patient is at risk at no landmark, and enters no analysis.",
        "Check the date of last contact.",
    ),
    "entry-after-exit": Rule(
        "error", "Observation begins at or after the end of follow-up.", "Correct entry_day or follow_up_days."
    ),
    "unknown-level": Rule(
        "error", "The declared levels are {levels}.", "{near}Correct it, or declare the level in cohort.yaml."
    ),
    # events
    "event-name-missing": Rule("error", "Every event has a name.", "Fill it in."),
    "bad-grade": Rule(
        "error",
        "A grade is a whole number from 1 to 5.",
        "Correct it; leave it empty when not graded, and leave out events of grade 0.",
    ),
    "event-after-follow-up": Rule(
        "error", "The event lies after the patient's follow_up_days.", "Correct the day, or extend the follow-up."
    ),
    "follow-up-after-death": Rule(
        "warning", "The patient is followed up beyond this death.", "End follow_up_days on the day of death."
    ),
    "free-after-event": Rule(
        "error",
        "The last day known to be free of the event lies before the day on which it was seen.",
        "Correct after_day or day; leave after_day empty when the day itself is known.",
    ),
    # measurements
    "undeclared-variable": Rule(
        "error", "The variable is not declared in cohort.yaml.", "{near}Declare it, with its kind and unit."
    ),
    "measured-not-numeric": Rule(
        "error",
        "Only numeric variables are measured repeatedly.",
        "Declare it numeric and code its values, or give it once, as a column of patients.",
    ),
    "unit-mismatch": Rule(
        "error",
        "It does not convert to {declared}, the declared unit of {name}: {why}.",
        "{near}Give the values in {declared}.",
    ),
    "empty-measurement": Rule("warning", "A measurement without a value is left out.", "Remove the row."),
    # samples and cells
    "duplicate-sample": Rule("error", "The identifier was used in an earlier row.", "Keep one row for each sample."),
    "sample-without-cells": Rule(
        "warning", "The sample has no cells here.", "Add its cells, if there are any; its patient is kept."
    ),
    "cells-without-sample": Rule(
        "error", "{n} cells belong to a sample that the samples table does not have.", "Add the sample, with its day."
    ),
    "unknown-sample": Rule(
        "error", "The sample is not in the samples table.", "Add the sample, or correct the identifier."
    ),
    "unknown-locus": Rule("error", "Loci known here are {known}.", "Write one of them; leave out others."),
    "bad-abundance": Rule("error", "The abundance of a clone is above 0.", "Correct it, or leave the clone out."),
    "duplicate-clone": Rule("error", "The clone stands in the sample already.", "Add its abundances up in one row."),
    "bad-flag": Rule("error", "The value is 1, 0, or empty when unknown.", "Correct it."),
    "absent-cells": Rule(
        "warning", "cells are declared, and there is no cells.h5ad or cells.zarr.", "Add the file, or remove the key."
    ),
    "no-cells": Rule("error", "The file holds no {what}.", "Write it again, or remove it."),
    "unreadable-cells": Rule("error", "The file cannot be read: {why}.", "{remedy}"),
    "missing-sample": Rule("error", "{n} cells have no sample_id.", "Give every cell its sample, or leave it out."),
    "bad-counts": Rule("error", "X must hold {what}; {n} values do not.", "{remedy}"),
    "foreign-genes": Rule("error", "{why}", "{remedy}"),
    "mixed-genes": Rule("warning", "{why}", "Use one kind of name for all genes."),
    "duplicate-gene": Rule("error", "{n} columns have this name.", "Sum or remove the repeated ones."),
    # endpoint
    "no-such-cause": Rule("error", "Nobody has this event{grade}.", "{near}Correct the endpoint, or choose another."),
    "grade-missing": Rule(
        "error",
        "The endpoint counts {name} from grade {min_grade} on, and this event has no grade.",
        "Add the grade, or remove min_grade from the endpoint.",
    ),
    "horizon-beyond-follow-up": Rule(
        "warning",
        "Nobody is followed for so long after landmark day {day}.",
        "Scores at this horizon will be undefined; shorten horizons_days.",
    ),
    "nobody-at-risk": Rule(
        "error", "No patient is at risk at this landmark.", "Choose earlier landmark_days, or check the days."
    ),
}
