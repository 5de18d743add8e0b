"""Image features, computed once per picture.

With LoRA on the language model only, what the vision tower makes of a picture never changes. All
transformers VLMs fetch image features through ``get_image_features``: that method is replaced by
one that gives ready features while some are shown. They travel with the encoded questions;
engine/data/cache.py keeps those, and single pictures' features, on disk.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial, wraps
from typing import Any

import numpy as np
import torch
from transformers.modeling_outputs import BaseModelOutputWithPooling

from engine.vlm.encoded import EncodedBatch
from engine.vlm.limits import PASS_PIXELS

Pixels = dict[str, torch.Tensor]  # a preprocessed picture, as the tower takes it


@dataclass
class Features(BaseModelOutputWithPooling):
    """What models read of their vision tower; Qwen3-VL adds features of inner layers."""

    pooler_output: Any = None  # a tensor, or one per picture
    deepstack_features: Any = None


class VisionCache:
    """The tower of a model that takes features as well as pixels.

    It must have seen a picture before it shows features: then it knows how the model wants them.
    """

    def __init__(self, inner: Any, read: Callable[[np.ndarray], Pixels]) -> None:
        """``inner`` owns ``get_image_features``; ``read`` preprocesses a picture for it."""
        self._read = read
        self._compute = inner.get_image_features
        self._takes = set(inspect.signature(self._compute).parameters)
        self._listed = False  # whether the model wants one tensor per picture, not one for all
        self._width = 0  # of the last layer; features of inner layers follow it
        self._shown: EncodedBatch | None = None
        # With the old signature: generation looks at it to see what it may pass.
        inner.get_image_features = wraps(self._compute)(partial(self._shown_or_computed))

    def pixels(self, inputs: Mapping[str, torch.Tensor]) -> Pixels:
        """Return what the tower takes of a processor's output."""
        return {name: value for name, value in inputs.items() if name in self._takes}

    @torch.no_grad()
    def features(self, pixels: Sequence[Pixels]) -> list[torch.Tensor]:
        """Features (image tokens, width) of preprocessed pictures, one by one or in stacks."""
        if self._alike(pixels):
            stack = torch.cat([picture["pixel_values"] for picture in pixels])
            # 32 of the bundled model's, one of Florence-2's: more are slower, as their activations
            # leave the CPU's caches, and each large one needs some 200 MB.
            at_once = max(1, PASS_PIXELS // stack[0, 0].numel())
            pixels = [{"pixel_values": part} for part in stack.split(at_once)]
        return [features.cpu() for part in pixels for features in self._of(part)]

    @contextmanager
    def showing(self, batch: EncodedBatch) -> Iterator[None]:
        """Inside, the model sees the pictures of this batch."""
        self._shown = batch
        try:
            yield
        finally:
            self._shown = None

    def _alike(self, pixels: Sequence[Pixels]) -> bool:
        shapes = {tuple(picture["pixel_values"].shape) for picture in pixels}
        alone = all(len(picture) == 1 for picture in pixels)
        return alone and len(shapes) == 1 and len(shapes.pop()) == 4

    def _of(self, pixels: Pixels) -> list[torch.Tensor]:
        """Features of one picture, or of a stack of like ones; layer by layer side by side."""
        out = self._compute(**pixels)
        self._listed = not isinstance(out.pooler_output, torch.Tensor)
        self._width = out.pooler_output[0].shape[-1]
        layers = [out.pooler_output, *(getattr(out, "deepstack_features", None) or ())]
        return [torch.cat(parts, -1) for parts in zip(*layers, strict=True)]

    def _shown_or_computed(self, *args: Any, **kwargs: Any) -> Any:
        if self._shown is None:
            return self._compute(*args, **kwargs)
        shown = self._shown
        if shown.images:  # the tower is trained too
            rows = [row for image in shown.images for row in self._of(self._read(image))]
        elif not self._listed:  # all pictures have as many tokens
            return Features(pooler_output=shown.features)
        else:
            counts = shown.num_image_tokens.tolist()
            rows = [row[:count] for row, count in zip(shown.features, counts, strict=True)]
        return self._output(rows)

    def _output(self, rows: list[torch.Tensor]) -> Features:
        width = self._width
        layers = [[row[..., start : start + width] for row in rows]
                  for start in range(0, rows[0].shape[-1], width)]  # fmt: skip
        first = layers[0] if self._listed else torch.stack(layers[0])
        return Features(pooler_output=first, deepstack_features=layers[1:] or None)
