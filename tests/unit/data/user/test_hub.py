"""Data sets of the hub, by way of local ones: the same library reads both."""

import socket

import datasets
import httpx
import numpy as np
import pandas
import pytest
from datasets import ClassLabel, Dataset, Features, Image, Value
from huggingface_hub.errors import GatedRepoError, HfHubHTTPError
from PIL import Image as Pictures
from tenacity import wait_none

from engine.config import ConfigError, Data
from engine.data.pictures import MAX_BYTES, read_picture
from engine.data.user import hub, known
from engine.data.user.collection import collect
from engine.data.user.hub_cells import cells_as_text
from tests.helpers.datasets_for_tests import encoded, jsonl, noise, picture, row, write

FEATURES = Features({"image": Image(), "question": Value("string"), "answer": Value("string")})


def parquet(folder, splits, features=FEATURES):
    """A data set as the hub keeps it: one Parquet file per split."""
    (folder / "data").mkdir(parents=True)
    for split, rows in splits.items():
        columns = {name: [row[name] for row in rows] for name in features}
        table = Dataset.from_dict(columns, features=features)
        table.to_parquet(folder / "data" / f"{split}-00000-of-00001.parquet")
    return folder


def asked(number, content=None, **more):
    bytes_ = picture(number) if content is None else content
    return {"image": {"bytes": bytes_, "path": None}, "question": f"q{number}", "answer": "yes",
            **more}  # fmt: skip


def test_a_data_set_becomes_a_folder_once(tmp_path, home, monkeypatch):
    source = parquet(tmp_path / "d", {"train": [asked(0), asked(1)], "test": [asked(2)]})
    found = collect(f"hub:{source}", Data())
    assert [(r.question, r.split) for r in found.rows] == [
        ("q0", "train"), ("q1", "train"), ("q2", "test"),
    ]  # fmt: skip
    assert found.columns == {"image": "image", "question": "question", "answer": "answer"}
    assert found.rows[0].picture.read_bytes() == picture(0)  # as it came
    assert found.folder.is_relative_to(home / "datasets") and found.problems == ()
    assert [path.name for path in (home / "datasets").iterdir()] == [found.folder.name]
    monkeypatch.setattr(datasets, "load_dataset", lambda *_, **__: pytest.fail("read again"))
    assert collect(f"hub:{source}", Data()) is found


@pytest.mark.parametrize("place", ["train", "data"])
def test_a_folder_here_can_be_read_by_the_hubs_name(tmp_path, place):
    files = {f"{place}/metadata.jsonl": jsonl(row(0), row(1)), f"{place}/0.png": picture()}
    source = write(tmp_path / "d", {**files, f"{place}/1.png": picture(1)})
    assert hub.is_fetched(str(source), Data()) == (place == "train")
    found = collect(f"hub:{source}", Data())
    assert sorted(r.answers for r in found.rows) == [("a0",), ("a1",)]
    assert (found.folder == source) == (place == "train"), "the lab's own reader, where it can"


def test_rows_of_several_types_are_read_by_the_labs_own_reader(tmp_path):
    rows = jsonl(row(0, answer="a"), row(1, answer=3), row(2, answer=["x", "y"]))
    files = {"metadata.jsonl": rows, **{f"{n}.png": picture(n) for n in range(3)}}
    found = collect(f"hub:{write(tmp_path, files)}", Data())
    assert [r.answers for r in found.rows] == [("a",), ("3",), ("x", "y")]


def test_no_more_rows_are_read_than_asked_for_and_every_split_has_some(tmp_path):
    many = {"train": range(40), "validation": range(40, 80), "test": range(80, 82)}
    source = parquet(tmp_path / "d", {s: [asked(n) for n in ns] for s, ns in many.items()})
    found = collect(f"hub:{source}", Data(rows=20))
    assert len(found.rows) == 20
    assert sum(r.split == "test" for r in found.rows) == 2
    assert [problem.kind for problem in found.problems] == ["more rows than data.rows"]


def test_how_many_rows_are_left_is_said_where_it_is_known(tmp_path):
    source = parquet(tmp_path / "d", {"train": [asked(n) for n in range(50)]})
    write(source, {"README.md": "---\ndataset_info:\n  splits:\n  - name: train\n"
                   "    num_examples: 50\n    num_bytes: 1\n---\n"})  # fmt: skip
    (problem,) = collect(f"hub:{source}", Data(rows=16)).problems
    assert (problem.kind, problem.count) == ("more rows than data.rows", 34)
    assert collect(f"hub:{source}", Data(rows=50)).problems == ()


def test_pictures_stay_as_they_are_or_become_png_and_are_kept_once(tmp_path):
    gif = encoded(Pictures.new("P", (4, 4)), "GIF")
    contents = [noise("JPEG"), noise("JPEG"), noise("WEBP"), gif, b"no picture"]
    source = parquet(tmp_path / "d", {"train": [asked(n, c) for n, c in enumerate(contents)]})
    found = collect(f"hub:{source}", Data())
    names = [r.picture.name for r in found.rows]
    assert [name.rpartition(".")[2] for name in names] == ["jpeg", "jpeg", "webp", "png"]
    assert names[0] == names[1] and found.rows[0].picture.read_bytes() == contents[0]
    (problem,) = found.problems
    assert problem.kind == "unreadable picture"


def test_rows_without_a_picture_are_left_out_and_told_of(tmp_path):
    rows = [asked(0), {**asked(1), "image": None}, {**asked(2), "image": None}]
    found = collect(f"hub:{parquet(tmp_path / 'd', {'train': rows})}", Data())
    assert len(found.rows) == 1
    (problem,) = found.problems
    assert (problem.kind, problem.count) == ("row without a picture", 2)
    assert problem.first == "train, row 2"


def test_numbered_labels_become_their_names_and_lists_stay(tmp_path):
    labels = ClassLabel(names=["cat", "dog"])
    features = Features({"image": Image(), "question": Value("string"), "label": labels})
    source = parquet(tmp_path / "a", {"train": [asked(0, label=1)]}, features)
    assert collect(f"hub:{source}", Data()).rows[0].answers == ("dog",)
    features = Features({**FEATURES, "answer": datasets.List(Value("string"))})
    rows = [asked(0, answer=["b", "a", "a"])]
    found = collect(f"hub:{parquet(tmp_path / 'b', {'train': rows}, features)}", Data())
    assert found.rows[0].answers == ("a", "a", "b") and found.metric == "vqa"


def test_lists_and_tables_of_numbered_labels_become_their_names(tmp_path):
    labels = ClassLabel(names=["cat", "dog"])
    forms = {
        "list": (datasets.List(labels), [1, 1, 0]),
        "nested": (datasets.List(datasets.List(labels)), [[1], [1, 0]]),
        "table": ({"answer": labels}, {"answer": 1}),
        "tables": (datasets.List({"answer": labels}), [{"answer": 1}, {"answer": 0}]),
    }
    for form, (feature, value) in forms.items():
        features = Features({**FEATURES, "answer": feature})
        source = parquet(tmp_path / form, {"train": [asked(0, answer=value)]}, features)
        answers = collect(f"hub:{source}", Data()).rows[0].answers
        assert answers[0] == "dog" and set(answers) <= {"cat", "dog"}, form
    features = Features({**FEATURES, "answer": labels})
    rows = [asked(0, answer=1), asked(1, answer=-1)]  # -1: not labelled
    found = collect(f"hub:{parquet(tmp_path / 'unknown', {'train': rows}, features)}", Data())
    assert [p.kind for p in found.problems] == ["empty answer"] and len(found.rows) == 1


def test_the_one_picture_of_a_list_is_used_and_more_are_named(tmp_path):
    images = [asked(n)["image"] for n in range(3)]
    features = Features({**FEATURES, "image": datasets.List(Image())})
    del features["image"]
    features = Features({"images": datasets.List(Image()), **features})
    rows = [asked(0, images=images[:1]), asked(1, images=images[1:]), asked(2, images=[])]
    found = collect(f"hub:{parquet(tmp_path / 'd', {'train': rows}, features)}", Data())
    assert [r.picture.read_bytes() for r in found.rows] == [picture(0)]
    told = {p.kind: p.first for p in found.problems}
    assert told == {
        "picture not understood": "2 pictures in one row (train, row 2)",
        "row without a picture": "train, row 3",
    }


def test_pictures_of_other_kinds_are_read_by_the_one_reader(tmp_path):
    shades = np.linspace(0, 40_000, 16).reshape(4, 4)
    deep = [shades.astype(">u2"), shades.astype(np.int32), (shades / 1e5).astype(np.float32)]
    contents = [encoded(Pictures.fromarray(values), "TIFF") for values in deep]
    turned = Pictures.new("RGB", (20, 10))
    exif = turned.getexif()
    exif[0x0112] = 6
    contents.append(encoded(turned, "MPO", save_all=True, append_images=[turned], exif=exif))
    contents.append(encoded(Pictures.new("LA", (4, 4)), "TIFF"))
    source = parquet(tmp_path / "d", {"train": [asked(n, c) for n, c in enumerate(contents)]})
    found = collect(f"hub:{source}", Data())
    assert len(found.rows) == 5 and not found.problems
    shown = [read_picture(row.picture.read_bytes()) for row in found.rows]
    for picture_ in shown[:3]:
        assert len(set(picture_[..., 0].ravel().tolist())) == 16
    assert shown[3].shape == (20, 10, 3) and found.rows[3].size == (20, 10)
    assert shown[4].min() == 255, "all of it is transparent"


def test_a_large_picture_that_packs_well_is_kept_as_png(tmp_path):
    large = encoded(Pictures.new("RGB", (2000, 2000), 7), "BMP")
    assert len(large) > MAX_BYTES
    found = collect(f"hub:{parquet(tmp_path / 'd', {'train': [asked(0, large)]})}", Data())
    assert found.rows[0].size == (2000, 2000)


def test_cells_of_csv_files_are_text(tmp_path):
    texts = ["None", "NA", "null", "nan", "007", "1.0", "True", "two"]
    lines = [f"{n}.png,How many?,{text}" for n, text in enumerate(texts)]
    table = "\n".join(["file_name,question,answer", *lines])
    files = {f"{n}.png": picture(n) for n in range(len(texts))}
    write(tmp_path / "d" / "data", {"metadata.csv": table, **files})
    found = collect(f"hub:{tmp_path / 'd'}", Data())  # no place where the lab looks for a table
    assert (
        found.folder != tmp_path / "d"
        and sorted(r.answers[0] for r in found.rows) == sorted(texts)
        and not found.problems
    )
    read, file = pandas.read_csv, str(write(tmp_path / "e", {"t.csv": table}) / "t.csv")
    with cells_as_text():  # the library's other reader of CSV files
        rows = datasets.load_dataset("csv", data_files=file, streaming=True)["train"]
        assert [values["answer"] for values in rows] == texts
    assert pandas.read_csv is read
    typed = Features({"file_name": Value("string"), "question": Value("string")})
    numbers = Features({**typed, "answer": Value("float64")})
    write(tmp_path / "e", {"t.csv": "file_name,question,answer\nNA,null,\nb,c,1.5\n"})
    with cells_as_text():
        rows = datasets.load_dataset("csv", data_files=file, streaming=True, features=numbers)
        assert [list(values.values()) for values in rows["train"]] == [
            ["NA", "null", None], ["b", "c", 1.5],
        ]  # fmt: skip


def test_what_no_table_can_hold_is_named(tmp_path):
    features = Features({**FEATURES, "answer": Value("binary")})
    rows = [asked(0, answer=b"x")]
    with pytest.raises(ConfigError, match="row not understood .*of the type bytes"):
        collect(f"hub:{parquet(tmp_path / 'd', {'train': rows}, features)}", Data())


def test_columns_that_are_missing_are_named_with_those_that_are(tmp_path):
    features = Features({"image": Image(), "x": Value("string")})
    source = parquet(tmp_path / "d", {"train": [asked(0, x="1")]}, features)
    with pytest.raises(ConfigError, match="the question or the answer .* there are: image, x$"):
        collect(f"hub:{source}", Data())
    with pytest.raises(ConfigError, match="^data.client: there is no column 'site'; there are:"):
        collect(f"hub:{source}", Data(client="site"))
    with pytest.raises(ConfigError, match="^data.image: the column 'x' has text"):
        collect(f"hub:{source}", Data(image="x", question="x", answer="x"))


def test_rows_cannot_name_files_that_are_not_of_the_data_set(tmp_path):
    write(tmp_path, {"private.png": picture(9)})
    private = {**asked(1), "image": {"bytes": None, "path": str(tmp_path / "private.png")}}
    plain = Features({**FEATURES, "image": {"bytes": Value("binary"), "path": Value("string")}})
    found = collect(f"hub:{parquet(tmp_path / 'd', {'train': [asked(0), private]}, plain)}", Data())
    assert [r.question for r in found.rows] == ["q0"]
    assert found.problems[0].kind == "row without a picture"


def test_splits_of_other_names_are_taken_as_undivided(tmp_path):
    write(tmp_path / "d", {"README.md": "---\nconfigs:\n- config_name: default\n  data_files:\n"
          "  - split: mini\n    path: data/train-*.parquet\n---\n"})  # fmt: skip
    found = collect(f"hub:{parquet(tmp_path / 'd', {'train': [asked(0)]})}", Data())
    assert [r.split for r in found.rows] == [""]
    assert "split that is none" in found.problems[0].kind and "mini" in found.problems[0].first


def test_a_known_data_set_fills_in_what_is_left_open(tmp_path, monkeypatch):
    features = Features({
        "image": Image(), "question": Value("string"), "choices": datasets.List(Value("string")),
        "answer": Value("int8"), "subject": Value("string"),
    })  # fmt: skip
    rows = [asked(n, choices=["sun", "moon"], answer=n, subject="space") for n in (0, 1, 2)]
    source = str(parquet(tmp_path / "d", {"train": rows}, features))
    monkeypatch.setitem(known.KNOWN, source, known.KNOWN["derek-thomas/ScienceQA"])
    found = collect(f"hub:{source}", Data())
    assert [r.answers for r in found.rows] == [("sun",), ("moon",)]
    assert found.rows[0].question == "q0\nChoices: sun; moon"
    assert found.clients == {"space": 2} and found.metric == "exact"
    assert [problem.kind for problem in found.problems] == ["empty answer"]  # there is no choice 2
    said = collect(f"hub:{source}", Data(answer="subject", metric="rouge_l"))
    assert said.rows[0].answers == ("space",) and said.metric == "rouge_l"
    assert said.rows[0].question == "q0"


def answer_of(status):
    request = httpx.Request("GET", "https://hub.invalid/x")
    return httpx.Response(status, request=request)


def gated():
    error = datasets.exceptions.DatasetNotFoundError("Dataset 'a/b' is a gated dataset.")
    error.__cause__ = GatedRepoError("gated", response=answer_of(401))
    return error


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (datasets.exceptions.DatasetNotFoundError("doesn't exist"), "there is no data set a/b"),
        (gated(), "a/b is gated; accept its terms"),
        (ConnectionError("Couldn't reach 'a/b' on the Hub"), "the hub cannot be reached"),
        (RuntimeError("Dataset scripts are no longer supported, but found b.py"), "its own code"),
        (ValueError("Config name is missing.\nPlease pick one among the available configs: "
                    "['one', 'two']"), "several parts; name one as NAME/PART (one, two)"),
        (datasets.exceptions.DataFilesNotFoundError("No data files"), "no files that can be read"),
        (HfHubHTTPError("bad", response=answer_of(500)), "error 500"),
        (ValueError("something\nelse"), "cannot be read (something else)"),
    ],
)  # fmt: skip
def test_what_goes_wrong_is_told_apart_in_one_sentence(home, monkeypatch, error, words):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(hub, "refuse_without_network", lambda: None)
    monkeypatch.setattr(datasets, "load_dataset", fail)
    monkeypatch.setattr(hub, "_WAIT", wait_none())
    with pytest.raises(ConfigError) as caught:
        collect("hub:a/b", Data())
    assert str(caught.value).startswith("dataset: ") and words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not any((home / "datasets").iterdir())


@pytest.mark.parametrize(
    "name", ["imagefolder", "a b/c", "a/b/c/d", "hf://x/y", "a--b/c", "x" * 300]
)
def test_what_is_no_name_is_refused(monkeypatch, name):
    monkeypatch.setattr(hub, "refuse_without_network", lambda: None)
    with pytest.raises(
        ConfigError, match=f"^dataset: '{name[:100]}.* is no data set .* OWNER/NAME$"
    ):
        collect(f"hub:{name}", Data())


def test_without_a_network_the_answer_is_quick(monkeypatch):
    def no_address(*_):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr("engine.system.hub.getproxies", dict)
    monkeypatch.setattr(socket, "getaddrinfo", no_address)
    monkeypatch.setattr(datasets, "load_dataset", lambda *_, **__: pytest.fail("was tried"))
    with pytest.raises(ConfigError, match="the hub cannot be reached to read a/b"):
        collect("hub:a/b", Data())


def test_a_part_is_named_after_the_data_set(monkeypatch):
    asked_for = []
    monkeypatch.setattr(hub, "refuse_without_network", lambda: None)
    monkeypatch.setattr(datasets, "load_dataset", lambda *args, **_: asked_for.append(args) or {})
    with pytest.raises(ConfigError):
        collect("hub:a/b/c", Data())
    assert asked_for == [("a/b", "c")]


def test_a_folder_without_data_is_refused(tmp_path):
    (tmp_path / "d").mkdir()
    with pytest.raises(ConfigError, match="no files that can be read"):
        collect(f"hub:{tmp_path / 'd'}", Data())


def test_a_broken_connection_is_tried_again(tmp_path, monkeypatch):
    source = parquet(tmp_path / "d", {"train": [asked(0)]})
    real, calls = datasets.load_dataset, []

    def sometimes(*args, **options):
        calls.append(args)
        if len(calls) < 3:
            raise httpx.ReadTimeout("slow")
        return real(*args, **options)

    monkeypatch.setattr(datasets, "load_dataset", sometimes)
    monkeypatch.setattr(hub, "_WAIT", wait_none())
    assert len(collect(f"hub:{source}", Data()).rows) == 1 and len(calls) == 3


def test_presets_name_their_columns():
    for name, preset in known.KNOWN.items():
        assert preset.title and name.count("/") == 1
    filled = known.fill("openbmb/RLAIF-V-Dataset", Data(client="mine"))
    assert (filled.answer, filled.client, filled.metric) == ("chosen", "mine", "rouge_l")
    assert known.fill("someone/else", Data()) == Data()
