"""Whatever is in a file: rows, or one sentence. Nothing else is raised."""

import io
import zipfile
from pathlib import Path

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from engine.config import ConfigError, Data
from engine.data.pictures import BadPicture, check_picture, read_picture
from engine.data.user.collection import collect
from engine.data.user.columns import choose
from engine.data.user.tables import parse_table
from engine.data.user.values import as_answers, as_name, as_text
from engine.data.user.written_out import NotUnderstood
from engine.data.user.zips import open_zip
from tests.helpers.datasets_for_tests import encoded, jsonl, picture, row, write

FAST = settings(max_examples=150, deadline=None, database=None, derandomize=True)
PARTS = st.sampled_from(
    ["file_name", "question", "answer", "0.png", '"', "'", ",", ";", "\t", "|", "\n", "\r", "sep=;",
     "\ufeff", "{", "}", "[", "]", ":", '{"file_name": "0.png"}', "null", "NaN", "\\", "\0", "é"]
)  # fmt: skip
LIKE_TABLES = st.lists(PARTS | st.text(max_size=3), max_size=40).map("".join)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6) | st.binary(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.tuples(inner, inner)
        | st.dictionaries(st.sampled_from(["answer", "text", "path", "x"]), inner, max_size=3)
    ),
    max_leaves=8,
)
KINDS = {"PNG": "L", "JPEG": "RGB", "WEBP": "RGB", "GIF": "P", "BMP": "RGB", "TIFF": "I"}
NOISE = Image.effect_noise((24, 16), 60)
PICTURES = [encoded(NOISE.convert(mode), kind) for kind, mode in KINDS.items()]


def one_sentence(error: Exception) -> bool:
    return "\n" not in str(error) and 10 < len(str(error)) < 600


@FAST
@given(data=st.binary(max_size=200) | LIKE_TABLES.map(lambda t: t.encode("utf-8", "replace")),
       suffix=st.sampled_from([".csv", ".jsonl"]))  # fmt: skip
def test_a_table_is_rows_or_one_sentence(data, suffix):
    try:
        table = parse_table(data, f"metadata{suffix}", suffix)
    except ConfigError as error:
        assert f"metadata{suffix}" in str(error) and one_sentence(error)
    else:
        lines = [record.line for record in table.records]
        assert lines == sorted(set(lines)) and not set(lines) & set(table.malformed)
        if suffix == ".csv":
            assert all(set(table.columns) <= set(r.values) for r in table.records)


@settings(FAST, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=LIKE_TABLES)
def test_a_folder_is_rows_with_an_account_or_one_sentence(tmp_path: Path, text):
    lines = jsonl(row(0)) + text.replace("\0", "") + "\n"
    write(tmp_path, {"metadata.jsonl": lines.encode("utf-8", "replace"), "0.png": picture()})
    try:
        found = collect(f"folder:{tmp_path}", Data())
    except ConfigError as error:
        assert one_sentence(error)
    else:
        assert found.rows and found.account.used == len(found.rows)
        assert all(one_sentence(line) for line in found.account.lines())


@FAST
@given(value=VALUES | LIKE_TABLES)
def test_a_cell_is_texts_or_named_as_what_it_is(value):
    for read in (as_text, as_answers, as_name):
        try:
            result = read(value)
        except NotUnderstood as error:
            assert 0 < len(str(error)) < 200
        else:
            texts = result if isinstance(result, tuple) else (result,)
            assert all(text == text.strip() and text.encode() is not None for text in texts)
            assert all(result) if isinstance(result, tuple) else isinstance(result, str)


@FAST
@given(number=st.integers(0, len(PICTURES) - 1), at=st.floats(0, 1), put=st.binary(max_size=8),
       end=st.none() | st.floats(0, 1))  # fmt: skip
def test_a_picture_is_pixels_or_one_sentence(number, at, put, end):
    data = bytearray(PICTURES[number])
    place = int(at * len(data))
    data[place : place + len(put)] = put
    data = bytes(data[: None if end is None else int(end * len(data))])
    try:
        pixels = read_picture(data)
    except BadPicture as error:
        assert one_sentence(error)
    else:
        assert pixels.dtype == np.uint8 and pixels.ndim == 3 and pixels.shape[2] == 3
        assert check_picture(data) == pixels.shape[:2]


@FAST
@given(names=st.lists(st.text(max_size=8) | PARTS, max_size=4, unique=True), at=st.floats(0, 1),
       put=st.binary(max_size=6))  # fmt: skip
def test_a_zip_is_files_inside_of_the_folder_or_one_sentence(names, at, put):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("metadata.jsonl", jsonl(row(0)))
        for name in names:
            if name.partition("\0")[0] and name.isprintable():
                archive.writestr(name, picture())
    data = bytearray(buffer.getvalue())
    place = int(at * len(data))
    data[place : place + len(put)] = put
    try:
        with open_zip(bytes(data)) as unpacked:
            files = dict(unpacked.contents)
    except ConfigError as error:
        assert one_sentence(error)
    else:
        assert "metadata.jsonl" in {Path(name).name for name in files}
        assert all(".." not in Path(name).parts and name[0] != "/" for name in files)


@FAST
@given(columns=st.lists(st.text(max_size=6), max_size=4))
def test_columns_are_found_or_named_in_one_sentence(columns):
    try:
        chosen = choose(columns, Data(image="picture"))
    except ConfigError as error:
        assert one_sentence(error)
    else:
        assert set(chosen.values()) <= set(columns)
