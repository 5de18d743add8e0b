"""What benchmarks need around a measurement: a fresh home, child processes, a worker that ends."""

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

from db import queries
from engine import launcher
from engine.paths import ROOT


def output(command: list[str]) -> dict:
    """The JSON on the last line of a command's output, and the time it took as ``wall``."""
    begun = time.perf_counter()
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    return {**json.loads(done.stdout.splitlines()[-1]), "wall": time.perf_counter() - begun}


@contextmanager
def temporary_home() -> Iterator[Path]:
    """A fresh FEDVLM_HOME for this process and its children."""
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
    """Ends the worker that the block has started."""
    try:
        yield
    finally:
        for worker in queries.workers():
            if launcher.is_alive(worker):
                os.kill(worker.pid, signal.SIGKILL)


def wait(condition: Callable[[], object], seconds: float = 120) -> None:
    """Until the condition holds; raises TimeoutError."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"nothing happened within {seconds} s")
        time.sleep(0.02)
