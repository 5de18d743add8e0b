"""From the tables of a folder to usable rows; every row that is left out is accounted for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from engine.config import Data
from engine.data.account import Problems
from engine.data.user import columns as column_names
from engine.data.user.checking import Verdict, check
from engine.data.user.folder import SPLIT_FOLDERS, PictureFinder, TableFile, find_tables
from engine.data.user.rows import Row, shorten
from engine.data.user.tables import Table, read_table
from engine.data.user.values import as_answers, as_name, as_split, as_text
from engine.data.user.written_out import NotUnderstood
from engine.system.seeding import rng

SPLIT_COLUMN = "split"
_ODD_SPLIT = "split that is none of train, validation, test: ignored"
_WORDS = {"question": "question", "answer": "answer", "image": "picture"}
_LEAST_TEST = 4  # of the rows that are read, one in four is for testing, if there are as many


@dataclass(frozen=True)
class Candidate:
    """A row whose text is in order; its picture is still to be looked at."""

    row: Row
    picture: str  # as the table names it

    @property
    def name(self) -> str:
        """Return the row as messages call it."""
        return f"{shorten(self.picture)} ({self.row.where})"


@dataclass(frozen=True)
class Reading:
    """The content of a folder."""

    rows: tuple[Row, ...]
    columns: dict[str, str]
    files: tuple[Path, ...]  # all pictures that were asked for, absent ones too


def read_folder(folder: Path, data: Data, problems: Problems) -> Reading:
    """Return all usable rows of a folder, at most ``data.rows``; note what is wrong.

    Raises ConfigError when there is no table to read, or columns are missing.
    """
    tables = [(file, read_table(file.path, file.name)) for file in find_tables(folder)]
    for file, table in tables:
        for line, lines in table.malformed.items():
            problems.add("malformed line", f"{file.name}, line {line}", lines)
    named = dict.fromkeys(column for _, table in tables for column in table.columns)
    if not named:
        return Reading((), {}, ())
    used = column_names.choose(list(named), data)
    candidates = [
        candidate
        for file, table in tables
        for candidate in _candidates(folder, file, table, used, problems)
    ]
    candidates = _at_most(_settle_splits(candidates), data.rows, problems)
    verdicts = check(folder, (candidate.row.picture for candidate in candidates))
    readable = _readable(candidates, verdicts, problems)
    rows = _distinct(readable, problems)
    if "client" in used:
        _tell_of_clients(candidates, rows, problems)
    return Reading(tuple(rows), used, tuple(sorted({c.row.picture for c in candidates})))


def columns_of(folder: Path) -> list[str]:
    """Return the columns of all tables of a folder; raise ConfigError where there is none."""
    tables = [read_table(file.path, file.name) for file in find_tables(folder)]
    return list(dict.fromkeys(column for table in tables for column in table.columns))


def _candidates(
    folder: Path, file: TableFile, table: Table, used: dict[str, str], problems: Problems
) -> Iterator[Candidate]:
    """Yield rows with a question, an answer and a picture's name; splits are not settled yet."""
    finder = PictureFinder(folder)
    for record in table.records:
        where = f"{file.name}, line {record.line}"
        cells = {role: record.values.get(column) for role, column in used.items()}
        texts = _texts(cells, where, problems)
        if texts is None:
            continue
        question, answers, name = texts
        picture = finder.find(file.path, name)
        if picture is None:
            problems.add("picture outside of the folder", f"{shorten(name)} ({where})")
            continue
        said = file.place or _optional(record.values.get(SPLIT_COLUMN), "split", where, problems)
        if said and not as_split(said):
            problems.add(_ODD_SPLIT, f"{shorten(said)} ({where})", left_out=False)
        split = as_split(said or _split_folder(picture.relative_to(folder)))
        client = _optional(cells.get("client"), "client", where, problems)
        yield Candidate(Row(picture, question, answers, client, split, where=where), name)


def _texts(
    cells: dict[str, Any], where: str, problems: Problems
) -> tuple[str, tuple[str, ...], str] | None:
    """Return question, answers and the picture's name; None, and why, where one is missing."""
    readers: dict[str, tuple[Callable[[Any], Any], str]] = {
        "question": (as_text, "empty question"),
        "answer": (as_answers, "empty answer"),
        "image": (as_name, "no picture named"),
    }
    values = []
    for role, (read, empty) in readers.items():
        try:
            value = read(cells[role])
        except NotUnderstood as error:
            problems.add(f"{_WORDS[role]} not understood", f"{error} ({where})")
            return None
        if not value:
            problems.add(empty, where)
            return None
        values.append(value)
    question, answers, name = values
    return question, answers, name


def _optional(value: Any, role: str, where: str, problems: Problems) -> str:
    """Return the text of a cell that a row can do without."""
    try:
        return as_text(value)
    except NotUnderstood as error:
        problems.add(f"{role} not understood: ignored", f"{error} ({where})", left_out=False)
        return ""


def _split_folder(picture: Path) -> str:
    """Return the split's folder that a picture is in; "" if it is in another."""
    top = picture.parts[0] if picture.parts else ""
    return top if top in SPLIT_FOLDERS else ""


def _settle_splits(candidates: list[Candidate]) -> list[Candidate]:
    """Use validation rows to test on where there is no test, and else to train on."""
    tested = any(candidate.row.split == "test" for candidate in candidates)
    named = {"validation": "train" if tested else "test"}
    return [
        replace(c, row=replace(c.row, split=named[c.row.split])) if c.row.split in named else c
        for c in candidates
    ]


def _at_most(candidates: list[Candidate], limit: int, problems: Problems) -> list[Candidate]:
    """Choose ``limit`` rows at random, always the same one, in the order of the table.

    The first rows would be those of a few clients wherever a table is sorted by client.
    """
    if len(candidates) <= limit:
        return candidates
    test = [i for i, c in enumerate(candidates) if c.row.split == "test"]
    rest = [i for i, c in enumerate(candidates) if c.row.split != "test"]
    tested = min(len(test), max(limit // _LEAST_TEST, limit - len(rest)))
    draw = rng(0, "rows to read")
    kept = {
        *draw.choice(test, tested, replace=False).tolist(),
        *draw.choice(rest, limit - tested, replace=False).tolist(),
    }
    first = next(c for i, c in enumerate(candidates) if i not in kept)
    problems.add("more rows than data.rows", first.name, len(candidates) - limit)
    return [c for i, c in enumerate(candidates) if i in kept]


def _readable(
    candidates: Iterable[Candidate], verdicts: dict[Path, Verdict], problems: Problems
) -> list[Candidate]:
    readable = []
    for candidate in candidates:
        verdict = verdicts.get(candidate.row.picture)
        if verdict is None:
            problems.add("missing picture", candidate.name)
        elif verdict.reason:
            problems.add("unreadable picture", f"{candidate.name}: {verdict.reason}")
        else:
            size = (verdict.height, verdict.width)
            row = replace(candidate.row, content=verdict.content, size=size)
            readable.append(replace(candidate, row=row))
    return readable


def _distinct(candidates: list[Candidate], problems: Problems) -> list[Row]:
    """Keep each row once, and nothing to train on that is also asked in the test.

    Pictures are the same when their bytes are, whatever the files are called.
    """

    def asked(row: Row) -> tuple[str, str]:
        return row.content, row.question

    tested = {asked(c.row) for c in candidates if c.row.split == "test"}
    seen: set[tuple] = set()
    rows = []
    for candidate in candidates:
        row = candidate.row
        whole = (*asked(row), row.answers, row.client, row.split)
        if row.split == "train" and asked(row) in tested:
            problems.add("same picture and question in train and test", candidate.name)
        elif whole in seen:
            problems.add("duplicate row", candidate.name)
        else:
            seen.add(whole)
            rows.append(row)
    return rows


def _tell_of_clients(candidates: list[Candidate], rows: list[Row], problems: Problems) -> None:
    """Tell of clients that lost all of their rows, and rows of no client (which stay)."""
    present = {row.client for row in rows}
    for client in dict.fromkeys(c.row.client for c in candidates):
        if client and client not in present:
            problems.add("client without a usable row", shorten(client), left_out=False)
    for candidate in candidates:
        if not candidate.row.client:
            problems.add("row without a client", candidate.name, left_out=False)
