"""Rows of different lengths without their padding, and attention within such rows."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

_LOWEST = torch.finfo(torch.float32).min
_STEP = 8  # of packed lengths: oneDNN keeps a kernel for each size of a product, 1,024 at most


class Packing:
    """Where those tokens of (rows, tokens) that count lie in (shares, longest).

    Each of equal consecutive shares of the rows keeps its tokens in their order. Behind them, up to
    the share with most and the next multiple of ``_STEP``, are others that only fill up: ``fill``
    (shares, longest) says where. ``position_ids`` (shares, longest): where in its row a packed
    token was. ``attn_bias`` (rows · heads, 1, tokens): to add to the scores of attention, so that
    it passes over padding.
    """

    def __init__(self, kept: torch.Tensor, shares: int, heads: int) -> None:
        """``kept``: (rows, tokens), which tokens count; ``heads``: of the attention over them."""
        self.tokens, self._heads = kept.shape[1], heads
        own = kept.reshape(shares, -1)
        order = own.byte().argsort(dim=1, descending=True, stable=True)
        longest = int(own.sum(1).max())
        order = order[:, : longest + -longest % _STEP]
        self.fill = ~own.gather(1, order)
        share = torch.arange(shares, device=kept.device).unsqueeze(1)
        self._packed = order + share * own.shape[1]  # numbers among all tokens
        self.position_ids = self._packed % self.tokens
        bias = torch.zeros(kept.shape, device=kept.device).masked_fill_(~kept, _LOWEST)
        self.attn_bias = bias.repeat_interleave(heads, 0).unsqueeze(1)
        self._number_heads(kept)

    def _number_heads(self, kept: torch.Tensor) -> None:
        """Find the heads of packed tokens in (rows, heads, tokens), and the other way."""
        head = torch.arange(self._heads, device=kept.device)
        row = self._packed.unsqueeze(-1) // self.tokens
        self._from = (row * self._heads + head) * self.tokens + self.position_ids.unsqueeze(-1)
        numbers = torch.arange(self._packed.numel(), device=kept.device)
        to = torch.zeros(kept.numel(), dtype=torch.long, device=kept.device)
        to[self._packed.flatten()] = numbers
        self._unpacked = to.view(kept.shape).where(kept, 0)
        self._to = self._unpacked.unsqueeze(1) * self._heads + head.unsqueeze(1)
        padding = (~kept).unsqueeze(1).expand_as(self._to)
        self._padding = padding.flatten().nonzero().flatten()
        self._fill = (self.fill.flatten().nonzero() * self._heads + head).flatten()

    def pack(self, values: torch.Tensor) -> torch.Tensor:
        """Return values (rows, tokens) of the packed tokens, (shares, longest)."""
        return values.flatten()[self._packed]

    def unpack(self, x: torch.Tensor) -> torch.Tensor:
        """Return packed (shares, longest, width) as (rows, tokens, width).

        Padding is some other token.
        """
        return F.embedding(self._unpacked, x.flatten(0, 1))  # its gradient is cheaper than x[…]'s

    def split_heads(self, x: torch.Tensor, *, blank: bool = False) -> torch.Tensor:
        """Return packed (shares, longest, width) as (rows · heads, tokens, width / heads).

        Padding is some other token, or zero if ``blank``.
        """
        packed = x.reshape(-1, x.shape[-1] // self._heads)
        heads = packed.index_select(0, self._to.flatten())
        if blank:
            heads.index_fill_(0, self._padding, 0.0)
        return heads.view(-1, self.tokens, packed.shape[1])

    def merge_heads(self, x: torch.Tensor, *, blank: bool = False) -> torch.Tensor:
        """Undo ``split_heads``; what fills up is some other token, or zero if ``blank``."""
        packed = x.reshape(-1, x.shape[-1]).index_select(0, self._from.flatten())
        if blank:
            packed.index_fill_(0, self._fill, 0.0)
        return packed.view(*self.fill.shape, -1)


class Reach(NamedTuple):
    """Who attends to whom: packed queries, packed keys and values, and the scale of the scores.

    ``attn_bias`` is added to the scores, (rows · heads, 1 or tokens of queries, tokens of keys).
    """

    queries: Packing
    keys: Packing
    attn_bias: torch.Tensor
    scaling: float


def attend(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, reach: Reach) -> torch.Tensor:
    """Let packed q (shares, longest, width) attend, by softmax, to packed k and v of its rows."""
    return _Attention.apply(q, k, v, reach)


class _Attention(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, reach: Reach
    ) -> torch.Tensor:
        queries, keys = reach.queries, reach.keys
        q, k, v = queries.split_heads(q), keys.split_heads(k), keys.split_heads(v)
        scores = torch.baddbmm(reach.attn_bias, q, k.transpose(1, 2), alpha=reach.scaling)
        weights = scores.softmax(-1)
        ctx.save_for_backward(q, k, v, weights)
        ctx.reach = reach
        return queries.merge_heads(torch.bmm(weights, v))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        q, k, v, weights = ctx.saved_tensors
        queries, keys, _, scaling = ctx.reach
        dy = queries.split_heads(dy, blank=True)
        dv = torch.bmm(weights.transpose(1, 2), dy)
        d_weights = torch.bmm(dy, v.transpose(1, 2))
        ds = torch._softmax_backward_data(d_weights, weights, -1, weights.dtype)
        # With beta 0 only the product counts; the first argument is unused.
        dq = torch.baddbmm(q, ds, k, beta=0, alpha=scaling)
        dk = torch.baddbmm(k, ds.transpose(1, 2), q, beta=0, alpha=scaling)
        return (
            queries.merge_heads(dq, blank=True),
            keys.merge_heads(dk, blank=True),
            keys.merge_heads(dv, blank=True),
            None,
        )
