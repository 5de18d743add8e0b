"""The files that the documentation names are there."""

import re

import pytest

from engine.paths import ROOT

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
# In backticks: a path below one of the top folders, or one of the files beside them.
_PATH = re.compile(r"`((?:app|assets|benchmarks|db|docs|engine|pages|tests)/[\w./-]*)`")


def named(text: str) -> set[str]:
    """Paths in the prose, and the rooms in the boxes of a diagram."""
    boxes = re.findall(r'^\s*\w+\["(.+?):', text, re.MULTILINE)
    rooms = {room for box in boxes for room in re.split(r", | and ", box)}
    return set(_PATH.findall(text)) | rooms


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_file_that_a_page_names_exists(page):
    paths = named(page.read_text(encoding="utf-8"))
    assert paths
    assert [path for path in sorted(paths) if not (ROOT / path).exists()] == []


def test_every_room_is_in_the_picture():
    rooms = named((ROOT / "docs" / "architecture.md").read_text(encoding="utf-8"))
    folders = {f"engine/{path.parent.name}" for path in (ROOT / "engine").glob("*/__init__.py")}
    assert folders <= rooms and {"db", "pages/", "app/"} <= rooms
