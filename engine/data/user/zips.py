"""A zip from a stranger, read entry by entry: only tables and pictures, only of sane size.

A file's content decides whether it is a picture; its name does only for kinds that are not read,
so that their rows are told of as unreadable, not as missing.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from engine.config import ConfigError
from engine.data.account import Problems
from engine.data.pictures import MAX_BYTES, looks_like_picture
from engine.data.user import zip_entries
from engine.data.user.rows import shorten
from engine.data.user.tables import TABLES
from engine.data.user.zip_entries import (
    BROKEN,
    BadZip,
    check_entries,
    check_size,
    check_totals,
    read_rest,
)
from engine.data.user.zip_names import MAX_TABLE, names_of

MAX_ENTRIES = 20_000
MAX_UNPACKED = 2 * 2**30  # bytes of all entries
PICTURE_SUFFIXES = (
    ".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".webp", ".gif", ".bmp", ".dib", ".tif",
    ".tiff", ".heic", ".heif", ".avif", ".jp2", ".jxl", ".svg", ".ico",
)  # fmt: skip
_HEAD = 64  # bytes that tell what a file is
_OF_SYSTEMS = ("thumbs.db", "desktop.ini", "__macosx")  # beside names with a dot before them


@dataclass(frozen=True)
class Unpacked:
    """A zip's tables and pictures; ``left_out`` is complete once ``contents`` has been read."""

    contents: Iterator[tuple[str, bytes]]
    left_out: Problems = field(default_factory=Problems)


@contextmanager
def open_zip(data: bytes) -> Iterator[Unpacked]:
    """Yield names and contents of the tables and pictures in a zip; all names are checked before.

    Raises ConfigError for a broken or encrypted zip, names that are absolute, lead out of the
    folder or occur twice, links, and entries that are too many, too large or packed too well.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            left_out = Problems()
            entries = _checked(archive)
            yield Unpacked(_contents(archive, entries, left_out), left_out)
    except BadZip as error:
        raise ConfigError(f"dataset: {error}") from None
    except BROKEN as error:
        if isinstance(error, ConfigError):
            raise
        reason = shorten(str(error))
        raise ConfigError(f"dataset: this is not a whole zip file ({reason})") from None


def check_name(name: str, where: str) -> str:
    """Return a relative name, with slashes; raises ConfigError when it leads elsewhere."""
    try:
        return zip_entries.check_name(name, where)
    except BadZip as error:
        raise ConfigError(f"dataset: {error}") from None


def is_picture(name: str, content: bytes) -> bool:
    """Say whether a file is a picture by its content, or is called as if it were one."""
    return looks_like_picture(content) or PurePosixPath(name).suffix.lower() in PICTURE_SUFFIXES


def _checked(archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """Return the files that are no system's by name, after a look at every entry's header."""
    check_totals(archive, MAX_ENTRIES, MAX_UNPACKED)  # before names are looked for in tables
    named = zip(names_of(archive), archive.infolist(), strict=True)
    checked = check_entries(named)
    files = {
        name: entry for name, entry in checked.items() if not _is_of_a_system(PurePosixPath(name))
    }
    if not any(PurePosixPath(name).name in TABLES for name in files):
        raise BadZip("the zip has no metadata.csv or metadata.jsonl")
    return files


def _is_of_a_system(path: PurePosixPath) -> bool:
    """Say whether a file is one of those that systems put beside people's own."""
    return any(part.startswith(".") or part.lower() in _OF_SYSTEMS for part in path.parts)


def _contents(
    archive: zipfile.ZipFile, entries: dict[str, zipfile.ZipInfo], left_out: Problems
) -> Iterator[tuple[str, bytes]]:
    for name, entry in entries.items():
        with archive.open(entry) as file:
            head = file.read(_HEAD)
            is_table = PurePosixPath(name).name in TABLES
            if not is_table and not is_picture(name, head):
                kind = "file that is neither a table nor a picture"
                left_out.add(kind, shorten(name), left_out=False)
                continue
            check_size(entry, name, MAX_TABLE if is_table else MAX_BYTES)
            content = read_rest(file, entry, name, head)
        yield name, content
