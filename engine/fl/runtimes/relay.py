"""The worker's end of the line to the ServerApp that Flower's engine runs for it."""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Callable, Collection, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Self

from engine.fl.flower.relay_app import Answer, Letter
from engine.system.faults import RunFailed

_LOOK_SECONDS = 15  # between two looks at how Flower fares: each costs a second of a core


class LineBroken(RunFailed):
    """The ServerApp at the other end is gone."""


class Relay:
    """A Unix socket in a folder that only its owner may enter; a ServerApp at its other end."""

    def __init__(self, folder: Path, check: Callable[[], None]) -> None:
        """``check`` is called again and again while waiting; it raises where that is in vain."""
        self.address = str(folder / "relay")
        self._check = check
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(self.address)
        self._socket.listen()
        self._line: Connection | None = None

    def wait_for_app(self, state: Callable[[], tuple[bool, str]], seconds: float) -> None:
        """Wait until a ServerApp has called; ``state``: whether it has ended, and why.

        Raises RunFailed, and what ``check`` raises.
        """
        end = time.monotonic() + seconds
        looked = time.monotonic()
        while not select.select([self._socket], [], [], 0.2)[0]:
            self._check()
            if time.monotonic() - looked < min(_LOOK_SECONDS, seconds):
                continue
            has_ended, reason = state()
            looked = time.monotonic()
            if has_ended or looked > end:
                raise RunFailed(f"Flower has not started the ServerApp: {reason}")
        self._line = Connection(self._socket.accept()[0].detach())

    def nodes(self) -> list[int]:
        """Return the nodes that are there. Raises RunFailed."""
        return self._call("nodes", None)

    def push(self, letters: Sequence[Letter]) -> list[str]:
        """Send letters; return a name for each. Raises RunFailed."""
        return self._call("push", letters) if letters else []

    def pull(self, letters: Collection[str]) -> list[Answer]:
        """Return the answers to these letters that have come, each once. Raises RunFailed."""
        return self._call("pull", list(letters)) if letters else []

    def hang_up(self) -> None:
        """Let the ServerApp end."""
        if self._line is not None:
            self._line.close()
            self._line = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.hang_up()
        self._socket.close()

    def _call(self, name: str, argument: object) -> Any:
        if self._line is None:
            raise LineBroken("Flower's ServerApp has not started")
        try:
            self._line.send((name, argument))
            while not self._line.poll(0.5):
                self._check()
            return self._line.recv()
        except (EOFError, OSError):
            self._check()
            raise LineBroken("Flower's ServerApp has ended before its time") from None
