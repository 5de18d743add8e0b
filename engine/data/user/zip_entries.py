"""A zip from a stranger, whatever it holds: names that lead out, links, and bombs are refused."""

from __future__ import annotations

import lzma
import stat
import unicodedata
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import PurePosixPath
from typing import IO

from engine.data.user.rows import shorten

MAX_RATIO = 200  # unpacked to packed; pictures are near 1, tables rarely above 20
_RATIO_FROM = 2**20  # smaller entries do no harm, however well they are packed
# What Python raises where the bytes of a zip are not as they should be.
BROKEN = (
    zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError, ValueError,
    NotImplementedError, RuntimeError,
)  # fmt: skip


class BadZip(ValueError):
    """What is wrong with a zip, in one sentence."""


def check_name(name: str, where: str) -> str:
    """Return a relative name, with slashes; raises BadZip when it leads elsewhere."""
    path = PurePosixPath(name.replace("\\", "/"))
    drive = path.parts and path.parts[0].endswith(":")
    if path.is_absolute() or drive or ".." in path.parts or not path.parts:
        raise BadZip(f"the name '{shorten(name)}' in {where} leads out of the folder")
    return str(path)


def check_totals(archive: zipfile.ZipFile, most: int, most_bytes: int) -> None:
    """Raise BadZip for more than so many entries, or bytes of all together, unpacked."""
    entries = archive.infolist()
    if len(entries) > most:
        raise BadZip(f"the zip has {len(entries)} entries; at most {most}")
    if sum(entry.file_size for entry in entries) > most_bytes:
        raise BadZip(f"the zip unpacks to more than {most_bytes >> 20} MB")


def check_entries(entries: Iterable[tuple[str, zipfile.ZipInfo]]) -> dict[str, zipfile.ZipInfo]:
    """Return the files by name, after a look at every entry's header. Raises BadZip."""
    seen: set[str] = set()
    files = {}
    for said, entry in entries:
        name = check_name(said, "the zip")
        _check_kind(entry, name)
        same = unicodedata.normalize("NFC", name).casefold()  # as file systems may see it
        if same in seen and not entry.is_dir():
            raise BadZip(f"the zip has two files called '{shorten(name)}'")
        seen.add(same)
        if not entry.is_dir():
            files[name] = entry
    return files


def check_size(entry: zipfile.ZipInfo, name: str, most: int) -> None:
    """Judge by what the header says; whoever reads holds the entry to that. Raises BadZip."""
    if entry.file_size > most:
        size = entry.file_size / 2**20
        raise BadZip(f"'{shorten(name)}' in the zip has {size:.1f} MB; at most {most // 2**20} MB")
    if entry.file_size > max(_RATIO_FROM, MAX_RATIO * entry.compress_size):
        raise BadZip(f"'{shorten(name)}' in the zip unpacks to far more than it is")


def read_rest(file: IO[bytes], entry: zipfile.ZipInfo, name: str, head: bytes) -> bytes:
    """Return an entry's content, of which ``head`` is read already. Raises BadZip."""
    content = head + file.read(entry.file_size + 1 - len(head))  # never more than allowed
    if len(content) > entry.file_size:
        raise BadZip(f"'{shorten(name)}' in the zip is larger than it says")
    return content


def _check_kind(entry: zipfile.ZipInfo, name: str) -> None:
    if entry.flag_bits & 0x1:
        raise BadZip(f"the zip is encrypted ('{shorten(name)}'); pack it without")
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise BadZip(f"'{shorten(name)}' in the zip is a link; pack files only")
