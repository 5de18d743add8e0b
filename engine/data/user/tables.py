"""Tables on disk: CSV and JSON lines, in the encodings that spreadsheets write."""

from __future__ import annotations

import codecs
import csv
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.config import ConfigError

TABLES = ("metadata.jsonl", "metadata.csv")
_LONGEST_HEADER = 100_000  # the csv module refuses a field that is a little longer
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


@dataclass(frozen=True)
class Record:
    """One row as it stands in the table."""

    line: int
    values: dict[str, Any]


@dataclass(frozen=True)
class Table:
    """A table that was read: its columns, its rows, and the lines that are no rows."""

    columns: tuple[str, ...]
    records: list[Record]
    malformed: dict[int, int]  # first line -> how many lines


def read_table(path: Path, name: str) -> Table:
    """Read a CSV or JSON lines file; ``name`` is what messages call it.

    Raises ConfigError when it cannot be opened, is empty, not text, or names a column twice.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"dataset: {name} cannot be opened ({error.strerror})") from None
    text = _decode(data, name)
    if not text.strip():
        raise ConfigError(f"dataset: {name} is empty")
    return _read_jsonl(text) if path.suffix == ".jsonl" else _read_csv(text, name)


def _decode(data: bytes, name: str) -> str:
    encoding = "utf-16" if data.startswith(_UTF16) else "utf-8-sig"
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"dataset: {name} is not UTF-8 text (at byte {error.start}); save it as UTF-8"
        ) from None
    if "\0" in text:
        raise ConfigError(f"dataset: {name} is not a text file; save it as UTF-8 text")
    return text


def _read_jsonl(text: str) -> Table:
    records, malformed, columns = [], {}, {}
    for number, line in enumerate(text.split("\n"), 1):  # splitlines() would cut inside of strings
        if not line.strip():
            continue
        try:
            values = json.loads(line)
        except (ValueError, RecursionError):
            values = None
        if isinstance(values, dict):
            records.append(Record(number, values))
            columns.update(dict.fromkeys(values))
        else:
            malformed[number] = 1
    return Table(tuple(columns), records, malformed)


def _read_csv(text: str, name: str) -> Table:
    header: list[str] = []
    records, malformed = [], {}
    for first, last, cells in _csv_lines(text):
        if cells == []:
            continue
        if not header:
            header = _header(cells, name)
        elif cells is None or len(cells) != len(header):
            malformed[first] = last - first + 1
        else:
            records.append(Record(first, dict(zip(header, cells, strict=True))))
    return Table(tuple(column for column in header if column), records, malformed)


def _csv_lines(text: str) -> Iterator[tuple[int, int, list[str] | None]]:
    """First line, last line and cells of every row; None as cells where quotes do not match."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(text), strict=True)
    first = 1
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error:
            cells = None
        yield first, reader.line_num, cells
        first = reader.line_num + 1


def _delimiter(text: str) -> str:
    """Comma, semicolon or tab: the one that cuts the header into most columns."""
    head = text.lstrip("\r\n").splitlines()[0][:_LONGEST_HEADER]
    return max(",;\t", key=lambda mark: len(next(csv.reader([head], delimiter=mark))))


def _header(cells: list[str] | None, name: str) -> list[str]:
    if cells is None:
        raise ConfigError(f"dataset: the quotes in the first line of {name} do not match")
    header = [cell.strip() for cell in cells]
    named = [column for column in header if column]
    for column in named:
        if named.count(column) > 1:
            raise ConfigError(f"dataset: {name} has two columns called '{column}'")
    return header
