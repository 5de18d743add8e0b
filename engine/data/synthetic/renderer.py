"""A process that renders: in a thread, numpy would wait for its turn while torch is imported.

It reads one JSON request per line, ``{"config", "client", "split"}``, and answers each with a JSON
line, the shape of the pictures, and their bytes (render_process.py). It ends when its input does,
so also when the process that asks is killed.
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
        """Return pictures (n, height, width, 3) uint8 of a set; None when the process is gone."""
        request = {"config": config.model_dump(mode="json"), "client": client, "split": split}
        try:
            self._process = self._process or _start()
            requests, answers = self._process.stdin, self._process.stdout
            assert requests and answers, "both are pipes"
            requests.write(json.dumps(request).encode() + b"\n")
            requests.flush()
            shape = json.loads(answers.readline())
            return np.frombuffer(answers.read(math.prod(shape)), np.uint8).reshape(shape)
        except (OSError, ValueError):
            log.exception("the rendering process is gone; rendering goes on without it")
            self._process = None
            return None


def _start() -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "engine.data.synthetic.render_process"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,  # Ctrl-C is for the process that asks
    )
