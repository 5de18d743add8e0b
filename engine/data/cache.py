"""The clients' data as tensors: in memory up to a size, else on disk, else made.

On disk they outlive the run and the worker, so the vision tower sees a picture once.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from hashlib import blake2b

import numpy as np
import torch
from cachetools import LRUCache

from engine.data import cache_files
from engine.data.cache_files import encoded_path, features_path
from engine.data.dataset import Example, FederatedDataset
from engine.system.tensor_files import read_tensors, write_tensors
from engine.vlm.encoded import EncodedBatch, concatenate
from engine.vlm.model import Vlm

_IN_MEMORY = 64 * 2**20  # bytes: some 40 clients of the quickstart's size
_FEW = 8  # clients: their test sets are needed anyway
POOLED = "pooled"


class EncodedSets:
    """Every client's ``train`` and ``test`` set, and the pooled test set, ready for the model."""

    def __init__(self, vlm: Vlm, dataset: FederatedDataset) -> None:
        self.vlm = vlm
        self.dataset = dataset
        self._memory: LRUCache[str, EncodedBatch] = LRUCache(
            _IN_MEMORY, getsizeof=lambda s: s.bytes
        )
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
        with self.vlm.threads_for(1 if self.dataset.is_prefetching() else len(examples)):
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
        paths = [features_path(self.dataset.config, _digest(image)) for image in images]
        new = {path: image for path, image in zip(paths, images, strict=True) if not path.exists()}
        features = {path: read_tensors(path)["features"] for path in set(paths) - set(new)}
        for path, seen in zip(new, self.vlm.look_at(list(new.values())), strict=True):
            write_tensors(path, {"features": seen})  # kept, should the next be interrupted
            features[path] = seen
        return [features[path] for path in paths]

    def _has(self, client: int, split: str) -> bool:
        path = encoded_path(self.dataset, client, split)
        return path.name in self._memory or path.exists()

    def _find(self, client: int, split: str) -> EncodedBatch | None:
        path = encoded_path(self.dataset, client, split)
        if path.name in self._memory:
            return self._memory[path.name]
        if not path.exists():
            return None
        os.utime(path)  # read lately, so pruned late
        return self._keep(path.name, EncodedBatch(**read_tensors(path), causal=self.vlm.causal))

    def _make(self, client: int, split: str, examples: Iterable[Example]) -> EncodedBatch:
        made = self.encode(examples)
        path = encoded_path(self.dataset, client, split)
        if not made.images:  # where the tower is trained, there are no features to store
            write_tensors(path, made.tensors())
        return self._keep(path.name, made)

    def _keep(self, name: str, encoded: EncodedBatch) -> EncodedBatch:
        if encoded.bytes > _IN_MEMORY:
            return encoded  # read from disk as it is used
        self._memory[name] = encoded.to(self.vlm.device)
        return self._memory[name]


def _digest(image: np.ndarray) -> str:
    return blake2b(f"{image.shape}".encode() + image.tobytes(), digest_size=16).hexdigest()
