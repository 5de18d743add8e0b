"""A process that paints: in a thread, numpy would wait for its turn while torch is imported.

It reads one JSON request per line, ``{"config", "client", "split"}``, and answers each with a JSON
line, the shape of the pictures, and their bytes. It ends when its input does, so also when the
process that asks is killed.
"""

from __future__ import annotations

import json
import logging
import math
import subprocess
import sys

import numpy as np

from engine.config import ExperimentConfig
from engine.paths import ROOT

log = logging.getLogger(__name__)


class Renderer:
    """The process, started by the first request; to be used by one thread."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def render(self, config: ExperimentConfig, client: int, split: str) -> np.ndarray | None:
        """Pictures (n, height, width, 3) uint8 of a set; None when the process is gone."""
        asked = {"config": config.model_dump(mode="json"), "client": client, "split": split}
        try:
            self._process = self._process or _start()
            self._process.stdin.write(json.dumps(asked).encode() + b"\n")
            self._process.stdin.flush()
            shape = json.loads(self._process.stdout.readline())
            data = self._process.stdout.read(math.prod(shape))
            return np.frombuffer(data, np.uint8).reshape(shape)
        except (OSError, ValueError):
            log.exception("the painting process is gone; painting goes on without it")
            self._process = None
            return None


def _start() -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "engine.data.synthetic.renderer"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,  # Ctrl-C is for the process that asks
    )


def serve() -> None:
    """Answer requests until the input ends."""
    from engine.data.synthetic.world import SyntheticDataset

    for line in sys.stdin:
        asked = json.loads(line)
        dataset = SyntheticDataset(ExperimentConfig.model_validate(asked["config"]))
        images = dataset.pictures(asked["client"], asked["split"])
        sys.stdout.buffer.write(json.dumps(images.shape).encode() + b"\n")
        sys.stdout.buffer.write(images.tobytes())
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    serve()
