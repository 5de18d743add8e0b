"""Commands that ask something of a run's models: answers, analyses, export."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from db import reads
from engine.cli import doors
from engine.cli.options import Client, ConfigFile, Json, Preset, RunId, Set, config_of, submit
from engine.config import ExperimentConfig
from engine.data.pictures import KINDS, BadPicture, read_picture
from engine.jobs.queue import NotPossible

models = typer.Typer()
VARIANTS = ("base", "global", "personal")


@models.command()
def ask(
    run_id: RunId,
    client: Client,
    image: Annotated[Path, typer.Option("--image", help=f"A {KINDS} file.")],
    question: Annotated[str, typer.Option("--question", help="What to ask about it.")],
    as_json: Json = False,
) -> None:
    """Ask a client's personalised model about a picture, beside the global model and the base."""
    if not image.is_file():
        raise BadPicture(f"image: there is no file {image}")
    picture = read_picture(image.read_bytes())
    answers = doors.results().ask.ask(run_id, client, picture, question)
    if as_json:
        typer.echo(json.dumps({answer.variant: asdict(answer) for answer in answers}))
        return
    for answer in answers:
        typer.echo(f"{answer.variant:>9}: {answer.text} ({answer.confidence:.0%}; {answer.source})")


@models.command()
def predict(
    run_id: RunId,
    client: Client,
    variant: Annotated[str, typer.Option("--variant", help="base, global or personal.")],
    as_json: Json = False,
) -> None:
    """Answer a client's whole test set with one variant of a run's models."""
    if variant not in VARIANTS:
        raise NotPossible(f"variant: '{variant}' is none; allowed: {', '.join(VARIANTS)}")
    predictions = doors.results().ask.predict(run_id, client, variant)
    if as_json:
        typer.echo(json.dumps({"predictions": predictions}))
        return
    for row in predictions:
        mark = "right" if row["correct"] else "wrong"
        typer.echo(f"{mark}  {row['question']}  {row['answer']}  (reference: {row['reference']})")


@models.command()
def matrix(run_id: RunId, as_json: Json = False) -> None:
    """Test every client's model on every other client's test set."""
    analyze = doors.results().analyze
    crossed = analyze.complete(analyze.cross_matrix(run_id))
    clients, rows = crossed.clients, crossed.accuracy
    if as_json:
        typer.echo(json.dumps({"run": run_id, "clients": clients, "accuracy": rows}))
        return
    table = Table("model of", *(f"test {k}" for k in clients))
    for k, row in zip(clients, rows, strict=True):
        table.add_row(f"client {k}", *(f"{value:.0%}" for value in row))
    Console().print(table)


@models.command()
def tradeoff(run_id: RunId, as_json: Json = False) -> None:
    """Show own against pooled accuracy of every client, for all runs of a run's experiment."""
    points = reads.tradeoffs(run_id)
    if as_json:
        typer.echo(json.dumps({"run": run_id, "points": [asdict(point) for point in points]}))
        return
    table = Table("run", "strategy", "client", "own", "pooled")
    for p in points:
        table.add_row(str(p.run), p.strategy, str(p.client), f"{p.own:.0%}", f"{p.pooled:.0%}")
    Console().print(table)


@models.command()
def newcomer(run_id: RunId, as_json: Json = False) -> None:
    """Let one more client join a finished run, and adapt with 4, 16 and 64 samples."""
    analyze = doors.results().analyze
    joined = analyze.complete(analyze.newcomer(run_id))
    if as_json:
        typer.echo(json.dumps({"run": run_id, **asdict(joined)}))
        return
    table = Table("samples", "from the base", "from what the server shares")
    table.add_row("0", f"{joined.base:.0%}", f"{joined.shared:.0%}")
    for n in joined.from_base:
        table.add_row(str(n), f"{joined.from_base[n]:.0%}", f"{joined.from_shared[n]:.0%}")
    Console().print(table)


@models.command(name="import")
def import_(
    adapter: Annotated[Path, typer.Argument(help="A folder with an adapter, as export writes it.")],
    preset: Preset = None,
    config: ConfigFile = None,
    set_: Set = None,
    as_json: Json = False,
) -> None:
    """Queue an experiment that starts from an exported adapter; by default the exported one."""
    near = [folder / "config.yaml" for folder in (adapter, *adapter.resolve().parents[:2])]
    if not preset and not config:
        config = next((file for file in near if file.is_file()), None)
    values = config_of(preset, config, set_).model_dump(exclude_unset=True)
    submit(ExperimentConfig.parse({**values, "start": str(adapter.resolve())}), as_json)


@models.command()
def export(run_id: RunId, folder: Annotated[Path, typer.Argument(help="A new folder.")]) -> None:
    """Write a run's models as PEFT adapters that work without the lab."""
    doors.results().export.export(run_id, folder)
    typer.echo(f"run {run_id} is in {folder}")
