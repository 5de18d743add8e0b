"""Words of the data that the bundled model's tokenizer is to learn (engine/vlm/vocabulary.py)."""

from __future__ import annotations

from collections import Counter

from engine.config import BUNDLED, WORLD, ExperimentConfig
from engine.data.user.collection import collect


def words_of(config: ExperimentConfig) -> tuple[str, ...]:
    """Words of the config's data, the commonest first; () where the model needs no new ones.

    Raises ConfigError where the data cannot be read.
    """
    if config.model != BUNDLED or config.dataset == WORLD:
        return ()
    counts: Counter[str] = Counter()
    for row in collect(config.dataset, config.data).rows:
        for text in (row.question, *row.answers):
            counts.update(text.lower().split())
    return tuple(word for word, _ in sorted(counts.items(), key=lambda c: (-c[1], c[0])))
