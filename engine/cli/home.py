"""Commands that keep the home tidy: runs deleted and brought back, files that can go."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from engine.cli.options import Json
from engine.results import housekeeping

keeping = typer.Typer()


@keeping.command()
def clean(
    kinds: Annotated[
        list[str] | None, typer.Argument(help="Parts to remove; else all that lose nothing.")
    ] = None,
    yes: Annotated[
        bool, typer.Option("--yes", help="Remove them; else they are only shown.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Show what of the home can go, part by part, or remove it; never what a run needs."""
    parts = housekeeping.holdings()
    chosen = kinds or housekeeping.lossless(parts)
    housekeeping.chosen(parts, chosen)
    freed = housekeeping.clean(chosen) if yes else 0
    if as_json:
        rows = [{k: v for k, v in asdict(part).items() if k != "paths"} for part in parts]
        typer.echo(json.dumps({"parts": rows, "removed": chosen if yes else [], "freed": freed}))
    elif yes:
        typer.echo(f"{freed / 1e6:.1f} MB freed: {', '.join(chosen)}")
    else:
        _print(parts, chosen)


def _print(parts: list[housekeeping.Holding], chosen: list[str]) -> None:
    table = Table("part", "what", "MB", "then")
    for part in parts:
        told = f"stays: {part.stays}" if part.stays else part.told
        table.add_row(part.kind, part.title, f"{part.bytes / 1e6:.1f}", told)
    Console().print(table)
    typer.echo(f"nothing was removed; --yes removes: {', '.join(chosen)}")


@keeping.command()
def delete(
    runs: Annotated[list[int], typer.Argument(help="Numbers of runs that are over.")],
    undo: Annotated[bool, typer.Option("--undo", help="Bring deleted runs back.")] = False,
) -> None:
    """Hide runs; for a week --undo brings them back, then, or with clean, their files go."""
    if undo:
        numbers = ", ".join(map(str, housekeeping.restore(runs)))
        typer.echo(f"brought back: {numbers}")
    else:
        numbers = " ".join(map(str, housekeeping.delete(runs)))
        typer.echo(f"deleted; this brings back: delete {numbers} --undo")
