"""A stage that was cut short goes on where it ended, with the same numbers."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from engine.pretraining import progress
from engine.pretraining.progress import Stage


def train(path, until: int | None = None) -> tuple[list[float], torch.Tensor]:
    torch.manual_seed(0)
    layer, generator = nn.Linear(3, 1), np.random.default_rng(0)
    losses = []
    for step, optimiser in Stage(path, layer, generator).steps(12, 0.1):
        if step == until:
            break
        rows = torch.from_numpy(generator.standard_normal((8, 3)).astype(np.float32))
        loss = (layer(rows) - rows.sum(1, keepdim=True)).square().mean()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    return losses, layer.weight.detach()


def test_a_stage_that_was_killed_ends_with_the_same_numbers(tmp_path, monkeypatch):
    monkeypatch.setattr(progress, "_EVERY", 4)
    whole, weight = train(tmp_path / "whole")
    assert not (tmp_path / "whole").exists(), "nothing is left of a stage that is done"
    first, _ = train(tmp_path / "part", until=6)
    assert (tmp_path / "part").exists()
    rest, resumed = train(tmp_path / "part")
    assert first[:4] + rest == whole
    torch.testing.assert_close(resumed, weight, rtol=0, atol=0)
