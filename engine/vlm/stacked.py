"""Many LoRA adapters side by side: one pass of the model over the rows of all of them.

The frozen base sees one large batch; each adapter's factors act on its own rows by batched matrix
products. Training 32 clients this way costs a fraction of 32 passes, because a small batch on a
small model is bound by Python and kernel launches, and because no gradient crosses from one
adapter's rows to another's factors the result is that of training one after another.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence

from engine.vlm.factors import A, B, factor_of
from engine.vlm.lora import lora_layers

if TYPE_CHECKING:
    from engine.vlm.model import Vlm

Factors = dict[str, torch.Tensor]


class Stacked:
    """The factors of ``n`` adapters; A as (n, rank, d_in), B transposed as (n, rank, d_out).

    Adapters of smaller rank are padded with zeros, which training leaves at zero. ``trained`` are
    the factors by name that get gradients; ``weights`` say how much of each adapter counts, all of
    it by default; ``scales`` (n, 1, 1) are weight · α / rank, ``layers`` those that carry factors.
    """

    def __init__(
        self,
        vlm: Vlm,
        adapters: Sequence[Factors],
        trained: Collection[str] = (),
        weights: Sequence[float] = (),
    ) -> None:
        self.ranks = [rank_of(adapter) for adapter in adapters]
        every = stack(adapters, vlm.factors, vlm.device)
        self.trained = {name: every.pop(name).requires_grad_(True) for name in trained}
        self._fixed = every
        self.layers = lora_layers(vlm.model)
        alpha = next(iter(self.layers.values())).lora_alpha["default"]
        shares = weights or [1.0] * len(adapters)
        scales = [share * alpha / rank for share, rank in zip(shares, self.ranks, strict=True)]
        self.scales = torch.tensor(scales, device=vlm.device).view(-1, 1, 1)

    def __len__(self) -> int:
        return len(self.scales)

    def factors(self) -> Factors:
        """All factors, those that are trained and those that stay."""
        return self.trained | self._fixed

    def adapter(self, number: int) -> Factors:
        """One adapter's trained factors, in PEFT's shapes and its own rank, on the CPU."""
        rank = self.ranks[number]
        found = {}
        for name, stacked in self.trained.items():
            own = stacked.detach()[number, :rank].cpu()
            found[name] = (own if factor_of(name) == A else own.T).clone(
                memory_format=torch.contiguous_format
            )
        return found

    def keep_first(self, n: int) -> None:
        """Drop all adapters after the first n; the tensors of ``trained`` are new ones then."""
        self.trained = {
            name: value.detach()[:n].clone().requires_grad_(True)
            for name, value in self.trained.items()
        }
        self._fixed = {name: value[:n] for name, value in self._fixed.items()}
        self.scales = self.scales[:n]


def stack(adapters: Sequence[Factors], names: Iterable[str], device: str) -> Factors:
    """Factors of some names side by side, in the shapes that ``Stacked`` has."""
    found = {}
    for name in names:
        values = [adapter[name] for adapter in adapters]
        rows = values if factor_of(name) == A else [value.T for value in values]
        found[name] = pad_sequence(rows, batch_first=True).to(device)
    return found


def can_stack(vlm: Vlm) -> bool:
    """Whether several adapters may share a pass: on a small model, where that saves time.

    Every adapted layer must be a plain linear one with a plain LoRA in float32; in a vision tower
    the shares of rows would not be equal, as pictures differ in size.
    """
    if not vlm.light or vlm.tunes_vision:
        return False
    layers = lora_layers(vlm.model)
    bases = [layer.base_layer for layer in layers.values()]
    plain = all(isinstance(b, nn.Linear) and b.weight.dtype == torch.float32 for b in bases)
    return plain and 2 * len(layers) == len(vlm.factors)


@contextmanager
def active(stacked: Stacked) -> Iterator[None]:
    """Inside, the rows of the model belong to the adapters in equal consecutive shares."""
    factors = stacked.factors()
    for name, layer in stacked.layers.items():
        layer.forward = partial(
            _forward,
            layer.base_layer,
            factors[f"{name}.{A}"],
            factors[f"{name}.{B}"],
            stacked.scales,
        )
    try:
        yield
    finally:
        for layer in stacked.layers.values():
            del layer.forward  # the class's own shows again


def rank_of(adapter: Factors) -> int:
    """The rank of an adapter."""
    return next(len(value) for name, value in adapter.items() if factor_of(name) == A)


def _forward(
    base: nn.Linear, a: torch.Tensor, b: torch.Tensor, scales: torch.Tensor, x: torch.Tensor
) -> torch.Tensor:
    if base.weight.dtype == a.dtype:
        return _StackedLinear.apply(x, base.weight, base.bias, a, b, scales)
    shares = x.reshape(len(a), -1, x.shape[-1]).to(a.dtype)  # factors are float32, as in PEFT
    delta = scales * (shares @ a.transpose(1, 2)) @ b
    return base(x) + delta.view(*x.shape[:-1], -1).to(x.dtype)


class _StackedLinear(torch.autograd.Function):
    """y = x·Wᵀ + bias + s·(x·Aᵀ)·Bᵀ with an own A, B and s for each share of the rows.

    Written out because autograd would make and add a full-size tensor for each term.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        a: torch.Tensor,
        b: torch.Tensor,
        scales: torch.Tensor,
    ) -> torch.Tensor:
        shares = x.reshape(len(a), -1, x.shape[-1])
        h = torch.bmm(shares, a.transpose(1, 2)).mul_(scales)
        y = F.linear(shares, weight, bias).baddbmm_(h, b)
        ctx.save_for_backward(shares, weight, a, b, h, scales)
        ctx.shape = x.shape
        return y.view(*x.shape[:-1], y.shape[-1])

    @staticmethod
    def backward(ctx: Any, dy: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        shares, weight, a, b, h, scales = ctx.saved_tensors
        dy = dy.reshape(len(a), -1, dy.shape[-1])
        dh = torch.bmm(dy, b.transpose(1, 2)).mul_(scales)
        db = torch.bmm(h.transpose(1, 2), dy) if ctx.needs_input_grad[4] else None
        da = torch.bmm(dh.transpose(1, 2), shares) if ctx.needs_input_grad[3] else None
        dx = None
        if ctx.needs_input_grad[0]:
            dx = (dy @ weight).baddbmm_(dh, a).view(ctx.shape)
        return dx, None, None, da, db, None
