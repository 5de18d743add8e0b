"""Scenes of the embedded world: a parts bin with one to six shaded solids, seen from above.

A batch of scenes is a set of arrays, so that a thousand pictures take a few seconds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from engine.data.synthetic.faults import sample_conditions, spoil
from engine.data.synthetic.solids import SOLIDS

SIZE = 112  # pixels, both sides
MAX_OBJECTS = 6
KINDS = tuple(SOLIDS)
COLOURS = {  # in the order of the hues: neighbours are the ones that people mix up
    "red": (0.83, 0.13, 0.15),
    "orange": (0.95, 0.50, 0.08),
    "yellow": (0.95, 0.84, 0.16),
    "green": (0.25, 0.64, 0.20),
    "teal": (0.05, 0.60, 0.58),
    "blue": (0.15, 0.34, 0.82),
    "purple": (0.48, 0.20, 0.66),
    "pink": (0.95, 0.52, 0.72),
}
COLOUR_NAMES = tuple(COLOURS)
MATERIALS = ("matt", "shiny")
SIZES = ("small", "medium", "large")
ROWS = ("top", "middle", "bottom")
COLUMNS = ("left", "centre", "right")

_RADII = np.array([0.082, 0.110, 0.145], dtype=np.float32)  # fractions of the picture's side
_PALETTE = np.array(list(COLOURS.values()), dtype=np.float32)
_PATCH = 56  # an object and its shadow fit in a square of this many pixels
_POOL = 4  # a bin holds few kinds and colours, so that things repeat and can be counted


@dataclass(frozen=True)
class Scenes:
    """``n`` scenes as arrays; object slots beyond ``count`` are padding.

    count: (n,) objects per scene; kind, colour, material, size: (n, 6) indices into KINDS,
    COLOUR_NAMES, MATERIALS and SIZES; cell: (n, 6) place in a 3×3 grid, row-major; x, y: (n, 6)
    centres in fractions of the picture's side; light: (n,) brightness of the bin; sun: (n,)
    direction of the light in radians, 0 from straight above; condition, turn: (n, 6) indices into
    CONDITIONS and the directions of the faults in radians.
    """

    count: np.ndarray
    kind: np.ndarray
    colour: np.ndarray
    material: np.ndarray
    size: np.ndarray
    cell: np.ndarray
    x: np.ndarray
    y: np.ndarray
    light: np.ndarray
    sun: np.ndarray
    condition: np.ndarray
    turn: np.ndarray

    def __len__(self) -> int:
        return len(self.count)

    def select(self, rows: np.ndarray) -> Scenes:
        """Return the scenes at these row numbers, in that order."""
        return Scenes(**{name: values[rows] for name, values in vars(self).items()})

    def replaced(self, where: np.ndarray, other: Scenes) -> Scenes:
        """Return these scenes, but those of ``other`` in the rows that are true in ``where``."""
        return Scenes(
            **{
                name: np.where(where.reshape(-1, *[1] * (v.ndim - 1)), getattr(other, name), v)
                for name, v in vars(self).items()
            }
        )


def sample_scenes(
    n: int,
    generator: np.random.Generator,
    *,
    kinds: np.ndarray | None = None,
    colours: np.ndarray | None = None,
) -> Scenes:
    """Draw ``n`` scenes: objects in distinct cells of a jittered 3×3 grid, neighbours may overlap.

    ``kinds`` and ``colours`` are the shares of KINDS and COLOUR_NAMES; even where not given.
    """
    shape = (n, MAX_OBJECTS)
    # A stream of its own: what else is drawn from the generator does not depend on faults.
    condition, turn = sample_conditions(shape, generator.spawn(1)[0])
    cell = np.argsort(generator.random((n, 9)), axis=1)[:, :MAX_OBJECTS]
    jitter = generator.uniform(-0.04, 0.04, (2, *shape))
    return Scenes(
        count=generator.integers(1, MAX_OBJECTS + 1, n),
        kind=_from_pools(len(KINDS), kinds, shape, generator),
        colour=_from_pools(len(COLOUR_NAMES), colours, shape, generator),
        material=generator.integers(0, len(MATERIALS), shape),
        size=generator.integers(0, len(SIZES), shape),
        cell=cell,
        x=0.2 + 0.3 * (cell % 3) + jitter[0],
        y=0.19 + 0.3 * (cell // 3) + jitter[1],
        light=generator.uniform(0.70, 0.92, n),
        sun=generator.uniform(-0.9, -0.3, n),
        condition=condition,
        turn=turn,
    )


def _from_pools(
    values: int, shares: np.ndarray | None, shape: tuple[int, int], generator: np.random.Generator
) -> np.ndarray:
    """Draw indices below ``values``, each scene's drawn from its own small pool."""
    pool = generator.choice(values, (shape[0], _POOL), p=shares)
    return np.take_along_axis(pool, generator.integers(0, _POOL, shape), axis=1)


def render(scenes: Scenes, chunk: int = 64) -> np.ndarray:
    """Render scenes as uint8 images of shape (n, SIZE, SIZE, 3)."""
    parts = [
        _render_chunk(scenes.select(np.arange(start, min(start + chunk, len(scenes)))))
        for start in range(0, len(scenes), chunk)
    ]
    return np.concatenate(parts) if parts else np.zeros((0, SIZE, SIZE, 3), np.uint8)


def _render_chunk(scenes: Scenes) -> np.ndarray:
    canvas = _bin(scenes)
    slots = np.arange(MAX_OBJECTS)[None, :] < scenes.count[:, None]
    # Back rows first: what is in front hides what is behind and throws its shadow on it.
    order = np.argsort(np.where(slots, scenes.y, 9.0), axis=1)
    for depth in range(MAX_OBJECTS):
        rows = np.flatnonzero(scenes.count > depth)
        if len(rows):
            _render_object(canvas, scenes, rows, order[rows, depth])
    return (np.clip(canvas, 0, 1) * 255 + 0.5).astype(np.uint8)


def _bin(scenes: Scenes) -> np.ndarray:
    """Return the empty bin: a floor in soft light inside a rim, shape (n, SIZE, SIZE, 3)."""
    at = (np.arange(SIZE, dtype=np.float32) + 0.5) / SIZE
    x, y = at[None, :], at[:, None]
    inside = np.minimum(np.minimum(x, 1 - x), np.minimum(y, 1 - y))
    rim = np.clip((0.035 - inside) * SIZE, 0, 1)  # 1 on the rim
    wall_shadow = np.clip(1 - (np.minimum(x, y) - 0.035) / 0.06, 0, 1)
    floor = 1.04 - 0.14 * y - 0.05 * x - 0.16 * wall_shadow
    rim_light = np.where((x < 0.035) | (y < 0.035), 0.82, 1.06)
    lit = floor * (1 - rim) + rim_light * rim
    tint = np.array([1.0, 0.975, 0.94], dtype=np.float32)
    return (scenes.light.astype(np.float32)[:, None, None, None] * lit[..., None] * tint).astype(
        np.float32
    )


def _render_object(canvas: np.ndarray, scenes: Scenes, rows: np.ndarray, slot: np.ndarray) -> None:
    """Render one object with its shadow on each of the given rows of the canvas, in place."""
    radius = (_RADII[scenes.size[rows, slot]] * SIZE)[:, None, None]
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
    lean = -np.sin(scenes.sun[rows]).astype(np.float32)[:, None, None]
    shadow = np.clip(1.3 - ((u - 0.45 * lean) / 1.15) ** 2 - ((v - 0.72) / 0.55) ** 2, 0, 1)
    patch *= (1 - 0.42 * shadow)[..., None]
    light = _light(scenes.sun[rows])
    kind = scenes.kind[rows, slot]
    cut, paint, stays = spoil(scenes.condition[rows, slot], scenes.turn[rows, slot], u, v)
    for number, solid in enumerate(SOLIDS.values()):
        own = np.flatnonzero(kind == number)
        if not len(own):
            continue
        distance, normals = solid(u[own], v[own])
        cover = np.clip(0.5 - np.maximum(distance, cut[own]) * radius[own], 0, 1)[..., None]
        albedo = _PALETTE[scenes.colour[rows[own], slot[own]]][:, None, None, :]
        shiny = scenes.material[rows[own], slot[own]].astype(np.float32)[:, None, None]
        shaded = np.clip(_shade(normals, light[own], albedo, shiny), 0, 1)
        patch[own] = patch[own] * (1 - cover) + (shaded * stays[own] + paint[own]) * cover
    canvas[index] = patch


def _light(sun: np.ndarray) -> np.ndarray:
    """Return unit vectors (n, 3) towards the light."""
    vector = np.stack([0.75 * np.sin(sun), -0.62 * np.cos(sun), np.full_like(sun, 0.62)], -1)
    return (vector / np.linalg.norm(vector, axis=-1, keepdims=True)).astype(np.float32)


def _shade(
    normals: np.ndarray, light: np.ndarray, albedo: np.ndarray, shiny: np.ndarray
) -> np.ndarray:
    """Colours (n, h, w, 3) after Blinn–Phong: matt is soft, shiny dark with a bright highlight."""
    normals = normals / (np.sqrt(_dot(normals, normals))[..., None] + 1e-6)
    lambert = np.clip(_dot(normals, light[:, None, None, :]), 0, 1)
    half = light + np.array([0, 0, 1], np.float32)
    half /= np.linalg.norm(half, axis=-1, keepdims=True)
    gloss = np.clip(_dot(normals, half[:, None, None, :]), 0, 1)
    sky = np.clip(-normals[..., 1] - 0.55, 0, 1)  # what a shiny top mirrors
    diffuse = (0.58 + 0.5 * lambert) * (1 - shiny) + (0.34 + 0.68 * lambert) * shiny
    glint = shiny * (0.95 * gloss**26 + 0.35 * sky)
    return albedo * diffuse[..., None] + glint[..., None]


def _dot(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Scalar products of (…, 3) vectors; numpy's sum over so short an axis is slow."""
    return a[..., 0] * b[..., 0] + a[..., 1] * b[..., 1] + a[..., 2] * b[..., 2]
