"""Questions as tensors, with the image features of their pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch.nn import functional as F

IGNORED = -100  # the label that transformers' losses skip


@dataclass(frozen=True)
class Encoded:
    """``n`` questions ready for the model; labels are IGNORED where a row has no answer token.

    input_ids, attention_mask: (n, tokens); labels: (n, answer tokens); features: (n, image tokens,
    width), what the frozen vision tower makes of the pictures.
    """

    input_ids: torch.Tensor
    attention_mask: torch.Tensor
    labels: torch.Tensor
    features: torch.Tensor

    def __len__(self) -> int:
        return len(self.input_ids)

    def take(self, rows: slice | torch.Tensor) -> Encoded:
        """Some of the rows."""
        return Encoded(**{name: tensor[rows] for name, tensor in vars(self).items()})

    def inputs(self) -> dict[str, torch.Tensor]:
        """The model's arguments without the labels; features stand in for pixels."""
        return {
            "input_ids": self.input_ids,
            "attention_mask": self.attention_mask,
            "pixel_values": self.features,
        }

    def to(self, device: str) -> Encoded:
        """The same on a device."""
        return Encoded(**{name: tensor.to(device) for name, tensor in vars(self).items()})

    @property
    def bytes(self) -> int:
        """Memory of all tensors."""
        return sum(tensor.numel() * tensor.element_size() for tensor in vars(self).values())


def concatenate(parts: Sequence[Encoded]) -> Encoded:
    """All rows of all parts, padded on the right to the longest; the mask hides the padding."""

    def joined(name: str, filler: int) -> torch.Tensor:
        tensors = [getattr(part, name) for part in parts]
        longest = max(tensor.shape[1] for tensor in tensors)
        padded = [F.pad(tensor, (0, longest - tensor.shape[1]), value=filler) for tensor in tensors]
        return torch.cat(padded)

    return Encoded(
        joined("input_ids", 0),
        joined("attention_mask", 0),
        joined("labels", IGNORED),
        torch.cat([part.features for part in parts]),
    )
