"""Image features, computed once per picture.

LoRA sits on the language model only, so what the vision tower makes of a picture never changes.
Most transformers VLMs fetch image features through ``get_image_features(pixel_values)``: that
method is replaced by one that takes ready features in place of pixels. The features travel with
the encoded questions; engine/encoded_sets.py keeps those in memory and on disk.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn
from transformers.modeling_outputs import BaseModelOutputWithPooling

_CHUNK = 32  # pictures per pass: activations of 128 leave the CPU's caches, twice as slow


class VisionCache:
    """The tower of a model that takes features as well as pixels."""

    def __init__(
        self, inner: nn.Module, preprocess: Callable[[Sequence[Any]], torch.Tensor]
    ) -> None:
        """``inner`` owns ``get_image_features``; ``preprocess`` makes pixel values of pictures."""
        self._compute = inner.get_image_features
        self._preprocess = preprocess
        inner.get_image_features = self._given_or_computed

    @torch.no_grad()
    def features(self, images: Sequence[np.ndarray]) -> torch.Tensor:
        """Features (n, image tokens, width) of pictures (height, width, 3) uint8."""
        chunks = (images[start : start + _CHUNK] for start in range(0, len(images), _CHUNK))
        return torch.cat([self._compute(self._preprocess(c)).pooler_output for c in chunks])

    def _given_or_computed(self, pixel_values: torch.Tensor, **kwargs: Any) -> Any:
        if pixel_values.dim() == 3:  # pixels would have channels, height and width
            return BaseModelOutputWithPooling(pooler_output=pixel_values)
        return self._compute(pixel_values, **kwargs)
