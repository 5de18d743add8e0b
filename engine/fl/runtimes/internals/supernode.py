"""Flower's SuperNode, which looks for messages five times a second: its own sleeps three seconds.

It takes what ``flower-supernode`` takes::

    python -m engine.fl.runtimes.internals.supernode --insecure --superlink 127.0.0.1:8000
"""

from __future__ import annotations

import time
from types import SimpleNamespace

from flwr.supernode import start_client_internal as loop
from flwr.supernode.cli import flower_supernode

_POLL_SECONDS = 0.2


def main() -> None:
    """Have the SuperNode's loop sleep less, and run it."""
    loop.time = SimpleNamespace(sleep=lambda seconds: time.sleep(min(seconds, _POLL_SECONDS)))  # type: ignore[assignment]
    flower_supernode()


if __name__ == "__main__":
    main()
