"""Files on disk: their state, and small ones that are written whole or not at all."""

from __future__ import annotations

import json
import os
import stat
import tempfile
import uuid
from pathlib import Path
from typing import Any


def file_state(path: Path) -> tuple[int, int] | None:
    """Return size and time of change of a file; None when there is no such file.

    So it is for a link to nowhere, a name that no file can have, a folder, and a file that another
    process has just removed.
    """
    try:
        state = path.stat()
    except (OSError, ValueError):
        return None
    return (state.st_size, state.st_mtime_ns) if stat.S_ISREG(state.st_mode) else None


def write_whole(path: Path, data: bytes) -> None:
    """Write a file whole or not at all, in place of one that is there; its folder must be."""
    aside = path.with_name(f".{uuid.uuid4().hex}-{path.name}")
    try:
        aside.write_bytes(data)
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


def write_json(path: Path, values: Any) -> None:
    """Write a JSON file for this user alone (mode 0600); its folder must be there."""
    handle, name = tempfile.mkstemp(dir=path.parent)
    with os.fdopen(handle, "w") as file:
        json.dump(values, file)
    os.replace(name, path)
