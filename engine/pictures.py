"""Pictures that people bring: checked for size, type and pixels before anything else."""

from __future__ import annotations

import io
import warnings

import numpy as np
from PIL import Image, ImageOps

FORMATS = ("PNG", "JPEG", "WEBP")
MAX_BYTES = 10 * 2**20
MAX_PIXELS = 25_000_000


class BadPicture(ValueError):
    """An upload that cannot be used, in one sentence that says what is allowed."""


def read_picture(data: bytes) -> np.ndarray:
    """The picture as (height, width, 3) uint8, upright; raises BadPicture."""
    if len(data) > MAX_BYTES:
        raise BadPicture(
            f"This file has {len(data) / 2**20:.1f} MB; "
            f"at most {MAX_BYTES // 2**20} MB are allowed."
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            image = Image.open(io.BytesIO(data), formats=FORMATS)
            if image.width * image.height > MAX_PIXELS:
                raise BadPicture(
                    f"This picture has {image.width} × {image.height} pixels; "
                    f"at most {MAX_PIXELS // 10**6} million are allowed."
                )
            upright = ImageOps.exif_transpose(image).convert("RGB")
    except BadPicture:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise BadPicture(
            f"This picture has too many pixels; at most {MAX_PIXELS // 10**6} million are allowed."
        ) from None
    except (OSError, ValueError, SyntaxError):
        raise BadPicture("This is not a picture; allowed are PNG, JPEG and WebP files.") from None
    return np.asarray(upright)
