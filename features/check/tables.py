"""Reads a table of a cohort folder, .csv or .parquet, as text columns that know their spreadsheet rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet
from numpy.typing import NDArray

from features.check.findings import Findings
from features.patients import FloatArray, IntArray, TextArray

MISSING_TEXT = frozenset({"", "NA", "N/A"})
MISSING_NUMBER = MISSING_TEXT | {"NaN", "nan", "NULL", "null", "None"}
_NUMBER = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,3})?$"


@dataclass(frozen=True, slots=True)
class Text:
    """A column of text, each distinct value held once."""

    levels: TextArray
    """(levels,): distinct values, trimmed; None for missing."""
    code: IntArray
    """(rows,): index into `levels`."""

    def __len__(self) -> int:
        return len(self.code)

    @property
    def values(self) -> TextArray:
        """(rows,): str, or None where missing."""
        return self.levels[self.code]

    @property
    def missing(self) -> NDArray[np.bool_]:
        """(rows,): whether the value is missing."""
        return self.rows_of(np.array([level is None for level in self.levels], dtype=bool))

    def rows_of(self, of_level: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """(rows,): a property of levels, of each row."""
        return of_level[self.code] if len(self.levels) else np.zeros(len(self), dtype=bool)

    def take(self, rows: NDArray[np.bool_]) -> Text:
        """The rows where the mask holds."""
        return Text(self.levels, self.code[rows])


@dataclass(frozen=True, slots=True)
class Table:
    """A table as read: nothing converted yet."""

    file: str
    columns: Mapping[str, pa.StringArray]
    rows: IntArray
    """(rows,): row of a spreadsheet; the header is row 1."""

    def __len__(self) -> int:
        return len(self.rows)

    def __contains__(self, column: str) -> bool:
        return column in self.columns

    def text(self, column: str) -> Text:
        """A column as text; `MISSING_TEXT` is missing."""
        encoded = self.columns[column].dictionary_encode()
        levels = np.array([None if v in MISSING_TEXT else v for v in encoded.dictionary.to_pylist()], dtype=object)
        return Text(levels, encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64))

    def numbers(self, column: str, findings: Findings) -> FloatArray:
        """(rows,): a column as float, NaN where missing; what is no number is a finding ``not-a-number``."""
        values = self.columns[column]
        numeric = pc.match_substring_regex(values, _NUMBER)
        missing = pc.is_in(values, pa.array(sorted(MISSING_NUMBER)))
        numbers = pc.if_else(numeric, values, None).cast(pa.float64()).to_numpy(zero_copy_only=False).astype(float)
        bad = ~_mask(numeric) & ~_mask(missing) | np.isinf(numbers)
        if bad.any():
            remedy = "Write a plain number with a decimal point, without unit, < or >; leave it empty when missing."
            shown = values.filter(pa.array(bad)).slice(0, 50).to_pylist()
            findings.add_rows(
                "not-a-number", self.file, self.rows[bad], shown, "Every value must be a number.", remedy, field=column
            )
        return np.where(bad, np.nan, numbers)


def _mask(values: pa.BooleanArray) -> NDArray[np.bool_]:
    mask: NDArray[np.bool_] = values.to_numpy(zero_copy_only=False).astype(bool)
    return mask


def read_table(folder: Path, name: str, findings: Findings) -> Table | None:
    """Read ``<name>.csv`` or ``<name>.parquet``; None when there is none, or when it cannot be read (a finding)."""
    files = [folder / f"{name}{suffix}" for suffix in (".csv", ".parquet") if (folder / f"{name}{suffix}").exists()]
    if not files:
        return None
    if len(files) > 1:
        rule = f"There is {files[0].name} and {files[1].name}."
        findings.add("ambiguous-file", files[0].name, rule, "Remove the one that is out of date.")
        return None
    try:
        table = _read_csv(files[0], findings) if files[0].suffix == ".csv" else _read_parquet(files[0], findings)
    except (OSError, pa.ArrowException) as error:
        rule = f"The file cannot be read ({' '.join(str(error).split())[:120]})."
        findings.add("unreadable-table", files[0].name, rule, "Write it again, complete.")
        return None
    return None if table is None else _without_blank_rows(table)


def _read_csv(path: Path, findings: Findings) -> Table | None:
    content = path.read_bytes()
    if not _is_text(content, path.name, findings):
        return None
    content = content.removeprefix(b"\xef\xbb\xbf")
    header = _header(content)
    if header is None or not any(header):
        findings.add("empty-file", path.name, "The file has no header.", "Add the header, or remove the file.")
        return None
    if not _names_are_sound(header, path.name, findings):
        return None
    ragged: list[pyarrow.csv.InvalidRow] = []
    try:
        table = _parse(content, [f"{i}" for i in range(len(header))], ragged)
    except pa.ArrowInvalid as error:
        findings.add("unreadable-table", path.name, f"Not a CSV file ({shorten_arrow(error)}).", "Write it again.")
        return None
    for row in ragged:
        rule = f"The row has {row.actual_columns} values where the header has {row.expected_columns}."
        findings.add("ragged-row", path.name, rule, "Quote values that hold a comma, or fill in.", row=row.number)
    skipped = np.array([row.number for row in ragged], dtype=np.int64)
    numbers = np.delete(np.arange(1, table.num_rows + len(ragged) + 1), skipped - 1)[1:]
    columns = {name: _trimmed(table.column(i).slice(1)) for i, name in enumerate(header)}
    return Table(path.name, columns, numbers)
