"""Tables as programs write them, and their first lines."""

import pytest

from engine.config import ConfigError
from engine.data.user.tables import parse_table

HEADER = "file_name;question;answer\n"
ROW = "0.png;what?;red\n"


@pytest.mark.parametrize(
    "start",
    ["sep=;\n", "sep=;\r\n", '"sep=;"\n', "SEP=;\n", "sep=;;;\n", "\n\n", "\ufeff", "\ufeff\ufeff",
     "\ufeffsep=;\n", "sep=;\n\ufeff", "\u200b"],
)  # fmt: skip
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_first_lines_that_programs_write_are_used_and_stripped(start, encoding):
    table = parse_table((start + HEADER + ROW).encode(encoding), "metadata.csv", ".csv")
    assert table.columns == ("file_name", "question", "answer")
    (record,) = table.records
    assert record.values["answer"] == "red" and not table.malformed
    assert record.line == 2 + start.count("\n")


def test_the_separator_that_is_said_is_used_also_where_another_is_commoner():
    text = "sep=|\nfile_name|a,b,c,d|answer\n0.png|x,y|red\n"
    table = parse_table(text.encode(), "metadata.csv", ".csv")
    assert table.columns == ("file_name", "a,b,c,d", "answer")
    assert parse_table(HEADER.replace(";", "|").encode(), "x", ".csv").columns[0] == "file_name"
    assert not parse_table(b"sep=;\n", "x", ".csv").records


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("start", ["", "\ufeff", "\ufeff\ufeff", "\n"])
def test_json_lines_with_any_newline(start, newline):
    text = start + newline.join(['{"a": 1}', '{"a": "x\u2028y"}', ""])
    table = parse_table(text.encode(), "metadata.jsonl", ".jsonl")
    assert [record.values["a"] for record in table.records] == [1, "x\u2028y"]
    assert not table.malformed


def test_one_json_list_is_read_as_its_rows():
    table = parse_table(b'[\n {"a": 1},\n {"a": 2}, 3\n]', "metadata.jsonl", ".jsonl")
    assert [record.values for record in table.records] == [{"a": 1}, {"a": 2}]
    assert table.malformed == {3: 1}


@pytest.mark.parametrize(
    "data", [b"", b"\xff\xfe", b"\xef\xbb\xbf", "\ufeff".encode("utf-16"), b" \n"]
)
def test_a_table_with_nothing_in_it_is_empty(data):
    with pytest.raises(ConfigError, match="metadata.csv is empty"):
        parse_table(data, "metadata.csv", ".csv")
