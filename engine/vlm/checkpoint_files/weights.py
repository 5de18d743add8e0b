"""Weight files of a checkpoint: all there, and whole? Only their headers are read."""

from __future__ import annotations

import json
from pathlib import Path

from safetensors import SafetensorError, safe_open

from engine.config import ConfigError

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"  # of weights in several files
_POINTER = b"version https://git-lfs"  # what git has of a file that git-lfs has not fetched


def missing_weights(folder: Path) -> list[str] | None:
    """Return names of weight files that are missing; None where no list says what there should be.

    Raises ConfigError where the list cannot be read.
    """
    names = _weight_files(folder)
    return None if names is None else [n for n in names if not (folder / n).exists()]


def check_whole(folder: Path) -> None:
    """Raise ConfigError where a file is cut off, or only a pointer to what git-lfs would fetch."""
    for path in sorted(folder.glob("*.json")) + sorted(folder.glob("*.model")):
        check_no_pointer(path)
    for name in _weight_files(folder) or ():
        try:
            with safe_open(folder / name, framework="numpy") as weights:
                list(weights.keys())
        except (SafetensorError, OSError):
            raise ConfigError(_not_whole(folder / name)) from None


def check_no_pointer(path: Path) -> None:
    """Raise ConfigError where a file is what git-lfs leaves of one that it has not fetched."""
    with path.open("rb") as file:
        if file.read(len(_POINTER)) == _POINTER:
            raise ConfigError(_not_whole(path))


def _weight_files(folder: Path) -> list[str] | None:
    """Return the names of all weight files; None if there is neither weights nor a list."""
    if (folder / WEIGHTS).exists():
        return [WEIGHTS]
    if not (folder / INDEX).exists():
        return None
    try:
        names = set(json.loads((folder / INDEX).read_text(encoding="utf-8"))["weight_map"].values())
        return sorted(Path(name).name for name in names)
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ConfigError(_not_whole(folder / INDEX)) from None


def _not_whole(path: Path) -> str:
    return f"model: {path} is not whole; was it cloned without git-lfs?"
