import io

import numpy as np
import pytest
from PIL import Image

from engine.data.pictures import MAX_BYTES, BadPicture, read_picture


def encode(image: Image.Image, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_allowed_kinds_become_rgb(kind, mode):
    picture = read_picture(encode(Image.new(mode, (20, 10), 128), kind))
    assert picture.shape == (10, 20, 3) and picture.dtype == np.uint8


def test_transparent_and_cmyk_pictures_are_read():
    assert read_picture(encode(Image.new("RGBA", (4, 4)), "PNG")).shape == (4, 4, 3)
    assert read_picture(encode(Image.new("CMYK", (4, 4)), "JPEG")).shape == (4, 4, 3)


def test_a_turned_photo_is_set_upright():
    turned = Image.new("RGB", (20, 10))
    exif = turned.getexif()
    exif[0x0112] = 6
    assert read_picture(encode(turned, "JPEG", exif=exif)).shape == (20, 10, 3)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "not a picture"),
        (b"hello", "not a picture"),
        (encode(Image.effect_noise((64, 64), 50), "PNG")[:1000], "not a picture"),
        (encode(Image.new("RGB", (4, 4)), "GIF"), "PNG, JPEG and WebP"),
        (encode(Image.new("1", (6000, 6000)), "PNG"), "pixels"),
        (encode(Image.new("1", (30000, 30000)), "PNG"), "pixels"),
        (b"x" * (MAX_BYTES + 1), "MB"),
    ],
    ids=["empty", "text", "cut off", "gif", "36 million", "bomb", "too many bytes"],
)
def test_everything_else_is_refused_in_one_sentence(data, words):
    with pytest.raises(BadPicture) as caught:
        read_picture(data)
    assert words in str(caught.value)
