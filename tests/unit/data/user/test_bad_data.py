"""Data that are broken: a right result with what was left out, or one clear sentence."""

import json

import numpy as np
import pytest
from PIL import Image

from engine.config import ConfigError, Data
from engine.data.pictures import check_picture, read_picture
from engine.data.user.collection import collect
from tests.helpers.datasets_for_tests import encoded, jsonl, noise, picture, plain, row, write

HEADER = "file_name,question,answer\n"


def read(folder, **data):
    return collect(f"folder:{folder}", Data(**data))


def refusal(folder, **data):
    with pytest.raises(ConfigError) as caught:
        read(folder, **data)
    sentence = str(caught.value)
    assert "\n" not in sentence and "Traceback" not in sentence
    return sentence


def the_problem(folder):
    """The only problem of a folder from which rows can be used."""
    found = read(folder)
    assert found.rows
    (problem,) = found.problems
    return problem


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({}, "there is no folder"),
        ({"notes.txt": "x"}, "no metadata.csv or metadata.jsonl"),
        ({"metadata.csv": ""}, "metadata.csv is empty"),
        ({"metadata.csv": HEADER}, "no usable row"),
        ({"metadata.csv": HEADER, "metadata.jsonl": "{}"}, "both metadata.jsonl and metadata.csv"),
        ({"metadata.csv": HEADER, "train/metadata.csv": HEADER}, "at its root and one in train"),
        ({"metadata.csv": "file_name,answer,answer\n"}, "two columns called 'answer'"),
        ({"metadata.csv": '"file_name,question\n'}, "quotes in the first line"),
        ({"metadata.csv": (HEADER + "0.png,où?,été\n").encode("latin-1")}, "not UTF-8"),
        ({"metadata.csv": picture()}, "not UTF-8"),
        ({"metadata.csv": b"a\0b"}, "not a text file"),
        ({"metadata.jsonl": "[1, 2]\n{oops\n"}, "malformed line (2; first: metadata.jsonl, line 1"),
        ({"metadata.csv": "a,b\n1,2\n"}, "picture or the question or the answer"),
        ({"metadata.csv": "a,b\n1,2\n"}, "data.image, data.question, data.answer"),
        ({"metadata.csv": "file_name,b,question\n1,2,3\n"}, "there are: file_name, b, question"),
        ({"metadata.jsonl": jsonl(row(0), row(1))}, "missing picture (2; first: 0.png"),
    ],
)
def test_a_folder_that_cannot_be_used_gives_one_sentence(tmp_path, files, words):
    sentence = refusal(write(tmp_path / "d", files))
    assert sentence.startswith("dataset: ") and words in sentence


def test_an_empty_folder_a_file_and_other_data_are_refused(tmp_path):
    assert "is empty" in refusal(tmp_path)
    write(tmp_path, {"metadata.csv": HEADER})
    assert "is a file" in refusal(tmp_path / "metadata.csv")
    with pytest.raises(ConfigError, match="folder:PATH or hub:NAME"):
        collect("world", Data())


@pytest.mark.parametrize("path", ["x" * 5000, "a\0b", "~nobody-of-that-name/x"])
def test_a_path_that_no_system_takes_is_refused(path):
    assert "is not a path that can be opened" in refusal(path)


@pytest.mark.parametrize("role", ["image", "question", "answer", "client"])
def test_a_column_that_is_not_there_is_named_with_those_that_are(tmp_path, role):
    sentence = refusal(plain(tmp_path), **{role: "nope"})
    assert sentence == (
        f"data.{role}: there is no column 'nope'; there are: file_name, question, answer"
    )


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("{not json", "malformed line"),
        ("[1, 2]", "malformed line"),
        ("[" * 100_000, "malformed line"),
        ('{"file_name": "0.png", "question": " ", "answer": "x"}', "empty question"),
        ('{"file_name": "0.png", "answer": "x"}', "empty question"),
        ('{"file_name": "0.png", "question": "q", "answer": null}', "empty answer"),
        ('{"file_name": "0.png", "question": "q", "answer": NaN}', "empty answer"),
        ('{"file_name": "0.png", "question": "q", "answer": [""]}', "empty answer"),
        ('{"file_name": "", "question": "q", "answer": "x"}', "no picture named"),
        ('{"file_name": "../../etc/x.png", "question": "q", "answer": "x"}', "outside"),
        ('{"file_name": "/etc/x.png", "question": "q", "answer": "x"}', "outside"),
        ('{"file_name": "..\\\\x.png", "question": "q", "answer": "x"}', "outside"),
        ('{"file_name": "no.png", "question": "q", "answer": "x"}', "missing picture"),
        ('{"file_name": ".", "question": "q", "answer": "x"}', "missing picture"),
        (json.dumps({**row(0), "file_name": "x" * 5000}), "missing picture"),
        ('{"file_name": "a\\u0000\\ud800.png", "question": "q", "answer": "x"}', "missing picture"),
        ('{"file_name": "0.png", "question": "what?", "answer": "a0"}', "duplicate row"),
        ('{"file_name": "copy.png", "question": "what?", "answer": "a0"}', "duplicate row"),
    ],
)
def test_a_row_that_cannot_be_used_is_left_out_and_told_of(tmp_path, line, kind):
    table = jsonl(row(0)) + line + "\n"
    write(tmp_path, {"metadata.jsonl": table, "0.png": picture(), "copy.png": picture()})
    problem = the_problem(tmp_path)
    assert kind in problem.kind and problem.count == 1 and "line 2" in problem.first
    assert len(read(tmp_path).rows) == 1


@pytest.mark.parametrize("line", ["0.png,what?", "0.png,what?,yes,no", '0.png,"wh"at?,yes'])
def test_a_csv_line_with_other_fields_is_left_out(tmp_path, line):
    table = HEADER + "0.png,what?,yes\n" + line + "\n1.png,what?,no\n"
    write(tmp_path, {"metadata.csv": table, "0.png": picture(), "1.png": picture(1)})
    problem = the_problem(tmp_path)
    assert (problem.kind, problem.first) == ("malformed line", "metadata.csv, line 3")
    assert [r.answers[0] for r in read(tmp_path).rows] == ["yes", "no"]


def test_every_line_that_an_open_quote_swallows_is_counted(tmp_path):
    table = HEADER + '0.png,what?,yes\n1.png,"what?,no\n2.png,what?,no\n'
    write(tmp_path, {"metadata.csv": table, "0.png": picture()})
    assert the_problem(tmp_path).count == 2


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty"),
        (noise("PNG")[:2000], "cut off or damaged"),
        (noise("JPEG")[:2000], "cut off or damaged"),
        (noise("WEBP")[:2000], "cut off or damaged"),
        (b"%PDF-1.4", "not a picture"),
        (encoded(Image.new("L", (50_000, 501))), "50000 × 501 pixels"),
        (encoded(Image.new("1", (30_000, 30_000))), "too many pixels"),
        (b"\x89PNG" + b"x" * 11_000_000, "10.5 MB"),
        (
            encoded(
                Image.new("L", (4, 4)),
                "GIF",
                save_all=True,
                append_images=[Image.new("L", (4, 4), 9)],
            ),
            "This is a GIF of 2 moving pictures",
        ),
    ],
    ids=["0 bytes", "png", "jpeg", "webp", "pdf", "50,000 wide", "bomb", "too large", "gif"],
)
def test_an_unreadable_picture_is_left_out_with_its_reason(tmp_path, content, reason):
    write(tmp_path, {"metadata.jsonl": jsonl(row(0), row(1)), "0.png": picture(), "1.png": content})
    for _ in range(2):  # the second time from memory
        problem = the_problem(tmp_path)
        assert problem.kind == "unreadable picture" and problem.count == 1
        assert problem.first.startswith("1.png (metadata.jsonl, line 2)")
        assert reason in problem.first


def test_a_very_wide_and_flat_picture_can_be_used():
    wide = encoded(Image.new("RGB", (50_000, 3), (200, 10, 10)), "JPEG")
    check_picture(wide)
    assert read_picture(wide).shape == (3, 50_000, 3)


def test_cmyk_has_the_right_colours_and_exif_turns_the_picture():
    red = encoded(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG")
    check_picture(red)
    assert np.allclose(read_picture(red)[4, 4], (255, 0, 0), atol=3)
    halves = Image.new("L", (16, 8))
    halves.paste(255, (0, 0, 8, 8))  # the left half is white
    exif = halves.getexif()
    exif[0x0112] = 6  # to be turned to the right: the left becomes the top
    upright = read_picture(encoded(halves, "JPEG", exif=exif))
    assert upright.shape == (16, 8, 3)
    assert upright[:7].min() > 240 and upright[9:].max() < 15


@pytest.mark.filterwarnings("ignore:Tag data larger", "ignore:Corrupt EXIF")
def test_broken_notes_about_a_whole_picture_do_not_matter():
    notes = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x09\0\xff\xff\xff\x7f\x06\0\0\0"
    assert read_picture(encoded(Image.new("RGB", (4, 2)), "JPEG", exif=notes)).shape[2] == 3


def test_a_scan_with_16_bits_keeps_its_shades():
    values = np.linspace(0, 40_000, 16, dtype=np.uint16).reshape(4, 4)
    shades = read_picture(encoded(Image.fromarray(values)))[..., 0].ravel().tolist()
    assert shades[0] == 0 and shades[-1] == 255 and len(set(shades)) == 16


def test_what_is_in_the_test_is_not_trained_on_under_any_name(tmp_path):
    train = jsonl(row(0), {**row(1), "question": "else?"})
    write(tmp_path, {
        "train/metadata.jsonl": train, "train/0.png": picture(5), "train/1.png": picture(5),
        "test/metadata.jsonl": jsonl(row(9)), "test/9.png": picture(5),
    })  # fmt: skip
    problem = the_problem(tmp_path)
    assert problem.kind == "same picture and question in train and test"
    assert problem.first == "0.png (train/metadata.jsonl, line 1)"
    assert [(r.split, r.question) for r in read(tmp_path).rows] == [
        ("train", "else?"), ("test", "what?"),
    ]  # fmt: skip


def test_a_client_that_lost_all_of_its_rows_is_told_of(tmp_path):
    rows = [row(0, client="north"), row(1, client="south")]
    write(tmp_path, {"metadata.jsonl": jsonl(*rows), "0.png": picture(), "1.png": b""})
    found = read(tmp_path)
    assert found.clients == {"north": 1}
    told = {problem.kind: problem.first for problem in found.problems}
    assert told["client without a usable row"] == "south" and "unreadable picture" in told
