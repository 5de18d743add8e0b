"""The files that the documentation names are there."""

import re

import pytest

from engine.paths import ROOT

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
MADE_UP = {"engine/strategies/damped.py"}  # the reader's own, in docs/extending.md
# In backticks: a path below one of the top folders.
_PATH = re.compile(r"`((?:app|assets|benchmarks|db|docs|engine|pages|tests)/[\w./-]*)`")


def rooms() -> set[str]:
    """The rooms in the boxes of the picture."""
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    boxes = re.findall(r'^\s*\w+\["(.+?):', text, re.MULTILINE)
    return {room for box in boxes for room in re.split(r", | and ", box)}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_file_that_a_page_names_exists(page):
    paths = set(_PATH.findall(page.read_text(encoding="utf-8"))) - MADE_UP
    assert paths
    assert [path for path in sorted(paths) if not (ROOT / path).exists()] == []


def test_the_picture_has_every_room_and_no_other():
    folders = {f"engine/{path.parent.name}" for path in (ROOT / "engine").glob("*/__init__.py")}
    assert folders <= rooms() and {"db", "pages/", "app/"} <= rooms()
    assert [room for room in sorted(rooms()) if not (ROOT / room).exists()] == []
