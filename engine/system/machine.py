"""What of this machine the process may use."""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

import psutil

from engine.system.processes import other_workers

_CGROUP = Path("/sys/fs/cgroup")
_TRIM, _MAPPED = -1, -3  # parameters of glibc's mallopt: M_TRIM_THRESHOLD, M_MMAP_THRESHOLD


def cores() -> int:
    """CPU cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def pin(core: int) -> None:
    """Keep this process to one of its cores, where the system can: its number from 0."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[core]})


def keep_freed_memory() -> None:
    """From now on hold up to 512 MiB of what this process frees, where the C library can.

    A training step takes and frees the same tensors as the one before. Given back in between, their
    pages are cleared anew in every step, which is a tenth of the time of a small one.
    """
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None
    if hasattr(libc, "mallopt"):  # in glibc
        libc.mallopt(_TRIM, 512 * 2**20)
        libc.mallopt(_MAPPED, 32 * 2**20)  # bytes; larger tensors still go back at once


def room(device: str, *, of_all: bool = False) -> int:
    """Memory in bytes that a model may have on a device: what is free and what this process holds.

    ``of_all``: and what the lab's other processes hold, which let go of one model for another.
    """
    if device == "cuda":
        return _on_gpu(of_all)
    processes = [psutil.Process(), *(other_workers() if of_all else ())]
    held = {process.pid: _held(process) for process in processes}
    return free_memory() + sum(held.values())


def free_memory() -> int:
    """Bytes of main memory that are free, in a container those that it may still take."""
    free = psutil.virtual_memory().available
    try:
        limit = int((_CGROUP / "memory.max").read_text())
        used = int((_CGROUP / "memory.current").read_text())
    except (OSError, ValueError):  # no container, or one without a limit: "max"
        return free
    return max(0, min(free, limit - used))


def _on_gpu(of_all: bool) -> int:
    import torch

    free, total = torch.cuda.mem_get_info()
    return total if of_all and other_workers() else free + torch.cuda.memory_reserved()


def _held(process: psutil.Process) -> int:
    """What a process would give back: files that it has mapped are counted as free already."""
    try:
        memory = process.memory_info()
    except psutil.NoSuchProcess:
        return 0
    return max(0, memory.rss - getattr(memory, "shared", 0))
