"""Image features, computed once per picture.

LoRA sits on the language model only, so what the vision tower makes of a picture never changes.
Most transformers VLMs fetch image features through ``get_image_features(pixel_values)``: that
method is replaced by one that, given row numbers in place of pixels, looks the features up.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn
from transformers.modeling_outputs import BaseModelOutputWithPooling

_CHUNK = 128  # pictures per pass through the tower


class VisionCache:
    """Features of every picture seen so far, one row each, keyed by content."""

    def __init__(
        self, inner: nn.Module, preprocess: Callable[[Sequence[Any]], torch.Tensor]
    ) -> None:
        """``inner`` owns ``get_image_features``; ``preprocess`` makes pixel values of pictures."""
        self._compute = inner.get_image_features
        self._preprocess = preprocess
        self._row: dict[bytes, int] = {}
        self._table: torch.Tensor | None = None
        inner.get_image_features = self._look_up

    def __len__(self) -> int:
        return len(self._row)

    @torch.no_grad()
    def rows(self, images: Sequence[np.ndarray]) -> torch.Tensor:
        """Row numbers (n,) of pictures (height, width, 3) uint8; unseen ones are computed first."""
        keys = [hashlib.blake2b(image.tobytes(), digest_size=16).digest() for image in images]
        unseen = {
            key: image for key, image in zip(keys, images, strict=True) if key not in self._row
        }
        pending = list(unseen.items())
        for start in range(0, len(pending), _CHUNK):
            chunk = pending[start : start + _CHUNK]
            pixels = self._preprocess([image for _, image in chunk])
            features = self._compute(pixels).pooler_output
            for offset, (key, _) in enumerate(chunk):
                self._row[key] = (0 if self._table is None else len(self._table)) + offset
            self._table = features if self._table is None else torch.cat([self._table, features])
        return torch.tensor([self._row[key] for key in keys], dtype=torch.long)

    def _look_up(self, pixel_values: torch.Tensor, **kwargs: Any) -> Any:
        if pixel_values.is_floating_point():
            return self._compute(pixel_values, **kwargs)
        features = self._table[pixel_values.to(self._table.device)]
        return BaseModelOutputWithPooling(pooler_output=features)
