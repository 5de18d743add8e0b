"""Data that are as they should be, and how they are read."""

import os
import shutil
import unicodedata

import pytest

from engine.config import ConfigError, Data
from engine.data.user import checking
from engine.data.user.collection import collect
from tests.helpers.datasets_for_tests import jsonl, picture, plain, row, write


def read(folder, **data):
    return collect(f"folder:{folder}", Data(**data))


def problems(collection):
    return {problem.kind: problem.count for problem in collection.problems}


def test_jsonl_becomes_rows_in_order(tmp_path):
    found = read(plain(tmp_path / "d"))
    assert [r.answers for r in found.rows] == [("a0",), ("a1",), ("a2",)]
    assert all(r.picture.is_absolute() and r.picture.is_file() for r in found.rows)
    assert found.columns == {"image": "file_name", "question": "question", "answer": "answer"}
    assert found.problems == () and found.clients == {} and found.metric == "exact"
    assert found.folder == tmp_path / "d"


@pytest.mark.parametrize("mark", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_csv_as_spreadsheets_write_it(tmp_path, mark, encoding, newline):
    lines = [["file_name", "question", "answer"], ["0.png", '"Où, ""ici""; là?"', "été"]]
    table = newline.join(mark.join(line) for line in lines) + newline
    write(tmp_path, {"metadata.csv": table.encode(encoding), "0.png": picture()})
    (found,) = read(tmp_path).rows
    assert (found.question, found.answers) == ('Où, "ici"; là?', ("été",))


def test_a_field_may_have_lines_of_its_own(tmp_path):
    table = 'file_name,question,answer\n0.png,"one\ntwo",yes\n\n1.png,what?,no\n'
    write(tmp_path, {"metadata.csv": table, "0.png": picture(), "1.png": picture(1)})
    assert [r.question for r in read(tmp_path).rows] == ["one\ntwo", "what?"]


def test_a_line_separator_inside_of_json_does_not_end_the_line(tmp_path):
    table = '{"file_name": "0.png", "question": "one\u2028two", "answer": "x"}\n'
    write(tmp_path, {"metadata.jsonl": table, "0.png": picture()})
    assert read(tmp_path).rows[0].question == "one\u2028two"


@pytest.mark.parametrize(
    ("value", "text"),
    [(3, "3"), (2.5, "2.5"), (4.0, "4"), (0, "0"), (True, "true"), (False, "false"), (" x ", "x")],
)
def test_answers_that_are_no_text_become_text(tmp_path, value, text):
    write(tmp_path, {"metadata.jsonl": jsonl(row(0, answer=value)), "0.png": picture()})
    assert read(tmp_path).rows[0].answers == (text,)


def test_the_commonest_reference_is_first_and_the_metric_is_that_of_vqa(tmp_path):
    answers = [["b", "a", "a"], ["x", "y"], [{"answer": "cat"}, {"answer": "dog"}]]
    rows = [row(n, answer=answer) for n, answer in enumerate(answers)]
    files = {f"{n}.png": picture(n) for n in range(3)}
    found = read(write(tmp_path, {"metadata.jsonl": jsonl(*rows), **files}))
    assert [r.answers for r in found.rows] == [("a", "a", "b"), ("x", "y"), ("cat", "dog")]
    assert found.metric == "vqa"


@pytest.mark.parametrize(
    ("words", "metric"), [(1, "exact"), (3, "exact"), (4, "token_f1"), (10, "token_f1"),
                          (11, "rouge_l")]
)  # fmt: skip
def test_the_metric_follows_the_length_of_answers(tmp_path, words, metric):
    plain(tmp_path, answer=" ".join(["word"] * words))
    assert read(tmp_path).metric == metric
    assert read(tmp_path, metric="exact").metric == "exact"


def test_columns_are_guessed_by_name_or_said(tmp_path):
    values = {"img": "0.png", "Prompt": "what?", "label": "cat", "Hospital": "A", "other": "b"}
    write(tmp_path, {"metadata.jsonl": jsonl(values), "0.png": picture()})
    found = read(tmp_path)
    assert found.columns == {
        "image": "img", "question": "Prompt", "answer": "label", "client": "Hospital",
    }  # fmt: skip
    assert read(tmp_path, answer="other").rows[0].answers == ("b",)
    assert read(tmp_path, client="other").clients == {"b": 1}


def test_clients_are_counted_commonest_first(tmp_path):
    files = {f"{n}.png": picture(n) for n in range(4)}
    rows = [row(n, client=client) for n, client in enumerate([7, "b", "b", None])]
    found = read(write(tmp_path, {"metadata.jsonl": jsonl(*rows), **files}))
    assert list(found.clients.items()) == [("b", 2), ("7", 1)]
    assert len(found.rows) == 4 and problems(found) == {"row without a client": 1}


@pytest.mark.parametrize(
    ("places", "splits"),
    [
        (["train", "test"], ["train", "test"]),
        (["train", "validation"], ["train", "test"]),
        (["train", "test", "dev"], ["train", "test", "train"]),
    ],
)
def test_splits_by_the_folder_of_the_table(tmp_path, places, splits):
    for number, place in enumerate(places):
        write(tmp_path / place, {
            "metadata.jsonl": jsonl(row(number)), f"{number}.png": picture(number),
        })  # fmt: skip
    assert [r.split for r in read(tmp_path).rows] == splits


def test_splits_by_a_column_or_by_the_folder_of_the_picture(tmp_path):
    rows = [row(n, split=s) for n, s in enumerate(["Train", "val", "", "later"])]
    by_column = {"metadata.jsonl": jsonl(*rows), **{f"{n}.png": picture(n) for n in range(4)}}
    found = read(write(tmp_path / "column", by_column))
    assert [r.split for r in found.rows] == ["train", "test", "", ""]
    assert problems(found) == {"split that is none of train, validation, test: ignored": 1}
    rows = [{**row(0), "file_name": "train/0.png"}, {**row(1), "file_name": "test/1.png"}]
    files = {"metadata.jsonl": jsonl(*rows), "train/0.png": picture(), "test/1.png": picture(1)}
    assert [r.split for r in read(write(tmp_path / "top", files)).rows] == ["train", "test"]


def test_no_more_rows_than_asked_for_and_a_quarter_for_testing(tmp_path):
    files = {f"{n}.png": picture(n) for n in range(60)}
    rows = [row(n, split="test" if n >= 50 else "train") for n in range(60)]
    found = read(write(tmp_path, {"metadata.jsonl": jsonl(*rows), **files}), rows=20)
    assert [r.split for r in found.rows].count("test") == 5 and len(found.rows) == 20
    assert problems(found) == {"more rows than data.rows": 40}
    numbers = [int(r.picture.stem) for r in found.rows]
    assert numbers == sorted(numbers) and numbers[14] > 20  # not simply the first ones


def test_a_second_call_reads_nothing_again(tmp_path, monkeypatch):
    folder = plain(tmp_path / "d")
    first = read(folder)
    monkeypatch.setattr(checking, "_look", lambda path: pytest.fail(f"{path} was read again"))
    assert read(folder) is first
    assert read(folder, rows=16).digest == first.digest  # not in memory, but known on disk


def test_the_digest_changes_with_a_picture_and_with_a_table(tmp_path):
    folder = plain(tmp_path / "d")
    before = read(folder)
    os.utime(folder / "1.png", (1, 1))
    touched = read(folder)
    assert touched.state != before.state and touched.digest == before.digest
    write(folder, {"1.png": picture(9)})
    assert read(folder).digest != before.digest
    (folder / "metadata.jsonl").write_text(jsonl(row(0)))
    assert read(folder).digest != before.digest and len(read(folder).rows) == 1
    write(folder, {"metadata.csv": "file_name,question,answer\n"})
    with pytest.raises(ConfigError, match="both"):
        read(folder)


def test_the_digest_is_that_of_the_content_wherever_it_is(tmp_path):
    here = plain(tmp_path / "here")
    there = shutil.copytree(here, tmp_path / "there")
    (there / "1.png").rename(there / "one.png")
    rows = [row(0), {**row(1), "file_name": "one.png"}, row(2)]
    (there / "metadata.jsonl").write_text(jsonl(*rows))
    assert read(here).digest == read(there).digest
    (there / "metadata.jsonl").write_text(jsonl(*rows[:2], row(2, answer="b")))
    assert read(here).digest != read(there).digest


def test_a_picture_that_appears_later_is_seen(tmp_path):
    folder = plain(tmp_path / "d")
    (folder / "1.png").unlink()
    assert problems(read(folder)) == {"missing picture": 1}
    write(folder, {"1.png": picture(1)})
    assert read(folder).problems == ()


def test_a_name_with_an_accent_is_found_as_macos_and_as_others_write_it(tmp_path):
    for form, other in (("NFC", "NFD"), ("NFD", "NFC")):
        folder = tmp_path / form
        name, stored = (unicodedata.normalize(f, "été.png") for f in (form, other))
        write(folder, {"metadata.jsonl": jsonl({**row(0), "file_name": name}), stored: picture()})
        assert read(folder).rows[0].picture == folder / stored


def test_a_name_in_other_capitals_is_found_where_one_file_can_be_meant(tmp_path):
    names = ["Photos/A.PNG", "photos/b.png", "PHOTOS/É.png", "photos/c.png"]
    rows = [{**row(n), "file_name": name} for n, name in enumerate(names)]
    files = {f"photos/{unicodedata.normalize('NFD', name)}": picture(n)
             for n, name in enumerate(["a.png", "B.png", "é.PNG", "C.png", "c.Png"])}  # fmt: skip
    found = read(write(tmp_path, {"metadata.jsonl": jsonl(*rows), **files}))
    assert [r.answers for r in found.rows] == [("a0",), ("a1",), ("a2",)]
    assert problems(found) == {"missing picture": 1}, "C.png or c.Png?"


def test_home_is_understood(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    plain(tmp_path / "x")
    assert len(collect("folder:~/x", Data()).rows) == 3
