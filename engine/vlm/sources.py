"""Where the files of a model are: with the lab, in a folder, or from the hub. No torch here."""

from __future__ import annotations

from pathlib import Path

from huggingface_hub import try_to_load_from_cache

from engine.config import BUNDLED
from engine.paths import BUNDLED_MODEL


def source_of(model: str) -> str:
    """What transformers loads a config's model from: a folder or a hub id."""
    folder = BUNDLED_MODEL if model == BUNDLED else Path(model).expanduser()
    return str(folder.resolve()) if folder.is_dir() else model


def folder_of(model: str) -> Path | None:
    """The folder of a model's files on this machine; None for one that is yet to be fetched."""
    source = source_of(model)
    if Path(source).is_dir():
        return Path(source)
    found = try_to_load_from_cache(source, "config.json")
    return Path(found).parent if isinstance(found, str) else None
