"""Every random draw of the lab, seeded from (seed, purpose, …) and never from global state.

So neither the order in which clients are visited nor parallelism can change a result.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch


def _entropy(seed: int, scope: tuple[str | int, ...]) -> np.random.SeedSequence:
    words = [zlib.crc32(part.encode()) if isinstance(part, str) else part for part in scope]
    return np.random.SeedSequence([seed, *words])


def rng(seed: int, *scope: str | int) -> np.random.Generator:
    """Return a NumPy generator for one purpose, for example ``rng(seed, "scenes", client)``."""
    return np.random.default_rng(_entropy(seed, scope))


def torch_generator(seed: int, *scope: str | int) -> torch.Generator:
    """Return a CPU torch generator for one purpose, independent of ``torch.manual_seed``."""
    import torch

    return torch.Generator().manual_seed(int(_entropy(seed, scope).generate_state(1)[0]))
