"""A zip from a stranger, read entry by entry: only tables and pictures, only of sane size."""

from __future__ import annotations

import io
import lzma
import stat
import unicodedata
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import PurePosixPath

from engine.config import ConfigError
from engine.data.pictures import MAX_BYTES
from engine.data.user.tables import TABLES

MAX_ENTRIES = 20_000
MAX_UNPACKED = 2 * 2**30  # bytes of all entries
MAX_TABLE = 100 * 2**20
MAX_RATIO = 200  # unpacked to packed; pictures are near 1, tables rarely above 20
_RATIO_FROM = 2**20  # smaller entries do no harm, however well they are packed
# Also those that cannot be used: their rows are told of as unreadable, not as missing.
PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff")
_BROKEN = (
    zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError, ValueError,
    NotImplementedError, RuntimeError,
)  # fmt: skip


@contextmanager
def open_zip(data: bytes) -> Iterator[Iterator[tuple[str, bytes]]]:
    """Yield names and contents of the tables and pictures in a zip; all names are checked before.

    Raises ConfigError for a broken or encrypted zip, names that are absolute, lead out of the
    folder or occur twice, links, and entries that are too many, too large or packed too well.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            yield _contents(archive, _tables_and_pictures(archive.infolist()))
    except _BROKEN as error:
        if isinstance(error, ConfigError):
            raise
        raise ConfigError(f"dataset: this is not a whole zip file ({error})") from None


def check_name(name: str, where: str) -> str:
    """Return a relative name, with slashes; raises ConfigError when it leads elsewhere."""
    path = PurePosixPath(name.replace("\\", "/"))
    drive = path.parts and path.parts[0].endswith(":")
    if path.is_absolute() or drive or ".." in path.parts or not path.parts:
        raise ConfigError(f"dataset: the name '{name}' in {where} leads out of the folder")
    return str(path)


def _tables_and_pictures(entries: list[zipfile.ZipInfo]) -> dict[str, zipfile.ZipInfo]:
    """Return the tables and pictures by name, after a look at every entry's header."""
    if len(entries) > MAX_ENTRIES:
        raise ConfigError(f"dataset: the zip has {len(entries)} entries; at most {MAX_ENTRIES}")
    if sum(entry.file_size for entry in entries) > MAX_UNPACKED:
        raise ConfigError(f"dataset: the zip unpacks to more than {MAX_UNPACKED >> 20} MB")
    names: set[str] = set()
    chosen = {}
    for entry in entries:
        name = check_name(entry.filename, "the zip")
        _check_kind(entry)
        same = unicodedata.normalize("NFC", name).casefold()  # as file systems may see it
        if same in names and not entry.is_dir():
            raise ConfigError(f"dataset: the zip has two files called '{name}'")
        names.add(same)
        if not entry.is_dir() and _is_ours(PurePosixPath(name)):
            _check_size(entry)
            chosen[name] = entry
    if not any(PurePosixPath(name).name in TABLES for name in chosen):
        raise ConfigError("dataset: the zip has no metadata.csv or metadata.jsonl")
    return chosen


def _check_kind(entry: zipfile.ZipInfo) -> None:
    if entry.flag_bits & 0x1:
        raise ConfigError(f"dataset: the zip is encrypted ('{entry.filename}'); pack it without")
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise ConfigError(f"dataset: '{entry.filename}' in the zip is a link; pack files only")


def _is_ours(path: PurePosixPath) -> bool:
    """Say whether it is a table or a picture, and none of what systems put beside them."""
    if any(part.startswith(".") or part == "__MACOSX" for part in path.parts):
        return False
    return path.name in TABLES or path.suffix.lower() in PICTURE_SUFFIXES


def _check_size(entry: zipfile.ZipInfo) -> None:
    """Judge by what the header says; ``_contents`` holds it to that."""
    most = MAX_TABLE if PurePosixPath(entry.filename).name in TABLES else MAX_BYTES
    if entry.file_size > most:
        raise ConfigError(
            f"dataset: '{entry.filename}' in the zip has {entry.file_size / 2**20:.1f} MB; "
            f"at most {most // 2**20} MB"
        )
    if entry.file_size > max(_RATIO_FROM, MAX_RATIO * entry.compress_size):
        raise ConfigError(f"dataset: '{entry.filename}' in the zip unpacks to far more than it is")


def _contents(
    archive: zipfile.ZipFile, entries: dict[str, zipfile.ZipInfo]
) -> Iterator[tuple[str, bytes]]:
    for name, entry in entries.items():
        with archive.open(entry) as file:
            content = file.read(entry.file_size + 1)  # never more than was allowed
        if len(content) > entry.file_size:
            raise ConfigError(f"dataset: '{name}' in the zip is larger than it says")
        yield name, content
