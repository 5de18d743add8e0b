"""The surroundings of a measurement: a fresh home, child processes, a worker that ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from db import reads
from engine.config import ExperimentConfig
from engine.fl.context import ExperimentContext
from engine.fl.run_config import RunConfig
from engine.fl.runtimes.local import execute_alone
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
    """Run all strategies in this process, without the worker; returns run ids by strategy."""
    context.base_scores.clear()
    context.base_answers.clear()
    _, runs = queue.create(config, worker_id=0)
    for key, run_id in zip(config.strategies, runs, strict=True):
        folder = run_folder(run_id)
        folder.mkdir(parents=True)
        execute_alone(RunConfig(run_id, key, config, folder), together=together)
    return dict(zip(config.strategies, runs, strict=True))
