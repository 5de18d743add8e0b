"""benchmarks/NEVER_WORSE.md and a part of results.json, written by ``bench methods --long``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from statistics import mean
from typing import Any

from rich.table import Table

from engine.bench import results_file
from engine.bench.crossing import BOTH, OURS, difference
from engine.bench.long import Long
from engine.bench.never_worse import Cell, looks
from engine.bench.never_worse import as_dict as never_worse
from engine.metrics.intervals import SHARE, Interval


def write_long(results: Long, command: str, folder: Path = results_file.OUT) -> None:
    """Write both files."""
    (folder / "NEVER_WORSE.md").write_text("\n".join(_page(results, command)) + "\n", "utf-8")
    results_file.put(as_dict(results, command), folder)


def as_dict(results: Long, command: str = "") -> dict[str, Any]:
    """Return everything as plain values; accuracies and differences are fractions."""
    return {
        "never_worse": {s: never_worse(results.compared(s)) for s in _judged(results)},
        "long": {
            "command": command,
            "base": results.plan.base.model_dump(mode="json"),
            "cells": [
                {**asdict(cell), "own": {s: list(values) for s, values in own.items()}}
                for cell, own in results.own.items()
            ],
            "costs": {s: asdict(cost) for s, cost in results.costs.items()},
        },
        "variance": {
            **{s: asdict(shares) for s, shares in results.shares.items()},
            "at": asdict(results.plan.crossed_at),
            "partitions": results.plan.crossed,
            "training_seeds": results.plan.crossed,
        },
    }


def table(results: Long) -> Table:
    """Draw own accuracies for a terminal."""
    title = "Own accuracy, % ± half the 95 % interval over draws"
    shown = Table("cell", "draws", *results.plan.strategies, title=title)
    for cell, own in results.own.items():
        values = (Interval.of(own[s], SHARE).short() for s in results.plan.strategies)
        shown.add_row(_named(cell), str(len(own[BOTH[0]])), *values)
    return shown


def _judged(results: Long) -> list[str]:
    """Return the strategies that are compared with both, ours first."""
    others = [s for s in results.plan.strategies if s not in (*BOTH, OURS)]
    return [s for s in (OURS,) if s in results.plan.strategies] + others


def _page(results: Long, command: str) -> list[str]:
    base, plan = results.plan.base, results.plan
    return [
        "# Never worse than alone, never worse than one for all?",
        "",
        f"Written by `{command}`: {len(plan.cells)} cells, {plan.draws} draws each (ours and both "
        f"get up to {plan.most} where it is open), {base.clients} clients, {base.rounds} rounds of "
        f"{base.local_steps} steps of {base.batch_size}, learning rate {base.learning_rate:g}, "
        f"{100 * base.fault_share:.0f} % of the questions about faults. A draw is a seed: other "
        "pictures, words, partition and A₀; all methods meet the same draws and take the same "
        "number of training steps, who trains two adapters half of them for each. Figures are "
        "percent of right answers on the clients' own test sets.",
        "",
        "A method *holds* in a cell where the lower end of its paired interval to `local` and that "
        "to `fedit` both lie above −1 point. Intervals are Student's, 95 % together over "
        f"{len(plan.cells)} cells and {len(looks(plan.draws, plan.most))} looks at growing numbers "
        "of draws (Bonferroni); *open* is where more draws may tell, *worse* where the whole "
        "interval lies below.",
        "",
        *_verdicts(results),
        *_cells(results),
        *_variance(results),
        *_costs(results),
    ]


def _verdicts(results: Long) -> Iterator[str]:
    yield from (
        "The last two columns: mean difference to the better of both, over all cells, and in the "
        "cell where it is least.",
        "",
        "| method | holds | open | worse | over all cells | least |",
        "|---" * 6 + "|",
    )
    for strategy in _judged(results):
        compared = results.compared(strategy)
        verdicts = [found.verdict for found in compared.values()]
        counts = " | ".join(str(verdicts.count(word)) for word in ("holds", "open", "worse"))
        means = {cell: found.interval.mean for cell, found in compared.items()}
        least = min(means, key=means.__getitem__)
        of_all = f"{100 * mean(means.values()):+.1f}"
        least_of = f"{100 * means[least]:+.1f} ({_named(least)})"
        yield f"| `{strategy}` | {counts} | {of_all} | {least_of} |"
    yield ""


def _cells(results: Long) -> Iterator[str]:
    strategies = results.plan.strategies
    yield "## Own accuracy, mean over draws"
    yield ""
    yield "| cell | draws | " + " | ".join(f"`{s}`" for s in strategies) + " |"
    yield "|---" * (2 + len(strategies)) + "|"
    for cell, own in results.own.items():
        values = " | ".join(f"{100 * mean(own[s]):.1f}" for s in strategies)
        yield f"| {_named(cell)} | {len(own[BOTH[0]])} | {values} |"
    yield ""
    if OURS not in strategies:
        return
    yield f"## `{OURS}`, cell by cell"
    yield ""
    yield "Points of own accuracy over the better of both in the mean: with a plain 95 %"
    yield "interval, and with one that is corrected as above."
    yield ""
    yield "| cell | draws | against | plain | corrected | |"
    yield "|---|---|---|---|---|---|"
    for cell, found in results.compared(OURS).items():
        own = results.own[cell]
        plain = difference(own[OURS], own[found.against][: len(own[OURS])])
        shown = (
            f"{_named(cell)} | {found.draws} | `{found.against}` | {plain.points(sign=True)} | "
            f"{found.interval.points(sign=True)} | {found.verdict}"
        )
        yield f"| {shown} |"
    yield ""


def _variance(results: Long) -> Iterator[str]:
    if not results.shares:
        return
    plan = results.plan
    yield "## What decides: whom the data fell to, or the training seed"
    yield ""
    yield (
        f"{plan.crossed} partitions × {plan.crossed} training seeds (A₀ and the order of batches), "
        f"{_named(plan.crossed_at)}: shares of the variance of own accuracy, by a two-way random "
        "effects model. With one run for each pair the interaction holds what is left unexplained. "
        "The study that this follows: fedlora-partition-variance, DOI 10.5281/zenodo.22861074."
    )
    yield ""
    yield "| method | standard deviation, points | partition | training seed | interaction |"
    yield "|---|---|---|---|---|"
    for strategy, shares in results.shares.items():
        parts = (shares.partition, shares.training, shares.interaction)
        shown = " | ".join(f"{100 * part:.0f} %" for part in parts)
        yield f"| `{strategy}` | {100 * shares.deviation:.1f} | {shown} |"
    yield ""


def _costs(results: Long) -> Iterator[str]:
    if not results.costs:
        return
    yield "## What it costs"
    yield ""
    yield (
        f"One run each, at work alone, {_named(results.plan.crossed_at)}. Bytes are of one client "
        "in one round; a round is trained, averaged, chosen in and tested."
    )
    yield ""
    yield "| method | bytes up | bytes down | seconds a round |"
    yield "|---|---|---|---|"
    for strategy, cost in results.costs.items():
        yield (
            f"| `{strategy}` | {cost.bytes_up:,.0f} | {cost.bytes_down:,.0f} "
            f"| {cost.round_seconds:.2f} |"
        )
    yield ""
    yield (
        f"`{OURS}` sends both factors, as `fedit` does, where `plora` and `fedsa` send one: about "
        "twice their bytes, and nothing of a client's adapter stays secret from the server."
    )


def _named(cell: Cell) -> str:
    return f"{cell.kind} {cell.level:g}, {cell.samples}"
