"""Factors of a run that may be going on: its newest round's, though it prunes older ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from db import reads
from engine.fl import checkpoints
from engine.fl.run_config import RunConfig
from engine.jobs.queue import NotPossible
from engine.vlm.lora import Factors

Read = TypeVar("Read")
TRIES = 3


def at_newest(run: RunConfig, read: Callable[[Factors, int], Read]) -> Read:
    """Return what ``read`` makes of the shared factors after a run's newest round, and the round.

    Read anew where a live run has pruned something meanwhile. Raises NotPossible where it is gone.
    """
    for _ in range(TRIES):
        last = reads.run(run.run).rounds_done
        try:
            return read(checkpoints.read_shared(run.folder, last), last)
        except FileNotFoundError as error:
            missing = error.filename or error
    raise NotPossible(f"run {run.run}: its factors after round {last} are missing ({missing})")
