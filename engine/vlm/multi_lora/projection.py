"""Linear layers with an adapter for each share of the rows, written out.

Autograd would make and add a full-size tensor for each term, and on a CPU it is passes over memory
that training a cohort costs.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import Any, NamedTuple

import torch
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

Gradients = tuple[torch.Tensor | None, ...]
# What torch.compile calls for a linear layer on a CPU; a torch without oneDNN lacks it.
_one_dnn = getattr(torch.ops.mkldnn, "_linear_pointwise", None)


class Base(NamedTuple):
    """The frozen part of a linear layer."""

    weight: torch.Tensor
    bias: torch.Tensor | None


def multi_lora_linear(
    x: torch.Tensor,
    bases: Sequence[Base],
    a: Sequence[torch.Tensor],
    b: Sequence[torch.Tensor],
    scales: torch.Tensor,
    residual: torch.Tensor | None = None,
) -> tuple[torch.Tensor, ...]:
    """Return y = x·Wᵀ + bias + s·(x·Aᵀ)·Bᵀ of some layers, with own A, B and s for each share.

    x: (n, rows, d_in); for each layer A (n, rank, d_in) and B transposed (n, rank, d_out); scales:
    (n, 1, 1). The layers read x together. A ``residual`` (n, rows, d_out) is added to each y.
    """
    return _MultiLoraLinear.apply(x, residual, bases, scales, *a, *b)


class _MultiLoraLinear(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        residual: torch.Tensor | None,
        bases: Sequence[Base],
        scales: torch.Tensor,
        *factors: torch.Tensor,
    ) -> tuple[torch.Tensor, ...]:
        count = len(bases)
        a, b = _cat(factors[:count]), factors[count:]
        h = torch.bmm(a, x.transpose(1, 2)).mul_(scales)  # (n, layers · rank, rows)
        ctx.bases = bases
        ctx.save_for_backward(x, h, scales, a, *b)
        ys = tuple(
            _linear(x, base.weight, base.bias).baddbmm_(part.transpose(1, 2), own_b)
            for base, part, own_b in zip(bases, h.chunk(count, 1), b, strict=True)
        )
        return ys if residual is None else tuple(y.add_(residual) for y in ys)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *dys: torch.Tensor) -> Gradients:
        x, h, scales, a, *b = ctx.saved_tensors
        count = len(ctx.bases)
        of_x, of_residual, _, _, *of_factors = ctx.needs_input_grad
        parts = [torch.bmm(own_b, dy.transpose(1, 2)) for own_b, dy in zip(b, dys, strict=True)]
        dh = _cat(parts).mul_(scales)
        da: Gradients = (None,) * count
        db: Gradients = (None,) * count
        if any(of_factors[:count]):
            da = torch.bmm(dh, x).chunk(count, 1)
        if any(of_factors[count:]):
            pairs = zip(h.chunk(count, 1), dys, strict=True)
            db = tuple(torch.bmm(part, dy) for part, dy in pairs)
        dx = None
        if of_x:
            through = zip(ctx.bases, dys, strict=True)
            dx = reduce(torch.Tensor.add_, (_linear(dy, base.weight.T) for base, dy in through))
            dx.baddbmm_(dh.transpose(1, 2), a)
        d_residual = sum(dys[1:], dys[0]) if of_residual else None
        return dx, d_residual, None, None, *da, *db


def _linear(
    x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None
) -> torch.Tensor:
    """Do what F.linear does, without a gradient, by oneDNN where that serves.

    In float32 torch itself asks MKL, which uses half of what an AMD processor with AVX-512 has.
    """
    if _one_dnn is None or x.dtype != torch.float32 or x.device.type != "cpu":
        return F.linear(x, weight, bias)
    return _one_dnn(x, weight, bias, "none", [], "")


def _cat(parts: Sequence[torch.Tensor]) -> torch.Tensor:
    return torch.cat(tuple(parts), 1) if len(parts) > 1 else parts[0]
