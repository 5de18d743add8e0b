"""Files that somebody uploaded: a zip, or a table and its pictures, become one folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Protocol

from engine.config import ConfigError
from engine.data.user.upload import from_table, unpack_zip

TABLES = (".csv", ".jsonl")  # any other name may be that of a picture: content decides


class File(Protocol):
    """An uploaded file, as much as is needed of it."""

    name: str

    def getvalue(self) -> bytes:
        """Return its content."""


def put_in_place(files: Sequence[File]) -> Path:
    """Make one folder of the files. Raises ConfigError where they are no data set."""
    zips = [file for file in files if _suffix(file) == ".zip"]
    tables = [file for file in files if _suffix(file) in TABLES]
    if len(zips) == 1 and len(files) == 1:
        return unpack_zip(zips[0].getvalue())
    if zips:
        raise ConfigError("dataset: upload one zip and nothing else, or a table and its pictures")
    if len(tables) != 1:
        raise ConfigError(
            f"dataset: one table (.csv or .jsonl) belongs to the pictures; there are {len(tables)}"
        )
    pictures = [file for file in files if file is not tables[0]]
    names = [file.name for file in pictures]
    if twice := next((name for name in names if names.count(name) > 1), ""):
        raise ConfigError(f"dataset: two pictures of the upload are called {twice}")
    contents = {file.name: file.getvalue() for file in pictures}
    return from_table(tables[0].name, tables[0].getvalue(), contents)


def _suffix(file: File) -> str:
    return PurePosixPath(file.name).suffix.lower()
