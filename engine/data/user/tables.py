"""Tables on disk: CSV and JSON lines, in the encodings that spreadsheets write."""

from __future__ import annotations

import codecs
import csv
import io
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.config import ConfigError
from engine.data.user.rows import shorten

TABLES = ("metadata.jsonl", "metadata.csv")
_LONGEST_HEADER = 100_000  # the csv module refuses a field that is a little longer
_BOM = "\ufeff"
_SEPARATOR = re.compile(r'\s*"?sep=([,;|\t])"?[,;|\t ]*(?:[\r\n]+|$)', re.IGNORECASE)
_NEWLINE = re.compile(r"\r\n|\n|\r")
_AROUND = f" \t\r\n\u00a0\u200b{_BOM}"  # a name: spaces, and what nobody sees
_DELIMITERS = ",;\t|"
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
    return parse_table(data, name, path.suffix)


def parse_table(data: bytes, name: str, suffix: str) -> Table:
    """Parse the bytes of a .jsonl or .csv file as ``read_table`` does."""
    text = _decode(data, name)
    if not text.strip():
        raise ConfigError(f"dataset: {name} is empty")
    return _read_jsonl(text) if suffix == ".jsonl" else _read_csv(text, name)


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
    return text.lstrip(_BOM)  # programs that put another one before it


def _read_jsonl(text: str) -> Table:
    records, malformed, columns = [], {}, {}
    for number, values in _json_rows(text):
        if isinstance(values, dict):
            records.append(Record(number, values))
            columns.update(dict.fromkeys(values))
        else:
            malformed[number] = 1
    return Table(tuple(columns), records, malformed)


def _json_rows(text: str) -> Iterator[tuple[int, Any]]:
    """Yield line and value of every row, None where it is no JSON; of one list, its parts."""
    whole = _from_json(text) if text.lstrip().startswith("[") else None
    if isinstance(whole, list) and any(isinstance(values, dict) for values in whole):
        yield from enumerate(whole, 1)
        return
    for number, line in enumerate(_NEWLINE.split(text), 1):  # splitlines() would cut strings
        if line := line.strip(_AROUND):
            yield number, _from_json(line)


def _from_json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


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
    """Yield first line, last line and cells of every row; no cells where quotes do not match."""
    said = _SEPARATOR.match(text)  # Excel's first line
    start = said[0] if said else ""
    text, skipped = text[len(start) :], len(_NEWLINE.findall(start))
    if not text.strip():
        return
    delimiter = said[1] if said else _delimiter(text)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    first = 1
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error:
            cells = None
        yield first + skipped, reader.line_num + skipped, cells
        first = reader.line_num + 1


def _delimiter(text: str) -> str:
    """Return the mark that cuts the header into most columns."""
    head = text.lstrip("\r\n").splitlines()[0][:_LONGEST_HEADER]
    return max(_DELIMITERS, key=lambda mark: len(next(csv.reader([head], delimiter=mark))))


def _header(cells: list[str] | None, name: str) -> list[str]:
    if cells is None:
        raise ConfigError(f"dataset: the quotes in the first line of {name} do not match")
    header = [cell.strip(_AROUND) for cell in cells]
    named = [column for column in header if column]
    for column in named:
        if named.count(column) > 1:
            raise ConfigError(f"dataset: {name} has two columns called '{shorten(column)}'")
    return header
