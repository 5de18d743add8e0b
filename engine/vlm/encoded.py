"""Questions as tensors, with the image features of their pictures."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from itertools import accumulate, pairwise, starmap

import numpy as np
import torch
from torch.nn import functional as F

IGNORE_INDEX = -100  # the label that transformers' losses skip


@dataclass(frozen=True)
class EncodedBatch:
    """``n`` questions ready for the model; labels are IGNORE_INDEX where a row has no answer token.

    input_ids, attention_mask: (n, tokens), the prompts; labels: (n, answer tokens); features: (n,
    image tokens, width), what the frozen vision tower makes of the pictures, of which the first
    ``num_image_tokens`` (n,) count; image_grid_thw: (n, 3), patches of a picture in time, height
    and width, where the model asks for them, else (n, 0). Where the vision tower is trained too,
    ``images`` hold the pictures (height, width, 3) uint8 and features are empty. ``causal``: the
    prompt is padded on the left, since the answer follows it.
    """

    input_ids: torch.Tensor
    attention_mask: torch.Tensor
    labels: torch.Tensor
    features: torch.Tensor
    num_image_tokens: torch.Tensor
    image_grid_thw: torch.Tensor
    images: tuple[np.ndarray, ...] = ()
    causal: bool = False

    def __len__(self) -> int:
        return len(self.input_ids)

    def tensors(self) -> dict[str, torch.Tensor]:
        """Return the tensors by name: all that is stored."""
        return {field.name: getattr(self, field.name) for field in fields(self)[:6]}

    def select(self, rows: slice | torch.Tensor) -> EncodedBatch:
        """Return some of the rows."""
        if isinstance(rows, torch.Tensor):
            rows = rows.to(self.labels.device)
        images = self.images
        if images:
            numbers = range(len(self))[rows] if isinstance(rows, slice) else rows.tolist()
            images = tuple(images[number] for number in numbers)
        tensors = {name: tensor[rows] for name, tensor in self.tensors().items()}
        return EncodedBatch(**tensors, images=images, causal=self.causal)

    def to(self, device: str) -> EncodedBatch:
        """Return the same on a device."""
        tensors = {name: tensor.to(device) for name, tensor in self.tensors().items()}
        return EncodedBatch(**tensors, images=self.images, causal=self.causal)

    @property
    def bytes(self) -> int:
        """Memory of all tensors and pictures."""
        tensors = sum(tensor.nbytes for tensor in self.tensors().values())
        return tensors + sum(image.nbytes for image in self.images)


def concatenate(parts: Sequence[EncodedBatch]) -> EncodedBatch:
    """Return all rows of all parts, padded to the longest; masks and numbers hide the padding."""
    causal = parts[0].causal

    def column(name: str, filler: int = 0, *, left: bool = False) -> torch.Tensor:
        return torch.cat(padded([getattr(part, name) for part in parts], filler, left=left))

    return EncodedBatch(
        column("input_ids", left=causal),
        column("attention_mask", left=causal),
        column("labels", IGNORE_INDEX),
        column("features"),
        torch.cat([part.num_image_tokens for part in parts]),
        torch.cat([part.image_grid_thw for part in parts]),
        tuple(image for part in parts for image in part.images),
        causal,
    )


def spans(parts: Iterable[EncodedBatch]) -> list[slice]:
    """Return where the rows of each part lie once they are concatenated."""
    return list(starmap(slice, pairwise(accumulate(map(len, parts), initial=0))))


def padded(
    tensors: Iterable[torch.Tensor], filler: int = 0, *, left: bool = False
) -> list[torch.Tensor]:
    """Return tensors (n, length, …) with their second dimension padded to the longest."""
    tensors = list(tensors)
    longest = max(tensor.shape[1] for tensor in tensors)
    return [_padded_to(longest, tensor, filler, left) for tensor in tensors]


def _padded_to(length: int, tensor: torch.Tensor, filler: int, left: bool) -> torch.Tensor:
    missing = length - tensor.shape[1]
    if not missing:
        return tensor
    inner = (0, 0) * (tensor.dim() - 2)
    sides = (missing, 0) if left else (0, missing)
    return F.pad(tensor, (*inner, *sides), value=filler)
