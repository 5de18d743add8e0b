"""LoRA factors on disk: safetensors, written aside, synced, renamed: whole or absent.

A run's folder holds ``initial.safetensors``, ``server-RRRR.safetensors`` (the shared factors after
round R), ``clients/<k>/personal-RRRR.safetensors`` (what client k keeps to itself) and, of some
strategies, ``decision-RRRR.safetensors`` beside it (what it chose after round R).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from engine.adapters.adapter import (
    DELTA_A,
    DELTA_B,
    DENSE_DELTA,
    Adapter,
    factor_of,
    name_of,
)
from engine.adapters.low_rank import LowRank, trimmed
from engine.system.tensor_files import read_tensors, write_tensors

if TYPE_CHECKING:
    import torch

    Factors = Adapter[torch.Tensor]

DECISION = "decision"
_KEPT = 2  # the last two rounds: a crash between checkpoint and commit goes back by one


def write(path: Path, factors: Factors) -> int:
    """Write factors; return the size of the file in bytes."""
    return write_tensors(path, factors)


def read(path: Path) -> Factors:
    """Return the factors of one file. Raises FileNotFoundError when it is absent."""
    return _with_narrow_deltas(Adapter(read_tensors(path)))


def initial_path(folder: Path) -> Path:
    """Return the path of the common start of all clients."""
    return folder / "initial.safetensors"


def server_path(folder: Path, round_: int) -> Path:
    """Return the path of the shared factors after a round."""
    return folder / f"server-{round_:04d}.safetensors"


def read_shared(folder: Path, round_: int) -> Factors:
    """Return the shared factors after a round; none before the first. Raises FileNotFoundError."""
    return read(server_path(folder, round_)) if round_ else Adapter()


def client_folder(folder: Path, client: int) -> Path:
    """Return the folder of what client k keeps to itself."""
    return folder / "clients" / str(client)


def personal_path(folder: Path, client: int, round_: int) -> Path:
    """Return the path of client k's own factors after a round."""
    return client_folder(folder, client) / f"personal-{round_:04d}.safetensors"


def decision_path(folder: Path, client: int, round_: int) -> Path:
    """Return the path of what client k chose after a round."""
    return client_folder(folder, client) / f"{DECISION}-{round_:04d}.safetensors"


def read_personal(folder: Path, client: int, round_: int) -> Factors:
    """Return what client k kept to itself in a round. Raises FileNotFoundError."""
    return read(personal_path(folder, client, round_))


def prune(folder: Path, stem: str, newest: int) -> None:
    """Remove what neither ``newest`` nor the round before it needs.

    A client that skipped rounds has an older file that is still its latest: it stays.
    """
    old = [entry for entry in numbered(folder, stem) if entry[0] <= newest]
    for _, path in old[:-_KEPT]:
        path.unlink(missing_ok=True)


def superseded(folder: Path, last: int) -> list[Path]:
    """Return the files of a finished run that its models after round ``last`` do not need.

    Of the server and of each client the newest stays, which may be older than ``last``.
    """
    own = [(k, stem) for k in _files(folder / "clients") for stem in ("personal", DECISION)]
    places = [(folder, "server"), *own]
    paths: list[Path] = []
    for place, stem in places:
        old = [path for round_, path in numbered(place, stem) if round_ <= last]
        paths += old[:-1]
    return paths


def _with_narrow_deltas(factors: Factors) -> Factors:
    """Return factors with the dense deltas of earlier versions as narrow ones."""
    if not (layers := factors.layers(DENSE_DELTA)):
        return factors
    import torch

    dense = [factors[name_of(layer, DENSE_DELTA)].numpy() for layer in layers]
    narrow = [trimmed(LowRank(delta, np.eye(delta.shape[1]))) for delta in dense]
    a, b = (
        [torch.from_numpy(part).float() for part in parts]
        for parts in ([delta.a for delta in narrow], [delta.b for delta in narrow])
    )
    deltas = Adapter.of_layers(layers, a, b, (DELTA_A, DELTA_B))
    return factors.where(lambda name: factor_of(name) != DENSE_DELTA) | deltas


def numbered(folder: Path, stem: str) -> list[tuple[int, Path]]:
    """Return the files of a kind with their rounds, in order."""
    pattern = re.compile(rf"{stem}-(\d+)\.safetensors")
    matches = ((pattern.fullmatch(path.name), path) for path in _files(folder))
    return sorted((int(match.group(1)), path) for match, path in matches if match)


def _files(folder: Path) -> Iterable[Path]:
    return folder.iterdir() if folder.is_dir() else ()
