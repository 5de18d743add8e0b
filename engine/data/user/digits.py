"""Scikit-learn's 1,797 handwritten digits as a folder of pictures and a table.

They come with the package, so nothing is downloaded; from the folder on they go the way of people's
own data. (Alpaydin and Kaynak, Optical Recognition of Handwritten Digits, UCI 1998, CC BY 4.0.)
"""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
from PIL import Image

from engine.data.user.upload import written_once

NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
QUESTION = "Which digit is this?"
_SIDE = 96  # pixels; the digits have 8
_FOLDER = "digits-1"  # another number when what is written changes


def digits_folder() -> Path:
    """Return the folder in the lab's home, written when it is not there yet."""
    return written_once(_FOLDER, _write)


def _write(folder: Path) -> None:
    from sklearn.datasets import load_digits

    data = load_digits()
    with (folder / "metadata.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(("file_name", "question", "answer"))
        for number, (pixels, digit) in enumerate(zip(data.images, data.target, strict=True)):
            name = f"{number:04d}.png"
            grey = (255 - pixels * (255 / 16)).round().astype(np.uint8)  # ink on paper
            large = Image.fromarray(grey).resize((_SIDE, _SIDE), Image.Resampling.BICUBIC)
            large.convert("RGB").save(folder / name)
            table.writerow((name, QUESTION, NAMES[digit]))
