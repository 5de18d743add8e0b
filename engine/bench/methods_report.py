"""benchmarks/RESULTS.md and results.json, written by ``bench methods --report``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from statistics import mean
from typing import Any

from rich.table import Table

from engine.bench import results_file
from engine.bench.crossing import difference
from engine.bench.methods import HEADLINE, LEARNING_RATES, PAPER, Results
from engine.metrics.intervals import SHARE, Interval
from engine.strategies import STRATEGIES

_MEASURES = {
    "own": "Accuracy on the clients' own test sets",
    "pooled": "Accuracy on the pooled test set",
    "worst": "The client that fares worst, on its own test set",
    "spread": "Standard deviation over clients, on their own test sets",
}


def write_report(results: Results, folder: Path = results_file.OUT) -> None:
    """Write both files."""
    (folder / "RESULTS.md").write_text("\n".join(_page(results)) + "\n", encoding="utf-8")
    results_file.put(as_dict(results), folder)


def as_dict(results: Results) -> dict[str, Any]:
    """Turn everything into plain values; accuracies and gains are fractions."""
    plan = results.plan
    cells = []
    for outcome in results.outcomes:
        intervals = {m: asdict(Interval.of(getattr(outcome, m), SHARE)) for m in _MEASURES}
        cell = {**asdict(outcome), "intervals": intervals}
        if "fedit" in plan.strategies:
            cell["against_fedit"] = asdict(results.against_fedit(outcome))
        cells.append(cell)
    return {
        "headline": asdict(results.headline) if results.headline else None,
        "paper_claim": PAPER,
        "base": plan.base.model_dump(mode="json"),
        "seeds": plan.seeds,
        "learning_rates": {s: results.rate(s) for s in plan.strategies},
        "validation": results.rates,
        "cells": cells,
        "headline_cells": [asdict(outcome) for outcome in results.at_headline],
        "alike": [asdict(outcome) for outcome in results.alike],
    }


def table(results: Results) -> Table:
    """Draw own accuracies for a terminal."""
    title = "Own accuracy, % ± half the 95 % interval over seeds"
    rows = Table("kind", "level", *results.plan.strategies, title=title)
    for kind, level in _cells(results):
        own = (results.outcome(s, kind, level).own for s in results.plan.strategies)
        rows.add_row(kind, f"{level:g}", *(Interval.of(values, SHARE).short() for values in own))
    return rows


def _cells(results: Results) -> Iterator[tuple[str, float]]:
    return ((kind, level) for kind in results.plan.kinds for level in results.plan.levels)


def _page(results: Results) -> list[str]:
    plan = results.plan
    lines = [
        "# Which method, under which difference between clients",
        "",
        f"Written by `python -m engine bench methods --report`: {plan.seeds} seeds, "
        f"{plan.base.clients} clients with {plan.base.samples_per_client} training samples each, "
        f"{plan.base.rounds} rounds of {plan.base.local_steps} steps of {plan.base.batch_size}, "
        f"LoRA rank {plan.base.lora.rank}, the bundled model and its world, "
        f"{100 * plan.base.fault_share:.0f} % of the questions about faults. Figures are percent, "
        "in brackets the 95 % interval over seeds (Student's t on the logit), of the model that a "
        "client would use: its own, or the global one where it has none. A seed changes pictures, "
        "words, partition and A₀. All take the same number of training steps; a client with two "
        "adapters takes half of them for each. Intervals are not corrected for the many "
        "comparisons, and where `fedit` is near 100 % there is no room to gain.",
        "",
        "Over samples per client: [CROSSING.md](CROSSING.md). Whether a method is ever worse than "
        "training alone or one model for all, and in which cells: "
        "[NEVER_WORSE.md](NEVER_WORSE.md).",
        "",
        *_headline(results),
        *_share(results),
        *_tie(results),
        "## Own accuracy, and the difference to `fedit`",
        "",
        "The difference is paired: same seed, same clients.",
        "",
        *_grid(results, "own"),
        *_rows(results, lambda o: results.against_fedit(o).points(sign=True), skip="fedit"),
    ]
    for measure, title in list(_MEASURES.items())[1:]:
        lines += [f"## {title}", "", *_grid(results, measure)]
    return lines + _rates(results)


def _headline(results: Results) -> list[str]:
    headline = results.headline
    if headline is None:
        return []
    where = HEADLINE["heterogeneity"]
    gain = Interval(headline.mean, headline.low, headline.high)
    rows = [
        f"| {STRATEGIES[o.strategy].title} | {Interval.of(o.own, SHARE).points()} | "
        f"{Interval.of(o.worst, SHARE).points()} | {Interval.of(o.pooled, SHARE).points()} |"
        for o in results.at_headline
    ]
    return [
        f"## `{where['kind']}` {where['level']}, {HEADLINE['clients']} clients",
        "",
        f"In own-client accuracy `plora` gains **{gain.points(sign=True)} %** over `fedit` "
        f"(relative, {headline.seeds} seeds). The paper claims {100 * PAPER:+.1f} %, on other data "
        "and another model: the two figures stand side by side, they are not the same measurement. "
        f"{headline.clients_improved} of {headline.clients} clients are better with `plora`; the "
        f"worst client is better in {headline.seeds_whose_worst_client_improved} of "
        f"{headline.seeds} seeds.",
        "",
        "| | own | worst client | pooled |",
        "|---|---|---|---|",
        *rows,
        "",
    ]


def share_differences(results: Results) -> dict[str, Interval]:
    """Compare ``fedsa`` (A shared) with ``plora`` (B) by kind, mean over the levels above 0."""
    levels = [level for level in results.plan.levels if level > 0]

    def own(strategy: str, kind: str) -> list[float]:
        rows = [results.outcome(strategy, kind, level).own for level in levels]
        return [mean(values) for values in zip(*rows, strict=True)]

    return {kind: difference(own("fedsa", kind), own("plora", kind)) for kind in results.plan.kinds}


def _share(results: Results) -> list[str]:
    differences = share_differences(results)
    sides = {1: "Sharing A (`fedsa`) is better under", -1: "Sharing B (`plora`) is better under"}
    sides[0] = "Neither is surely better (the interval holds 0) under"
    sentences = []
    for sign, words in sides.items():
        kinds = [
            f"`{kind}` ({interval.points(sign=True)})"
            for kind, interval in differences.items()
            if interval.sign == sign
        ]
        sentences.append(f"{words} {', '.join(kinds) or 'no kind'}.")
    return [
        "## Share A or share B?",
        "",
        "Points of own accuracy, `fedsa` minus `plora`, mean over the levels above 0:",
        "",
        " ".join(sentences),
        "",
    ]


def _tie(results: Results) -> list[str]:
    """Compare the methods that average, where there is nothing to personalise."""
    if not results.alike:
        return []
    own = {o.strategy: mean(o.own) for o in results.alike}
    best, worst = max(own, key=own.__getitem__), min(own, key=own.__getitem__)
    rows = [f"| `{o.strategy}` | {Interval.of(o.own, SHARE).points()} |" for o in results.alike]
    with_two = " and ".join(f"`{s}`" for s in own if STRATEGIES[s].two_adapters)
    return [
        "## Everyone alike (level 0)",
        "",
        f"The {len(own)} methods that average lie within {100 * (own[best] - own[worst]):.1f} "
        f"points, from `{worst}` to `{best}`. Here a client of {with_two} trains each of its two "
        "adapters with as many steps as the others train their one, as in the papers; in the "
        "tables below with half of them for each. At level 0 the kinds are one and the same "
        "federation, run once; methods that are not in the tables below train at the learning "
        "rate of `fedit`.",
        "",
        "| | own accuracy |",
        "|---|---|",
        *rows,
        "",
    ]


def _grid(results: Results, measure: str) -> list[str]:
    return _rows(results, lambda outcome: Interval.of(getattr(outcome, measure), SHARE).points())


def _rows(results: Results, show: Callable[[Any], str], skip: str = "") -> list[str]:
    strategies = [s for s in results.plan.strategies if s != skip]
    lines = [
        "| kind | level | " + " | ".join(f"`{s}`" for s in strategies) + " |",
        "|---" * (2 + len(strategies)) + "|",
    ]
    for kind, level in _cells(results):
        shown = (show(results.outcome(s, kind, level)) for s in strategies)
        lines.append(f"| {kind} | {level:g} | " + " | ".join(shown) + " |")
    return [*lines, ""]


def _rates(results: Results) -> list[str]:
    rows = [
        f"| `{s}` | " + " | ".join(f"{100 * rates[r]:.1f}" for r in LEARNING_RATES)
        + f" | {results.rate(s):g} |"
        for s, rates in results.rates.items()
    ]  # fmt: skip
    return [
        "## How the learning rates were chosen",
        "",
        "Own accuracy on validation sets, which share no picture with the test sets: level 0.5, "
        "seed 0, mean over kinds. The best of a row is used everywhere above.",
        "",
        "| | " + " | ".join(f"{rate:g}" for rate in LEARNING_RATES) + " | chosen |",
        "|---" * (2 + len(LEARNING_RATES)) + "|",
        *rows,
    ]
