"""Where the files of a model are: with the lab, in a folder, or from the hub. No torch here."""

from __future__ import annotations

import json
from pathlib import Path

from huggingface_hub import try_to_load_from_cache
from huggingface_hub.errors import HFValidationError

from engine.config import BUNDLED
from engine.paths import BUNDLED_MODEL

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"  # of weights in several files


def source_of(model: str) -> str:
    """What a config's model is known by: a folder or a hub id."""
    folder = BUNDLED_MODEL if model == BUNDLED else Path(model).expanduser()
    return str(folder.resolve()) if folder.is_dir() else model


def folder_of(model: str) -> Path | None:
    """The folder of a model's files on this machine; None for one that is yet to be fetched."""
    source = source_of(model)
    if Path(source).is_dir():
        return Path(source)
    try:
        found = try_to_load_from_cache(source, "config.json")
    except HFValidationError:  # it could not be a name on the hub
        return None
    return Path(found).parent if isinstance(found, str) else None


def place_of(model: str) -> str:
    """What transformers loads a model from: a folder where all is there, else the hub id.

    So a model that was fetched before needs no network, which the hub's client would wait for.
    """
    folder = folder_of(model)
    whole = folder is not None and _is_whole(folder)
    return str(folder) if whole else source_of(model)


def missing_weights(folder: Path) -> list[str] | None:
    """Names of weight files that are missing; [] if all are there, None if no list says so."""
    if (folder / WEIGHTS).exists():
        return []
    if not (folder / INDEX).exists():
        return None
    index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
    return sorted(n for n in set(index["weight_map"].values()) if not (folder / n).exists())


def _is_whole(folder: Path) -> bool:
    tokenizer = any((folder / n).exists() for n in ("tokenizer.json", "tokenizer_config.json"))
    names = ("preprocessor_config.json", "processor_config.json")
    pictures = any((folder / n).exists() for n in names)
    return missing_weights(folder) == [] and tokenizer and pictures
