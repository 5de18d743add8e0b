"""The work on models behind the requests; everything here runs in the one thread that has them."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Generator
from dataclasses import asdict
from typing import Any

import numpy as np

from db import reads
from db.tables import ALIVE
from engine.answering.wire import Question
from engine.config import BUNDLED
from engine.fl.context import release
from engine.jobs.queue import NotPossible
from engine.jobs.stored import run_config
from engine.paths import home
from engine.results import kept
from engine.results.analyze import cross_matrix, likeness, newcomer
from engine.results.ask import ask, ask_clients, where_looked
from engine.results.export import zipped
from engine.system.machine import room
from engine.vlm import loading, memory

__all__ = ["QUESTIONS", "analysis", "export", "release"]

_ANALYSES: dict[str, Callable[[int], Generator[float, None, Any]]] = {
    kept.MATRIX: cross_matrix,
    kept.NEWCOMER: newcomer,
    kept.LIKENESS: likeness,
}


def _ask(question: Question, image: np.ndarray) -> Any:
    return [asdict(a) for a in ask(question.run, question.clients[0], image, question.question)]


def _ask_clients(question: Question, image: np.ndarray) -> Any:
    answers = ask_clients(question.run, question.clients, image, question.question)
    return [asdict(answer) for answer in answers]


def _where_looked(question: Question, image: np.ndarray) -> Any:
    grids = where_looked(question.run, question.clients[0], image, question.question)
    return {variant: grid.tolist() for variant, grid in grids.items()}


def _with_room(operation: Callable[[Question, np.ndarray], Any]) -> Callable[..., Any]:
    def checked(question: Question, image: np.ndarray) -> Any:
        _check_room(question.run)
        return operation(question, image)

    return checked


QUESTIONS = {
    "/ask": _with_room(_ask),
    "/clients": _with_room(_ask_clients),
    "/looked": _with_room(_where_looked),
}


def analysis(run_id: int, kind: str) -> Generator[float, None, None]:
    """Make an analysis of a run and keep it; yields the share that is done.

    Raises NoSuchRun, NotPossible.
    """
    if kind not in _ANALYSES:
        raise NotPossible(f"analysis: '{kind}' is none; allowed: {', '.join(_ANALYSES)}")
    run = reads.run(run_id)
    if run.status in ALIVE:
        raise NotPossible(f"run {run_id} is {run.status}; look at its models when it has ended")
    _check_room(run_id)
    result = yield from _ANALYSES[kind](run_id)
    kept.keep(run_id, kind, run.rounds_done, result)


def export(run_id: int) -> str:
    """Write a run's adapters as a zip; return its path. Raises NoSuchRun, NotPossible."""
    _check_room(run_id)
    handle, path = tempfile.mkstemp(dir=home(), prefix="export-", suffix=".zip")
    with os.fdopen(handle, "wb") as file:
        file.write(zipped(run_id))
    return path


def _check_room(run_id: int) -> None:
    """Raise NotPossible where a model is not here yet and would not fit beside what is."""
    stored = run_config(reads.run(run_id))
    config = stored.config
    if config.model == BUNDLED or loading.is_loaded(config) or stored.resolved is None:
        return
    release()  # no two large models lie in memory side by side
    needs, free = memory.estimate(config, stored.resolved.model), room(stored.resolved.model.device)
    needed = needs.weights + needs.row_tested
    if needed > free:
        raise NotPossible(
            f"{config.model} needs about {needed / 2**30:.1f} GB of memory to answer, and "
            f"{free / 2**30:.1f} GB are free now; ask again when no run is training"
        )
