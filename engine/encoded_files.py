"""Where encoded sets are on disk. No torch here: a starting worker looks before it imports that.

A file's name says what it was made from: the model's files, the code that draws the data, and the
config.
"""

from __future__ import annotations

from functools import lru_cache
from hashlib import blake2b
from pathlib import Path

from engine.federation.federation import Federation
from engine.paths import BUNDLED_MODEL, home

_ON_DISK = 2 * 2**30  # bytes


def encoded_path(federation: Federation, client: int, split: str) -> Path:
    """The file of one client's ``train`` or ``test`` set, or of the ``pooled`` test set."""
    return _folder() / f"{federation.key(client, split)}.safetensors"


def prune() -> None:
    """Remove what was not read for longest, until the rest fits."""
    files = [(path, path.stat()) for path in _folder().glob("*.safetensors")]
    total = sum(found.st_size for _, found in files)
    for path, found in sorted(files, key=lambda entry: entry[1].st_mtime):
        if total <= _ON_DISK:
            break
        total -= found.st_size
        path.unlink()


def _folder() -> Path:
    return home() / "cache" / _digest(BUNDLED_MODEL)


@lru_cache(maxsize=4)
def _digest(folder: Path) -> str:
    digest = blake2b(digest_size=8)
    for path in sorted(folder.iterdir()):
        digest.update(path.read_bytes())
    return digest.hexdigest()
