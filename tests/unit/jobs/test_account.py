"""The account of the data is the same wherever it is told: stderr, events, export."""

from __future__ import annotations

from db import reads
from engine.config import ExperimentConfig
from engine.data.factory import new_dataset
from engine.jobs import execution, queue
from engine.jobs.worker import execute, registered
from tests.helpers.datasets_for_tests import plain
from tests.unit.cli.test_cli import call


def test_rows_left_out_are_told_on_stderr_in_the_events_and_in_the_export(capsys, tmp_path):
    folder = plain(tmp_path / "mine", rows=24)
    for n in range(12, 24):
        (folder / f"{n}.png").unlink()
    values = ["clients=2", "rounds=1", "local_steps=1", "batch_size=4", "strategies=fedit"]
    values += [f"dataset=folder:{folder}", "heterogeneity.kind=label", "heterogeneity.level=0"]
    sets = [part for value in values for part in ("--set", value)]
    status, _, err = call(capsys, "run", *sets, "--json")
    told = err.splitlines()
    assert status == 0 and told[0] == "data: 12 of 24 rows are used"
    assert told[1].startswith("left out: missing picture (12; first: 12.png")
    [run] = reads.runs()
    events = [event.text for event in reversed(reads.events(run.id))]
    assert events[: len(told)] == told
    config = ExperimentConfig.parse(run.experiment.config)
    assert told == new_dataset(config).account.lines(), "what Set up shows"
    assert call(capsys, "export", str(run.id), str(tmp_path / "out"))[0] == 0
    readme = (tmp_path / "out" / "README.md").read_text()
    assert all(f"- {line}\n" in readme for line in told)
    assert call(capsys, "clone", str(run.id))[2].splitlines() == told


def test_of_the_embedded_world_nothing_is_told(tiny):
    _, [run_id, _] = queue.submit(tiny)
    assert [event.text for event in reads.events(run_id)] == ["Waiting for its turn."]


def test_a_run_that_fetches_its_model_says_so(tiny, monkeypatch):
    monkeypatch.setattr(execution, "place_of", lambda model: "OWNER/NAME")
    seen = []

    def look(*_: object) -> None:
        [run] = reads.runs()
        seen.append((run.status, reads.events(run.id)[0].text))
        raise RuntimeError("enough")

    monkeypatch.setattr(execution, "context_of", look)
    with registered(takes_queue=False) as worker:
        _, [run_id] = queue.create(tiny.model_copy(update={"strategies": ("fedit",)}), worker.id)
        execute([run_id], worker)
    [(status, text)] = seen
    assert status == "running" and text.startswith("Fetching bundled from the hub")
