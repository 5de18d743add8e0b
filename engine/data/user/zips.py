"""A zip from a stranger, read entry by entry: only tables and pictures, only of sane size.

A file's content decides whether it is a picture; its name does only for kinds that are not read,
so that their rows are told of as unreadable, not as missing.
"""

from __future__ import annotations

import io
import lzma
import stat
import unicodedata
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from engine.config import ConfigError
from engine.data.account import Problems
from engine.data.pictures import MAX_BYTES, looks_like_picture
from engine.data.user.rows import shorten
from engine.data.user.tables import TABLES
from engine.data.user.zip_names import MAX_TABLE, names_of

MAX_ENTRIES = 20_000
MAX_UNPACKED = 2 * 2**30  # bytes of all entries
MAX_RATIO = 200  # unpacked to packed; pictures are near 1, tables rarely above 20
_RATIO_FROM = 2**20  # smaller entries do no harm, however well they are packed
PICTURE_SUFFIXES = (
    ".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".webp", ".gif", ".bmp", ".dib", ".tif",
    ".tiff", ".heic", ".heif", ".avif", ".jp2", ".jxl", ".svg", ".ico",
)  # fmt: skip
_HEAD = 64  # bytes that tell what a file is
_OF_SYSTEMS = ("thumbs.db", "desktop.ini", "__macosx")  # beside names with a dot before them
_BROKEN = (
    zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError, ValueError,
    NotImplementedError, RuntimeError,
)  # fmt: skip


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
    except _BROKEN as error:
        if isinstance(error, ConfigError):
            raise
        reason = shorten(str(error))
        raise ConfigError(f"dataset: this is not a whole zip file ({reason})") from None


def check_name(name: str, where: str) -> str:
    """Return a relative name, with slashes; raises ConfigError when it leads elsewhere."""
    path = PurePosixPath(name.replace("\\", "/"))
    drive = path.parts and path.parts[0].endswith(":")
    if path.is_absolute() or drive or ".." in path.parts or not path.parts:
        raise ConfigError(f"dataset: the name '{shorten(name)}' in {where} leads out of the folder")
    return str(path)


def is_picture(name: str, content: bytes) -> bool:
    """Say whether a file is a picture by its content, or is called as if it were one."""
    return looks_like_picture(content) or PurePosixPath(name).suffix.lower() in PICTURE_SUFFIXES


def _checked(archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """Return the files that are no system's by name, after a look at every entry's header."""
    entries = archive.infolist()
    if len(entries) > MAX_ENTRIES:
        raise ConfigError(f"dataset: the zip has {len(entries)} entries; at most {MAX_ENTRIES}")
    if sum(entry.file_size for entry in entries) > MAX_UNPACKED:
        raise ConfigError(f"dataset: the zip unpacks to more than {MAX_UNPACKED >> 20} MB")
    seen: set[str] = set()
    files = {}
    for entry, said in zip(entries, names_of(archive), strict=True):
        name = check_name(said, "the zip")
        _check_kind(entry, name)
        same = unicodedata.normalize("NFC", name).casefold()  # as file systems may see it
        if same in seen and not entry.is_dir():
            raise ConfigError(f"dataset: the zip has two files called '{shorten(name)}'")
        seen.add(same)
        if not entry.is_dir() and not _is_of_a_system(PurePosixPath(name)):
            files[name] = entry
    if not any(PurePosixPath(name).name in TABLES for name in files):
        raise ConfigError("dataset: the zip has no metadata.csv or metadata.jsonl")
    return files


def _check_kind(entry: zipfile.ZipInfo, name: str) -> None:
    if entry.flag_bits & 0x1:
        raise ConfigError(f"dataset: the zip is encrypted ('{shorten(name)}'); pack it without")
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise ConfigError(f"dataset: '{shorten(name)}' in the zip is a link; pack files only")


def _is_of_a_system(path: PurePosixPath) -> bool:
    """Say whether a file is one of those that systems put beside people's own."""
    return any(part.startswith(".") or part.lower() in _OF_SYSTEMS for part in path.parts)


def _check_size(entry: zipfile.ZipInfo, name: str, most: int) -> None:
    """Judge by what the header says; ``_contents`` holds it to that."""
    if entry.file_size > most:
        raise ConfigError(
            f"dataset: '{shorten(name)}' in the zip has {entry.file_size / 2**20:.1f} MB; "
            f"at most {most // 2**20} MB"
        )
    if entry.file_size > max(_RATIO_FROM, MAX_RATIO * entry.compress_size):
        raise ConfigError(f"dataset: '{shorten(name)}' in the zip unpacks to far more than it is")


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
            _check_size(entry, name, MAX_TABLE if is_table else MAX_BYTES)
            content = head + file.read(entry.file_size + 1 - len(head))  # never more than allowed
        if len(content) > entry.file_size:
            raise ConfigError(f"dataset: '{shorten(name)}' in the zip is larger than it says")
        yield name, content
