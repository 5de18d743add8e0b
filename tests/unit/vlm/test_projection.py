"""Linear layers with an adapter for each share are the formula, value and gradient."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from engine.vlm.multi_lora import projection

SHARES, ROWS, WIDTH, OUT, RANK = 3, 5, 16, 24, 4


@pytest.mark.parametrize("one_dnn", [True, False])
def test_layers_that_read_together_are_the_formula_with_and_without_onednn(one_dnn, monkeypatch):
    if not one_dnn:  # as in a torch that was built without it
        monkeypatch.setattr(projection, "_one_dnn", None)
    torch.manual_seed(0)

    def drawn(*shape: int) -> torch.Tensor:
        return torch.randn(shape).requires_grad_()

    bases = [nn.Linear(WIDTH, OUT).requires_grad_(False) for _ in range(2)]
    x, residual = drawn(SHARES, ROWS, WIDTH), drawn(SHARES, ROWS, OUT)
    scales = torch.rand(SHARES, 1, 1)
    a = [drawn(SHARES, RANK, WIDTH) for _ in bases]
    b = [drawn(SHARES, RANK, OUT) for _ in bases]
    found = projection.multi_lora_linear(x, bases, a, b, scales, residual)
    expected = tuple(
        base(x) + scales * (x @ one.transpose(1, 2)) @ other + residual
        for base, one, other in zip(bases, a, b, strict=True)
    )
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    learned = [x, residual, *a, *b]
    weights = [torch.randn(y.shape) for y in expected]
    torch.testing.assert_close(
        torch.autograd.grad(found, learned, weights),
        torch.autograd.grad(expected, learned, weights),
        rtol=1e-4,
        atol=1e-4,
    )
