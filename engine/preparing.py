"""What a worker does while it waits: it makes ready what the form in the browser shows.

In pieces of about a second, so that a run that is queued meanwhile does not wait for long.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

from db import queries, records
from db.tables import now
from engine.config import ExperimentConfig

log = logging.getLogger(__name__)
_MOST = 32  # clients: more would keep the worker busy for long
_SETTLED = timedelta(seconds=1)  # a form that is still being moved is not worth the work


class Preparing:
    """Follows the form, piece by piece."""

    def __init__(self) -> None:
        self._config: dict | None = None
        self._pieces: Iterator[object] = iter(())

    def step(self) -> bool:
        """Do one piece of work; False when there is none."""
        asked = queries.preparation()
        if asked is not None and asked.config != self._config:
            if now() - asked.asked_at < _SETTLED:
                return False
            self._config = asked.config
            self._pieces = _pieces(ExperimentConfig.model_validate(asked.config))
        try:
            return next(self._pieces, None) is not None
        except Exception:  # it is only a head start: the run itself will say what is wrong
            log.exception("what the form shows could not be made ready")
            self._pieces = iter(())
            return False


def _pieces(config: ExperimentConfig) -> Iterator[object]:
    """Model, data and base scores of the first round, one yield for each piece."""
    from engine.flower.cohort import Cohort
    from engine.flower.run_config import RunConfig
    from engine.flower.site import Site
    from engine.strategies import STRATEGIES
    from engine.workbench import workbench

    bench = workbench(config)
    yield bench
    key = config.strategies[0]
    first = STRATEGIES[key](config, {k: k for k in range(config.clients)}).participants(1)[:_MOST]
    yield from bench.sets.make_ready([(k, split) for k in first for split in ("test", "train")])
    yield bench.sets.pooled()
    run = RunConfig(0, key, config.model_dump_json(), Path())
    cohort = Cohort([Site(run, k) for k in first], [{} for _ in first])
    yield cohort.scores(0, with_base=True)
    records.say_prepared(config.model_dump(mode="json"))
