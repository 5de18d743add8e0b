"""Faults of parts: what a camera can see of them, painted over a solid.

A fault maps coordinates along and across its own direction (a: along, b: across, unit radius) to
``(cut, layers)``: a signed distance that is positive where the part is missing, or None, and paints
as (colour, share in [0, 1]) that go over the shaded solid one after another.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Layers = list[tuple[tuple[float, float, float], np.ndarray]]
Fault = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray | None, Layers]]

_SOFT = 9  # edges are soft over about a pixel of a medium solid
_DARK, _PALE = (0.04, 0.04, 0.05), (0.97, 0.96, 0.93)


def _dented(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray | None, Layers]:
    """Draw a hollow: shade on one side, a bright lip on the other."""
    reach = np.hypot(a - 0.3, b) / 0.62
    hollow = _step(1 - reach)
    side = np.clip((a - 0.3) / 0.62, -1, 1)
    return None, [
        (_DARK, 0.9 * hollow * np.clip(0.3 - 1.4 * side, 0, 1)),
        (_PALE, 0.95 * hollow * np.clip(2 * side - 0.2, 0, 1)),
    ]


def _cracked(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray | None, Layers]:
    """Draw a black zigzag from rim to rim."""
    zigzag = 0.8 * (np.abs(np.mod(1.25 * a + 0.25, 1) - 0.5) - 0.25)
    line = np.abs(b - zigzag)
    return None, [(_DARK, _step(0.16 - line))]


def _rusty(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray | None, Layers]:
    """Draw brown blotches with a darker heart."""
    field = np.sin(5.1 * a + 1.3 * b) + np.sin(4.3 * b - 2.2 * a + 1) + 0.8 * np.sin(9 * a * b + 2)
    return None, [
        ((0.52, 0.25, 0.07), 0.95 * _step(0.35 * field - 0.02)),
        ((0.24, 0.10, 0.04), 0.9 * _step(0.35 * field - 0.38)),
    ]


def _chipped(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray | None, Layers]:
    """Bite a piece out of the rim, with a pale broken edge."""
    bite = 0.6 + 0.05 * np.sin(14 * np.arctan2(b, a - 1)) - np.hypot(a - 0.9, b)
    return bite, [(_PALE, 0.9 * _step(bite + 0.2))]


def _burnt(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray | None, Layers]:
    """Blacken one end with soot."""
    return None, [(_DARK, 0.95 * np.clip(3 * (a + 0.12 * np.sin(7 * b)) - 0.1, 0, 1))]


def _step(x: np.ndarray) -> np.ndarray:
    """0 below and 1 above zero, softened."""
    return np.clip(0.5 + _SOFT * x, 0, 1)


FINE = "fine"
_FAULTS: dict[str, Fault] = {
    "dented": _dented,
    "chipped": _chipped,
    "cracked": _cracked,
    "burnt": _burnt,
    "rusty": _rusty,
}
CONDITIONS = (FINE, *_FAULTS)
_FINE_SHARE = 0.35  # of the parts


def sample_conditions(
    shape: tuple[int, int], generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Draw indices into CONDITIONS and the faults' directions in radians, both of this shape."""
    shares = np.full(len(CONDITIONS), (1 - _FINE_SHARE) / len(_FAULTS))
    shares[0] = _FINE_SHARE
    condition = generator.choice(len(CONDITIONS), shape, p=shares)
    return condition, generator.uniform(0, 2 * np.pi, shape)


def spoil(
    condition: np.ndarray, turn: np.ndarray, u: np.ndarray, v: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Spoil solids with local coordinates (n, h, w) by conditions (n,) at directions (n,).

    Returns the distance that cuts (n, h, w), the paint (n, h, w, 3), which is already weighted, and
    the share (n, h, w, 1) of the solid's own colour that stays.
    """
    cut = np.full(u.shape, -9.0, np.float32)
    paint = np.zeros((*u.shape, 3), np.float32)
    stays = np.ones((*u.shape, 1), np.float32)
    for number, fault in enumerate(_FAULTS.values(), 1):
        own = np.flatnonzero(condition == number)
        if not len(own):
            continue
        cos, sin = (f(turn[own]).astype(np.float32)[:, None, None] for f in (np.cos, np.sin))
        missing, layers = fault(u[own] * cos + v[own] * sin, v[own] * cos - u[own] * sin)
        if missing is not None:
            cut[own] = missing
        for colour, share in layers:
            covered, over = share[..., None], np.array(colour, np.float32)
            paint[own] = paint[own] * (1 - covered) + over * covered
            stays[own] *= 1 - covered
    return cut, paint, stays
