"""Two processes, one home: a page is open, runs come from the command line, several at once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import pytest

from db import reads
from engine.jobs import queue
from engine.paths import ROOT
from engine.system.processes import is_alive
from tests.conftest import wait_for

pytestmark = [pytest.mark.real_worker, pytest.mark.slow]
COMMAND = [sys.executable, "-m", "engine"]


@pytest.fixture(autouse=True)
def end_workers(home):
    yield
    for worker in reads.workers():
        if is_alive(worker):
            os.kill(worker.pid, signal.SIGKILL)


def test_a_page_and_two_command_lines_share_a_home(tiny, home):
    queue.prepare(tiny)  # what an open page does: a worker makes the same sets ready
    run = [*COMMAND, "run", "--preset", "tiny", "--set", "strategies=plora", "--json"]
    shells = [subprocess.Popen(run, cwd=ROOT, stdout=-1, stderr=-1, text=True) for _ in range(2)]
    _, queued = queue.submit(tiny.model_copy(update={"strategies": ("plora",)}))

    def looked_at() -> bool:
        """Look as a page does each second; whether all three are through."""
        queue.tend()
        statuses = [run.status for run in reads.runs()]
        assert not {"interrupted", "failed"} & set(statuses), [r.error for r in reads.runs()]
        return statuses == ["done"] * 3

    wait_for(looked_at, seconds=240)
    printed = [shell.communicate(timeout=60) for shell in shells]
    assert [shell.returncode for shell in shells] == [0, 0], printed
    answers = [json.loads(out.splitlines()[-1])["runs"][0] for out, _ in printed]
    assert sorted([*queued, *(a["run"] for a in answers)]) == [1, 2, 3]
    scores = {tuple(_scores(summary)) for summary in reads.summaries(reads.runs())}
    assert len(scores) == 1, "the same experiment, the same numbers, wherever it ran"
    for run_ in reads.runs():
        assert [row.round for row in reads.rounds(run_.id)] == [1, 2]
    assert len(reads.workers()) == 1, "the commands have left, one worker stays warm"


def _scores(summary: reads.Summary) -> list[float | None]:
    return [summary.base_accuracy, summary.global_accuracy, summary.personal_accuracy]
