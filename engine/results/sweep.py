"""Own accuracy over the swept keys: a line per strategy with its band over draws, and differences.

``python -m engine sweep ID`` prints it, pages/sweep.py draws it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, TypeVar

from db import reads, sweeps
from engine.config import Axis, ExperimentConfig
from engine.metrics.intervals import DIFFERENCE, SHARE, Interval
from engine.results.verdict import compared_pairs
from engine.strategies import STRATEGIES

Values = dict[str, Any]  # of the swept keys, by key


@dataclass(frozen=True)
class Draw:
    """The run of one strategy at one point; ``accuracy``: mean over clients, None until done."""

    seed: int
    run: int
    experiment: int
    status: str
    reused: bool
    accuracy: float | None


@dataclass(frozen=True)
class Cell:
    """One strategy at one value of every swept key: its draws, and their mean with its interval.

    The interval is Student's over draws, made on the logit; None until a draw is done, without ends
    where there is one draw.
    """

    strategy: str
    values: Values
    draws: list[Draw]
    interval: Interval | None

    @property
    def by_seed(self) -> dict[int, float]:
        """The accuracies of the draws that are done."""
        return {draw.seed: draw.accuracy for draw in self.draws if draw.accuracy is not None}


@dataclass(frozen=True)
class Difference:
    """By how much ``ours`` is better than ``theirs`` at the same values, paired by draw.

    The interval is None until a draw of both is done.
    """

    ours: str
    theirs: str
    values: Values
    draws: int
    interval: Interval | None


Entry = TypeVar("Entry", Cell, Difference)


@dataclass(frozen=True)
class SweepResult:
    """All that a sweep has measured so far: ``cells`` for every strategy in turn over ``values``.

    ``values``: what the swept keys take, every combination once; ``differences`` likewise for every
    pair that is compared.
    """

    sweep: int
    name: str
    axes: tuple[Axis, ...]
    seeds: list[int]
    strategies: list[str]
    values: list[Values]
    cells: list[Cell]
    differences: list[Difference]

    @property
    def lines(self) -> dict[str, list[Cell]]:
        """The cells by strategy, one for each of ``values``."""
        return {key: [c for c in self.cells if c.strategy == key] for key in self.strategies}

    @property
    def gaps(self) -> dict[tuple[str, str], list[Difference]]:
        """The differences by (ours, theirs), one for each of ``values``."""
        lines: dict[tuple[str, str], list[Difference]] = {}
        for gap in self.differences:
            lines.setdefault((gap.ours, gap.theirs), []).append(gap)
        return lines

    def panels(self) -> list[tuple[Values, SweepResult]]:
        """Return for each value of the second key what is over the first; without one, all.

        Figures and tables are of one panel.
        """
        if len(self.axes) < 2:
            return [({}, self)]
        first, second = self.axes

        def over_first(entries: Sequence[Entry], value: Any) -> list[Entry]:
            return [
                replace(entry, values={first.key: entry.values[first.key]})
                for entry in entries
                if entry.values[second.key] == value
            ]

        return [
            (
                {second.key: value},
                replace(
                    self,
                    axes=(first,),
                    values=[{first.key: of_first} for of_first in first.values],
                    cells=over_first(self.cells, value),
                    differences=over_first(self.differences, value),
                ),
            )
            for value in second.values
        ]

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {
            **vars(self),
            "axes": {axis.key: list(axis.values) for axis in self.axes},
            "cells": [
                vars(cell)
                | {"draws": list(map(asdict, cell.draws)), "interval": _ends(cell.interval)}
                for cell in self.cells
            ],
            "differences": [
                vars(gap) | {"interval": _ends(gap.interval)} for gap in self.differences
            ],
        }


def _ends(interval: Interval | None) -> dict[str, float | None] | None:
    return asdict(interval) if interval else None


def sweep_result(sweep_id: int) -> SweepResult:
    """Read what a sweep has measured so far.

    Raises NoSuchSweep, and ConfigError where its config is of a plugin that is not named any more.
    """
    stored = sweeps.sweep(sweep_id)
    config = ExperimentConfig.parse(stored.config)
    points = config.points()
    runs = {(run.point, run.strategy): run for run in sweeps.runs(sweep_id)}
    done = [run.run for run in runs.values() if run.status == "done"]
    own = reads.own_accuracies(done)

    def draw(point: int, strategy: str) -> Draw | None:
        run = runs.get((point, strategy))  # None where somebody has deleted it
        if run is None:
            return None
        seed = points[point].config.seed
        accuracy = own.get(run.run)
        return Draw(seed, run.run, run.experiment, run.status, run.reused, accuracy)

    numbers: dict[tuple[Any, ...], list[int]] = {}  # of the points with the same values
    for number, point in enumerate(points):
        numbers.setdefault(point.values, []).append(number)
    keys = [axis.key for axis in config.sweep]
    every = [(dict(zip(keys, values, strict=True)), same) for values, same in numbers.items()]
    cells = [
        _cell(key, values, [draw(n, key) for n in same])
        for key in config.strategies
        for values, same in every
    ]
    return SweepResult(
        sweep_id,
        stored.name,
        config.sweep,
        [config.seed + k for k in range(config.repeats)],
        list(config.strategies),
        [values for values, _ in every],
        cells,
        _differences(cells, [key for key in config.strategies if STRATEGIES[key].variants]),
    )


def _cell(strategy: str, values: Values, draws: Sequence[Draw | None]) -> Cell:
    there = [draw for draw in draws if draw is not None]
    done = [draw.accuracy for draw in there if draw.accuracy is not None]
    return Cell(strategy, values, there, Interval.of(done, SHARE) if done else None)


def _differences(cells: Sequence[Cell], strategies: Sequence[str]) -> list[Difference]:
    lines = {key: [cell for cell in cells if cell.strategy == key] for key in strategies}
    return [
        _difference(*cells_of_both)
        for ours, theirs in compared_pairs(strategies)
        for cells_of_both in zip(lines[ours], lines[theirs], strict=True)
    ]


def _difference(ours: Cell, theirs: Cell) -> Difference:
    a, b = ours.by_seed, theirs.by_seed
    gaps = [a[seed] - b[seed] for seed in a if seed in b]
    interval = Interval.of(gaps, DIFFERENCE) if gaps else None
    return Difference(ours.strategy, theirs.strategy, ours.values, len(gaps), interval)
