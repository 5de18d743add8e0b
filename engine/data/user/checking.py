"""Verdicts on pictures: each file is decoded once, and the verdict remembered on disk.

A verdict holds for a name, a size and a time of change, and for the limits of
engine/data/pictures.py.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple, dataclass
from hashlib import blake2b
from pathlib import Path

from engine.data import pictures
from engine.paths import home
from engine.system.files import file_state

# Decoders run outside of Python's lock. Each holds a whole picture: no more than a few at a time.
_FORM = 2  # of what is remembered; a change looks at all anew
_THREADS = min(8, os.cpu_count() or 1)


@dataclass(frozen=True, slots=True)
class Verdict:
    """The outcome of a look at a picture's bytes."""

    content: str  # the same for the same bytes
    reason: str  # why it cannot be used; "" when it can
    height: int = 0  # in pixels, upright; 0 when it cannot be used
    width: int = 0


def check(folder: Path, paths: Iterable[Path]) -> dict[Path, Verdict]:
    """Return the verdict on every picture of a folder that exists; absent ones have none."""
    memory = _memory(folder)
    known = _load(memory)
    states = {path: state for path in set(paths) if (state := file_state(path))}
    fresh = [p for p, state in states.items() if known.get(str(p), [])[:2] != list(state)]
    with ThreadPoolExecutor(_THREADS) as pool:
        looked = dict(zip(fresh, pool.map(_look, fresh), strict=True))
    for path, verdict in looked.items():
        if verdict.content:  # without it nothing was read: next time it may be possible
            known[str(path)] = [*states[path], *astuple(verdict)]
    if looked:
        _save(memory, known)
    return {path: looked.get(path) or Verdict(*known[str(path)][2:]) for path in states}


def digest_of(data: bytes) -> str:
    """Return a name for a file's content."""
    return blake2b(data, digest_size=16).hexdigest()


def _look(path: Path) -> Verdict:
    content = ""
    try:
        pictures.check_size(path.stat().st_size)  # before it is all read into memory
        data = path.read_bytes()
        content = digest_of(data)
        height, width = pictures.check_picture(data)
    except pictures.BadPicture as error:
        return Verdict(content, str(error))
    except OSError as error:
        return Verdict(content, f"This file cannot be opened ({error.strerror}).")
    return Verdict(content, "", height, width)


def _memory(folder: Path) -> Path:
    limits = (_FORM, str(folder), pictures.FORMATS, pictures.MAX_BYTES, pictures.MAX_PIXELS)
    name = blake2b(repr(limits).encode("utf-8", "replace"), digest_size=8).hexdigest()
    return home() / "cache" / "data" / f"{name}.json"


def _load(memory: Path) -> dict[str, list]:
    try:
        known = json.loads(memory.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # none yet, or not whole: it is only a memory
        return {}
    return known


def _save(memory: Path, known: dict[str, list]) -> None:
    """Write aside and rename, so that two processes never read half a file."""
    memory.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(
        "w", encoding="utf-8", dir=memory.parent, suffix=".tmp", delete=False
    ) as file:
        json.dump(known, file)
    Path(file.name).replace(memory)
