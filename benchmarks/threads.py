"""The time of a training step by torch threads, alone and beside a second process.

``python benchmarks/threads.py`` prints milliseconds per step at the quickstart's batch size.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
STEP = """
import sys, time, numpy, torch
from engine.config import ExperimentConfig
from engine.fl.training import Job, train
from engine.fl.context import context_of
config = ExperimentConfig()
context = context_of(config)
torch.set_num_threads(int(sys.argv[1]))
samples = context.sets.get(0, "train")
def steps(n):
    start = time.perf_counter()
    job = Job(context.initial, samples, n, numpy.random.default_rng(0))
    train(context.vlm, job, list(context.vlm.factors), batch_size=config.batch_size,
          learning_rate=config.learning_rate)
    return (time.perf_counter() - start) / n * 1000
steps(5)
sys.stdout.write(f"{steps(40):.0f}")
"""


def milliseconds(threads: int, processes: int) -> list[str]:
    """Measure milliseconds per step in each of so many processes at the same time."""
    command = [sys.executable, "-c", STEP, str(threads)]
    running = [
        subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, env=os.environ)
        for _ in range(processes)
    ]
    return [process.communicate()[0] for process in running]


def main() -> None:
    """Print one line per number of threads and processes."""
    for processes in (1, 2):
        for threads in (1, os.cpu_count() or 2):
            times = ", ".join(milliseconds(threads, processes))
            sys.stdout.write(f"{processes} process(es), {threads} thread(s): {times} ms per step\n")


if __name__ == "__main__":
    main()
