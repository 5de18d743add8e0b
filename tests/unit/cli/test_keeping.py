"""The commands that compare runs, write tables, delete and clean."""

import json

import pytest

from db import reads
from tests.helpers.stored import give_files, store
from tests.unit.cli.test_cli import call


def test_compare_shows_what_differs_and_what_was_reached(capsys):
    [first], [second] = store(name="a"), store(name="b", lora={"rank": 2})
    status, out, _ = call(capsys, "compare", f"{first}", f"{second}", "--json")
    compared = json.loads(out.splitlines()[-1])
    assert status == 0 and compared["differences"] == {"lora.rank": [8, 2]}
    assert compared["clients"] == {"0": [0.5, 0.5], "1": [0.5, 0.5]}
    status, out, _ = call(capsys, "compare", f"{first}", f"{second}")
    assert status == 0 and "lora.rank" in out and "50.0%" in out and "client 1" in out


def test_tables_of_an_experiment_are_files(capsys, tmp_path):
    store(("fedit", "plora"), accuracies=(0.1, 0.4))
    status, out, _ = call(capsys, "tables", "1", f"{tmp_path}/out", "--format", "parquet")
    assert status == 0 and out.splitlines()[0] == f"{tmp_path}/out/runs.parquet"
    assert len(list((tmp_path / "out").iterdir())) == 6


def test_a_run_is_deleted_brought_back_and_cleaned(capsys):
    [run] = store()
    give_files(run)
    assert f"delete {run} --undo" in call(capsys, "delete", f"{run}")[1]
    assert reads.runs() == []
    assert call(capsys, "delete", f"{run}", "--undo")[1] == f"brought back: {run}\n"
    assert [stored.id for stored in reads.runs()] == [run]
    call(capsys, "delete", f"{run}")
    status, out, _ = call(capsys, "clean")
    assert status == 0 and "nothing was removed" in out and "Deleted runs" in out
    assert call(capsys, "delete", f"{run}", "--undo")[0] == 0, "showing removes nothing"
    call(capsys, "delete", f"{run}")
    _, out, _ = call(capsys, "clean", "--yes", "--json")
    done = json.loads(out.splitlines()[-1])
    assert done["freed"] == 700 and "deleted" in done["removed"] and "models" not in done["removed"]
    status, _, err = call(capsys, "delete", f"{run}", "--undo")
    assert status == 2 and "not among the deleted" in err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["compare", "1"], "2 to 6 different runs"),
        (["compare", "1", "99"], "no run 99"),
        (["delete", "99"], "no run 99"),
        (["clean", "everything", "--yes"], "allowed: deleted, rounds"),
        (["clean", "everything"], "allowed: deleted, rounds"),
        (["tables", "1", "there", "--format", "xlsx"], "allowed: csv, parquet"),
    ],
)
def test_a_mistake_is_one_line(capsys, arguments, words):
    store()
    status, out, err = call(capsys, *arguments)
    assert status == 2 and out == "" and words in err and err.count("\n") == 1
