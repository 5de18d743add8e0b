"""The rendering process's own part (renderer.py says what it is asked and answers)."""

from __future__ import annotations

import json
import sys

from engine.config import ExperimentConfig
from engine.data.synthetic.world import SyntheticDataset


def serve() -> None:
    """Answer requests until the input ends."""
    for line in sys.stdin:
        request = json.loads(line)
        dataset = SyntheticDataset(ExperimentConfig.model_validate(request["config"]))
        images = dataset.pictures(request["client"], request["split"])
        sys.stdout.buffer.write(json.dumps(images.shape).encode() + b"\n")
        sys.stdout.buffer.write(images.tobytes())
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    serve()
