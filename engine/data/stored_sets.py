"""An encoded set as tensors by name, as they are stored.

Where the vision tower is tuned a set has pictures instead of features; questions about one picture
share it, in memory as on disk.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b

import torch

from engine.vlm.encoded import EncodedBatch

_IMAGE, _ROWS = "image.", "image_of_row"


def to_tensors(batch: EncodedBatch) -> dict[str, torch.Tensor]:
    """Return all tensors of a set, its pictures among them."""
    tensors = batch.tensors()
    if not batch.images:
        return tensors
    numbers: dict[bytes, int] = {}
    rows = []
    for image in batch.images:
        content = blake2b(str(image.shape).encode() + image.tobytes()).digest()
        if content not in numbers:
            tensors[f"{_IMAGE}{len(numbers)}"] = torch.tensor(image)
        rows.append(numbers.setdefault(content, len(numbers)))
    return {**tensors, _ROWS: torch.tensor(rows)}


def from_tensors(tensors: Mapping[str, torch.Tensor], causal: bool) -> EncodedBatch:
    """Return the set that ``to_tensors`` has taken apart; nothing is copied."""
    rows = tensors[_ROWS].tolist() if _ROWS in tensors else []
    images = {number: tensors[f"{_IMAGE}{number}"].numpy() for number in set(rows)}
    return EncodedBatch(
        input_ids=tensors["input_ids"],
        attention_mask=tensors["attention_mask"],
        labels=tensors["labels"],
        features=tensors["features"],
        num_image_tokens=tensors["num_image_tokens"],
        image_grid_thw=tensors["image_grid_thw"],
        images=tuple(images[row] for row in rows),
        causal=causal,
    )
