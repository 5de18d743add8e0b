"""How much a model is given at once: rows of a pass, pixels of a picture. No torch here."""

from __future__ import annotations

from dataclasses import dataclass

MOST_ROWS = 256  # of one pass: more are no faster on a CPU, and need more memory
SMALL_MODEL = 20_000_000  # parameters; smaller models use plain attention, which keeps its weights
PASS_PIXELS = 32 * 96**2  # of pictures in one pass of the tower; see vision_cache.py
LONGEST_SIDE = 768  # pixels of a stored picture; models see fewer, and all have to fit in memory


@dataclass(frozen=True)
class MicroBatch:
    """Rows in one pass of training and of evaluation; whether layers recompute what they need."""

    train: int = MOST_ROWS
    eval: int = MOST_ROWS
    checkpointing: bool = False
