"""Work ahead of a run, while a worker waits: it makes ready what the form in the browser shows.

In pieces of about a second, so that a run that is queued meanwhile does not wait for long.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from db import reads, writes
from db.tables import Preparation, now
from engine.config import SITES, ConfigError, ExperimentConfig
from engine.data.cache_files import encoded_path
from engine.data.factory import dataset_of
from engine.fl.resolved import Resolved
from engine.jobs.door import execution
from engine.jobs.first_round import first_sets

log = logging.getLogger(__name__)
_MOST_AHEAD = 8  # sets, of some 10 MB each until they are encoded
_SETTLED = timedelta(seconds=1)  # a form that is still being moved is not worth the work


class Prefetcher:
    """A follower of the form, piece by piece."""

    def __init__(self) -> None:
        self._asked: Preparation | None = None
        self._pieces: Iterator[object] = iter(())

    def step(self) -> bool:
        """Do one piece of work; False when there is none."""
        asked = reads.preparation()
        try:
            if asked is not None and not _is_same(asked, self._asked):
                if now() - asked.asked_at < _SETTLED:
                    return False
                self._asked, self._pieces = asked, _pieces(asked)
            return next(self._pieces, None) is not None
        except Exception:  # it is only a head start: the run itself will say what is wrong
            log.exception("what the form shows could not be made ready")
            self._pieces = iter(())
            return False


def prefetch_next() -> None:
    """Render ahead for the next run in the queue, or for what the form shows."""
    queued, asked = reads.next_queued(), reads.preparation()
    try:
        if queued is not None:
            prefetch(queued.experiment.config, queued.experiment.resolved)
        elif asked is not None:
            prefetch(asked.config, asked.resolved)
    except ConfigError:  # the run itself will say what is wrong
        log.exception("nothing could be rendered ahead")


def prefetch(values: dict[str, Any], resolved: dict[str, Any] | None) -> None:
    """Start to render what the first round will want, in the background: a config as JSON."""
    if resolved is None:  # of an older lab: the run itself will see what there is
        return
    config = ExperimentConfig.parse(values)
    if config.dataset == SITES:  # nothing of it is here
        return
    known = Resolved.from_dict(resolved)
    dataset = dataset_of(config.without_training(), known.data)
    sets = first_sets(config)
    missing = [key for key in sets if not encoded_path(dataset, known.model, *key).exists()]
    dataset.prefetch(missing[:_MOST_AHEAD])


def _is_same(asked: Preparation, before: Preparation | None) -> bool:
    return before is not None and (asked.config, asked.resolved) == (before.config, before.resolved)


def _pieces(asked: Preparation) -> Iterator[object]:
    if asked.resolved is None:
        return
    config, resolved = ExperimentConfig.parse(asked.config), asked.resolved
    yield from execution().pieces(config, Resolved.from_dict(resolved))
    writes.mark_prepared(asked.config, asked.resolved)
