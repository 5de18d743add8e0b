"""Cameras of the clients: maps of pictures in [0, 1] to such pictures, at a strength in (0, 1].

Whatever a camera does, it leaves enough of colour, shape and gloss to answer every question.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from engine.plugins import Registry

_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)
_HEAT = np.array(  # from cold to hot
    [[0.04, 0.03, 0.18], [0.38, 0.06, 0.48], [0.8, 0.22, 0.32], [0.98, 0.62, 0.16], [1, 0.98, 0.8]],
    dtype=np.float32,
)  # fmt: skip
_CHUNK = 16  # pictures at a time: they stay in the processor's caches
Camera = Callable[[np.ndarray, float, np.random.Generator], np.ndarray]


def _night(pictures: np.ndarray, strength: float, generator: np.random.Generator) -> np.ndarray:
    """Dark, greenish, a little noisy."""
    luma = (pictures @ _LUMA)[..., None]
    shown = (0.5 * pictures + 0.1 * luma) * np.array([0.62, 0.95, 0.68], np.float32)
    return _blend(pictures, shown + _noise(pictures.shape, 0.02, generator), strength)


def _thermal(pictures: np.ndarray, strength: float, _: np.random.Generator) -> np.ndarray:
    """Brightness as heat; two fifths of the colour stay, else no one could name it."""
    warmth = 1.4 * (0.88 - pictures @ _LUMA)
    levels = np.linspace(0, 1, len(_HEAT))
    heat = np.stack([np.interp(warmth, levels, _HEAT[:, c]) for c in range(3)], -1)
    return _blend(pictures, 0.4 * pictures + 0.6 * heat.astype(np.float32), strength)


def _sketch(pictures: np.ndarray, strength: float, _: np.random.Generator) -> np.ndarray:
    """Pencil lines on paper with a thin wash of colour."""
    luma = pictures @ _LUMA
    dx = np.abs(np.diff(luma, axis=2, append=luma[:, :, -1:]))
    dy = np.abs(np.diff(luma, axis=1, append=luma[:, -1:, :]))
    lines = np.clip(4.5 * (dx + dy), 0, 1)[..., None]
    paper = 0.97 - 0.55 * (pictures.mean((1, 2), keepdims=True) - pictures)
    return _blend(pictures, np.clip(paper, 0, 1) * (1 - 0.85 * lines), strength)


def _fog(pictures: np.ndarray, strength: float, _: np.random.Generator) -> np.ndarray:
    return _blend(pictures, 0.4 * pictures + 0.52, strength)


def _amber(pictures: np.ndarray, strength: float, _: np.random.Generator) -> np.ndarray:
    """Add the colour cast of a sodium lamp."""
    gain, glow = np.array([[1.0, 0.74, 0.42], [0.12, 0.03, 0.0]], np.float32)
    shown = pictures * gain + glow
    return _blend(pictures, shown, strength)


def _negative(pictures: np.ndarray, strength: float, _: np.random.Generator) -> np.ndarray:
    """Light becomes dark and hues turn to their opposite.

    Hues turn by degrees: to blend with the opposite would give plain grey at strength one half.
    """
    luma = (pictures @ _LUMA)[..., None]
    chroma = pictures - luma
    axis = np.ones(3, np.float32) / np.sqrt(np.float32(3))
    angle = np.pi * strength
    turned = chroma * np.cos(angle) + np.cross(axis, chroma) * np.sin(angle)
    return 0.5 + (1 - 2 * strength) * (luma - 0.5) + turned


def _grain(pictures: np.ndarray, strength: float, generator: np.random.Generator) -> np.ndarray:
    return pictures + strength * _noise(pictures.shape, 0.15, generator)


def _noise(shape: tuple[int, ...], deviation: float, generator: np.random.Generator) -> np.ndarray:
    return deviation * generator.standard_normal(shape, dtype=np.float32)


def _blend(pictures: np.ndarray, shown: np.ndarray, strength: float) -> np.ndarray:
    return (1 - strength) * pictures + strength * shown


CAMERAS: Registry[Camera | None] = Registry("camera")
CAMERAS |= {
    "day": None,
    "night": _night,
    "amber": _amber,
    "sketch": _sketch,
    "thermal": _thermal,
    "fog": _fog,
    "negative": _negative,
    "grain": _grain,
}


def look_through(
    camera: str, pictures: np.ndarray, strength: float, generator: np.random.Generator
) -> np.ndarray:
    """Pictures (n, h, w, 3) uint8 as a camera shows them; strength 0 is day, 1 the full effect."""
    through = CAMERAS[camera]
    if strength == 0 or through is None:
        return pictures
    seen = np.empty_like(pictures)
    for start in range(0, len(pictures), _CHUNK):
        chunk = slice(start, start + _CHUNK)
        shown = through(pictures[chunk].astype(np.float32) / 255, strength, generator)
        seen[chunk] = np.clip(shown, 0, 1) * 255 + 0.5
    return seen
