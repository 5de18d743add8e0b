"""A stage of pretraining as it goes on: kept now and then, so that it resumes where it ended."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

log = logging.getLogger(__name__)
_EVERY = 100  # steps


class Stage:
    """What a stage trains, with the generator it draws from and the file that keeps both."""

    def __init__(self, path: Path, module: nn.Module, generator: np.random.Generator) -> None:
        self.path = path
        self.module = module
        self.generator = generator

    def steps(self, count: int, peak: float) -> Iterator[tuple[int, Optimizer]]:
        """Yield (step, optimiser) with warm-up and cosine decay, gradients zeroed.

        Goes on after the last step that the file has kept; when all are done, the file is gone.
        """
        optimiser = torch.optim.AdamW(self.module.parameters(), lr=peak, weight_decay=0.02)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, peak, count + 1, pct_start=0.08)
        begun = time.monotonic()
        first = self._restore(optimiser, schedule)
        for step in range(first, count):
            optimiser.zero_grad(set_to_none=True)
            yield step, optimiser
            schedule.step()
            if (step + 1) % _EVERY == 0:
                self._keep(step + 1, optimiser, schedule)
        log.info("%d steps in %.0f s", count - first, time.monotonic() - begun)
        self.path.unlink(missing_ok=True)

    def _keep(self, done: int, *others: Optimizer | LRScheduler) -> None:
        state = {
            "done": done,
            "module": self.module.state_dict(),
            "others": [other.state_dict() for other in others],
            "generator": self.generator.bit_generator.state,
        }
        aside = self.path.with_suffix(f".{os.getpid()}")
        torch.save(state, aside)
        aside.replace(self.path)

    def _restore(self, *others: Optimizer | LRScheduler) -> int:
        """Take over what the file keeps; returns the number of steps that are done."""
        if not self.path.exists():
            return 0
        state = torch.load(self.path, map_location="cpu", weights_only=True)
        self.module.load_state_dict(state["module"])
        for other, kept in zip(others, state["others"], strict=True):
            other.load_state_dict(kept)
        self.generator.bit_generator.state = state["generator"]
        log.info("resumed after %d steps", state["done"])
        return int(state["done"])
