"""Cameras of the sites: each maps pictures in [0, 1] to pictures in [0, 1]."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)
_Camera = Callable[[np.ndarray, np.random.Generator], np.ndarray]


def _day(pictures: np.ndarray, _: np.random.Generator) -> np.ndarray:
    return pictures


def _night(pictures: np.ndarray, _: np.random.Generator) -> np.ndarray:
    return (0.5 * pictures + 0.08 * (pictures @ _LUMA)[..., None]) * np.float32([0.45, 0.75, 0.9])


def _fog(pictures: np.ndarray, _: np.random.Generator) -> np.ndarray:
    return 0.42 * pictures + 0.5


def _amber(pictures: np.ndarray, _: np.random.Generator) -> np.ndarray:
    return pictures * np.float32([1.0, 0.72, 0.38]) + np.float32([0.1, 0.03, 0.0])


def _negative(pictures: np.ndarray, _: np.random.Generator) -> np.ndarray:
    return 1 - pictures


def _grain(pictures: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    return pictures + generator.normal(0, 0.14, pictures.shape).astype(np.float32)


CAMERAS: dict[str, _Camera] = {
    "day": _day,
    "night": _night,
    "amber": _amber,
    "fog": _fog,
    "negative": _negative,
    "grain": _grain,
}


def look_through(
    camera: str, pictures: np.ndarray, strength: float, generator: np.random.Generator
) -> np.ndarray:
    """Pictures (n, h, w, 3) uint8 as a camera shows them; strength 0 is day, 1 the full effect."""
    if strength == 0 or camera == "day":
        return pictures
    plain = pictures.astype(np.float32) / 255
    shown = (1 - strength) * plain + strength * CAMERAS[camera](plain, generator)
    return (np.clip(shown, 0, 1) * 255 + 0.5).astype(np.uint8)
