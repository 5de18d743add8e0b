"""The state of files on disk: the one reader of it."""

from __future__ import annotations

import stat
from pathlib import Path


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
