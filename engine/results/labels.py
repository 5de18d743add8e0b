"""An experiment's name, tags and notes, as people give them."""

from __future__ import annotations

from db import keeping
from engine.config import ConfigError, ExperimentConfig

MOST_TAGS, LONGEST_TAG, LONGEST_NOTES = 12, 40, 10_000


def set_labels(experiment_id: int, name: str, tags: str, notes: str) -> None:
    """Give an experiment a name, tags (a line, with commas between) and notes.

    Raises ConfigError with a sentence for what is too long.
    """
    name = ExperimentConfig.parse({"name": name.strip()}).name
    words = split_tags(tags)
    if len(notes) > LONGEST_NOTES:
        raise ConfigError(f"notes: at most {LONGEST_NOTES:,} letters (got {len(notes):,})")
    keeping.rename(experiment_id, name)
    keeping.label(experiment_id, words, notes.strip())


def split_tags(line: str) -> list[str]:
    """Return the tags of a line with commas between them, each once. Raises ConfigError."""
    words = list(dict.fromkeys(" ".join(part.split()) for part in line.split(",") if part.strip()))
    if len(words) > MOST_TAGS:
        raise ConfigError(f"tags: at most {MOST_TAGS} (got {len(words)})")
    if too_long := next((word for word in words if len(word) > LONGEST_TAG), ""):
        raise ConfigError(f"tags: at most {LONGEST_TAG} letters each (got '{too_long[:60]}')")
    return words
