"""Commands that take stored results out of the lab."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from db import reads
from engine.cli.options import Experiment
from engine.jobs.queue import NotPossible
from engine.results import tables as data_out

results = typer.Typer()


@results.command()
def tables(
    experiment: Experiment,
    folder: Annotated[Path, typer.Argument(help="A new folder.")],
    kind: Annotated[str, typer.Option("--format", help="csv or parquet.")] = "csv",
) -> None:
    """Write everything that is stored of an experiment as tables, for a spreadsheet or pandas."""
    runs = [run.id for run in reads.runs_of(experiment)]
    if not runs:
        raise NotPossible(f"there is no experiment {experiment}")
    for path in data_out.write(runs, folder, kind):
        typer.echo(str(path))
