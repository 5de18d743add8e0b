"""New folders for what leaves the lab."""

from __future__ import annotations

from pathlib import Path

from engine.jobs.queue import NotPossible


def new_folder(folder: Path) -> None:
    """Make a new folder; raises NotPossible where it holds something, or cannot be made."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        empty = not any(folder.iterdir())
    except OSError as error:
        raise NotPossible(f"{folder} cannot be a folder ({error.strerror})") from None
    if not empty:
        raise NotPossible(f"{folder} is not empty; name a new folder")
