"""The one reader of pictures, whatever they come from: folders, uploads, the hub, a question.

A file's bytes decide what it is, not its name. What is read is a still picture as 8-bit RGB:
upright by its EXIF notes, transparent parts over white, deep values scaled from their own range.
"""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
from PIL import Image, ImageOps

from engine.vlm.limits import LONGEST_SIDE

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")  # a JPEG may be an MPO, of several views
MAX_BYTES = 10 * 2**20
MAX_PIXELS = 25_000_000

# Pillow warns of sizes that are refused here anyway; said once, as pictures are read in threads.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)

KINDS = "PNG, JPEG, WebP, GIF, BMP or TIFF"  # for people
_ALLOWED = f"allowed are {KINDS.replace(' or ', ' and ')} files"
_DAMAGED = f"This file is cut off or damaged, so it is not a picture; {_ALLOWED}."
_STARTS = (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"II*\0", b"MM\0*")
_OTHER_KINDS = (
    (b"version https://git-lfs", "a pointer of git-lfs ('git lfs pull' fetches the file)"),
    (b"<svg", "an SVG drawing"),
    (b"<?xml", "XML"),
    (b"<!doctype html", "a web page"),
    (b"<html", "a web page"),
    (b"%pdf", "a PDF file"),
    (b"pk\x03\x04", "a zip"),
    (b"8bps", "a Photoshop file"),
)
_MOVING = ("PNG", "WEBP", "GIF")  # formats whose further pictures are an animation's
# Modes that are read as they should be; others, as LAB, Pillow cannot turn into RGB.
_FLAT = ("1", "L", "P", "RGB", "RGBX", "CMYK", "YCbCr", "HSV")
_TRANSPARENT = ("LA", "PA", "RGBA")
_DEEP = ("I", "I;16", "I;16L", "I;16B", "I;16N", "F")  # Pillow would clip their values at 255
_SIDEWAYS = (5, 6, 7, 8)  # EXIF orientations that swap width and height
_ORIENTATION = 0x0112


class BadPicture(ValueError):
    """A picture that cannot be used, in one sentence that says what is allowed."""


def read_picture(data: bytes) -> np.ndarray:
    """Return the picture as (height, width, 3) uint8, upright; raises BadPicture."""
    check_size(len(data))
    return decode(data)


def decode(data: bytes) -> np.ndarray:
    """Return what ``read_picture`` does, of a file of any size."""
    with _opened(data) as image:
        image.load()
        return np.asarray(_over_white(_eight_bits(_upright(image))))


def check_picture(data: bytes) -> tuple[int, int]:
    """Return height and width; raise BadPicture when ``read_picture`` would.

    Quicker than that, for a large JPEG much quicker.
    """
    check_size(len(data))
    with _opened(data) as image:
        size = image.size
        drafted = image.draft(image.mode, (1, 1))  # a JPEG is read to its end, at an eighth
        image.load()
        width, height = size if drafted else image.size  # a TIFF is turned while it is read
        turned = _orientation(image) in _SIDEWAYS
    return (width, height) if turned else (height, width)


def check_size(size: int) -> None:
    """Raise BadPicture when a file of ``size`` bytes is too large, or has nothing in it."""
    if size == 0:
        raise BadPicture(f"This file is empty, so it is not a picture; {_ALLOWED}.")
    if size > MAX_BYTES:
        raise BadPicture(
            f"This file has {size / 2**20:.1f} MB; at most {MAX_BYTES // 2**20} MB are allowed."
        )


def looks_like_picture(data: bytes) -> bool:
    """Say whether a file starts as the pictures do that can be read."""
    is_webp = data.startswith(b"RIFF") and data[8:12] == b"WEBP"
    is_bmp = data.startswith(b"BM") and data[6:10] == b"\0\0\0\0"
    return is_webp or is_bmp or data.startswith(_STARTS)


def format_of(data: bytes) -> str:
    """Return Pillow's name for a file's format; "" for what it cannot open."""
    try:
        return Image.open(io.BytesIO(data), formats=FORMATS).format or ""
    except Exception:  # decoders raise errors of any kind on bytes that are not theirs
        return ""


def as_png(data: bytes) -> bytes:
    """Return what ``decode`` reads as the bytes of a PNG file; raises BadPicture."""
    buffer = io.BytesIO()
    Image.fromarray(decode(data)).save(buffer, "PNG")
    return buffer.getvalue()


def stored_size(height: int, width: int) -> tuple[int, int]:
    """Return height and width of a picture in its data set: at most LONGEST_SIDE each way."""
    if max(height, width) <= LONGEST_SIDE:
        return height, width
    aspect = width / height
    if width > height:
        return _nearest(LONGEST_SIDE / aspect, lambda n: aspect - LONGEST_SIDE / n), LONGEST_SIDE
    return LONGEST_SIDE, _nearest(LONGEST_SIDE * aspect, lambda n: aspect - n / LONGEST_SIDE)


def shrink(pixels: np.ndarray) -> np.ndarray:
    """Return a picture (height, width, 3) uint8 in the size that ``stored_size`` says."""
    height, width = stored_size(*pixels.shape[:2])
    if (height, width) == pixels.shape[:2]:
        return pixels
    image = Image.fromarray(pixels)
    return np.asarray(image.resize((width, height), reducing_gap=2.0))


def _nearest(side: float, error: Callable[[int], float]) -> int:
    """Round a side so that the picture's shape changes least; no side is without a pixel."""
    return min(max(math.floor(side), 1), max(math.ceil(side), 1), key=lambda n: abs(error(n)))


@contextmanager
def _opened(data: bytes) -> Iterator[Image.Image]:
    """Yield the picture, its header read; what goes wrong inside the block is BadPicture."""
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
    except Image.DecompressionBombError:
        raise BadPicture(
            f"This picture has too many pixels; at most {MAX_PIXELS // 10**6} million are allowed."
        ) from None
    except Exception:  # decoders raise errors of any kind on bytes that are not theirs
        raise BadPicture(_DAMAGED if looks_like_picture(data) else _what_it_is(data)) from None
    try:
        _check_header(image)
        yield image
    except BadPicture:
        raise
    except Exception:
        raise BadPicture(_DAMAGED) from None


def _what_it_is(data: bytes) -> str:
    """Name a file that is no picture, or none of a kind that is read, as far as its start says."""
    if data[4:8] == b"ftyp":
        kind = "a HEIC or AVIF file" if data[8:11] in (b"hei", b"hev", b"mif", b"avi") else "a film"
    else:
        head = data[:400].lstrip(b"\xef\xbb\xbf \r\n\t").lower()
        kind = next((kind for start, kind in _OTHER_KINDS if head.startswith(start)), "")
        kind = "an SVG drawing" if kind == "XML" and b"<svg" in head else kind
    if not kind:
        return f"This is not a picture; {_ALLOWED}."
    return f"This is {kind}, not a picture that can be read; {_ALLOWED}."


def _check_header(image: Image.Image) -> None:
    if image.width * image.height > MAX_PIXELS:
        raise BadPicture(
            f"This picture has {image.width} × {image.height} pixels; "
            f"at most {MAX_PIXELS // 10**6} million are allowed."
        )
    frames = getattr(image, "n_frames", 1) if image.format in _MOVING else 1
    if frames > 1:
        kind = "a GIF" if image.format == "GIF" else f"a {image.format} file"
        raise BadPicture(f"This is {kind} of {frames} moving pictures; a still one is needed.")
    if image.mode not in (*_FLAT, *_TRANSPARENT, *_DEEP):
        raise BadPicture(
            f"This picture has colours of a kind that is not read ({image.mode}); "
            "save it in RGB or in grey."
        )


def _orientation(image: Image.Image) -> int:
    """Return the EXIF orientation; 1 (upright) where the notes are broken, which pixels are not."""
    try:
        return image.getexif().get(_ORIENTATION, 1)
    except Exception:
        return 1


def _upright(image: Image.Image) -> Image.Image:
    """Turn an image as its EXIF notes say; leave it where they are broken."""
    try:
        return ImageOps.exif_transpose(image)
    except Exception:
        return image


def _eight_bits(image: Image.Image) -> Image.Image:
    """Scale a deep picture (16 bits, as scanners write) from its own range to 0…255.

    What is no number, as where a sensor saw nothing, is black.
    """
    if image.mode not in _DEEP:
        return image
    values = np.asarray(image).astype(np.float64)
    known = values[np.isfinite(values)]
    low, high = (float(known.min()), float(known.max())) if known.size else (0.0, 0.0)
    filled = np.nan_to_num(values, nan=low, posinf=high, neginf=low)
    return Image.fromarray((255 * ((filled - low) / ((high - low) or 1))).astype(np.uint8))


def _over_white(image: Image.Image) -> Image.Image:
    """Return an image as RGB, transparent parts over white as on paper."""
    if not image.has_transparency_data:
        return image.convert("RGB")
    image = image.convert("RGBA")
    paper = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(paper, image).convert("RGB")
