"""Small pictures for previews."""

from __future__ import annotations

import numpy as np
from PIL import Image


def shrunk(picture: np.ndarray, side: int) -> np.ndarray:
    """A picture (height, width, 3) uint8 whose longer side has at most ``side`` pixels."""
    if max(picture.shape[:2]) <= side:
        return picture
    image = Image.fromarray(picture)
    image.thumbnail((side, side))
    return np.asarray(image)


def squared(picture: np.ndarray, side: int) -> np.ndarray:
    """The middle of a picture, a square of at most ``side`` pixels."""
    height, width = picture.shape[:2]
    edge = min(height, width)
    top, left = (height - edge) // 2, (width - edge) // 2
    return shrunk(picture[top : top + edge, left : left + edge], side)


def alike(pictures: list[np.ndarray]) -> list[np.ndarray]:
    """Pictures (height, width, 4) in frames of one size, so that what is below them is in line."""
    height, width = (max(picture.shape[axis] for picture in pictures) for axis in (0, 1))
    framed = []
    for picture in pictures:
        h, w = picture.shape[:2]
        top, left = height - h, (width - w) // 2
        frame = np.zeros((height, width, 4), np.uint8)  # clear, on any background
        frame[top : top + h, left : left + w, :3] = picture
        frame[top : top + h, left : left + w, 3] = 255
        framed.append(frame)
    return framed
