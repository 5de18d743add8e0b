"""Pictures that a model's processor refuses, known before anything starts.

Processors raise on shapes that they have no patches for, as Qwen2-VL's on what is more than 200
times as long as wide. A list of their rules would be of today: the processor itself is asked, about
an empty picture of that shape. Ordinary shapes none refuses.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from engine.config import BUNDLED, ExperimentConfig
from engine.vlm.checkpoint_files.sources import place_of
from engine.vlm.resolved import ResolvedModel

_LONG = 4  # times as long as wide
_SMALL = 56  # pixels: two patches of the coarsest models


def picture_problem(config: ExperimentConfig, model: ResolvedModel, height: int, width: int) -> str:
    """Return why a model cannot look at pictures of a shape, in a few words; "" where it can."""
    short, long = sorted((height, width))
    if config.model == BUNDLED or (long <= _LONG * short and short >= _SMALL):
        return ""
    return _refusal(place_of(config.model), model.digest, height, width)


@lru_cache(maxsize=2**16)
def _refusal(place: str, digest: str, height: int, width: int) -> str:
    image = np.zeros((height, width, 3), np.uint8)
    try:
        _image_processor(place, digest)([image], input_data_format="channels_last")
    except Exception as error:  # processors raise errors of any kind on shapes they do not take
        return " ".join(str(error).split())[:200] or type(error).__name__
    return ""


@lru_cache(maxsize=2)
def _image_processor(place: str, digest: str) -> Any:
    """Load a checkpoint's image processor, by the state of its files. A door: transformers."""
    from engine.vlm.processors import load_processor

    return load_processor(place).image_processor
