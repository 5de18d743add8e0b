"""The names in a zip, in the encoding of the system that packed it.

Where a zip does not say that its names are UTF-8 they are in the code page of a computer that
nobody knows: Python reads them as the first IBM PC did. The tables know better: the right encoding
is the one in which most names of files are also in a table.
"""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Iterable
from pathlib import PurePosixPath

from engine.config import ConfigError
from engine.data.user.tables import TABLES, parse_table

MAX_TABLE = 100 * 2**20  # bytes
_UTF8_FLAG = 0x800
_UNICODE_PATH = 0x7075  # an extra field of Info-ZIP's
# The likeliest first: among those in which as many names are known, the first is taken.
_ENCODINGS = (
    "utf-8",
    "cp437",
    "gbk",
    "cp932",
    "big5",
    "cp949",
    "cp1252",
    "cp850",
    "cp866",
    "cp1251",
)


def names_of(archive: zipfile.ZipFile) -> list[str]:
    """Return the name of every entry of a zip, in the order of its list."""
    entries = archive.infolist()
    unknown = [entry for entry in entries if _is_unknown(entry)]
    if not unknown:
        return [_unicode_path(entry) or entry.filename for entry in entries]
    encoding = _encoding([_raw(entry) for entry in unknown], _named(archive, entries))
    return [
        _raw(entry).decode(encoding)
        if _is_unknown(entry)
        else _unicode_path(entry) or entry.filename
        for entry in entries
    ]


def _is_unknown(entry: zipfile.ZipInfo) -> bool:
    says = entry.flag_bits & _UTF8_FLAG or _unicode_path(entry)
    return not says and not entry.orig_filename.isascii()


def _raw(entry: zipfile.ZipInfo) -> bytes:
    """Return a name's bytes: Python decodes those that are not said to be UTF-8 as cp437."""
    return entry.filename.encode("cp437")


def _encoding(names: list[bytes], known: set[str]) -> str:
    def score(encoding: str) -> int:
        try:
            decoded = [PurePosixPath(name.decode(encoding).replace("\\", "/")) for name in names]
        except UnicodeDecodeError:
            return -1
        return sum(path.name in known for path in decoded)

    return max(_ENCODINGS, key=score)


def _named(archive: zipfile.ZipFile, entries: Iterable[zipfile.ZipInfo]) -> set[str]:
    """Return the bare names of all files that the zip's tables may mean."""
    named = set()
    for entry in entries:
        path = PurePosixPath(entry.filename.replace("\\", "/"))
        if path.name not in TABLES or entry.file_size > MAX_TABLE:
            continue
        try:
            table = parse_table(archive.read(entry), entry.filename, path.suffix)
        except ConfigError:  # it is told of when the folder is read
            continue
        for record in table.records:
            for cell in record.values.values():
                if isinstance(cell, str):
                    named.add(PurePosixPath(cell.replace("\\", "/")).name)
    return named


def _unicode_path(entry: zipfile.ZipInfo) -> str:
    """Return the name that Info-ZIP keeps in UTF-8 beside the other; "" where there is none."""
    extra = entry.extra
    while len(extra) >= 4:
        kind, size = struct.unpack_from("<HH", extra)
        if kind == _UNICODE_PATH and size > 5:
            return extra[9 : 4 + size].decode("utf-8", "replace")
        extra = extra[4 + size :]
    return ""
