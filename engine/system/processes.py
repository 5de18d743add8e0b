"""The lab's own processes: who is alive, and who else is at work."""

from __future__ import annotations

import os

import psutil

from db import reads
from db.tables import Worker


def is_alive(worker: Worker) -> bool:
    """Tell whether the process that registered still runs: same pid, same start, not a zombie."""
    try:
        process = psutil.Process(worker.pid)
        same = abs(process.create_time() - worker.process_started) < 1
        return same and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def other_workers() -> list[psutil.Process]:
    """Return the processes of the lab that are at work, but for this one."""
    found = [psutil.Process(worker.pid) for worker in reads.workers() if is_alive(worker)]
    return [process for process in found if process.pid != os.getpid()]
