"""Uploads: what is in order is put in place, all else is refused and leaves nothing behind."""

import io
import stat
import struct
import zipfile

import pytest
from PIL import Image

from engine.config import ConfigError, Data
from engine.data.user import upload, zips
from engine.data.user.collection import collect
from tests.helpers.datasets_for_tests import encoded, jsonl, picture, row, write

TABLE = jsonl(row(0))


def packed(*entries, method=zipfile.ZIP_DEFLATED) -> bytes:
    """A zip of (name or ZipInfo, content) entries, repeated names included."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in entries:
            archive.writestr(name, content)
    return buffer.getvalue()


def link(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name)
    entry.create_system = 3
    entry.external_attr = (stat.S_IFLNK | 0o777) << 16
    return entry


def encrypted(data: bytes) -> bytes:
    """The same zip with the flag of an encrypted entry in every header."""
    data = bytearray(data)
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = data.find(mark)
        while at >= 0:
            (flags,) = struct.unpack_from("<H", data, at + offset)
            struct.pack_into("<H", data, at + offset, flags | 1)
            at = data.find(mark, at + 4)
    return bytes(data)


def lying(data: bytes, size: int) -> bytes:
    """The same zip, whose last entry says that it unpacks to ``size`` bytes."""
    data = bytearray(data)
    struct.pack_into("<I", data, data.rfind(b"PK\x01\x02") + 24, size)
    return bytes(data)


@pytest.fixture
def nothing_left(home):
    yield
    assert not any((home / "datasets").iterdir()) if (home / "datasets").exists() else True
    assert not (home.parent / "x.png").exists()


@pytest.mark.parametrize("top", ["", "my data/"])
def test_a_zip_is_unpacked_once_and_holds_tables_and_pictures_only(home, top):
    data = packed(
        (f"{top}metadata.jsonl", TABLE),
        (f"{top}0.png", picture()),
        (f"{top}run.py", "print()"),
        ("__MACOSX/0.png", b"x"),
        (f"{top}.hidden.png", b"x"),
    )
    folder = upload.unpack_zip(data)
    names = sorted(path.name for path in folder.rglob("*"))
    assert names == ["0.png", "left_out.json", "metadata.jsonl"]
    assert folder.is_relative_to(home / "datasets")
    assert upload.unpack_zip(data) == folder
    assert len(list((home / "datasets").iterdir())) == 1
    found = collect(f"folder:{folder}", Data())
    assert found.rows[0].answers == ("a0",)
    (problem,) = found.problems
    assert problem.kind == "file that is neither a table nor a picture"
    assert problem.first == f"{top}run.py" and problem.count == 1 and found.account.left_out == 0


def test_a_zip_with_splits_and_backslashes(home):
    data = packed(("train\\metadata.jsonl", TABLE), ("train\\0.png", picture()))
    (found,) = collect(f"folder:{upload.unpack_zip(data)}", Data()).rows
    assert found.split == "train"


@pytest.mark.parametrize("name", ["1.gif", "1.heic", "1.SVG"])
def test_a_picture_that_is_not_read_is_told_of_as_unreadable_not_as_missing(name):
    rows = jsonl(row(0), {**row(1), "file_name": name})
    data = packed(("metadata.jsonl", rows), ("0.png", picture()), (name, b"GIF89a"))
    (problem,) = collect(f"folder:{upload.unpack_zip(data)}", Data()).problems
    assert problem.kind == "unreadable picture" and problem.first.startswith(f"{name} (metadata")


@pytest.mark.parametrize("name", ["1.jfif", "1.JPE", "1", "1.data", "1.PNG"])
@pytest.mark.parametrize("way", ["zip", "table", "folder", "hub"])
def test_content_decides_what_a_picture_is_not_the_name(tmp_path, way, name):
    rows = jsonl(row(0), {**row(1), "file_name": name})
    photo = encoded(Image.new("RGB", (4, 4), 99), "JPEG")
    if way == "zip":
        folder = upload.unpack_zip(
            packed(("metadata.jsonl", rows), ("0.png", picture()), (name, photo))
        )
    elif way == "table":
        folder = upload.from_table("t.jsonl", rows.encode(), {"0.png": picture(), name: photo})
    else:
        files = {"metadata.jsonl": rows, "0.png": picture(), name: photo}
        folder = write(tmp_path / "d", files)
    found = collect(f"{'hub' if way == 'hub' else 'folder'}:{folder}", Data())
    assert len(found.rows) == 2 and not found.problems


NAMES = {
    "gbk": "\u4e2d\u6587\u56fe.png",
    "cp932": "\u65e5\u672c\u8a9e\u30bd.png",
    "cp437": "\u00e9t\u00e9.png",
    "cp850": "\u00d8re.png",
    "cp1252": "\u00d8re\u0153.png",
    "cp866": "\u043a\u043e\u0442.png",
    "cp949": "\ud55c\uad6d.png",
    "utf-8": "\u0939\u093f.png",
}


@pytest.mark.parametrize("encoding", NAMES)
@pytest.mark.parametrize("table", ["metadata.jsonl", "metadata.csv"])
def test_names_in_the_code_page_of_another_country_are_those_of_the_table(encoding, table):
    name = NAMES[encoding]
    rows = jsonl({**row(0), "file_name": f"p/{name}"})
    if table.endswith("csv"):
        rows = f"file_name,question,answer\np/{name},what?,a0\n"
    data = foreign(packed((table, rows), ("p/X", picture())), b"p/X", f"p/{name}".encode(encoding))
    folder = upload.unpack_zip(data)
    assert (folder / "p" / name).is_file()
    assert len(collect(f"folder:{folder}", Data()).rows) == 1


def foreign(data: bytes, name: bytes, other: bytes) -> bytes:
    """The same zip with another name for an entry, as bytes without the flag of UTF-8."""
    source, buffer = zipfile.ZipFile(io.BytesIO(data)), io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for entry in source.infolist():
            is_it = entry.filename.encode() == name
            shown = other.decode("cp437") if is_it else entry.filename
            info = AsTheyAre(shown)
            archive.writestr(info, source.read(entry))
    return buffer.getvalue()


class AsTheyAre(zipfile.ZipInfo):
    """An entry whose name is written as one byte per letter, with no word on its encoding."""

    def _encodeFilenameFlags(self):
        return self.filename.encode("cp437"), self.flag_bits


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ([("../x.png", b"x")], "'../x.png' in the zip leads out"),
        ([("a/../../x.png", b"x")], "leads out"),
        ([("/x.png", b"x")], "leads out"),
        ([("C:\\x.png", b"x")], "leads out"),
        ([("..\\x.png", b"x")], "leads out"),
        ([(link("0.png"), "/etc/passwd")], "is a link"),
        ([("0.png", b"1"), ("0.png", b"2")], "two files called '0.png'"),
        ([("0.png", b"1"), ("0.PNG", b"2")], "two files called"),
        ([("0.png", b"1"), ("0.png/1.png", b"2")], "both a file and a folder"),
        ([("big.png", b"\0" * 11 * 2**20)], "11.0 MB; at most 10 MB"),
        ([("flat.png", b"\0" * 5 * 2**20)], "unpacks to far more"),
        ([("metadata.csv", "x")], "the zip has both"),
    ],
)
@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.usefixtures("nothing_left")
def test_a_zip_that_is_not_in_order_is_refused(entries, words):
    with pytest.raises(ConfigError) as caught:
        upload.unpack_zip(packed(("metadata.jsonl", TABLE), *entries))
    assert str(caught.value).startswith("dataset: ") and words in str(caught.value)
    assert ".upload-" not in str(caught.value)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "not a whole zip file"),
        (b"hello", "not a whole zip file"),
        (packed(("metadata.jsonl", TABLE), ("0.png", picture()))[:-30], "not a whole zip file"),
        (packed(("0.png", picture())), "no metadata.csv or metadata.jsonl"),
        (encrypted(packed(("metadata.jsonl", TABLE))), "is encrypted"),
        (lying(packed(("metadata.jsonl", TABLE * 999)), 10), "not a whole zip file"),
        (lying(packed(("metadata.jsonl", TABLE)), 2**32 - 2), "unpacks to more than 2048 MB"),
    ],
    ids=["nothing", "text", "cut off", "no table", "encrypted", "says less", "says more"],
)
@pytest.mark.usefixtures("nothing_left")
def test_what_is_no_usable_zip_is_refused(data, words):
    with pytest.raises(ConfigError) as caught:
        upload.unpack_zip(data)
    assert str(caught.value).startswith("dataset: ") and words in str(caught.value)


@pytest.mark.usefixtures("nothing_left")
def test_too_many_entries_are_refused(monkeypatch):
    monkeypatch.setattr(zips, "MAX_ENTRIES", 2)
    with pytest.raises(ConfigError, match="3 entries; at most 2"):
        upload.unpack_zip(packed(("metadata.jsonl", TABLE), ("a.png", b""), ("b.png", b"")))


def test_a_table_and_pictures_become_a_folder(home):
    folder = upload.from_table("My answers.CSV", b"image,question,answer\n0.png,q,a\n",
                               {"0.png": picture()})  # fmt: skip
    assert sorted(path.name for path in folder.iterdir()) == ["0.png", "metadata.csv"]
    assert len(collect(f"folder:{folder}", Data()).rows) == 1
    same = upload.from_table("x.csv", b"image,question,answer\n0.png,q,a\n", {"0.png": picture()})
    other = upload.from_table("x.csv", b"image,question,answer\n0.png,q,b\n", {"0.png": picture()})
    assert same == folder and other != folder
    assert len(list((home / "datasets").iterdir())) == 2


def test_pictures_go_into_the_folder_that_the_table_names():
    table = b"image,question,answer,url\n"
    table += b"pictures/0.png,q,a,https://x.org/0.png\npictures\\1.png,q,b,\n2.png,q,c,e/2.png\n"
    pictures = {f"{n}.png": picture(n) for n in range(3)}
    folder = upload.from_table("t.csv", table, pictures)
    assert sorted(str(p.relative_to(folder)) for p in folder.rglob("*.png")) == [
        "2.png", "pictures/0.png", "pictures/1.png",
    ]  # fmt: skip
    assert len(collect(f"folder:{folder}", Data()).rows) == 3


def test_a_bare_name_that_stands_for_two_pictures_stays_bare():
    table = b"image,question,answer\na/0.png,q,a\nb/0.png,q,b\n1.png,q,c\n"
    folder = upload.from_table("t.csv", table, {"0.png": picture(0), "1.png": picture(1)})
    found = collect(f"folder:{folder}", Data())
    assert len(found.rows) == 1 and found.problems[0].count == 2


@pytest.mark.parametrize(
    ("name", "pictures", "words"),
    [
        ("table.xlsx", {}, ".csv or .jsonl file (got 'table.xlsx')"),
        ("t.csv", {"../x.png": b"x"}, "leads out of the folder"),
        ("t.csv", {"/x.png": b"x"}, "leads out of the folder"),
        ("t.csv", {"metadata.jsonl": b"{}"}, "not named as a picture"),
        ("t.csv", {"a.png": b"", "./a.png": b""}, "the same name"),
        ("t.csv", {"x" * 300 + ".png": b""}, "cannot be stored (File name too long)"),
        ("t.csv", {"big.png": b"x" * (11 * 2**20)}, "big.png is too large"),
    ],
)
@pytest.mark.usefixtures("nothing_left")
def test_a_table_or_pictures_not_in_order_are_refused(name, pictures, words):
    with pytest.raises(ConfigError) as caught:
        upload.from_table(name, b"x", pictures)
    assert words in str(caught.value)
