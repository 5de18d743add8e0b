"""Many LoRA adapters side by side: one pass of the model over the rows of all of them.

The frozen base sees one large batch; each adapter's factors act on its own rows by batched matrix
products. Training 32 clients this way costs a fraction of 32 passes, because a small batch on a
small model is bound by Python and kernel launches, and because no gradient crosses from one
adapter's rows to another's factors the result is that of training one after another.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial

import torch
from peft.tuners.lora import Linear as LoraLinear
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence

from engine.adapters.adapter import DELTA_A, DELTA_B, Adapter, B, factor_of
from engine.vlm.deltas import is_half, plus
from engine.vlm.lora import Factors, base_of, lora_layers
from engine.vlm.model import Vlm
from engine.vlm.multi_lora.projection import Base, multi_lora_linear


class StackedAdapters:
    """The factors of ``n`` adapters; A as (n, rank, d_in), B transposed as (n, rank, d_out).

    Adapters of smaller rank are padded with zeros, which training leaves at zero. ``trained`` are
    those of the ``factors`` with gradients; ``weights`` say how much of each adapter counts, all
    of it by default; ``scales`` (n, 1, 1) are weight · α / rank, ``layers`` those with factors,
    ``bases`` their frozen parts, with the delta that all these adapters have in common. Deltas of
    an adapter alone, its ``besides``, are more directions behind its own, which no step changes;
    ``width``: all directions of the widest.
    """

    def __init__(
        self,
        vlm: Vlm,
        adapters: Sequence[Mapping[str, torch.Tensor]],
        trained: Collection[str] = (),
        weights: Sequence[float] = (),
        besides: Sequence[Factors] = (),
    ) -> None:
        self.ranks = [Adapter(adapter).rank for adapter in adapters]
        self.layers = lora_layers(vlm.model)
        alpha = next(iter(self.layers.values())).lora_alpha["default"]
        shares = weights or [1.0] * len(adapters)
        scales = [share * alpha / rank for share, rank in zip(shares, self.ranks, strict=True)]
        self._has_besides = any(besides)
        if self._has_besides:
            adapters = [
                _with_directions(Adapter(own), beside, scale)
                for own, beside, scale in zip(adapters, besides, scales, strict=True)
            ]
        self.factors = stack(adapters, vlm.factors, vlm.device)
        self.width = max(Adapter(adapter).rank for adapter in adapters)
        self.trained = self.factors.where(lambda name: name in trained)
        for factor in self.trained.values():
            factor.requires_grad_(True)
        self.scales = torch.tensor(scales, device=vlm.device).view(-1, 1, 1)
        self._deltas = _on_device(Adapter(adapters[0]), vlm.device)
        self.bases = {name: self._base(name, layer) for name, layer in self.layers.items()}

    def _base(self, name: str, layer: LoraLinear) -> Base:
        weight: torch.Tensor = base_of(layer).weight
        delta = self._deltas.delta(name)
        if delta and not is_half(weight):  # in half precision the sum would lose most of it
            weight = torch.addmm(weight, *delta)
        return Base(weight, base_of(layer).bias)

    def forward(self, name: str, x: torch.Tensor) -> torch.Tensor:
        """Do what a layer does, with an adapter for each share of the rows (…, tokens, d_in)."""
        base, a, b = self.bases[name], self.factors.a(name), self.factors.b(name)
        shares = x.reshape(len(a), -1, x.shape[-1])
        if not is_half(base.weight):
            (y,) = multi_lora_linear(shares, [base], [a], [b], self.scales)
            return y.view(*x.shape[:-1], -1)
        shares = shares.to(a.dtype)  # factors are float32, as in PEFT
        added = self.scales * (shares @ a.transpose(1, 2)) @ b
        if delta := self._deltas.delta(name):
            added = added + F.linear(F.linear(shares, delta[1]), delta[0])
        return plus(base_of(self.layers[name]), x, added.view(*x.shape[:-1], -1))

    def __len__(self) -> int:
        return len(self.scales)

    def adapters(self, first: int = 0) -> list[Factors]:
        """Return the trained factors of all adapters from ``first`` on, as PEFT shapes them."""
        ranks = self.ranks[first : len(self)]
        adapters: list[Factors] = [Adapter() for _ in ranks]
        for name, stacked in self.trained.items():
            values = stacked.detach()[first:].cpu()
            flips = factor_of(name) == B
            values = values.transpose(1, 2).contiguous() if flips else values.clone()
            for adapter, value in zip(adapters, values, strict=True):
                adapter[name] = value
        return [
            adapter if rank == self.width else _contiguous(adapter.cut(rank))
            for adapter, rank in zip(adapters, ranks, strict=True)
        ]

    def freeze_besides(self) -> None:
        """Take the gradients of what stands beside the adapters."""
        if self._has_besides:
            for factor in self.trained.values():
                if factor.grad is not None:
                    for gradient, rank in zip(factor.grad, self.ranks, strict=False):
                        gradient[rank:] = 0.0

    def keep_first(self, n: int) -> None:
        """Drop all adapters after the first n; the tensors of ``trained`` are new ones then."""
        for name, value in self.factors.items():
            value = value.detach()[:n]
            if name in self.trained:
                self.trained[name] = value = value.clone().requires_grad_(True)
            self.factors[name] = value
        self.scales = self.scales[:n]


def stack(
    adapters: Sequence[Mapping[str, torch.Tensor]], names: Iterable[str], device: str
) -> Factors:
    """Return factors of some names side by side, in the shapes that ``StackedAdapters`` has."""
    stacked: Factors = Adapter()
    for name in names:
        values, flips = [adapter[name] for adapter in adapters], factor_of(name) == B
        if len({value.shape for value in values}) == 1:  # much faster than padding them
            whole = torch.stack(values)
            whole = whole.transpose(1, 2).contiguous() if flips else whole
        else:
            rows = [value.T for value in values] if flips else values
            whole = pad_sequence(rows, batch_first=True)
        stacked[name] = whole.to(device)
    return stacked


def supports_stacking(vlm: Vlm) -> bool:
    """Tell whether several adapters may share a pass: on a small model, where that saves time.

    Every adapted layer must be a plain linear one with a plain LoRA in float32; in a vision tower
    the shares of rows would not be equal, as pictures differ in size.
    """
    if not vlm.is_small or vlm.tunes_vision:
        return False
    layers = lora_layers(vlm.model)
    bases = [layer.base_layer for layer in layers.values()]
    plain = all(isinstance(b, nn.Linear) and b.weight.dtype == torch.float32 for b in bases)
    return plain and 2 * len(layers) == len(vlm.factors)


@contextmanager
def active(stacked: StackedAdapters) -> Iterator[None]:
    """Inside, the rows of the model belong to the adapters in equal consecutive shares."""
    for name, layer in stacked.layers.items():
        layer.__dict__["forward"] = partial(stacked.forward, name)
    try:
        yield
    finally:
        for layer in stacked.layers.values():
            del layer.__dict__["forward"]  # the class's own shows again


def _with_directions(adapter: Factors, beside: Factors, scale: float) -> Factors:
    """Return an adapter and deltas beside it as one adapter that does the same at this scale."""
    if not beside:
        return adapter
    deltas = {layer: beside.delta(layer) for layer in adapter.layers()}
    b, a = zip(*(delta for delta in deltas.values() if delta), strict=True)
    return Adapter.of_layers(
        deltas,
        [torch.cat([adapter.a(layer), part]) for layer, part in zip(deltas, a, strict=True)],
        [torch.cat([adapter.b(layer), p / scale], 1) for layer, p in zip(deltas, b, strict=True)],
    )


def _contiguous(adapter: Factors) -> Factors:
    return Adapter({name: value.contiguous() for name, value in adapter.items()})


def _on_device(adapter: Factors, device: str) -> Factors:
    deltas = adapter.only(DELTA_A, DELTA_B)
    return Adapter({name: value.to(device) for name, value in deltas.items()})
