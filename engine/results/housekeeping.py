"""What the home holds and what of it can go; runs that are deleted, and brought back.

Never what a run needs that is queued, running, paused or resumable, nor the example. Deleting a run
hides it at once; its files go with ``clean``, or after a week.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from db import keeping, reads
from db.engine import database_url
from db.tables import ALIVE, now
from engine.fl import checkpoints
from engine.jobs.queue import NotPossible
from engine.paths import home, run_folder

WEEK = timedelta(days=7)  # in which a deleted run can come back
_FRESH = 24 * 3600  # seconds in which a file may still belong to a form, or be written
_BUSY = "a run is at work, waits or is paused"


@dataclass(frozen=True)
class Holding:
    """A part of the home that can go: what it is, and what is lost with it.

    ``paths`` are files and folders; ``stays`` says why none can go now; ``loses``: something cannot
    be had again, so that it goes only when it is named.
    """

    kind: str
    title: str
    told: str
    paths: tuple[Path, ...]
    bytes: int
    stays: str = ""
    loses: bool = False


def holdings() -> list[Holding]:
    """Return what of this home can go, part by part.

    Raises NotPossible where the home's runs are in another database than the one that is open.
    """
    own = home() / "fedvlm.db"
    if own.exists() and database_url().database != str(own):
        raise NotPossible(
            f"FEDVLM_DATABASE_URL: {home()} has a database of its own, whose runs need its files; "
            "clean without this variable"
        )
    busy = _BUSY if keeping.are_runs_alive() else ""
    parts: list[tuple[str, str, str, Iterable[Path], str, bool]] = [
        ("deleted", "Deleted runs", "They cannot be brought back any more.", _deleted(), "", False),
        ("rounds", "Earlier rounds of finished runs",
         "Nothing is lost: a finished run answers with its last round.", _rounds(), "", False),
        ("cache", "Encoded pictures and questions",
         "Made again, in minutes, when a run or a question needs them.", _cache(), busy, False),
        ("data", "Uploaded and fetched data that no run uses",
         "To use them again, bring them again.", _data(), "", False),
        ("adapters", "Imported adapters that no run starts from",
         "To start from them, import them again.", _adapters(), "", False),
        ("leftovers", "Files of work that was cut off", "Nothing is lost.",
         _leftovers(), busy, False),
        ("models", "Models of finished runs",
         "Their clients can then not be asked, predicted with, exported or analysed any more. "
         "Scores, stored answers and configs stay.", _models(), "", True),
    ]  # fmt: skip
    made = []
    for kind, title, told, paths, stays, loses in parts:
        these = tuple(paths)
        made.append(Holding(kind, title, told, these, sum(map(size, these)), stays, loses))
    return made


def clean(kinds: Collection[str]) -> int:
    """Remove these parts of the home as they are now; return the bytes freed.

    Raises NotPossible for a kind that there is not, or that has to stay now.
    """
    freed = 0
    for holding in chosen(holdings(), kinds):
        if holding.kind == "deleted":
            freed += _forget(run.id for run in keeping.deleted_runs())
        else:
            freed += sum(map(_remove, holding.paths))
    return freed


def chosen(parts: Sequence[Holding], kinds: Collection[str]) -> list[Holding]:
    """Return the parts of these kinds. Raises NotPossible, see ``clean``."""
    known = {part.kind: part for part in parts}
    for kind in kinds:
        if kind not in known:
            raise NotPossible(f"clean: there is no '{kind}'; allowed: {', '.join(known)}")
        if known[kind].stays:
            raise NotPossible(f"clean: {kind} stays, because {known[kind].stays}")
    return [known[kind] for kind in kinds]


def delete(run_ids: Collection[int]) -> list[int]:
    """Hide runs; ``restore`` brings them back for a week. Raises NoSuchRun, NotPossible."""
    for run in reads.chosen_runs(list(run_ids)):
        if run.experiment.bundled:
            raise NotPossible(f"run {run.id} is of the example that comes with the lab; it stays")
        if run.status in ALIVE:
            raise NotPossible(f"run {run.id} is {run.status}; stop it before you delete it")
    return keeping.delete_runs(run_ids)


def restore(run_ids: Collection[int]) -> list[int]:
    """Bring deleted runs back; return them. Raises NotPossible for those that are gone."""
    back = keeping.restore_runs(run_ids)
    if gone := sorted(set(run_ids) - set(back)):
        raise NotPossible(f"run {gone[0]} is not among the deleted ones that can be brought back")
    return back


def forget_old() -> int:
    """Remove what was deleted more than a week ago; return the bytes freed."""
    return _forget(run.id for run in keeping.deleted_runs(before=now() - WEEK))


def bytes_of(run_ids: Iterable[int]) -> int:
    """Return the size of what runs keep in their folders."""
    return sum(size(run_folder(run_id)) for run_id in run_ids)


def size(path: Path) -> int:
    """Return the bytes of a file, or of all files in a folder; what has just gone is nothing."""
    with suppress(OSError):
        is_folder = path.is_dir() and not path.is_symlink()
        return sum(map(size, path.iterdir())) if is_folder else path.lstat().st_size
    return 0


def _forget(run_ids: Iterable[int]) -> int:
    """Remove rows first, then files: a crash between leaves files of no run, which are found."""
    ids = list(run_ids)
    gone = keeping.forget_runs(ids) if ids else []
    return sum(_remove(run_folder(run_id)) for run_id in gone)


def _remove(path: Path) -> int:
    freed = size(path)
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
    return freed - size(path)


def _deleted() -> list[Path]:
    return [run_folder(run.id) for run in keeping.deleted_runs()]


def _finished() -> list[tuple[Path, int]]:
    """Return folders of this lab's own finished runs with their last rounds."""
    return [(run_folder(run.id), run.rounds_done) for run in reads.done_runs()]


def _rounds() -> list[Path]:
    return [path for folder, last in _finished() for path in checkpoints.superseded(folder, last)]


def _models() -> list[Path]:
    return [path for folder, _ in _finished() for path in folder.rglob("*.safetensors")]


def _cache() -> list[Path]:
    """Return files, not folders: a worker that warms up may be writing into one."""
    folder = home() / "cache"
    return [*folder.rglob("*.safetensors"), *(folder / "data").glob("*.json")]


def _data() -> list[Path]:
    """Return folders below ``datasets`` that no config names; fetched ones stay while any does."""
    used = _named_by("dataset")
    fetches = any(part.startswith("hub:") for part in used)
    return [
        folder
        for folder in _old_in("datasets")
        if folder.name not in used and not (fetches and folder.name.startswith("hub-"))
    ]


def _adapters() -> list[Path]:
    used = _named_by("start")
    return [folder for folder in _old_in("adapters") if folder.name not in used]


def _named_by(key: str) -> set[str]:
    """Return all parts of the paths under a key of the configs in use: a home may have moved."""
    paths = (Path(str(config.get(key) or "")) for config in keeping.configs_in_use())
    return {part for path in paths for part in path.parts}


def _leftovers() -> list[Path]:
    known = {str(number) for number in keeping.known_run_ids()}
    ownerless = [folder for folder in _old_in("runs") if folder.name not in known]
    cut_off = (path for name in ("export-*.zip", ".bundle-*") for path in home().glob(name))
    exports = [path for path in cut_off if is_old(path)]
    halves = [path for path in (home() / "runs").rglob("*.tmp") if is_old(path)]
    return ownerless + exports + [path for path in halves if path.parent not in ownerless]


def _old_in(name: str) -> list[Path]:
    folder = home() / name
    return [path for path in folder.iterdir() if is_old(path)] if folder.is_dir() else []


def is_old(path: Path) -> bool:
    """Tell whether a file was last changed so long ago that nobody is at it."""
    with suppress(OSError):
        return path.stat().st_mtime < time.time() - _FRESH
    return False


def lossless(of: Sequence[Holding]) -> list[str]:
    """Return the kinds that can go now without anything being lost for good."""
    return [holding.kind for holding in of if not holding.loses and not holding.stays]
