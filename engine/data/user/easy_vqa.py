"""easy-VQA, a public set of shapes and questions about them, as folders of pictures and tables.

It comes as a package, so nothing is downloaded; from the folder on it goes the way of people's own
data, the package's own training and test parts apart. (Zhou, easy-VQA 2020, MIT licence.)
"""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

from engine.data.user.upload import written_once

_FOLDER = "easy-vqa-1"  # another number when what is written changes


def easy_vqa_folder() -> Path:
    """Return the folder in the lab's home, written when it is not there yet."""
    return written_once(_FOLDER, _write)


def _write(folder: Path) -> None:
    import easy_vqa

    parts = {
        "train": (easy_vqa.get_train_questions(), easy_vqa.get_train_image_paths()),
        "test": (easy_vqa.get_test_questions(), easy_vqa.get_test_image_paths()),
    }
    for part, (asked, pictures) in parts.items():
        (folder / part).mkdir()
        with (folder / part / "metadata.csv").open("w", newline="", encoding="utf-8") as file:
            table = csv.writer(file)
            table.writerow(("file_name", "question", "answer"))
            for question, answer, number in zip(*asked, strict=True):
                table.writerow((f"{number:04d}.png", question, answer))
        for number, picture in pictures.items():
            shutil.copyfile(picture, folder / part / f"{number:04d}.png")
