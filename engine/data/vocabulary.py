"""Words of the data that the bundled model's tokenizer is to learn (engine/vlm/vocabulary.py)."""

from __future__ import annotations

from collections import Counter

from engine.config import BUNDLED
from engine.data.dataset import FederatedDataset


def words_of(dataset: FederatedDataset) -> tuple[str, ...]:
    """Return the data's words, the commonest first; () where the model needs no new ones."""
    if dataset.config.model != BUNDLED:
        return ()
    counts = Counter(word for text in dataset.texts() for word in text.lower().split())
    return tuple(word for word, _ in sorted(counts.items(), key=lambda c: (-c[1], c[0])))
