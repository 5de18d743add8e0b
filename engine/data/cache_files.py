"""Places of encoded sets on disk. No torch here: a starting worker looks before it imports that.

A path says what a file was made from: the model's files, device and number format as they were
resolved, the code that draws the data, and the content of the data.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path

from engine.config import ExperimentConfig
from engine.data.dataset import FederatedDataset
from engine.paths import home
from engine.system.files import file_state
from engine.vlm.resolved import ResolvedModel

_ON_DISK = 8 * 2**30  # bytes
_FORM = "5"  # of the files; a change makes all anew
_ABANDONED = 24 * 3600  # seconds after which a file that is being written has been given up


def encoded_path(dataset: FederatedDataset, model: ResolvedModel, client: int, split: str) -> Path:
    """Return the file of one client's ``train`` or ``test`` set, or of the ``pooled`` test set."""
    name = _digest(dataset.key(client, split), dataset.config.data.answer_tokens)
    return _folder(dataset.config, model) / f"{name}.safetensors"


def features_path(config: ExperimentConfig, model: ResolvedModel, picture: str) -> Path:
    """Return the file of a picture's features, by a digest of its pixels."""
    return _folder(config, model) / "pictures" / picture[:2] / f"{picture}.safetensors"


def touch(path: Path) -> None:
    """Note that a file was read lately, so that it is pruned late; it may be gone by now."""
    with suppress(OSError):
        os.utime(path)


def prune() -> None:
    """Remove what was not read for longest, until the rest fits.

    Other processes read, write and prune at the same time: what is gone already is no matter.
    """
    folder = home() / "cache"
    for path in folder.rglob("*.tmp"):
        state = file_state(path)
        if state and state[1] < (time.time() - _ABANDONED) * 1e9:
            _remove(path)
    files = [(path, file_state(path)) for path in folder.rglob("*.safetensors")]
    known = [(path, *state) for path, state in files if state]
    total = sum(size for _, size, _ in known)
    for path, size, changed in sorted(known, key=lambda file: file[2]):
        if total <= _ON_DISK:
            break
        if file_state(path) == (size, changed):  # nobody has read it in the meantime
            _remove(path)
            total -= size


def _remove(path: Path) -> None:
    with suppress(OSError):
        path.unlink()


def _folder(config: ExperimentConfig, model: ResolvedModel) -> Path:
    made_by = (model.digest, model.device, model.dtype, config.lora.vision, config.start)
    return home() / "cache" / "encoded" / _digest(*made_by)


def _digest(*made_by: object) -> str:
    return blake2b(repr((_FORM, *made_by)).encode(), digest_size=16).hexdigest()
