"""The lab's own processes: who is alive, and who else is at work."""

from __future__ import annotations

import os
import socket

import psutil

from db import reads
from db.engine import is_file
from db.tables import Worker
from engine.system.supervisor import is_running


def host() -> str:
    """Return this machine's name among those that share its database; "" where none can."""
    return "" if is_file() else socket.gethostname()


def is_here(worker: Worker) -> bool:
    """Tell whether a worker runs on this machine."""
    return worker.host in ("", host())


def is_alive(worker: Worker) -> bool:
    """Tell whether the process that registered still runs.

    Of another machine's only that machine can tell: here it counts as alive.
    """
    return not is_here(worker) or still_runs(worker.pid, worker.process_started)


def still_runs(pid: int, started: float) -> bool:
    """Tell whether a process of this machine runs: same pid, same start, not a zombie."""
    try:
        process = psutil.Process(pid)
        return abs(process.create_time() - started) < 1 and is_running(process)
    except psutil.NoSuchProcess:
        return False


def other_workers() -> list[psutil.Process]:
    """Return the processes of the lab that are at work here, but for this one."""
    pids = [worker.pid for worker in reads.workers() if is_here(worker) and is_alive(worker)]
    return [psutil.Process(pid) for pid in pids if pid != os.getpid()]
