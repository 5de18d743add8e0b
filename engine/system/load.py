"""Cores that other processes leave to this one: threads that wait for a turn spin at barriers.

On two cores beside two busy processes, a pass with two threads took over twenty times as long as
alone; with one thread it takes its fair share. So torch's threads follow what others take.
"""

from __future__ import annotations

import math
import os
import time
from dataclasses import dataclass
from typing import Any

import psutil

from engine.system.machine import cores

_INTERVAL = 0.5  # seconds that one measurement covers, at least
_IGNORED = 0.3  # cores' worth of others' work that costs less than a thread would bring


@dataclass(frozen=True)
class _Sample:
    """Seconds: the clock, the work of all processes on this one's cores, and its own work."""

    clock: float
    all: float
    own: float


class LoadMeter:
    """Measures now and then how busy others keep the cores that this process may use."""

    def __init__(self) -> None:
        self._last = _sample()
        self._others = 0.0

    def free_cores(self) -> int:
        """Return how many threads have a core to themselves; at least one."""
        if time.monotonic() - self._last.clock >= _INTERVAL:
            before, self._last = self._last, _sample()
            work = (self._last.all - before.all) - (self._last.own - before.own)
            self._others = max(0.0, work / (self._last.clock - before.clock))
        return max(1, math.floor(cores() - self._others + _IGNORED))


def _sample() -> _Sample:
    mine = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(cores())
    per_core = psutil.cpu_times(percpu=True)
    busy = sum(_busy(per_core[core]) for core in mine if core < len(per_core))
    own = os.times()
    return _Sample(time.monotonic(), busy, own.user + own.system)


def _busy(times: Any) -> float:
    """Return the seconds that a core has worked; a guest's are in ``user`` already."""
    idle = ("idle", "iowait", "guest", "guest_nice")
    return sum(value for name, value in times._asdict().items() if name not in idle)


meter = LoadMeter()
