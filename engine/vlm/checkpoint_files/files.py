"""A checkpoint's files before any is loaded; of the hub only its config is fetched."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from cachetools import TTLCache, cached

from engine.config import ConfigError
from engine.system import hub
from engine.vlm.checkpoint_files.sources import place_of, state_of
from engine.vlm.checkpoint_files.weights import INDEX, WEIGHTS, check_whole, missing_weights

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
_SECONDS = 10  # that the hub may take to answer
_REMEMBERED = 60  # seconds for which the hub's answer holds
_PICKLE = (".bin", ".pt", ".pth", ".ckpt")


@dataclass(frozen=True)
class CheckpointFiles:
    """A checkpoint's ``config.json``, and a digest of the state of all its files."""

    config: dict[str, Any]
    digest: str


def read_checkpoint(model: str) -> CheckpointFiles:
    """Read the ``config.json`` of a folder or a hub id, whose weights are there to be loaded.

    Raises ConfigError when there is no such model, it is closed to the user, the hub cannot be
    reached, or it has no weights that are safe to read.
    """
    place = place_of(model)
    if Path(place).is_dir():
        return _in_folder(Path(place), state_of(Path(place)))
    if not _HUB_ID.fullmatch(model):
        raise ConfigError(
            f"model: there is no folder '{model}' here; allowed: bundled, a folder with a model, "
            "or OWNER/NAME on the hub"
        )
    try:
        return _on_hub(model)
    except ConfigError:
        raise
    except Exception as error:  # the hub's client raises of its own, of many kinds
        raise ConfigError(sentence(model, error)) from error


def sentence(model: str, error: BaseException) -> str:
    """Return what a user needs to know when reading a model of the hub failed with ``error``."""
    from huggingface_hub.errors import (
        EntryNotFoundError,
        HFValidationError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
    )

    causes = hub.chain(error)

    def any_is(*classes: type) -> bool:
        return any(isinstance(cause, classes) for cause in causes)

    if hub.is_gated(error):
        return (
            f"model: {model} is gated; ask for access on its page on the hub "
            "and log in with 'huggingface-cli login' or 'hf auth login'"
        )
    if any_is(RepositoryNotFoundError):
        return (
            f"model: there is no {model} on the hub, or it is private "
            "(then log in with 'huggingface-cli login' or 'hf auth login')"
        )
    if any_is(HFValidationError):
        return f"model: '{model}' is no model of the hub; it is OWNER/NAME"
    if hub.is_unreachable(error) or any_is(LocalEntryNotFoundError):
        return f"model: the hub cannot be reached to fetch {model}; is there a network?"
    if any_is(EntryNotFoundError):
        return f"model: {model} has no config.json, so it is no model that the lab can load"
    if code := next(filter(None, map(hub.status, causes)), 0):
        return f"model: the hub answered with error {code} to fetching {model}; try again later"
    return f"model: {model} cannot be read ({shortened(error)})"


def shortened(error: BaseException) -> str:
    """Return the first words of an error, on one line."""
    return " ".join(str(error).split())[:200] or type(error).__name__


@lru_cache(maxsize=16)
def _in_folder(folder: Path, digest: str) -> CheckpointFiles:
    if not (folder / "config.json").is_file():
        raise ConfigError(f"model: {folder} has no config.json; a model's folder holds one")
    missing = missing_weights(folder)
    if missing is None:
        raise ConfigError(_no_weights(str(folder), [path.name for path in folder.iterdir()]))
    if missing:
        raise ConfigError(f"model: {folder} lacks {missing[0]}, which {INDEX} names")
    check_whole(folder)
    return CheckpointFiles(_parsed(str(folder), folder / "config.json"), digest)


@cached(TTLCache(maxsize=16, ttl=_REMEMBERED))
def _on_hub(model: str) -> CheckpointFiles:
    from huggingface_hub import HfApi, hf_hub_download

    hub.refuse_without_network()
    about = HfApi().model_info(model, timeout=_SECONDS)
    names = [file.rfilename for file in about.siblings or ()]
    if "config.json" in names and not {WEIGHTS, INDEX} & set(names):
        raise ConfigError(_no_weights(model, names))
    path = hf_hub_download(model, "config.json", etag_timeout=_SECONDS)
    return CheckpointFiles(_parsed(model, Path(path)), about.sha or "")


def _no_weights(model: str, names: list[str]) -> str:
    if any(name.endswith(_PICKLE) for name in names):
        return (
            f"model: {model} has its weights only as pickle files, which can run code and are "
            "never opened; it needs *.safetensors"
        )
    return f"model: {model} has no weights; a model's folder holds {WEIGHTS} or {INDEX}"


def _parsed(model: str, path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        values = None
    if not isinstance(values, dict):
        raise ConfigError(f"model: the config.json of {model} is not JSON that describes a model")
    return values
