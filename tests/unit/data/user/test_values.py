"""Cells of many forms: understood, empty, or named as what they are."""

import datetime

import pytest

from engine.config import Data
from engine.data.user.collection import collect
from engine.data.user.values import as_answers, as_name, as_text
from engine.data.user.written_out import NotUnderstood
from tests.helpers.datasets_for_tests import jsonl, picture, row, write


@pytest.mark.parametrize(
    ("value", "answers"),
    [
        ("['red', 'red', 'grey']", ("red", "red", "grey")),
        ("['red' 'red' 'grey']", ("red", "red", "grey")),
        ("['red'\n 'red'\n \"it's\"]", ("red", "red", "it's")),
        ("array(['red', 'x'], dtype=object)", ("red", "x")),
        ('["red", null]', ("red",)),
        ("['red', nan]", ("red",)),
        ("('a', 'b')", ("a", "b")),
        ("{'b', 'a'}", ("a", "b")),
        ("[['red', 0.3], ['blue', 1.0]]", ("blue", "red")),
        ("[{'answer': 'a'} {'answer': 'b'}]", ("a", "b")),
        ('{"text": ["red"], "answer_start": [0]}', ("red",)),
        ("[]", ()),
        ("['']", ()),
        ({"text": ["red"], "answer_start": [0]}, ("red",)),
        ({"text": [], "answer_start": []}, ()),
        ({"answer": None, "text": ["red"]}, ("red",)),
        ([["red", 1.0]], ("red",)),
        ([["red", 1], ["grey", 3]], ("grey", "red")),
        ({"net": 1.0, "racket": 0.3, "ball": 0}, ("net", "racket")),
        ([["a", "b"], ["c"]], ("a", "b", "c")),
        ({"answers": [{"answer": "z"}]}, ("z",)),
        ([{"answer": "yes", "answer_confidence": "no"}], ("yes",)),
        (datetime.date(2020, 1, 2), ("2020-01-02",)),
        (float("inf"), ("inf",)),
        ({}, ()),
        ([[]], ()),
    ],
    ids=str,
)
def test_answers_in_the_forms_that_data_sets_use(value, answers):
    assert as_answers(value) == answers


@pytest.mark.parametrize(
    "text",
    ["[12, 30, 40, 50]", "[0.5 0.2]", "(A) red", "[sic]", '{"gt": {"x": 1}}', "'red'", "[",
     '[{"name": "a", "price": 3}]', "{x}", "['", "[[", "b'x'", "None", "NA"],
)  # fmt: skip
def test_text_that_is_no_list_of_answers_stays_text(text):
    if text == "['":
        with pytest.raises(NotUnderstood, match="a list that is not whole"):
            as_answers(text)
    else:
        assert as_answers(text) == (text,)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"x": 12, "y": 30}, "a table of x, y"),
        (b"red", "of the type bytes"),
        ([b"red"], "of the type bytes"),
        ("['red', 'gre", "a list that is not whole"),
        ("['a' ... 'b']", "a list that is not whole"),
        ([10.5, 20, 30, 40], "a list of 4 numbers"),
    ],
)
def test_answers_that_are_there_but_not_understood_say_what_they_are(value, words):
    with pytest.raises(NotUnderstood, match=words):
        as_answers(value)


def test_the_one_picture_of_a_cell():
    for value in ("0.png", ["0.png"], {"path": "0.png"}, [{"file_name": "0.png"}], "['0.png']"):
        assert as_name(value) == "0.png"
    for value in (None, [], {}, ""):
        assert as_name(value) == ""
    with pytest.raises(NotUnderstood, match="2 pictures in one row"):
        as_name(["0.png", "1.png"])
    assert as_text(["only"]) == "only"
    with pytest.raises(NotUnderstood, match="a list of 2"):
        as_text(["a", "b"])


@pytest.mark.parametrize(
    ("more", "kind", "first"),
    [
        ({"answer": {"x": 1.5, "y": 2}}, "answer not understood", "a table of x, y"),
        ({"question": ["a", "b"]}, "question not understood", "a list of 2"),
        ({"file_name": ["0.png", "1.png"]}, "picture not understood", "2 pictures in one row"),
        ({"answer": {"text": []}}, "empty answer", "metadata.jsonl, line 2"),
        ({"client": {"x": "y"}}, "client not understood: ignored", "a table of x"),
        ({"split": ["a", "b"]}, "split not understood: ignored", "a list of 2"),
    ],
)
def test_what_a_row_has_is_named_as_it_is(tmp_path, more, kind, first):
    rows = jsonl(row(0, client="a"), row(1, client="a") | more)
    write(tmp_path, {"metadata.jsonl": rows, "0.png": picture(), "1.png": picture(1)})
    found = collect(f"folder:{tmp_path}", Data())
    problem = next(p for p in found.problems if p.kind == kind)
    assert problem.first.startswith(first) and "line 2" in problem.first
    assert problem.left_out == (len(found.rows) == 1) == ("ignored" not in kind)


def test_the_account_says_how_many_rows_are_used_and_why_the_others_are_not(tmp_path):
    rows = jsonl(row(0), row(1), row(2, answer=None), row(3, split="later"))
    files = {"metadata.jsonl": rows, "0.png": picture(), "2.png": picture(2), "3.png": picture(3)}
    account = collect(f"folder:{write(tmp_path, files)}", Data()).account
    assert (account.read, account.used, account.left_out) == (4, 2, 2)
    assert account.lines() == [
        "data: 2 of 4 rows are used",
        "left out: empty answer (1; first: metadata.jsonl, line 3)",
        "left out: missing picture (1; first: 1.png (metadata.jsonl, line 2))",
        "noted: split that is none of train, validation, test: ignored (1; first: later "
        "(metadata.jsonl, line 4))",
    ]
