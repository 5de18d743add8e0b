"""A bundle's tensors, held against its model's layers and its strategies, before any is loaded."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open

from engine.adapters.adapter import (
    DELTA_A,
    DELTA_B,
    DENSE_DELTA,
    VOTES,
    VOTES_NAME,
    A,
    B,
    split_name,
)
from engine.config import BUNDLED, ConfigError, ExperimentConfig
from engine.data.user.rows import shorten
from engine.results.bundle.rows import BadBundle
from engine.vlm.resolved import linear_shapes, resolve_model

_DELTAS = frozenset({DELTA_A, DELTA_B, DENSE_DELTA})
_MOST_DIRECTIONS = 2**16  # of a delta, which grow in number over the rounds
Layers = Mapping[str, tuple[int, ...]]  # shapes (d_out, d_in) by name


def layers_of(config: ExperimentConfig) -> Layers | None:
    """Return the shapes of the model's linear layers; None where the model is not here."""
    try:
        return linear_shapes(config, resolve_model(config))
    except ConfigError:
        if config.model == BUNDLED:
            raise
        return None


def check_factors(
    path: Path, name: str, allowed: frozenset[str], rank: int, layers: Layers | None
) -> set[str]:
    """Return the layers whose factors a file holds; ``name`` is what the bundle calls it.

    ``allowed``: the factors that may be in it, beside deltas; ``rank``: their most directions.
    Raises BadBundle.
    """
    shapes = _shapes(path, name)
    if VOTES in allowed and len(shapes.pop(VOTES_NAME, (0,))) != 1:
        raise BadBundle(f"{name}: the votes are no row of numbers")
    allowed -= {VOTES}
    factors = {split_name(tensor)[1] for tensor in shapes}
    if strange := factors - allowed - _DELTAS:
        raise BadBundle(f"{name} holds '{shorten(min(strange))}', which does not belong there")
    if allowed and not factors:
        raise BadBundle(f"{name} is empty")
    adapted = {split_name(tensor)[0] for tensor in shapes}
    for layer in sorted(adapted):
        if layers is not None and layer not in layers:
            raise BadBundle(f"{name} is for another model: here is no layer {shorten(layer)}")
        for factor in sorted(factors):
            shape = shapes.get(f"{layer}.{factor}")
            if shape is None:
                raise BadBundle(f"{name} has no {factor} for the layer {shorten(layer)}")
            if not _fits(factor, shape, layers[layer] if layers else None, rank):
                raise BadBundle(
                    f"{name}: {factor} of the layer {shorten(layer)} has the shape {list(shape)}"
                )
    return adapted


def check_decision(path: Path, name: str, corners: int) -> None:
    """Raise BadBundle unless a file says which of so many corners a client chose, and a weight."""
    try:
        with safe_open(path, framework="numpy") as file:
            values = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        corner, weight = values.pop("corner"), values.pop("own_weight")
        vote = values.pop("vote", np.zeros(0, np.float32))
        sound = (
            not values
            and vote.ndim == 1
            and vote.dtype.kind == "f"
            and corner.dtype.kind == "i"
            and weight.dtype.kind == "f"
        )
        sound &= 0 <= corner.item() < corners and 0 <= weight.item() <= 1
    except (SafetensorError, OSError, ValueError, KeyError, TypeError):
        sound = False
    if not sound:
        raise BadBundle(f"{name} does not say what a client chose")


def _shapes(path: Path, name: str) -> dict[str, tuple[int, ...]]:
    """Return the shapes by name, from the header, which the library holds against the size."""
    try:
        with safe_open(path, framework="numpy") as file:
            slices = {tensor: file.get_slice(tensor) for tensor in file.keys()}  # noqa: SIM118
            kinds = {kept.get_dtype() for kept in slices.values()}
            shapes = {tensor: tuple(kept.get_shape()) for tensor, kept in slices.items()}
    except (SafetensorError, OSError, ValueError):
        raise BadBundle(f"{name} is no file of tensors (safetensors)") from None
    if kinds - {"F32"}:
        raise BadBundle(f"{name} has numbers of the type {min(kinds - {'F32'})}; only F32 is used")
    return shapes


def _fits(factor: str, shape: tuple[int, ...], wide: tuple[int, ...] | None, rank: int) -> bool:
    """Tell whether a factor has this shape in a layer (d_out, d_in), of which none may be known."""
    if len(shape) != 2 or 0 in shape:
        return False
    d_out, d_in = wide or (None, None)
    if factor == DENSE_DELTA:
        return wide is None or shape == wide
    most = rank if factor in (A, B) else _MOST_DIRECTIONS
    if factor in (A, DELTA_A):
        return shape[0] <= most and shape[1] == (d_in or shape[1])
    return shape[1] <= most and shape[0] == (d_out or shape[0])
