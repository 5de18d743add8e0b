"""Analyses that were made of a run, kept in its folder: a file for each kind and round."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.paths import run_folder
from engine.system.files import write_json

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

MATRIX, NEWCOMER, LIKENESS = KINDS = ("matrix", "newcomer", "likeness")


def read(run: int, kind: str, after_round: int) -> dict[str, Any] | None:
    """Return what ``keep`` has written, as JSON has it; None where there is nothing yet."""
    try:
        return json.loads(_path(run, kind, after_round).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def keep(run: int, kind: str, after_round: int, result: DataclassInstance) -> None:
    """Write the result of an analysis, whole or not at all."""
    path = _path(run, kind, after_round)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, asdict(result))


def _path(run: int, kind: str, after_round: int) -> Path:
    return run_folder(run) / "analyses" / f"{kind}-{after_round:04d}.json"
