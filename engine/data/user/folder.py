"""The layout of a folder: a table at its root, or in each of ``train``, ``test`` and so on.

This is the Hugging Face ``imagefolder`` layout with a ``metadata`` table.
"""

from __future__ import annotations

import os
import unicodedata
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from engine.config import ConfigError
from engine.data.user.tables import TABLES
from engine.system.files import file_state

SPLIT_FOLDERS = ("train", "test", "validation", "valid", "val", "dev")
PLACES = ("", *SPLIT_FOLDERS)  # where a table may be


@dataclass(frozen=True)
class TableFile:
    """A table's file, and the split's folder that it is in."""

    path: Path
    place: str  # "" or the split's folder

    @property
    def name(self) -> str:
        """Return what messages call it."""
        return f"{self.place}/{self.path.name}" if self.place else self.path.name


def find_tables(folder: Path, called: str = "") -> list[TableFile]:
    """Find the tables of a folder, in the order of PLACES; messages call the folder by ``called``.

    Raises ConfigError when the folder is absent or empty, has no table, or more than it should.
    """
    called = called or str(folder)
    try:
        if not any(folder.iterdir()):
            raise ConfigError(f"dataset: the folder {called} is empty")
    except FileNotFoundError:
        raise ConfigError(f"dataset: there is no folder {called}") from None
    except NotADirectoryError:
        raise ConfigError(
            f"dataset: {called} is a file; name the folder that holds the table"
        ) from None
    except OSError as error:
        raise ConfigError(f"dataset: {called} cannot be opened ({error.strerror})") from None
    tables = _tables(folder)
    if not tables:
        raise ConfigError(
            f"dataset: {called} has no metadata.csv or metadata.jsonl, neither at its root "
            "nor in train, test or validation"
        )
    places = [table.place for table in tables]
    for place in places:
        if places.count(place) > 1:
            where = f"the folder {place}" if place else called
            raise ConfigError(
                f"dataset: {where} has both metadata.jsonl and metadata.csv; remove one of them"
            )
    if places[0] == "" and len(places) > 1:
        raise ConfigError(
            f"dataset: {called} has a table at its root and one in {places[1]}; remove one of them"
        )
    return tables


def has_tables(folder: Path) -> bool:
    """Say whether a folder has a table where ``find_tables`` looks."""
    return bool(_tables(folder))


def _tables(folder: Path) -> list[TableFile]:
    files = [TableFile(folder / place / table, place) for place in PLACES for table in TABLES]
    return [file for file in files if file_state(file.path)]


class PictureFinder:
    """Finds the pictures that tables name in a folder that has no links in its own path."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._names: dict[Path, dict[str, list[str]]] = {}

    def find(self, table: Path, name: str) -> Path | None:
        """Return where a picture named in a table would be; None when that is outside.

        Links inside of the folder are not followed here: who puts one there means what it points
        to.
        """
        path = within(self._folder, table.parent / name.replace("\\", "/"))
        return path if path is None or file_state(path) else self._as_stored(path)

    def _as_stored(self, path: Path) -> Path:
        """Return a path as it is spelled on disk, where only one there can be meant.

        macOS writes é as two letters, and neither it nor Windows cares for capitals.
        """
        current = self._folder
        for part in path.relative_to(self._folder).parts:
            alike = self._listing(current).get(_plain(part), [])
            current /= alike[0] if part not in alike and len(alike) == 1 else part
        return current

    def _listing(self, folder: Path) -> dict[str, list[str]]:
        if folder not in self._names:
            names = self._names[folder] = {}
            with suppress(OSError, ValueError):  # no folder, or a name that none can have
                for name in os.listdir(folder):
                    names.setdefault(_plain(name), []).append(name)
        return self._names[folder]


def _plain(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def within(folder: Path, path: Path) -> Path | None:
    """Return a path as one below ``folder``, which has no links in it; None when it is outside.

    A path that leads into the folder through a link elsewhere is inside, too.
    """
    path = Path(os.path.normpath(path))
    if path.is_relative_to(folder):
        return path
    for parent in path.parents:
        if _without_links(parent) == folder:
            return folder / path.relative_to(parent)
    return None


def _without_links(path: Path) -> Path:
    try:
        return Path(os.path.realpath(path))
    except (OSError, ValueError):  # names that no file can have
        return path
