"""Pictures that people bring: checked for size, type and pixels before anything else."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from PIL import Image, ImageOps

FORMATS = ("PNG", "JPEG", "WEBP")
MAX_BYTES = 10 * 2**20
MAX_PIXELS = 25_000_000

# Pillow warns of sizes that are refused here anyway; said once, as pictures are read in threads.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)

_ALLOWED = "allowed are PNG, JPEG and WebP files"
_DAMAGED = f"This file is cut off or damaged, so it is not a picture; {_ALLOWED}."
_STARTS = (b"\x89PNG", b"\xff\xd8", b"RIFF")  # of the formats that are allowed
_DEEP = ("I", "I;16", "I;16B", "F")  # modes with more than 8 bits, which Pillow would clip at 255


class BadPicture(ValueError):
    """An upload that cannot be used, in one sentence that says what is allowed."""


def read_picture(data: bytes) -> np.ndarray:
    """Return the picture as (height, width, 3) uint8, upright; raises BadPicture."""
    with _opened(data) as image:
        image.load()
        return np.asarray(_eight_bits(_upright(image)).convert("RGB"))


def check_picture(data: bytes) -> None:
    """Raise BadPicture when ``read_picture`` would; quicker, for a large JPEG much quicker."""
    with _opened(data) as image:
        image.draft(image.mode, (1, 1))  # a JPEG is read to its end, but at an eighth of its size
        image.load()


def check_size(size: int) -> None:
    """Raise BadPicture when a file of ``size`` bytes is too large, or has nothing in it."""
    if size == 0:
        raise BadPicture(f"This file is empty, so it is not a picture; {_ALLOWED}.")
    if size > MAX_BYTES:
        raise BadPicture(
            f"This file has {size / 2**20:.1f} MB; at most {MAX_BYTES // 2**20} MB are allowed."
        )


@contextmanager
def _opened(data: bytes) -> Iterator[Image.Image]:
    """Yield the picture, its header read; what goes wrong inside the block is BadPicture."""
    check_size(len(data))
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
    except Image.DecompressionBombError:
        raise BadPicture(
            f"This picture has too many pixels; at most {MAX_PIXELS // 10**6} million are allowed."
        ) from None
    except Exception:  # decoders raise errors of any kind on bytes that are not theirs
        if data.startswith(_STARTS):
            raise BadPicture(_DAMAGED) from None
        kind = "a GIF" if data.startswith(b"GIF8") else "not a picture"
        raise BadPicture(f"This is {kind}; {_ALLOWED}.") from None
    if image.width * image.height > MAX_PIXELS:
        raise BadPicture(
            f"This picture has {image.width} × {image.height} pixels; "
            f"at most {MAX_PIXELS // 10**6} million are allowed."
        )
    try:
        yield image
    except Exception:
        raise BadPicture(_DAMAGED) from None


def _upright(image: Image.Image) -> Image.Image:
    """Turn an image as its EXIF notes say; leave it where they are broken."""
    try:
        return ImageOps.exif_transpose(image)
    except Exception:
        return image


def _eight_bits(image: Image.Image) -> Image.Image:
    """Scale a deep picture (16 bits, as scanners write) from its own range to 0…255."""
    if image.mode not in _DEEP:
        return image
    values = np.asarray(image, np.float32)
    low, high = float(values.min()), float(values.max())
    scaled = (values - low) * (255 / max(high - low, 1))
    return Image.fromarray(scaled.astype(np.uint8))
