"""This machine, as far as the process may use it."""

from __future__ import annotations

import ctypes
import importlib.util
import os
import sys
from functools import lru_cache
from pathlib import Path

import psutil

from engine.system.processes import other_workers

_CGROUP = Path("/sys/fs/cgroup")
_TRIM, _MAPPED = -1, -3  # parameters of glibc's mallopt: M_TRIM_THRESHOLD, M_MMAP_THRESHOLD


def cores() -> int:
    """Return the number of CPU cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@lru_cache(maxsize=1)
def devices() -> tuple[str, ...]:
    """Return the devices that torch can use here, the fastest first, "cpu" last.

    A door: torch itself is asked where its build knows of more than the CPU.
    """
    spec = importlib.util.find_spec("torch")
    libraries = Path(spec.origin or "").parent / "lib" if spec else Path()
    if sys.platform != "darwin" and not any(
        any(libraries.glob(f"*torch_{gpu}*")) for gpu in ("cuda", "hip")
    ):
        return ("cpu",)
    import torch

    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    return (*(device for device, is_there in there.items() if is_there), "cpu")


def gpus() -> int:
    """Return the number of CUDA devices. A door: torch itself is asked."""
    import torch

    return torch.cuda.device_count()


def pin(core: int) -> None:
    """Keep this process to one of its cores, where the system can: its number from 0."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[core]})


def keep_freed_memory() -> None:
    """From now on hold up to 512 MiB of what this process frees, where the C library can.

    A training step takes and frees the same tensors as the one before. Given back in between, their
    pages are cleared anew in every step, which is a tenth of the time of a small one.
    """
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):  # in glibc
        libc.mallopt(_TRIM, 512 * 2**20)
        libc.mallopt(_MAPPED, 32 * 2**20)  # bytes; larger tensors still go back at once


def room(device: str, *, of_all: bool = False) -> int:
    """Return the bytes that a model may have on a device: what is free, what this process holds.

    ``of_all``: and what the lab's other processes hold, which let go of one model for another.
    """
    if device == "cuda":
        return _on_gpu(of_all)
    processes = [psutil.Process(), *(other_workers() if of_all else ())]
    held = {process.pid: _held(process) for process in processes}
    return free_memory() + sum(held.values())


def free_memory() -> int:
    """Return the bytes of main memory that are free, in a container those it may still take."""
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
    """Return what a process would give back: files that it has mapped count as free already."""
    try:
        memory = process.memory_info()
    except psutil.NoSuchProcess:
        return 0
    return max(0, memory.rss - getattr(memory, "shared", 0))
