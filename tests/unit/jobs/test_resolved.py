"""What an experiment meant when it was submitted: stored once, passed on, and held to."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from sqlalchemy import update

from db import reads, writes
from db.engine import writing
from db.tables import Experiment
from engine.config import ConfigError, ExperimentConfig
from engine.fl.resolved import Resolved, resolve
from engine.jobs import queue
from engine.jobs.validate import resolved_of
from tests.helpers.datasets_for_tests import jsonl, picture, row, write
from tests.helpers.runs import run

ANSWERS = ("red", "blue")


def table(folder: Path, answers: tuple[str, ...] = ANSWERS, rows: int = 24) -> Path:
    lines = jsonl(*(row(n, answer=answers[n % len(answers)]) for n in range(rows)))
    pictures = {f"{n}.png": picture(n) for n in range(rows)}
    return write(folder, {"metadata.jsonl": lines, **pictures})


@pytest.fixture
def folder(tmp_path) -> Path:
    return table(tmp_path / "mine")


def config(folder: Path, **values: object) -> ExperimentConfig:
    usual = {"clients": 2, "rounds": 1, "local_steps": 1, "batch_size": 4, "strategies": ["fedit"]}
    usual |= {"heterogeneity": {"kind": "label", "level": 0}}
    return ExperimentConfig.parse({"dataset": f"folder:{folder}", **usual, **values})


def stopped_run(folder: Path) -> int:
    _, [run_id] = queue.submit(config(folder))
    queue.stop(run_id)
    return run_id


def test_it_is_stored_with_the_experiment_and_goes_to_json_and_back(folder):
    run_id = stopped_run(folder)
    experiment = reads.run(run_id).experiment
    now = resolve(ExperimentConfig.model_validate(experiment.config))
    assert resolved_of(experiment) == now
    assert Resolved.from_dict(json.loads(json.dumps(now.to_dict()))) == now
    assert (now.data.rows, now.data.place) == (24, str(folder))


def test_an_experiment_of_an_older_lab_is_resolved_when_first_needed(folder):
    run_id = stopped_run(folder)
    experiment = reads.run(run_id).experiment
    with writing() as session:
        session.execute(update(Experiment).values(resolved=None))
    old = reads.run(run_id).experiment
    assert old.resolved is None
    assert resolved_of(old).to_dict() == experiment.resolved
    assert reads.run(run_id).experiment.resolved == experiment.resolved
    queue.resume(run_id)
    assert reads.run(run_id).status == "queued"


@pytest.mark.parametrize(
    ("edit", "change"),
    [
        (lambda folder: table(folder, ("red", "green")), "other answers"),
        (lambda folder: table(folder, rows=22), "22 rows instead of 24"),
        (lambda folder: write(folder, {"3.png": picture(999)}), "other pictures"),
    ],
    ids=["answers", "rows", "a picture"],
)
def test_a_run_does_not_resume_on_other_data_and_says_what_changed(folder, edit, change):
    run_id = stopped_run(folder)
    edit(folder)
    with pytest.raises(ConfigError, match=rf"^dataset: .*{folder}.* \(.*{change}\); put them back"):
        queue.resume(run_id)
    assert reads.run(run_id).status == "stopped"
    table(folder)
    queue.resume(run_id)
    assert reads.run(run_id).status == "queued"


def test_data_that_moved_in_time_but_are_the_same_are_no_others(folder, tmp_path):
    run_id = stopped_run(folder)
    shutil.copytree(folder, tmp_path / "copy")
    shutil.rmtree(folder)
    shutil.copytree(tmp_path / "copy", folder, copy_function=shutil.copyfile)
    queue.resume(run_id)
    assert reads.run(run_id).status == "queued"


def test_a_warm_process_trains_on_rows_that_were_edited(folder):
    [before] = run(config(folder))
    table(folder, ("cat", "dog"))
    [after] = run(config(folder))
    references = [
        {answer.reference for k in (0, 1) for answer in reads.predictions(summary.run, k)}
        for summary in (before, after)
    ]
    assert references == [{"red", "blue"}, {"cat", "dog"}]


def test_what_a_form_shows_is_prepared_again_when_its_rows_are_edited(folder):
    queue.prepare(config(folder))
    first = reads.preparation()
    writes.mark_prepared(first.config, first.resolved)
    queue.prepare(config(folder))
    assert reads.preparation().ready_at, "nothing has changed"
    table(folder, ("cat", "dog"))
    queue.prepare(config(folder))
    again = reads.preparation()
    assert again.config == first.config and again.resolved != first.resolved
    assert again.ready_at is None
