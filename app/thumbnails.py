"""Small pictures for previews."""

from __future__ import annotations

import numpy as np
import streamlit as st
from PIL import Image


def shrunk(picture: np.ndarray, side: int) -> np.ndarray:
    """A picture (height, width, 3) uint8 whose longer side has at most ``side`` pixels."""
    if max(picture.shape[:2]) <= side:
        return picture
    image = Image.fromarray(picture)
    image.thumbnail((side, side))
    return np.asarray(image)


def show_small(picture: np.ndarray, side: int, alt: str) -> None:
    """Show a picture so that its longer side has ``side`` pixels."""
    height, width = picture.shape[:2]
    st.image(picture, width=max(1, round(side * width / max(height, width))), alt=alt)
