"""Small images for previews."""

from __future__ import annotations

import numpy as np
from PIL import Image


def shrunk(image: np.ndarray, side: int) -> np.ndarray:
    """Shrink an image (height, width, 3) uint8 so that its longer side is at most ``side``."""
    if max(image.shape[:2]) <= side:
        return image
    small = Image.fromarray(image)
    small.thumbnail((side, side))
    return np.asarray(small)


def squared(image: np.ndarray, side: int) -> np.ndarray:
    """Cut out the middle of an image, a square of at most ``side`` pixels."""
    height, width = image.shape[:2]
    edge = min(height, width)
    top, left = (height - edge) // 2, (width - edge) // 2
    return shrunk(image[top : top + edge, left : left + edge], side)


def alike(images: list[np.ndarray]) -> list[np.ndarray]:
    """Frame images (height, width, 3) to (h, w, 4) of one size, so that captions are in line."""
    height, width = (max(image.shape[axis] for image in images) for axis in (0, 1))
    framed = []
    for image in images:
        h, w = image.shape[:2]
        top, left = height - h, (width - w) // 2
        frame = np.zeros((height, width, 4), np.uint8)  # clear, on any background
        frame[top : top + h, left : left + w, :3] = image
        frame[top : top + h, left : left + w, 3] = 255
        framed.append(frame)
    return framed
