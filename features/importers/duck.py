"""DuckDB over files that others wrote: which tables there are, and queries whose failures name the table.

Whatever comes from a specification goes into a query as a parameter. The text of a query holds only names that stand
in this package, and names of a database's own tables, quoted.
"""

from __future__ import annotations

import glob
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from features.errors import SequelaError

try:
    import duckdb
except ModuleNotFoundError as error:
    _msg = "DuckDB is not installed, and reads OMOP and MEDS; install it: pip install 'sequela[cdm]', or duckdb"
    raise SequelaError(_msg) from error

Parameter = str | int | float | None | Sequence[str] | Sequence[int]
_NULLS = ["", "NULL", "NA", "\\N"]
_SUFFIXES = (".parquet", ".csv", ".csv.gz", ".tsv", ".tsv.gz")


@dataclass(frozen=True, slots=True)
class Source:
    """A table, as a query names it after FROM."""

    name: str
    """For messages."""
    sql: str
    parameters: tuple[Parameter, ...] = ()


@dataclass(frozen=True, slots=True)
class Tables:
    """The tables of a folder or a database."""

    connection: duckdb.DuckDBPyConnection
    place: Path
    sources: dict[str, Source]
    """By name in small letters."""

    def has(self, table: str) -> bool:
        """Whether there is such a table."""
        return table in self.sources

    def require(self, table: str, columns: Iterable[str]) -> Source:
        """A table with certain columns.

        Raises:
            SequelaError: The table or a column is missing, or the file is damaged.
        """
        if table not in self.sources:
            found = ", ".join(sorted(self.sources)) or "none"
            msg = (
                f"{self.place}: table {table} is missing; there are {found}. Add it, as CSV, Parquet or in the database"
            )
            raise SequelaError(msg)
        source = self.sources[table]
        described = self.query(source, f"DESCRIBE SELECT * FROM {source.sql}", source.parameters)  # noqa: S608
        have = {str(name).lower() for name in described["column_name"]}
        absent = [column for column in columns if column not in have]
        if absent:
            msg = f"{source.name}: column {absent[0]} is missing; it has {', '.join(sorted(have))}. Add the column"
            raise SequelaError(msg)
        return source

    def columns(self, table: str) -> set[str]:
        """Columns of a table, in small letters.

        Raises:
            SequelaError: The table is missing, or the file is damaged.
        """
        source = self.require(table, ())
        described = self.query(source, f"DESCRIBE SELECT * FROM {source.sql}", source.parameters)  # noqa: S608
        return {str(name).lower() for name in described["column_name"]}

    def query(self, source: Source, sql: str, parameters: Sequence[Parameter]) -> pd.DataFrame:
        """The answer to a query.

        Raises:
            SequelaError: The file is damaged, or a value is not of the type that the query needs.
        """
        try:
            return self.connection.execute(sql, list(parameters)).df()
        except (duckdb.Error, OSError, ValueError, UnicodeError) as error:
            reason = " ".join(str(error).splitlines()[0].split())[:160]
            msg = f"{source.name}: cannot be used ({reason}); correct the file, or write it again"
            raise SequelaError(msg) from error


@contextmanager
def open_tables(place: Path) -> Iterator[Tables]:
    """Open a folder of CSV or Parquet files, or a DuckDB file, to be read and not changed.

    A table of a folder is a file of its name, in any case, or a folder of its name with Parquet or CSV files.

    Raises:
        SequelaError: There is no such place, or it is no database.
    """
    if not place.exists():
        msg = f"{place}: no such file or folder; check the path"
        raise SequelaError(msg)
    with _connect(place) as connection:
        sources = _of_folder(place) if place.is_dir() else _of_database(connection, place)
        yield Tables(connection, place, sources)


@contextmanager
def _connect(place: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    # Nothing is fetched from elsewhere, whatever a file asks for.
    options: dict[str, Any] = {"autoinstall_known_extensions": False, "autoload_known_extensions": False}
    try:
        path, read_only = (":memory:", False) if place.is_dir() else (str(place), True)
        connection = duckdb.connect(path, read_only=read_only, config=options)
    except (duckdb.Error, OSError, UnicodeError) as error:
        reason = " ".join(str(error).splitlines()[0].split())[:160]
        msg = f"{place}: cannot be read as a DuckDB database ({reason}); give a folder of tables, or such a file"
        raise SequelaError(msg) from error
    try:
        connection.execute("SET enable_progress_bar = false")
        yield connection
    finally:
        connection.close()


def _of_folder(place: Path) -> dict[str, Source]:
    """A source a table; Parquet goes before CSV."""
    found: dict[str, Source] = {}
    for suffix in _SUFFIXES:
        for path in sorted(place.iterdir()):
            table = path.name.lower().removesuffix(suffix)
            if path.is_file() and path.name.lower().endswith(suffix):
                found.setdefault(table, read_files([path], path.name))
            elif path.is_dir():
                parts = sorted(part for part in path.rglob("*") if part.name.lower().endswith(suffix))
                if parts:
                    found.setdefault(path.name.lower(), read_files(parts, path.name))
    return found


def read_files(paths: Sequence[Path], name: str) -> Source:
    """Files of one kind as one table: Parquet with its types, CSV as text.

    Args:
        paths: The files.
        name: What messages call them.
    """
    escaped = [glob.escape(str(path)) for path in paths]
    if paths[0].name.lower().endswith(".parquet"):
        return Source(name, "read_parquet(?, union_by_name = true)", (escaped,))
    return Source(
        name, "read_csv(?, all_varchar = true, header = true, nullstr = ?, union_by_name = true)", (escaped, _NULLS)
    )


def _of_database(connection: duckdb.DuckDBPyConnection, place: Path) -> dict[str, Source]:
    try:
        rows = connection.execute(
            "SELECT table_schema, table_name FROM information_schema.tables ORDER BY 1, 2"
        ).fetchall()
    except duckdb.Error as error:
        msg = f"{place}: cannot be read as a DuckDB database ({str(error).splitlines()[0][:120]}); write it again"
        raise SequelaError(msg) from error
    found: dict[str, Source] = {}
    for schema, table in rows:
        found.setdefault(str(table).lower(), Source(f"{place.name} {table}", f"{_quoted(schema)}.{_quoted(table)}"))
    return found


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
