import io

import numpy as np
import pytest
from PIL import Image

from engine.data.pictures import (
    MAX_BYTES,
    BadPicture,
    check_picture,
    read_picture,
    shrink,
    stored_size,
)
from engine.vlm.limits import LONGEST_SIDE


def encode(image: Image.Image, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


MOVING = encode(
    Image.new("L", (4, 4)), "GIF", save_all=True, append_images=[Image.new("L", (4, 4), 9)]
)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "MPO"])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_allowed_kinds_become_rgb(kind, mode):
    picture = read_picture(encode(Image.new(mode, (20, 10), 128), kind))
    assert picture.shape == (10, 20, 3) and picture.dtype == np.uint8


def drawing(mode: str, kind: str) -> bytes:
    """A black square on transparent ground."""
    image = Image.new("RGBA", (8, 8))
    image.paste((0, 0, 0, 255), (2, 2, 6, 6))
    return encode(image if mode == "RGBA" else image.convert(mode), kind)


@pytest.mark.parametrize(
    "data",
    [
        drawing("RGBA", "PNG"),
        drawing("LA", "PNG"),
        drawing("RGBA", "GIF"),
        drawing("RGBA", "WEBP"),
        drawing("RGBA", "TIFF"),
    ],
    ids=["png", "grey png", "gif", "webp", "tiff"],
)
def test_what_is_transparent_lies_over_white(data):
    shown = read_picture(data)
    assert shown[0, 0].tolist() == [255] * 3 and shown[4, 4].max() < 9


def test_a_colour_or_palette_that_is_called_transparent_lies_over_white():
    blue = Image.new("RGB", (2, 1), (0, 0, 200))
    blue.putpixel((1, 0), (9, 9, 9))
    palette = Image.new("P", (2, 1))
    palette.putpalette([0, 0, 200, 9, 9, 9])
    palette.putpixel((1, 0), 1)
    for image, key in ((blue, (0, 0, 200)), (palette, 0), (palette, b"\0\xff")):
        shown = read_picture(encode(image, "PNG", transparency=key))
        assert shown[0].tolist() == [[255] * 3, [9] * 3]


def test_cmyk_pictures_are_read():
    assert read_picture(encode(Image.new("CMYK", (4, 4)), "JPEG")).shape == (4, 4, 3)


SHADES = np.linspace(0, 40_000, 16).reshape(4, 4)


@pytest.mark.parametrize(
    "values",
    [
        SHADES.astype(np.uint16),
        SHADES.astype(">u2"),
        SHADES.astype(np.int32),
        (SHADES - 20_000).astype(np.int32),
        (SHADES / 80_000).astype(np.float32),
    ],
    ids=["16 bits", "big-endian", "32 bits", "negative", "float"],
)
def test_deep_pictures_keep_their_shades(values):
    shown = read_picture(encode(Image.fromarray(values), "TIFF"))[..., 0].ravel().tolist()
    assert shown[0] == 0 and shown[-1] == 255 and len(set(shown)) == 16


@pytest.mark.filterwarnings("error")
def test_values_that_are_no_numbers_are_dark():
    values = (SHADES / 40_000).astype(np.float32)
    values[0, 0], values[0, 1] = np.nan, np.inf
    shown = read_picture(encode(Image.fromarray(values), "TIFF"))[..., 0]
    assert shown[0, 0] == 0 and shown[0, 1] == 255 and shown[1, 0] > 0


@pytest.mark.parametrize("kind", ["JPEG", "MPO", "PNG", "WEBP", "TIFF"])
def test_a_turned_photo_is_set_upright_and_its_size_is_that(kind):
    turned = Image.new("RGB", (20, 10))
    exif = turned.getexif()
    exif[0x0112] = 6
    options = {"save_all": True, "append_images": [turned]} if kind == "MPO" else {}
    data = encode(turned, kind, exif=exif, **options)
    assert read_picture(data).shape == (20, 10, 3) and check_picture(data) == (20, 10)


@pytest.mark.parametrize(
    "size", [(3000, 7), (7, 3000), (1000, 999), (769, 1), (30, 40), (2747, 59)]
)
def test_the_size_in_a_data_set_is_known_beforehand(size):
    pixels = np.zeros((*size, 3), np.uint8)
    assert shrink(pixels).shape[:2] == stored_size(*size)
    thumbnail = Image.new("L", size[::-1])
    thumbnail.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
    assert thumbnail.size == stored_size(*size)[::-1]


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "a pointer of git-lfs"),
        (b"\xef\xbb\xbf<?xml version='1.0'?>\n<svg/>", "an SVG drawing"),
        (b"<svg xmlns='x'/>", "an SVG drawing"),
        (b"<!DOCTYPE html><html>not found</html>", "a web page"),
        (b"%PDF-1.4", "a PDF file"),
        (b"\0\0\0\x18ftypavif", "a HEIC or AVIF file"),
        (b"\0\0\0\x18ftypmp42", "a film"),
    ],
)
def test_files_of_other_kinds_are_named(data, kind):
    with pytest.raises(BadPicture, match=f"^This is {kind}.*, not a picture that can be read; all"):
        read_picture(data)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "not a picture"),
        (b"hello", "not a picture"),
        (encode(Image.effect_noise((64, 64), 50), "PNG")[:1000], "not a picture"),
        (b"\0\0\0\x18ftypheic" + b"x" * 99, "PNG, JPEG, WebP, GIF, BMP and TIFF"),
        (MOVING, "a GIF of 2 moving pictures"),
        (encode(Image.new("LAB", (4, 4)), "TIFF"), "colours of a kind that is not read (LAB)"),
        (encode(Image.new("1", (6000, 6000)), "PNG"), "pixels"),
        (encode(Image.new("1", (30000, 30000)), "PNG"), "pixels"),
        (b"x" * (MAX_BYTES + 1), "MB"),
    ],
    ids=[
        "empty",
        "text",
        "cut off",
        "heic",
        "moving",
        "lab",
        "36 million",
        "bomb",
        "too many bytes",
    ],
)
def test_everything_else_is_refused_in_one_sentence(data, words):
    with pytest.raises(BadPicture) as caught:
        read_picture(data)
    assert words in str(caught.value)
