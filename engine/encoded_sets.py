"""The clients' data as tensors: in memory up to a size, else on disk, else made.

On disk they outlive the run and the worker, so the vision tower sees a picture once. A file's name
says what it was made from: the model's files, the code that draws the data, and the config.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from hashlib import blake2b
from itertools import pairwise
from pathlib import Path

from cachetools import LRUCache

from engine import checkpoints
from engine.federation.federation import Example, Federation
from engine.paths import BUNDLED_MODEL, home
from engine.vlm.encoded import Encoded
from engine.vlm.model import Vlm

_IN_MEMORY = 64 * 2**20  # bytes: some 40 clients of the quickstart's size
_ON_DISK = 2 * 2**30  # bytes
POOLED = "pooled"


class EncodedSets:
    """Every client's ``train`` and ``test`` set, and the pooled test set, ready for the model."""

    def __init__(self, vlm: Vlm, federation: Federation) -> None:
        self.vlm = vlm
        self.federation = federation
        self._memory: LRUCache[str, Encoded] = LRUCache(_IN_MEMORY, getsizeof=lambda s: s.bytes)
        self._model = _digest(BUNDLED_MODEL)
        _prune(self._folder)

    def get(self, client: int, split: str) -> Encoded:
        """Client k's ``train`` or ``test`` set."""
        return self._find(client, split) or self._make(
            client, split, self.federation.paint(client, split)
        )

    def pooled(self) -> Encoded:
        """The pooled test set."""
        return self._find(0, POOLED) or self._make(0, POOLED, self.federation.pooled_test())

    def make_ready(self, wanted: Iterable[tuple[int, str]]) -> Iterable[tuple[int, str]]:
        """Make the sets that are missing; the next is painted while one goes through the tower.

        Yields after each, so that a caller can stop.
        """
        missing = [key for key in wanted if not self._path(*key).exists()]
        if not missing:
            return
        with ThreadPoolExecutor(1) as painter:
            painted = painter.submit(self.federation.paint, *missing[0])
            for this, following in pairwise([*missing, None]):
                examples = painted.result()
                if following is not None:
                    painted = painter.submit(self.federation.paint, *following)
                with self.vlm.threads_for(1):  # the painter has the other core
                    self._make(*this, examples)
                yield this

    def encode(self, examples: Iterable[Example]) -> Encoded:
        """Examples as tensors, kept nowhere."""
        examples = list(examples)
        return self.vlm.encode(
            [example.image for example in examples],
            [example.question for example in examples],
            [example.answer for example in examples],
        )

    def _find(self, client: int, split: str) -> Encoded | None:
        path = self._path(client, split)
        if path.name in self._memory:
            return self._memory[path.name]
        if not path.exists():
            return None
        os.utime(path)  # read lately, so pruned late
        return self._keep(path, Encoded(**checkpoints.read(path)).to(self.vlm.device))

    def _make(self, client: int, split: str, examples: Iterable[Example]) -> Encoded:
        made = self.encode(examples)
        path = self._path(client, split)
        checkpoints.write(path, vars(made.to("cpu")))
        return self._keep(path, made)

    def _keep(self, path: Path, encoded: Encoded) -> Encoded:
        if encoded.bytes <= _IN_MEMORY:
            self._memory[path.name] = encoded
        return encoded

    @property
    def _folder(self) -> Path:
        return home() / "cache" / self._model

    def _path(self, client: int, split: str) -> Path:
        return self._folder / f"{self.federation.key(client, split)}.safetensors"


def _digest(folder: Path) -> str:
    digest = blake2b(digest_size=8)
    for path in sorted(folder.iterdir()):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _prune(folder: Path) -> None:
    """Remove what was not read for longest, until the rest fits."""
    files = [path for path in folder.glob("*.safetensors")] if folder.is_dir() else []
    total = sum(path.stat().st_size for path in files)
    for path in sorted(files, key=lambda path: path.stat().st_mtime):
        if total <= _ON_DISK:
            break
        total -= path.stat().st_size
        path.unlink()
