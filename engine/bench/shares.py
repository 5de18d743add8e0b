"""Where the time of a run goes: a sampling profiler with the lab's own categories.

Every few milliseconds it looks at the stack of the thread that works. Nothing is instrumented, so
nothing gets slower.
"""

from __future__ import annotations

import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

# Part of a path, function or "" for any, category. The first rule that a frame of the stack fits
# decides, so what evaluation asks of the model counts as evaluation.
_RULES = (
    ("importlib", "", "imports"),
    ("engine/fl/evaluation.py", "", "evaluation"),
    ("engine/data/", "", "data"),
    ("sqlalchemy/", "", "database"),
    ("engine/fl/checkpoints.py", "", "checkpoints"),
    ("torch/optim/", "", "optimiser"),
    ("engine/vlm/multi_lora/projection.py", "", "model arithmetic"),
    ("engine/vlm/multi_lora/stacked.py", "", "LoRA bookkeeping"),
    ("engine/vlm/lora.py", "", "LoRA bookkeeping"),
    ("engine/vlm/model.py", "load_factors", "LoRA bookkeeping"),
    ("engine/vlm/model.py", "read_factors", "LoRA bookkeeping"),
    ("engine/fl/training.py", "", "model arithmetic"),
    ("engine/strategies/", "", "aggregation"),
    ("site-packages/flwr/", "", "Flower"),
)
_EVERY = 0.004  # seconds


@contextmanager
def shares() -> Iterator[dict[str, float]]:
    """Yield a dict that holds each category's share of the block's time once it has ended."""
    parts: dict[str, float] = {}
    counts: Counter[str] = Counter()
    ended = threading.Event()
    watched = threading.get_ident()

    def watch() -> None:
        while not ended.wait(_EVERY):
            counts[_category(sys._current_frames().get(watched))] += 1

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    start = time.perf_counter()
    try:
        yield parts
    finally:
        ended.set()
        watcher.join()
        total = max(sum(counts.values()), 1)
        parts |= {name: count / total for name, count in counts.most_common()}
        parts["seconds"] = time.perf_counter() - start


def _category(frame: FrameType | None) -> str:
    stack: list[tuple[str, str]] = []
    while frame is not None:
        stack.append((frame.f_code.co_filename, frame.f_code.co_name))
        frame = frame.f_back
    for part, name, category in _RULES:
        if any(part in path and name in ("", function) for path, function in stack):
            return category
    return "other"
