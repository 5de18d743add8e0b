"""Commands that make one file of an experiment."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from db import reads
from engine.cli.options import Experiment
from engine.results.bundle.opening import open_bundle
from engine.results.bundle.writing import write_bundle
from engine.results.look import size
from engine.results.report import page
from engine.results.report.page import write_report

share = typer.Typer()


@share.command()
def report(
    number: Annotated[int, typer.Argument(help="Number of the experiment, or of the sweep.")],
    file: Annotated[Path, typer.Argument(help="The HTML file to write, such as report.html.")],
    sweep: Annotated[bool, typer.Option("--sweep", help="The number is that of a sweep.")] = False,
) -> None:
    """Write the results of an experiment or a sweep as one HTML file that opens offline."""
    written = write_report(page.sweep_report(number) if sweep else page.report(number), file)
    what = f"{'sweep' if sweep else 'experiment'} {number}"
    typer.echo(f"the report of {what} is {file} ({size(written)})")


@share.command()
def bundle(
    experiment: Experiment,
    file: Annotated[Path, typer.Argument(help="The file to write, such as experiment.zip.")],
) -> None:
    """Write an experiment with its models' adapters as one file that another lab opens."""
    written = write_bundle(experiment, file)
    typer.echo(f"experiment {experiment} is in {file} ({size(written)})")


@share.command(name="open")
def open_(file: Annotated[Path, typer.Argument(help="A file that bundle has written.")]) -> None:
    """Add an experiment that another lab has bundled."""
    experiment = open_bundle(file)
    runs = ", ".join(str(run.id) for run in reads.runs_of(experiment))
    typer.echo(f"experiment {experiment}: runs {runs}")
