"""The clients' data as tensors: in memory up to a size, else on disk, else made.

On disk they outlive the run and the worker, so the vision tower sees a picture once. What is too
large for memory is mapped: the system reads its pages as they are used, and takes them back.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from hashlib import blake2b
from pathlib import Path

import numpy as np
import torch
from cachetools import LRUCache

from engine.data import cache_files
from engine.data.cache_files import encoded_path, features_path
from engine.data.dataset import Example, FederatedDataset
from engine.data.stored_sets import from_tensors, to_tensors
from engine.system.tensor_files import read_tensors, write_tensors
from engine.vlm.encoded import EncodedBatch, concatenate
from engine.vlm.model import Vlm
from engine.vlm.resolved import ResolvedModel

_IN_MEMORY = 64 * 2**20  # bytes: some 40 clients of the quickstart's size
_MAPPED = 512  # sets of any size
_FEW = 8  # clients: their test sets are needed anyway
POOLED = "pooled"


class EncodedSets:
    """Every client's ``train`` and ``test`` set, and the pooled test set, ready for the model."""

    def __init__(self, vlm: Vlm, dataset: FederatedDataset, model: ResolvedModel) -> None:
        """Keep the sets of ``dataset`` for ``vlm``, which was loaded as ``model`` says."""
        self.vlm = vlm
        self.dataset = dataset
        self.model = model
        self._memory: LRUCache[str, EncodedBatch] = LRUCache(
            _IN_MEMORY, getsizeof=lambda s: s.bytes
        )
        self._mapped: LRUCache[str, EncodedBatch] = LRUCache(_MAPPED)
        cache_files.prune()

    def get(self, client: int, split: str) -> EncodedBatch:
        """Return client k's ``train`` or ``test`` set."""
        kept = self._find(client, split)
        return kept or self._make(client, split, self.dataset.rendered(client, split))

    def pooled(self) -> EncodedBatch:
        """Return the pooled test set; of few clients, cut from their own test sets."""
        n, first = len(self.dataset), slice(0, self.dataset.pooled_each)
        if n <= _FEW:
            return concatenate([self.get(k, "test").select(first) for k in range(n)])
        return self._find(0, POOLED) or self._make(0, POOLED, self.dataset.pooled_test())

    def make_ready(self, keys: Iterable[tuple[int, str]]) -> Iterator[tuple[int, str]]:
        """Make the sets that are missing; the next is rendered while one goes through the tower.

        Yields after each, so that a caller can stop.
        """
        missing = [key for key in keys if not self._has(*key)]
        for place, key in enumerate(missing):
            self.dataset.prefetch(missing[place : place + 2])
            self._make(*key, self.dataset.rendered(*key))
            yield key

    def encode(self, examples: Iterable[Example]) -> EncodedBatch:
        """Encode examples as tensors, kept nowhere."""
        examples = list(examples)
        self.vlm.set_threads(1 if self.dataset.is_prefetching() else len(examples))
        images = [example.image for example in examples]
        return self.vlm.encode(
            images,
            [example.question for example in examples],
            [example.answer for example in examples],
            self._features(images) if self._keeps_pictures else None,
        )

    @property
    def _keeps_pictures(self) -> bool:
        """Say whether pictures are met again in other sets: as soon as other clients hold them."""
        return self.dataset.free_form and not self.vlm.tunes_vision

    def _features(self, images: list[np.ndarray]) -> list[torch.Tensor]:
        """Return features of pictures, each looked at once in the life of a home."""
        names = [_digest(image) for image in images]
        features: dict[str, torch.Tensor] = {}
        missing: dict[str, np.ndarray] = {}
        for name, image in zip(names, images, strict=True):
            if name in features or name in missing:
                continue
            stored = _read(self._features_path(name))
            if stored is None:
                missing[name] = image
            else:
                features[name] = stored["features"]
        for name, seen in zip(missing, self.vlm.look_at(list(missing.values())), strict=True):
            path = self._features_path(name)
            write_tensors(path, {"features": seen})  # kept, should the next be interrupted
            features[name] = seen
        return [features[name] for name in names]

    def _features_path(self, name: str) -> Path:
        return features_path(self.dataset.config, self.model, name)

    def _path(self, client: int, split: str) -> Path:
        return encoded_path(self.dataset, self.model, client, split)

    def _has(self, client: int, split: str) -> bool:
        path = self._path(client, split)
        return path.name in self._memory or path.name in self._mapped or path.exists()

    def _find(self, client: int, split: str) -> EncodedBatch | None:
        path = self._path(client, split)
        kept = self._memory.get(path.name) or self._mapped.get(path.name)
        if kept is not None:
            return kept
        stored = _read(path)
        return self._keep(path.name, from_tensors(stored, self.vlm.causal)) if stored else None

    def _make(self, client: int, split: str, examples: Iterable[Example]) -> EncodedBatch:
        path, made = self._path(client, split), self.encode(examples)
        write_tensors(path, to_tensors(made))
        stored = _read(path) if made.bytes > _IN_MEMORY else None  # mapped, not held
        return self._keep(path.name, from_tensors(stored, made.causal) if stored else made)

    def _keep(self, name: str, encoded: EncodedBatch) -> EncodedBatch:
        if encoded.bytes > _IN_MEMORY:
            self._mapped[name] = encoded
            return encoded
        self._memory[name] = encoded.to(self.vlm.device)
        return self._memory[name]


def _read(path: Path) -> dict[str, torch.Tensor] | None:
    """Return a file's tensors, mapped; None where there is none, or not any more."""
    try:
        tensors = read_tensors(path)
    except FileNotFoundError:
        return None
    cache_files.touch(path)
    return tensors


def _digest(image: np.ndarray) -> str:
    return blake2b(f"{image.shape}".encode() + image.tobytes(), digest_size=16).hexdigest()
