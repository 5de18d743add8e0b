"""Where the files of a model are: with the lab, in a folder, or from the hub. No torch here."""

from __future__ import annotations

from hashlib import blake2b
from pathlib import Path

from huggingface_hub import try_to_load_from_cache
from huggingface_hub.errors import HFValidationError

from engine.config import BUNDLED, ConfigError
from engine.paths import BUNDLED_MODEL
from engine.vlm.checkpoint_files.weights import missing_weights

_READ = (".json", ".jinja", ".model", ".safetensors", ".txt")  # endings of files that are read


def source_of(model: str) -> str:
    """Return what a config's model is known by: a folder or a hub id."""
    folder = BUNDLED_MODEL if model == BUNDLED else Path(model).expanduser()
    return str(folder.resolve()) if folder.is_dir() else model


def folder_of(model: str) -> Path | None:
    """Return the folder of a model's files on this machine; None where it is yet to be fetched."""
    source = source_of(model)
    if Path(source).is_dir():
        return Path(source)
    try:
        config = try_to_load_from_cache(source, "config.json")
    except HFValidationError:  # it could not be a name on the hub
        return None
    return Path(config).parent if isinstance(config, str) else None


def place_of(model: str) -> str:
    """Return what transformers loads a model from: a folder where all is there, else the hub id.

    So a model that was fetched before needs no network, which the hub's client would wait for.
    """
    folder = folder_of(model)
    whole = folder is not None and _is_whole(folder)
    return str(folder) if whole else source_of(model)


def state_of(folder: Path) -> str:
    """Return a digest of a folder's files: names, sizes, times; of the hub's, its revision."""
    if folder.parent.name == "snapshots":  # of the hub's cache: named by the commit
        return folder.name
    digest = blake2b(digest_size=16)
    for path in sorted(path for path in folder.iterdir() if path.suffix in _READ):
        state = path.stat()
        digest.update(f"{path.name} {state.st_size} {state.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def _is_whole(folder: Path) -> bool:
    tokenizer = any((folder / n).exists() for n in ("tokenizer.json", "tokenizer_config.json"))
    names = ("preprocessor_config.json", "processor_config.json")
    pictures = any((folder / n).exists() for n in names)
    try:
        return missing_weights(folder) == [] and tokenizer and pictures
    except ConfigError:
        return False
