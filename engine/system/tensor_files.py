"""Tensors on disk as safetensors: written aside, synced, renamed, so a file is whole or absent."""

from __future__ import annotations

import os
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def write_tensors(path: Path, tensors: Mapping[str, torch.Tensor]) -> int:
    """Write tensors by name and return the size in bytes.

    A crash leaves the file of before or the new one. The temporary file has a name of its own, so
    that two processes may write the same file at once.
    """
    from safetensors.torch import save_file  # here: pages import this file without torch

    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.stem}-{uuid.uuid4().hex}.tmp")
    try:
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, temporary)
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        size = temporary.stat().st_size
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return size


def read_tensors(path: Path) -> dict[str, torch.Tensor]:
    """Return the tensors of a file by name. Raises FileNotFoundError."""
    from safetensors.torch import load_file

    return load_file(path)
