"""Image features, computed once per picture.

LoRA sits on the language model only, so what the vision tower makes of a picture never changes.
Most transformers VLMs fetch image features through ``get_image_features(pixel_values)``: that
method is replaced by one that takes ready features in place of pixels. The features travel with
the encoded questions; engine/encoded_sets.py keeps those in memory and on disk.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from transformers.modeling_outputs import BaseModelOutputWithPooling

_CHUNK = 32  # pictures per pass: activations of 128 leave the CPU's caches, twice as slow


class VisionCache:
    """The tower of a model that takes features as well as pixels."""

    def __init__(self, inner: nn.Module) -> None:
        """``inner`` owns ``get_image_features``."""
        self._compute = inner.get_image_features
        inner.get_image_features = self._given_or_computed

    @torch.no_grad()
    def features(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """Features (n, image tokens, width) of preprocessed pictures (n, channels, h, w)."""
        return torch.cat([self._compute(some).pooler_output for some in pixel_values.split(_CHUNK)])

    def _given_or_computed(self, pixel_values: torch.Tensor, **kwargs: Any) -> Any:
        if pixel_values.dim() == 3:  # pixels would have channels, height and width
            return BaseModelOutputWithPooling(pooler_output=pixel_values)
        return self._compute(pixel_values, **kwargs)
