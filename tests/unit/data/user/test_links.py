"""Paths that lead somewhere by another way: links, absolute names, and links to nowhere."""

import os
from pathlib import Path

import pytest

from engine.config import Data
from engine.data.user.collection import collect
from engine.data.user.folder import within
from engine.system.files import file_state
from tests.helpers.datasets_for_tests import jsonl, picture, plain, row, write


def rows_of(folder, prefix):
    rows = [{**row(n), "file_name": f"{prefix}/{n}.png"} for n in range(3)]
    write(folder, {"metadata.jsonl": jsonl(*rows)})
    return collect(f"folder:{folder}", Data())


def test_absolute_names_through_a_linked_folder_are_inside(tmp_path):
    folder = plain(tmp_path / "real" / "d")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    (tmp_path / "other").symlink_to(folder)
    for named, asked in (
        (tmp_path / "link" / "d", folder),
        (folder, tmp_path / "link" / "d"),
        (tmp_path / "link" / "d", tmp_path / "other"),
        (tmp_path / "other", tmp_path / "link" / "d"),
        (folder, folder),
    ):
        rows = [{**row(n), "file_name": f"{named}/{n}.png"} for n in range(3)]
        write(folder, {"metadata.jsonl": jsonl(*rows)})
        found = collect(f"folder:{asked}", Data())
        assert len(found.rows) == 3 and not found.problems, (named, asked)


def test_absolute_names_elsewhere_and_ways_out_stay_outside(tmp_path):
    folder = plain(tmp_path / "d")
    write(tmp_path, {"0.png": picture()})
    (tmp_path / "twin").symlink_to(tmp_path)
    for name in ("../0.png", f"{tmp_path}/0.png", f"{tmp_path}/twin/0.png"):
        assert within(folder, folder / name) is None
    assert within(folder, tmp_path / "twin" / "d" / "0.png") == folder / "0.png"
    assert within(folder, Path("/")) is None


def test_a_link_inside_of_the_folder_means_what_it_points_to(tmp_path):
    folder = plain(tmp_path / "d")
    write(tmp_path, {"elsewhere/0.png": picture(7)})
    (folder / "0.png").unlink()
    (folder / "0.png").symlink_to(tmp_path / "elsewhere" / "0.png")
    (folder / "p").symlink_to(tmp_path / "elsewhere")
    write(folder, {"metadata.jsonl": jsonl(row(0), {**row(1), "file_name": "p/0.png"})})
    assert len(collect(f"folder:{folder}", Data()).rows) == 2


@pytest.mark.parametrize("way", ["folder", "hub", "library"])
def test_links_to_nowhere_and_in_circles_are_missing_pictures(tmp_path, way):
    folder = plain(tmp_path / "d")
    for name, target in (("1.png", "nowhere.png"), ("2.png", "2.png"), ("spare.png", "none")):
        (folder / name).unlink(missing_ok=True)
        (folder / name).symlink_to(folder / target)
    if way == "library":  # what the lab reads by itself is read as a folder
        (folder / "data").mkdir()
        for path in list(folder.iterdir()):
            if path.is_symlink() or path.is_file():
                path.rename(folder / "data" / path.name)
    found = collect(f"{'folder' if way == 'folder' else 'hub'}:{folder}", Data())
    assert found.account.left_out == 2 and len(found.rows) == 1
    if way != "library":
        assert [(p.kind, p.count) for p in found.problems] == [("missing picture", 2)]


def test_a_data_set_whose_files_are_links_is_read_as_the_hub_does(tmp_path):
    stored = plain(tmp_path / "blobs")
    folder = tmp_path / "snapshot"
    folder.mkdir()
    for path in stored.iterdir():
        (folder / path.name).symlink_to(path)
    assert len(collect(f"hub:{folder}", Data()).rows) == 3


def test_there_is_one_reader_of_the_state_of_a_file(tmp_path):
    write(tmp_path, {"a": b"xy"})
    os.utime(tmp_path / "a", (1, 1))
    (tmp_path / "to_nowhere").symlink_to(tmp_path / "b")
    assert file_state(tmp_path / "a") == (2, 10**9)
    for name in ("b", "to_nowhere", ".", "a\0b", "x" * 5000, "a/b"):
        assert file_state(tmp_path / name) is None
