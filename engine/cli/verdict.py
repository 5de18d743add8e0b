"""``python -m engine verdict EXPERIMENT``: who gains from federating, and what it costs."""

from __future__ import annotations

from dataclasses import asdict

import typer
from rich.table import Table

from engine.cli.options import Experiment, Json, print_result
from engine.results.verdict import Comparison, Verdict
from engine.results.verdict import verdict as judge

verdicts = typer.Typer()


@verdicts.command()
def verdict(
    experiment: Experiment,
    as_json: Json = False,
) -> None:
    """Say who gains from federating: alone against shared against personalised."""
    judged = judge(experiment)
    print_result(asdict(judged), tables(judged), as_json)


def tables(judged: Verdict) -> list[Table]:
    """Return a verdict as tables: accuracies with costs, then every comparison by client."""
    over = f"{judged.draws} draws" if judged.draws > 1 else "one draw, over its test items"
    costs = Table(
        "strategy", "right", "MB up", "MB down", "left the site",
        title=f"{judged.name}: {over}",
    )  # fmt: skip
    for key in judged.strategies:
        cost = judged.costs[key]
        costs.add_row(
            key,
            f"{judged.accuracy[key]:.1%}",
            f"{cost.bytes_up / 1e6:.1f}",
            f"{cost.bytes_down / 1e6:.1f}",
            cost.left_the_site,
        )
    pairs = [(ours, theirs) for ours, by_other in judged.over.items() for theirs in by_other]
    found = Table("who", *(f"{ours} over {theirs}" for ours, theirs in pairs), title="In points")
    found.add_row("federation", *(_in_words(judged.over[ours][theirs]) for ours, theirs in pairs))
    for client in judged.clients:
        shown = (_in_words(client.over[ours][theirs]) for ours, theirs in pairs)
        found.add_row(client.name or f"client {client.client}", *shown)
    return [costs, found]


def _in_words(compared: Comparison) -> str:
    """``gains +5.2 [+1.0, +9.1]``."""
    low, high = 100 * compared.low, 100 * compared.high
    return f"{compared.verdict} {100 * compared.mean:+.1f} [{low:+.1f}, {high:+.1f}]"
