"""``bench methods --long``: the protocol on which a claim about never being worse can stand.

Every cell (a kind and level of difference, and samples per client) gets the same draws of the
partition, on which all methods train the same number of steps, together. Where it is still open
whether ours holds, draws are added. In one cell partitions and training seeds are crossed besides.
Runs that are stored with the same config are not run again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np

from db import reads
from engine.bench.crossing import BOTH, OURS
from engine.bench.grid import not_stored, own_accuracy, run_grid
from engine.bench.methods import KINDS, steps_of
from engine.bench.never_worse import MOST_DRAWS, Cell, Comparison, compare_all, looks
from engine.bench.variance import VarianceShares, variance_shares
from engine.config import ConfigError, ExperimentConfig
from engine.system.machine import cores

STRATEGIES = (
    *("local", "fedit", "plora", "fedsa", OURS),
    *("feddpa", "ditto", "fedalt", "potara", "tap"),
)
SPLIT = ("fedit", "plora", OURS)  # whose variance is split
LEVELS = (0.5, 1.0)
SAMPLES = (64, 256)
DRAWS = 10
CROSSED = 4  # partitions and training seeds that are crossed
_SECONDS = 0.04  # of one step of one client of the default model, on one core, tests included
Own = dict[str, list[float]]


def all_cells(
    kinds: Sequence[str] = KINDS,
    levels: Sequence[float] = LEVELS,
    samples: Sequence[int] = SAMPLES,
) -> list[Cell]:
    """Return the cells, those in which all clients are alike once, whatever the kind."""
    alike = [Cell("alike", 0.0, n) for n in samples if 0.0 in levels]
    apart = [Cell(k, level, n) for k in kinds for level in levels if level for n in samples]
    return alike + apart


@dataclass(frozen=True)
class LongPlan:
    """Strategies × cells × draws, on a config that is otherwise ``base``.

    ``most``: draws that a cell gets at most; ``crossed``: partitions and training seeds in
    ``crossed_at``.
    """

    base: ExperimentConfig = ExperimentConfig()
    strategies: Sequence[str] = STRATEGIES
    cells: Sequence[Cell] = tuple(all_cells(levels=(0.0, *LEVELS)))
    draws: int = DRAWS
    most: int = MOST_DRAWS

    @property
    def crossed(self) -> int:
        """Partitions, and training seeds, that are crossed; none of a lone draw."""
        return min(CROSSED, self.draws) if self.draws > 1 else 0

    @property
    def crossed_at(self) -> Cell:
        """The cell in which they are: the last, where clients differ most."""
        return self.cells[-1]

    def config(
        self, cell: Cell, strategy: str, seed: int, training_seed: int = -1
    ) -> ExperimentConfig:
        """Return one run's config."""
        kind = self.base.heterogeneity.kind if cell.level == 0 else cell.kind
        values: dict[str, Any] = {
            "heterogeneity": {"kind": kind, "level": cell.level},
            "samples_per_client": cell.samples,
        }
        what = f"{cell.kind} {cell.level:g}, {cell.samples} samples, seed {seed}"
        values |= {
            "name": f"bench methods --long: {what}",
            "strategies": [strategy],
            "local_steps": steps_of(self.base, strategy),
            "seed": seed,
            "training_seed": training_seed,
        }
        return ExperimentConfig.parse(self.base.model_dump() | values)

    def configs(self) -> list[ExperimentConfig]:
        """Return the runs that the protocol begins with."""
        drawn = [
            self.config(cell, strategy, seed)
            for seed in range(self.draws)
            for cell in self.cells
            for strategy in self.strategies
        ]
        return [*drawn, *(c for table in self.crossings().values() for c in table.values())]

    def crossings(self) -> dict[str, dict[tuple[int, int], ExperimentConfig]]:
        """Return the crossed runs of each strategy, by partition and training seed."""
        split = [strategy for strategy in SPLIT if strategy in self.strategies]
        pairs = [(p, t) for p in range(self.crossed) for t in range(self.crossed)]
        return {
            s: {(p, t): self.config(self.crossed_at, s, p, t) for p, t in pairs}
            for s in split
            if pairs
        }


def plan_of(
    lists: Mapping[str, Sequence[str]], draws: int | None, most: int, base: ExperimentConfig
) -> LongPlan:
    """Make a plan with lists of its own, as words; raises ConfigError for an unknown word."""
    strategies = list(dict.fromkeys(lists.get("strategies", STRATEGIES)))
    if missing := {*BOTH, OURS} - set(strategies):
        raise ConfigError(f"strategies: --long compares {', '.join((*BOTH, OURS))}; there is no "
                          f"{min(missing)} among yours")  # fmt: skip
    values = base.model_dump() | {"strategies": strategies}
    cells = [
        ExperimentConfig.parse(
            values | {"heterogeneity": {"kind": kind, "level": level}, "samples_per_client": n}
        )
        for n in lists.get("samples", SAMPLES)
        for kind in lists.get("kinds", KINDS)
        for level in lists.get("levels", (0.0, *LEVELS))
    ]
    draws = draws or DRAWS
    return LongPlan(
        base,
        strategies,
        all_cells(
            list(dict.fromkeys(cell.heterogeneity.kind for cell in cells)),
            list(dict.fromkeys(cell.heterogeneity.level for cell in cells)),
            list(dict.fromkeys(cell.samples_per_client for cell in cells)),
        ),
        draws,
        max(draws, most),
    )


@dataclass(frozen=True)
class Long:
    """All that the protocol has measured."""

    plan: LongPlan
    own: Mapping[Cell, Own]  # by strategy the own accuracies, by draw
    shares: Mapping[str, VarianceShares]
    costs: Mapping[str, Cost]

    def compared(self, strategy: str) -> dict[Cell, Comparison]:
        """Compare a method with the better of both in all cells."""
        return compare_all(strategy, self.own, len(looks(self.plan.draws, self.plan.most)))


@dataclass(frozen=True)
class Cost:
    """What a method costs, mean over its runs: bytes per client and round, seconds of a round.

    The seconds are of runs that were at work alone.
    """

    bytes_up: float
    bytes_down: float
    round_seconds: float


def seconds_missing(plan: LongPlan) -> tuple[int, float]:
    """Return how many of the first runs are not stored yet, and about how long they take here."""
    missing = not_stored([*plan.configs(), *_alone(plan).values()])
    steps = sum(
        c.clients * c.rounds * c.local_steps * len(c.rule(c.strategies[0]).phases())
        for c in missing
    )
    return len(missing), steps * _pace() / cores()


def _pace() -> float:
    """Return the seconds of one step of one client on a core: of the runs here, else as usual."""
    paces = []
    for run in reads.done_runs():
        values = run.experiment.config
        steps = values["clients"] * values["rounds"] * values["local_steps"]
        runs = len(values["strategies"])
        if run.wall_seconds > 1 and steps:
            paces.append(run.wall_seconds / (steps * runs))
    return median(paces) if len(paces) >= 10 else _SECONDS


def measure_long(plan: LongPlan) -> Long:
    """Run what is missing, and more draws where ours is open; raises RunsFailed."""
    runs = run_grid("draws", plan.configs())
    own = {
        cell: {s: [own_accuracy(runs[plan.config(cell, s, d)]) for d in range(plan.draws)]
               for s in plan.strategies}
        for cell in plan.cells
    }  # fmt: skip
    square = (plan.crossed, plan.crossed)
    shares = {
        s: variance_shares(np.reshape([own_accuracy(runs[c]) for c in table.values()], square))
        for s, table in plan.crossings().items()
    }
    if OURS in plan.strategies and set(BOTH) <= set(plan.strategies):
        _add_draws(plan, own)
    return Long(plan, own, shares, _costs(plan))


def _add_draws(plan: LongPlan, own: dict[Cell, Own]) -> None:
    """Add draws of ours and of both to the cells that are open, look by look."""
    steps = looks(plan.draws, plan.most)
    for before, draws in zip(steps, steps[1:], strict=False):
        compared = compare_all(OURS, own, len(steps))
        still_open = [cell for cell, found in compared.items() if found.verdict == "open"]
        if not still_open:
            return
        more = range(before, draws)
        configs = {
            (cell, s, d): plan.config(cell, s, d)
            for d in more for cell in still_open for s in (*BOTH, OURS)
        }  # fmt: skip
        runs = run_grid(f"{draws} draws of {len(still_open)} cells", list(configs.values()))
        for (cell, strategy, _), config in configs.items():
            own[cell][strategy].append(own_accuracy(runs[config]))


def _alone(plan: LongPlan) -> dict[str, ExperimentConfig]:
    """Return a run of FedIT and one of ours that share nothing, so that each works alone."""
    costly = (key for key in ("fedit", OURS) if key in plan.strategies)
    cell = plan.crossed_at
    return {s: plan.config(cell, s, 10_000 + number) for number, s in enumerate(costly)}


def _costs(plan: LongPlan) -> dict[str, Cost]:
    costs = {}
    for strategy, config in _alone(plan).items():
        [run] = run_grid(f"cost of {strategy}", [config]).values()
        summary = reads.summary(run)
        sent = config.clients * config.rounds
        later = [row.seconds for row in reads.rounds(run)][1:] or [0.0]
        up, down = summary.bytes_up / sent, summary.bytes_down / sent
        costs[strategy] = Cost(up, down, median(later))
    return costs
