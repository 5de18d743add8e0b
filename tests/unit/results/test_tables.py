"""Tables of stored runs: the rows of the database, whole, and safe in a spreadsheet."""

import io
import zipfile

import pandas as pd
import pytest

from db import reads, writes
from db.tables import ClientRound, Evaluation, Prediction, Round
from engine.config import ExperimentConfig
from engine.jobs.queue import NotPossible
from engine.results import tables

HOSTILE = {
    "=1+1": "'=1+1",
    "+cmd|' /C calc'!A0": "'+cmd|' /C calc'!A0",
    "-2+3": "'-2+3",
    "@SUM(A1)": "'@SUM(A1)",
    "\tx": "'\tx",
    "\rx": "'\rx",
    "＝1": "'＝1",
    "-2": "-2",
    "+1,5": "+1,5",
    "a=b": "a=b",
    "ε, “é”": "ε, “é”",
}


@pytest.fixture(scope="module")
def runs(module_home) -> list[int]:
    """Two runs of two experiments with rows of every kind; nothing was trained."""
    ids = []
    for rank in (4, 8):
        values = {"name": f"rank {rank}", "lora": {"rank": rank}, "strategies": ["plora"]}
        config = ExperimentConfig.parse(values).model_dump(mode="json")
        experiment, [run] = writes.create_experiment(config, {"plora": 2})
        ids.append(run)
        evaluation = {"client": 0, "variant": "personal", "scope": "own", "loss": 1.0}
        writes.save_round(
            writes.RoundRecord(
                Round(run_id=run, round=1, seconds=2.5),
                [ClientRound(run_id=run, round=1, client=0, samples=8, loss=0.5, seconds=1.0,
                             bytes_up=10, bytes_down=20)],
                [Evaluation(run_id=run, round=1, accuracy=0.25, samples=4, **evaluation)],
            )
        )  # fmt: skip
        about = {"client": 0, "variant": "personal", "question": "How many?", "reference": "3"}
        writes.save_predictions(
            Prediction(
                run_id=run, item=f"{n:02d}", answer=text, confidence=0.9, correct=False, **about
            )
            for n, text in enumerate(HOSTILE)
        )
    return ids


def test_frames_hold_the_rows_of_these_runs_and_their_configs(runs):
    made = tables.frames(runs)
    assert tuple(made) == tables.TABLES
    assert list(made["runs"]["lora.rank"]) == [4, 8]
    assert list(made["runs"]["personal_accuracy"]) == [0.25, 0.25]
    assert list(made["rounds"]["run"]) == runs and list(made["rounds"]["seconds"]) == [2.5, 2.5]
    assert (
        made["rounds"]["epsilon"].dtype == float and made["client_rounds"]["bytes_up"].sum() == 20
    )
    assert set(made["predictions"]["answer"]) == set(HOSTILE)
    assert len(tables.frame("predictions", runs[:1])) == len(HOSTILE)
    assert list(made["evaluations"].columns[:3]) == ["experiment", "run", "strategy"]


def test_a_csv_is_safe_in_a_spreadsheet_and_keeps_its_numbers(runs, tmp_path):
    paths = tables.write(runs[:1], tmp_path / "out", "csv")
    assert [path.name for path in paths] == [f"{name}.csv" for name in tables.TABLES]
    data = (tmp_path / "out" / "predictions.csv").read_bytes()
    assert data.startswith(b"\xef\xbb\xbf"), "Excel reads UTF-8 by its mark"
    read = pd.read_csv(io.BytesIO(data), dtype={"answer": str})
    assert list(read["answer"]) == list(HOSTILE.values())
    assert list(read["confidence"]) == [0.9] * len(HOSTILE)
    with pytest.raises(NotPossible, match="is not empty"):
        tables.write(runs[:1], tmp_path / "out", "csv")


def test_parquet_holds_what_the_database_holds(runs):
    with zipfile.ZipFile(io.BytesIO(tables.zipped(runs, "parquet"))) as archive:
        assert archive.namelist() == [f"{name}.parquet" for name in tables.TABLES]
        read = pd.read_parquet(io.BytesIO(archive.read("predictions.parquet")))
    assert list(read["answer"]) == [*HOSTILE, *HOSTILE] and read["correct"].dtype == bool


def test_another_format_and_an_unknown_run_are_refused_before_anything_is_written(runs, tmp_path):
    with pytest.raises(NotPossible, match="allowed: csv, parquet"):
        tables.write(runs, tmp_path / "none", "xlsx")
    with pytest.raises(reads.NoSuchRun):
        tables.write([999], tmp_path / "none", "csv")
    assert not (tmp_path / "none").exists()
