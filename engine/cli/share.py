"""Commands that make one file of an experiment."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from engine.cli.options import Experiment
from engine.results.look import size
from engine.results.report.page import write_report

share = typer.Typer()


@share.command()
def report(
    experiment: Experiment,
    file: Annotated[Path, typer.Argument(help="The HTML file to write, such as report.html.")],
) -> None:
    """Write an experiment's results as one HTML file that opens offline in any browser."""
    written = write_report(experiment, file)
    typer.echo(f"the report of experiment {experiment} is {file} ({size(written)})")
