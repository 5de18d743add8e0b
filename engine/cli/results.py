"""Commands that put stored results side by side, and take them out of the lab."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from engine.cli.options import Experiment, Json, print_result
from engine.jobs import lookup
from engine.results import tables as data_out
from engine.results.compare import Comparison
from engine.results.compare import compare as put_side_by_side

results = typer.Typer()


@results.command()
def compare(
    runs: Annotated[list[int], typer.Argument(help="Numbers of 2 to 6 runs.")],
    as_json: Json = False,
) -> None:
    """Put runs of any experiments side by side: what differs, and what they reached."""
    compared = put_side_by_side(runs)
    print_result(asdict(compared), _side_by_side(compared), as_json)


def _side_by_side(compared: Comparison) -> list[Table]:
    """Return a table of what differs, and one of what each run and each client reached."""
    names = [f"run {summary.run}" for summary in compared.runs]
    differing = Table("what differs", *names)
    for key, values in compared.differences.items():
        differing.add_row(key, *map(_written, values))
    reached = Table("right", *names)
    for label, figure in (
        ("own", "personal_accuracy"),
        ("worst client", "worst_client_accuracy"),
        ("everybody's", "pooled_accuracy"),
    ):
        reached.add_row(label, *(_percent(getattr(summary, figure)) for summary in compared.runs))
    for client, accuracies in compared.clients.items():
        reached.add_row(f"client {client}", *map(_percent, accuracies))
    return [differing, reached]


def _written(value: Any) -> str:
    if value is None:
        return "–"
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def _percent(accuracy: float | None) -> str:
    return "–" if accuracy is None else f"{accuracy:.1%}"


@results.command()
def tables(
    experiment: Experiment,
    folder: Annotated[Path, typer.Argument(help="A new folder.")],
    kind: Annotated[str, typer.Option("--format", help="csv or parquet.")] = "csv",
) -> None:
    """Write everything that is stored of an experiment as tables, for a spreadsheet or pandas."""
    runs = [run.id for run in lookup.runs_of(experiment)]
    for path in data_out.write(runs, folder, kind):
        typer.echo(str(path))
