"""What Flower's own engines cost beside the local runtime, and that cost follows who takes part."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from statistics import median

import psutil

from db import reads
from engine.bench.harness import temporary_home
from engine.paths import ROOT

RUNTIMES = ("local", "ray", "superlink")
SMALL = ("clients=4", "samples_per_client=32", "local_steps=1", "rounds=8", "strategies=fedit")
CROWDS = {  # a round has 20 clients, of so many
    "20 clients on ray": ("clients=20", "participation=1"),
    "200 clients on ray": ("clients=200", "participation=0.1"),
}
_CROWD = ("samples_per_client=16", "batch_size=8", "local_steps=1", "rounds=4", "strategies=fedit")
_LOOK_SECONDS = 1.0


@dataclass(frozen=True)
class Overhead:
    """Seconds from the run's begin to its first round, of a later round, and all processes' bytes.

    ``memory_bytes`` is unshared memory, of the worker and all that it started, at its peak.
    """

    start_seconds: float
    round_seconds: float
    memory_bytes: int


def measure() -> dict[str, Overhead]:
    """Run the same small experiment on each runtime, then 20 of 20 and of 200 clients on Ray."""
    found = {}
    for name in RUNTIMES:
        with temporary_home():
            found[name] = _run(name, SMALL)
    for name, who in CROWDS.items():
        with temporary_home():
            _run("local", (*_CROWD, *who))  # draws and encodes whom the next one meets
            found[name] = _run("ray", (*_CROWD, *who))
    return found


def _run(runtime: str, settings: Sequence[str]) -> Overhead:
    command = [sys.executable, "-m", "engine", "run", "--json", "--runtime", runtime]
    for setting in settings:
        command += ["--set", setting]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        peak = 0
        while process.poll() is None:
            peak = max(peak, _unshared(process.pid))
            time.sleep(_LOOK_SECONDS)
        [summary] = json.loads(process.stdout.read().splitlines()[-1])["runs"]
        run, rounds = reads.run(summary["run"]), reads.rounds(summary["run"])
        if run.status != "done" or run.started_at is None:
            raise RuntimeError(f"the run on {runtime} has not ended well: {run.error}")
        first, *later = rounds
        begun = (first.finished_at - run.started_at).total_seconds() - first.seconds
        return Overhead(begun, median(row.seconds for row in later), peak)


def _unshared(pid: int) -> int:
    """Return the unshared memory of a process and of all below it, in bytes."""
    total = 0
    with suppress(psutil.NoSuchProcess):
        parent = psutil.Process(pid)
        for process in (parent, *parent.children(recursive=True)):
            with suppress(psutil.NoSuchProcess):
                total += process.memory_full_info().uss
    return total
