"""``python -m engine bench NAME``: the measurements that anyone can repeat."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer

bench = typer.Typer(help="Repeat a measurement.", no_args_is_help=True)


@bench.callback()
def _names() -> None:
    """Each measurement is a command of its own."""


@bench.command()
def world(
    seed: Annotated[int, typer.Option(min=0, max=2**31 - 1, help="Seed of the pictures.")] = 0,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object on the last line.")
    ] = False,
    cards: Annotated[
        bool, typer.Option("--cards", help="Write the cards in assets/ anew.")
    ] = False,
) -> None:
    """Measure the embedded world and its model, some minutes on 2 CPU cores."""
    from engine.bench.cards import write_cards
    from engine.bench.world import measure

    report = measure(seed)
    if cards:
        write_cards(report, seed)
    typer.echo(json.dumps(asdict(report), indent=None if as_json else 2))
