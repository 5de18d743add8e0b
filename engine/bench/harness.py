"""The surroundings of a measurement: a fresh home, child processes, a worker that ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from db import reads
from engine.config import ExperimentConfig
from engine.fl.context import ExperimentContext
from engine.fl.run_config import RunConfig
from engine.fl.runtimes.local import execute, execute_alone
from engine.fl.runtimes.meeting import Orders
from engine.jobs import queue
from engine.paths import ROOT, run_folder
from engine.system.processes import is_alive


def output(command: list[str]) -> dict:
    """Run a command; returns the JSON on its last line with its time as ``wall``."""
    begun = time.perf_counter()
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    return {**json.loads(done.stdout.splitlines()[-1]), "wall": time.perf_counter() - begun}


@contextmanager
def temporary_home() -> Iterator[Path]:
    """Give this process and its children a fresh FEDVLM_HOME."""
    before = os.environ.get("FEDVLM_HOME")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["FEDVLM_HOME"] = folder
        try:
            yield Path(folder)
        finally:
            if before is None:
                del os.environ["FEDVLM_HOME"]
            else:
                os.environ["FEDVLM_HOME"] = before


@contextmanager
def worker_ended() -> Iterator[None]:
    """End the worker that the block has started."""
    try:
        yield
    finally:
        for worker in reads.workers():
            if is_alive(worker):
                os.kill(worker.pid, signal.SIGKILL)


def wait(condition: Callable[[], object], seconds: float = 120) -> None:
    """Wait until the condition holds; raises TimeoutError."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"nothing happened within {seconds} s")
        time.sleep(0.02)


def all_sets(config: ExperimentConfig) -> list[tuple[int, str]]:
    """List every client's two sets, for ``EncodedSets.make_ready``."""
    return [(k, split) for k in range(config.clients) for split in ("train", "test")]


def run_here(
    config: ExperimentConfig, context: ExperimentContext, *, together: bool
) -> dict[str, int]:
    """Run all strategies in this process, one after another; returns run ids by strategy.

    ``together``: the clients of a run in one cohort, not one by one.
    """
    runs = _created(config, context)
    for run in runs:
        execute_alone(run, together=together)
    return {run.strategy_key: run.run for run in runs}


def run_side_by_side(config: ExperimentConfig, context: ExperimentContext) -> dict[str, int]:
    """Run all strategies in this process, all at once; returns run ids by strategy."""
    runs = _created(config, context)
    execute(runs, Undisturbed())
    return {run.strategy_key: run.run for run in runs}


class Undisturbed(Orders):
    """Nobody asks anything of the runs; a fault is raised."""

    def may_train(self, round_: int) -> bool:
        """Let every round begin."""
        return True

    def is_stopped(self, run: int) -> bool:
        """Stop no run."""
        return False

    def newcomers(self) -> Sequence[RunConfig]:
        """Let nobody join."""
        return ()

    def ended(self, run: int, fault: Exception | None) -> None:
        """Raise what went wrong."""
        if fault is not None:
            raise fault


def _created(config: ExperimentConfig, context: ExperimentContext) -> list[RunConfig]:
    context.base_scores.clear()
    context.base_answers.clear()
    _, runs = queue.create(config, worker_id=0)
    for run in runs:
        run_folder(run).mkdir(parents=True)
    pairs = zip(config.strategies, runs, strict=True)
    return [RunConfig(run, key, config, run_folder(run)) for key, run in pairs]
