"""Scenes of the embedded world: a parts bin with one to four shaded objects, seen from the front.

A batch of scenes is a set of arrays, so that a thousand pictures take about a second.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

SIZE = 96  # pixels, both sides
MAX_OBJECTS = 4
KINDS = ("ball", "box", "cone", "ring", "can")
COLOURS = {
    "red": (0.84, 0.15, 0.16),
    "orange": (0.96, 0.52, 0.10),
    "yellow": (0.95, 0.84, 0.18),
    "green": (0.18, 0.62, 0.26),
    "blue": (0.15, 0.37, 0.80),
    "purple": (0.55, 0.24, 0.67),
}
COLOUR_NAMES = tuple(COLOURS)
ROWS = ("top", "middle", "bottom")
COLUMNS = ("left", "centre", "right")

_PALETTE = np.array(list(COLOURS.values()), dtype=np.float32)
_LIGHT = np.array([-0.5, -0.6, 0.62], dtype=np.float32)  # from the upper left, towards the viewer
_PATCH = 44  # an object and its shadow fit in a square of this many pixels


@dataclass(frozen=True)
class Scenes:
    """``n`` scenes as arrays; object slots beyond ``count`` are padding.

    count: (n,) objects per scene; kind, colour: (n, 4) indices into KINDS and COLOUR_NAMES;
    cell: (n, 4) place in a 3×3 grid, row-major; x, y: (n, 4) centres and radius: (n, 4), in
    fractions of the picture's side; shade: (n,) brightness of the background.
    """

    count: np.ndarray
    kind: np.ndarray
    colour: np.ndarray
    cell: np.ndarray
    x: np.ndarray
    y: np.ndarray
    radius: np.ndarray
    shade: np.ndarray

    def __len__(self) -> int:
        return len(self.count)

    def take(self, rows: np.ndarray) -> Scenes:
        """The scenes at these row numbers, in that order."""
        return Scenes(**{name: values[rows] for name, values in vars(self).items()})


def sample_scenes(n: int, generator: np.random.Generator) -> Scenes:
    """Draw ``n`` scenes: objects in distinct cells of a jittered 3×3 grid; none hides another."""
    shape = (n, MAX_OBJECTS)
    cell = np.argsort(generator.random((n, 9)), axis=1)[:, :MAX_OBJECTS]
    jitter = generator.uniform(-0.045, 0.045, (2, *shape))
    return Scenes(
        count=generator.integers(1, MAX_OBJECTS + 1, n),
        kind=generator.integers(0, len(KINDS), shape),
        colour=generator.integers(0, len(COLOUR_NAMES), shape),
        cell=cell,
        x=0.2 + 0.3 * (cell % 3) + jitter[0],
        y=0.2 + 0.3 * (cell // 3) + jitter[1],
        radius=generator.uniform(0.105, 0.135, shape),
        shade=generator.uniform(0.80, 0.96, n),
    )


def render(scenes: Scenes, chunk: int = 256) -> np.ndarray:
    """Paint scenes as uint8 pictures of shape (n, SIZE, SIZE, 3)."""
    parts = [
        _render_chunk(scenes.take(np.arange(start, min(start + chunk, len(scenes)))))
        for start in range(0, len(scenes), chunk)
    ]
    return np.concatenate(parts) if parts else np.zeros((0, SIZE, SIZE, 3), np.uint8)


def _render_chunk(scenes: Scenes) -> np.ndarray:
    n = len(scenes)
    ramp = np.linspace(1.03, 0.88, SIZE, dtype=np.float32)[None, :, None, None]
    tint = np.array([1.0, 0.985, 0.96], dtype=np.float32)
    canvas = np.broadcast_to(
        scenes.shade.astype(np.float32)[:, None, None, None] * ramp * tint, (n, SIZE, SIZE, 3)
    ).copy()
    slots = np.arange(MAX_OBJECTS)[None, :] < scenes.count[:, None]
    # Back rows first: a shadow falls on what stands behind, never on what is in front.
    order = np.argsort(np.where(slots, scenes.y, 9.0), axis=1)
    for depth in range(MAX_OBJECTS):
        rows = np.flatnonzero(scenes.count > depth)
        if len(rows):
            _paint(canvas, scenes, rows, order[rows, depth])
    return (np.clip(canvas, 0, 1) * 255 + 0.5).astype(np.uint8)


def _paint(canvas: np.ndarray, scenes: Scenes, rows: np.ndarray, slot: np.ndarray) -> None:
    """Paint one object on each of the given rows of the canvas, in place."""
    radius = (scenes.radius[rows, slot] * SIZE).astype(np.float32)[:, None, None]
    centre_x, centre_y = scenes.x[rows, slot] * SIZE, scenes.y[rows, slot] * SIZE
    left = np.clip(np.floor(centre_x - _PATCH / 2).astype(int), 0, SIZE - _PATCH)
    top = np.clip(np.floor(centre_y - _PATCH / 2).astype(int), 0, SIZE - _PATCH)
    xs = left[:, None] + np.arange(_PATCH)
    ys = top[:, None] + np.arange(_PATCH)
    u = ((xs + 0.5 - centre_x[:, None])[:, None, :] / radius).astype(np.float32)
    v = ((ys + 0.5 - centre_y[:, None])[:, :, None] / radius).astype(np.float32)
    u, v = np.broadcast_arrays(u, v)

    index = (rows[:, None, None], ys[:, :, None], xs[:, None, :])
    patch = canvas[index]
    shadow = np.clip(1.25 - ((u - 0.15) / 1.15) ** 2 - ((v - 0.95) / 0.38) ** 2, 0, 1)
    patch *= (1 - 0.32 * shadow)[..., None]
    kind = scenes.kind[rows, slot]
    for number, name in enumerate(KINDS):
        own = np.flatnonzero(kind == number)
        if not len(own):
            continue
        distance, light, gloss = _SOLIDS[name](u[own], v[own])
        cover = np.clip(0.5 - distance * radius[own], 0, 1)[..., None]
        albedo = _PALETTE[scenes.colour[rows[own], slot[own]]][:, None, None, :]
        paint = albedo * light[..., None] + gloss[..., None]
        patch[own] = patch[own] * (1 - cover) + np.clip(paint, 0, 1) * cover
    canvas[index] = patch


# Each solid: local coordinates (u right, v down, unit radius) -> signed distance, light, gloss.
_Solid = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray, np.ndarray]]


def _ball(u: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    reach = np.sqrt(u * u + v * v)
    depth = np.sqrt(np.clip(1 - reach**2, 0, 1))
    lambert = np.clip(u * _LIGHT[0] + v * _LIGHT[1] + depth * _LIGHT[2], 0, 1)
    return reach - 1, 0.45 + 0.75 * lambert, 0.6 * lambert**24


def _box(u: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    front = np.maximum(np.abs(u) - 0.85, np.abs(v - 0.22) - 0.72)
    lid = np.maximum(np.abs(u) - (0.85 + 0.5 * (v + 0.5)), np.abs(v + 0.72) - 0.23)
    light = np.where(v < -0.5, 1.15, 0.86 - 0.12 * u)
    return np.minimum(front, lid), light, np.zeros_like(u)


def _cone(u: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    half = np.clip(0.48 * (v + 1.05), 0.02, None)
    side = np.clip(u / half, -1, 1)
    base = v - 0.85 - 0.12 * np.sqrt(np.clip(1 - side**2, 0, 1))
    edge = np.maximum((np.abs(u) - half) * 0.9, -1.05 - v)
    return np.maximum(edge, base), _round_light(side), np.zeros_like(u)


def _ring(u: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    reach = np.sqrt(u * u + v * v) + 1e-6
    across = np.clip((reach - 0.7) / 0.3, -1, 1)
    depth = np.sqrt(1 - across**2)
    lambert = np.clip((u * _LIGHT[0] + v * _LIGHT[1]) * across / reach + depth * _LIGHT[2], 0, 1)
    return np.abs(reach - 0.7) - 0.3, 0.45 + 0.75 * lambert, 0.4 * lambert**20


def _can(u: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    side = np.clip(u / 0.66, -1, 1)
    bulge = 0.2 * np.sqrt(1 - side**2)
    body = np.maximum(np.abs(u) - 0.66, np.maximum(v - 0.78 - bulge, -0.72 - v))
    lid = _ellipse(u / 0.66, (v + 0.72) / 0.2, 0.66, 0.2)
    light = np.where(lid < 0, 1.2, _round_light(side))
    return np.minimum(body, lid), light, np.zeros_like(u)


def _ellipse(x: np.ndarray, y: np.ndarray, a: float, b: float) -> np.ndarray:
    """Distance to an ellipse, to first order; x and y are in units of its half axes a and b."""
    reach = np.sqrt(x * x + y * y) + 1e-6
    return (reach - 1) * reach / (np.sqrt((x / a) ** 2 + (y / b) ** 2) + 1e-6)


def _round_light(side: np.ndarray) -> np.ndarray:
    """Light on an upright round body; ``side`` runs from -1 (left edge) to 1 (right edge)."""
    return 0.5 + 0.6 * np.clip(0.75 * np.sqrt(1 - side**2) - 0.55 * side, 0, 1)


_SOLIDS: dict[str, _Solid] = dict(zip(KINDS, (_ball, _box, _cone, _ring, _can), strict=True))
