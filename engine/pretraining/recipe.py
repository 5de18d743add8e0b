"""The bundled model's recipe and material, shared by both stages."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np
import torch
from joblib import Parallel, delayed
from PIL import Image

from engine.data.synthetic.cameras import CAMERAS, look_through
from engine.data.synthetic.scenes import Scenes, render, sample_scenes
from engine.pretraining.miniature import PIXELS
from engine.system.machine import cores
from engine.system.seeding import rng

log = logging.getLogger(__name__)
_AWAY = [name for name in CAMERAS if name != "day"]
_CHUNK = 500  # scenes that are rendered at once
_MEAN, _STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


@dataclass(frozen=True)
class Recipe:
    """The stages' lengths and shares; the defaults take 45 minutes on 2 CPU cores.

    The shares say how much of the clients' cameras and of the base vocabulary the stages see. The
    tower must be able to read every camera, for it stays frozen; the language model only hears of
    them. The peaks are those of the learning rate. ``start`` says which weights it went on from.
    """

    scenes: int = 30_000
    vision_steps: int = 2600
    vision_peak: float = 2e-3
    vision_camera_share: float = 0.5
    language_steps: int = 7000
    language_peak: float = 1.5e-3
    language_camera_share: float = 0.06
    house_share: float = 0.05
    word_share: float = 0.04
    fine_share: float = 0.14
    seed: int = 0
    start: str = ""


# From the weights of an earlier model, whose tower sees all that there is to see.
CONTINUED = Recipe(scenes=8000, vision_steps=0, language_steps=1200, language_peak=8e-4)


@dataclass(frozen=True)
class Material:
    """Scenes with their images as the model sees them, (n, PIXELS, PIXELS, 3) uint8.

    ``camera``: (n,) True where an image was taken through another camera than day.
    """

    scenes: Scenes
    images: np.ndarray
    camera: np.ndarray


def make_material(recipe: Recipe) -> Material:
    """Draw and render the pretraining scenes, a share of them through the sites' cameras."""
    scenes = sample_scenes(recipe.scenes, rng(recipe.seed, "pretrain", "scenes"))
    generator = rng(recipe.seed, "pretrain", "cameras")
    chosen = generator.integers(0, len(_AWAY), recipe.scenes)
    chosen[generator.random(recipe.scenes) >= recipe.vision_camera_share] = -1
    parts = np.array_split(np.arange(recipe.scenes), max(1, recipe.scenes // _CHUNK))
    images = Parallel(n_jobs=cores())(
        delayed(_taken)(scenes.select(rows), chosen[rows], recipe.seed, number)
        for number, rows in enumerate(parts)
    )
    return Material(scenes, np.concatenate(images), chosen >= 0)


def _taken(scenes: Scenes, cameras: np.ndarray, seed: int, number: int) -> np.ndarray:
    """Render scenes and shrink them, seen through cameras (n,) of _AWAY, -1 for none of them."""
    generator = rng(seed, "pretrain", "cameras", number)
    images = render(scenes)
    for camera, name in enumerate(_AWAY):
        for rows in np.array_split(np.flatnonzero(cameras == camera), 4):
            images[rows] = look_through(name, images[rows], generator.uniform(0.2, 1), generator)
    return shrink(images)


def shrink(images: np.ndarray) -> np.ndarray:
    """Shrink images (n, h, w, 3) uint8 to the size that the model sees, as its processor does."""
    size = (PIXELS, PIXELS)
    small = (Image.fromarray(image).resize(size, Image.Resampling.BICUBIC) for image in images)
    return np.stack([np.asarray(image) for image in small])


def pixel_values(images: torch.Tensor) -> torch.Tensor:
    """Normalise images: (n, PIXELS, PIXELS, 3) uint8 -> (n, 3, PIXELS, PIXELS)."""
    mean, std = (torch.tensor(v, device=images.device).view(1, 3, 1, 1) for v in (_MEAN, _STD))
    return (images.permute(0, 3, 1, 2).float() / 255 - mean) / std
