"""What a worker does while it waits: it makes ready what the form in the browser shows.

In pieces of about a second, so that a run that is queued meanwhile does not wait for long.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

from pydantic import ValidationError

from db import reads, writes
from db.tables import now
from engine.config import ConfigError, ExperimentConfig
from engine.data.cache_files import encoded_path
from engine.data.factory import dataset_of

log = logging.getLogger(__name__)
_MOST = 32  # clients: more would keep the worker busy for long
_MOST_AHEAD = 8  # sets, of some 10 MB each until they are encoded
_SETTLED = timedelta(seconds=1)  # a form that is still being moved is not worth the work


class Prefetcher:
    """Follows the form, piece by piece."""

    def __init__(self) -> None:
        self._config: dict | None = None
        self._pieces: Iterator[object] = iter(())

    def step(self) -> bool:
        """Do one piece of work; False when there is none."""
        asked = reads.preparation()
        try:
            if asked is not None and asked.config != self._config:
                if now() - asked.asked_at < _SETTLED:
                    return False
                self._config = asked.config
                self._pieces = _pieces(ExperimentConfig.model_validate(asked.config))
            return next(self._pieces, None) is not None
        except Exception:  # it is only a head start: the run itself will say what is wrong
            log.exception("what the form shows could not be made ready")
            self._pieces = iter(())
            return False


def prefetch_next() -> None:
    """Paint ahead for the next run in the queue, or for what the form shows."""
    queued, asked = reads.next_queued(), reads.preparation()
    values = queued.experiment.config if queued else asked.config if asked else None
    try:
        if values is not None:
            prefetch(ExperimentConfig.model_validate(values))
    except (ValidationError, ConfigError):  # the run itself will say what is wrong
        log.exception("nothing could be painted ahead")


def prefetch(config: ExperimentConfig) -> None:
    """Start to paint what the first round will want, in the background, while torch is imported."""
    dataset = dataset_of(config.without_training())
    wanted = [key for key in _sets(config) if not encoded_path(dataset, *key).exists()]
    dataset.prefetch(wanted[:_MOST_AHEAD])


def _pieces(config: ExperimentConfig) -> Iterator[object]:
    """Model, data and base scores of the first round, one yield for each piece."""
    from engine.fl.client import Client
    from engine.fl.cohort import Cohort
    from engine.fl.context import context_of
    from engine.fl.run_config import RunConfig

    context = context_of(config)
    yield context
    yield from context.sets.make_ready(_sets(config))
    yield context.sets.pooled()
    run = RunConfig(0, config.strategies[0], config.model_dump_json(), Path())
    first = _first(config)
    cohort = Cohort([Client(run, k) for k in first], [{} for _ in first])
    yield cohort.scores(0)
    writes.mark_prepared(config.model_dump(mode="json"))


def _sets(config: ExperimentConfig) -> list[tuple[int, str]]:
    """What a run's start wants, in this order: the base is tested before anybody trains."""
    return [(k, split) for split in ("test", "train") for k in _first(config)]


def _first(config: ExperimentConfig) -> list[int]:
    """The clients of the first round, or some of them."""
    from engine.strategies import STRATEGIES

    strategy = STRATEGIES[config.strategies[0]](config, {k: k for k in range(config.clients)})
    return strategy.participants(1)[:_MOST]
