"""Data that arrive through a form: checked as if a stranger had made them, then put in place.

A folder appears under ``home()/datasets`` only whole, and under a name made from what is in it: the
same upload twice is one folder.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict
from hashlib import blake2b
from pathlib import Path, PurePosixPath

from engine.config import ConfigError
from engine.data.account import Problem
from engine.data.pictures import MAX_BYTES
from engine.data.user.folder import SPLIT_FOLDERS, find_tables
from engine.data.user.tables import TABLES, Table, read_table
from engine.data.user.zips import (
    MAX_ENTRIES,
    MAX_TABLE,
    MAX_UNPACKED,
    check_name,
    is_picture,
    open_zip,
)
from engine.paths import home

_LEFT_OUT = "left_out.json"


def unpack_zip(data: bytes) -> Path:
    """Unpack tables and pictures of a zip; returns the folder that holds the table.

    Everything may be inside of one folder in the zip. Raises ConfigError when the zip has no table,
    or anything in it is not as it should be (engine/data/user/zips.py).
    """
    with open_zip(data) as unpacked, in_place(_digest([data])) as (aside, folder):
        if aside:
            for name, content in unpacked.contents:
                _write(aside / name, content)
            find_tables(_top(aside), "the zip")
            if problems := unpacked.left_out.counted():
                about = json.dumps([asdict(problem) for problem in problems])
                (_top(aside) / _LEFT_OUT).write_text(about, encoding="utf-8")
    return _top(folder)


def left_out(folder: Path) -> tuple[Problem, ...]:
    """Return what a zip had beside what was unpacked into a folder; () for other folders."""
    try:
        problems = json.loads((folder / _LEFT_OUT).read_text(encoding="utf-8"))
        return tuple(Problem(**problem) for problem in problems)
    except (OSError, ValueError, TypeError):  # none, or a file of the user's with this name
        return ()


def from_table(name: str, table: bytes, pictures: Mapping[str, bytes]) -> Path:
    """Put a table, called .csv or .jsonl, and the pictures that it names in one folder.

    Browsers send bare names: a picture goes into the folder in which the table looks for it. Raises
    ConfigError for another kind of table, and for files that are too many or too large, or have a
    name that leads elsewhere.
    """
    suffix = PurePosixPath(name).suffix.lower()
    if f"metadata{suffix}" not in TABLES:
        raise ConfigError(f"dataset: the table is a .csv or .jsonl file (got '{name}')")
    files = {check_name(picture, "the upload"): content for picture, content in pictures.items()}
    if len(files) < len(pictures):
        raise ConfigError("dataset: two pictures of the upload have the same name")
    _check_sizes(name, table, files)
    parts = [suffix.encode(), table]
    parts += [part for file in sorted(files) for part in (file.encode(), files[file])]
    with in_place(_digest(parts)) as (aside, folder):
        if aside:
            _write(aside / f"metadata{suffix}", table)
            places = _places(read_table(aside / f"metadata{suffix}", name), files.keys())
            for file, content in files.items():
                _write(aside / places.get(file, file), content)
    return folder


def _places(table: Table, files: Collection[str]) -> dict[str, str]:
    """Return where the table has files that came without their folder; not those of two folders.

    What leads out of the folder, as a link to the web does, is no place.
    """
    cells = (cell for record in table.records for cell in record.values.values())
    paths = {cell.replace("\\", "/") for cell in cells if isinstance(cell, str)}
    places: dict[str, list[str]] = {}
    for path in paths:
        bare = PurePosixPath(path).name
        if bare in files and bare not in paths:
            with suppress(ConfigError):
                places.setdefault(bare, []).append(check_name(path, "the table"))
    return {bare: named[0] for bare, named in places.items() if len(named) == 1}


def _check_sizes(name: str, table: bytes, files: Mapping[str, bytes]) -> None:
    if len(table) > MAX_TABLE:
        raise ConfigError(f"dataset: {name} is too large; at most {MAX_TABLE // 2**20} MB")
    if len(files) > MAX_ENTRIES:
        raise ConfigError(f"dataset: {len(files)} pictures are too many; at most {MAX_ENTRIES}")
    if sum(map(len, files.values())) > MAX_UNPACKED:
        raise ConfigError(f"dataset: the pictures are too large; at most {MAX_UNPACKED >> 20} MB")
    for file, content in files.items():
        if not is_picture(file, content):
            raise ConfigError(f"dataset: {file} is no picture, and not named as a picture is")
        if len(content) > MAX_BYTES:
            raise ConfigError(f"dataset: {file} is too large; at most {MAX_BYTES // 2**20} MB")


@contextmanager
def in_place(digest: str) -> Iterator[tuple[Path | None, Path]]:
    """Yield a folder to fill and the one that it becomes; None to fill when that is there already.

    What is raised inside leaves nothing behind.
    """
    folder = home() / "datasets" / digest
    if folder.is_dir():
        yield None, folder
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".upload-") as aside:
        whole = Path(aside) / "whole"
        whole.mkdir()
        yield whole, folder
        try:
            whole.rename(folder)
        except OSError:  # the same upload was quicker in another thread
            if not folder.is_dir():
                raise


def written_once(name: str, write: Callable[[Path], None]) -> Path:
    """Return the folder of this name, which ``write`` fills when it is not there yet."""
    with in_place(name) as (new, folder):
        if new is not None:
            write(new)
    return folder


def _write(path: Path, content: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    except (FileExistsError, NotADirectoryError):
        raise ConfigError(f"dataset: {path.name} is both a file and a folder") from None
    except OSError as error:
        raise ConfigError(f"dataset: {path.name} cannot be stored ({error.strerror})") from None


def _top(folder: Path) -> Path:
    """Return the folder itself, or the one that wraps everything (but for a split's)."""
    inside = list(folder.iterdir())
    wrapped = len(inside) == 1 and inside[0].is_dir() and inside[0].name not in SPLIT_FOLDERS
    return inside[0] if wrapped else folder


def _digest(parts: list[bytes]) -> str:
    """Digest all parts and where each ends."""
    digest = blake2b(digest_size=16)
    for part in parts:
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return digest.hexdigest()
