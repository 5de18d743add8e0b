"""Places of encoded sets on disk. No torch here: a starting worker looks before it imports that.

A path says what a file was made from: the model's files, the code that draws the data, and the
config.
"""

from __future__ import annotations

from functools import lru_cache
from hashlib import blake2b
from pathlib import Path

from engine.config import ExperimentConfig
from engine.data.dataset import FederatedDataset
from engine.paths import home
from engine.vlm.checkpoint_files.sources import folder_of

_ON_DISK = 8 * 2**30  # bytes
_FORM = "4"  # of the files; a change makes all anew


def encoded_path(dataset: FederatedDataset, client: int, split: str) -> Path:
    """Return the file of one client's ``train`` or ``test`` set, or of the ``pooled`` test set."""
    return _folder(dataset.config) / f"{dataset.key(client, split)}.safetensors"


def prune() -> None:
    """Remove what was not read for longest, until the rest fits."""
    files = [(path, path.stat()) for path in (home() / "cache").rglob("*.safetensors")]
    total = sum(state.st_size for _, state in files)
    for path, state in sorted(files, key=lambda entry: entry[1].st_mtime):
        if total <= _ON_DISK:
            break
        total -= state.st_size
        path.unlink()


def features_path(config: ExperimentConfig, picture: str) -> Path:
    """Return the file of what the vision tower makes of a picture, by a digest of its pixels."""
    return _folder(config) / "pictures" / picture[:2] / f"{picture}.safetensors"


def _folder(config: ExperimentConfig) -> Path:
    data = config.data.model_dump(exclude={"metric", "test_samples"})
    made_by = (config.device, config.dtype, config.lora.vision, config.start, *data.values())
    return home() / "cache" / "encoded" / _digest(config.model, made_by)


@lru_cache(maxsize=4)
def _digest(model: str, made_by: tuple[object, ...]) -> str:
    digest = blake2b(_FORM.encode(), digest_size=8)
    digest.update(repr((model, *made_by)).encode())
    folder = folder_of(model)
    for path in sorted(folder.iterdir() if folder else ()):
        state = path.stat()
        digest.update(f"{path} {state.st_size} {state.st_mtime_ns}".encode())
    return digest.hexdigest()
