"""Questions as tensors, with the image features of their pictures."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from itertools import accumulate, pairwise, starmap

import numpy as np
import torch
from torch.nn import functional as F

IGNORE_INDEX = -100  # the label that transformers' losses skip


@dataclass(frozen=True)
class EncodedBatch:
    """``n`` questions ready for the model; labels are IGNORED where a row has no answer token.

    input_ids, attention_mask: (n, tokens), the prompts; labels: (n, answer tokens); features: (n,
    image tokens, width), what the frozen vision tower makes of the pictures, of which the first
    ``counts`` (n,) count; grid: (n, 3), patches of a picture in time, height and width, where the
    model asks for them, else (n, 0). Where the vision tower is trained too, ``images`` hold the
    pictures (height, width, 3) uint8 and features are empty. ``causal``: the prompt is padded on
    the left, since the answer follows it.
    """

    input_ids: torch.Tensor
    attention_mask: torch.Tensor
    labels: torch.Tensor
    features: torch.Tensor
    counts: torch.Tensor
    grid: torch.Tensor
    images: tuple[np.ndarray, ...] = ()
    causal: bool = False

    def __len__(self) -> int:
        return len(self.input_ids)

    def tensors(self) -> dict[str, torch.Tensor]:
        """The tensors by name: all that is stored."""
        return {field.name: getattr(self, field.name) for field in fields(self)[:6]}

    def select(self, rows: slice | torch.Tensor) -> EncodedBatch:
        """Some of the rows."""
        if isinstance(rows, torch.Tensor):
            rows = rows.to(self.labels.device)
        taken = {name: tensor[rows] for name, tensor in self.tensors().items()}
        if self.images:
            numbers = range(len(self))[rows] if isinstance(rows, slice) else rows.tolist()
            taken["images"] = tuple(self.images[number] for number in numbers)
        return replace(self, **taken)

    def to(self, device: str) -> EncodedBatch:
        """The same on a device."""
        moved = {name: tensor.to(device) for name, tensor in self.tensors().items()}
        return replace(self, **moved)

    @property
    def bytes(self) -> int:
        """Memory of all tensors and pictures."""
        return sum(found.nbytes for found in (*self.tensors().values(), *self.images))


def concatenate(parts: Sequence[EncodedBatch]) -> EncodedBatch:
    """All rows of all parts, padded to the longest; masks and counts hide the padding."""
    causal = parts[0].causal

    def joined(name: str, filler: int = 0, *, left: bool = False) -> torch.Tensor:
        return torch.cat(padded([getattr(part, name) for part in parts], filler, left=left))

    return EncodedBatch(
        joined("input_ids", left=causal),
        joined("attention_mask", left=causal),
        joined("labels", IGNORE_INDEX),
        joined("features"),
        torch.cat([part.counts for part in parts]),
        torch.cat([part.grid for part in parts]),
        tuple(image for part in parts for image in part.images),
        causal,
    )


def spans(parts: Iterable[EncodedBatch]) -> list[slice]:
    """Where the rows of each part lie once they are concatenated."""
    return list(starmap(slice, pairwise(accumulate(map(len, parts), initial=0))))


def padded(
    tensors: Iterable[torch.Tensor], filler: int = 0, *, left: bool = False
) -> list[torch.Tensor]:
    """Tensors (n, length, …) with their second dimension padded to the longest."""
    tensors = list(tensors)
    longest = max(tensor.shape[1] for tensor in tensors)
    found = []
    for tensor in tensors:
        missing = longest - tensor.shape[1]
        inner = (0, 0) * (tensor.dim() - 2)
        sides = (missing, 0) if left else (0, missing)
        found.append(F.pad(tensor, (*inner, *sides), value=filler) if missing else tensor)
    return found
