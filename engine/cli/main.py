"""The command line: ``python -m engine --help``.

Exit status: 0 done, 1 a run failed, 2 unusable arguments or config (one line on stderr says why).
"""

from __future__ import annotations

import json
import logging
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import click
import typer
from rich.console import Console
from rich.table import Table

from db import reads
from db.engine import DatabaseTooNew
from engine.cli.bench import bench
from engine.cli.models import models
from engine.cli.options import (
    ConfigFile,
    Json,
    Preset,
    RunId,
    Runtime,
    Set,
    changed,
    config_of,
    say_queued,
)
from engine.config import ConfigError
from engine.data.pictures import BadPicture
from engine.jobs import queue
from engine.paths import BUNDLED_MODEL, home

app = typer.Typer(
    help="FedVLM Lab: federated fine-tuning of vision-language models with personalised LoRA.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.add_typer(models)
app.add_typer(bench, name="bench")
UserMistake = (ConfigError, reads.NoSuchRun, queue.NotPossible, BadPicture, DatabaseTooNew)


@app.command()
def run(
    preset: Preset = None,
    config: ConfigFile = None,
    set_: Set = None,
    runtime: Runtime = None,
    as_json: Json = False,
) -> None:
    """Run an experiment here and now, with a progress bar on a terminal."""
    from engine.jobs.foreground import run_in_foreground

    wanted = config_of(preset, config, set_, runtime)
    experiment, runs = run_in_foreground(wanted)
    summaries = [reads.summary(run_id) for run_id in runs]
    _print_summaries(experiment, summaries, as_json)
    if any(found.status == "failed" for found in summaries):
        raise typer.Exit(1)


@app.command()
def submit(
    preset: Preset = None,
    config: ConfigFile = None,
    set_: Set = None,
    runtime: Runtime = None,
    as_json: Json = False,
) -> None:
    """Queue an experiment for the background worker and return."""
    say_queued(*queue.submit(config_of(preset, config, set_, runtime)), as_json)


@app.command()
def clone(run_id: RunId, set_: Set = None, as_json: Json = False) -> None:
    """Queue a run once more as an experiment of its own, perhaps with changes."""
    run = reads.run(run_id)
    values = {**run.experiment.config, "strategies": [run.strategy]}
    say_queued(*queue.submit(changed(values, set_)), as_json)


@app.command()
def runs(as_json: Json = False) -> None:
    """List all runs, newest first."""
    queue.tend()
    summaries = [reads.summary(found.id) for found in reads.runs()]
    if as_json:
        typer.echo(json.dumps({"runs": [asdict(found) for found in summaries]}))
    elif summaries:
        _print_table(summaries)
    else:
        typer.echo("no runs yet; try: python -m engine run --preset quickstart")


@app.command()
def show(run_id: RunId, as_json: Json = False) -> None:
    """Show one run: its figures, every round × client row (with --json), its latest events."""
    queue.tend()
    found = reads.summary(run_id)
    if as_json:
        rows = reads.round_client_rows(run_id)
        typer.echo(json.dumps({**asdict(found), "rows": rows}))
        return
    _print_table([found])
    for event in reversed(reads.events(run_id)):
        typer.echo(f"{event.at:%Y-%m-%d %H:%M:%S}  {event.text}")


@app.command()
def stop(run_id: RunId) -> None:
    """Ask a run to stop after its current round."""
    queue.stop(run_id)
    typer.echo(f"run {run_id} will stop after its current round")


@app.command()
def resume(run_id: RunId) -> None:
    """Queue a stopped, failed or interrupted run again; it goes on after its last round."""
    queue.resume(run_id)
    typer.echo(f"run {run_id} is queued again")


@app.command()
def worker(
    idle: Annotated[float, typer.Option(help="Leave after so many seconds without a run.")] = 900,
) -> None:
    """Take queued runs one at a time; the lab starts this by itself."""
    from engine.jobs.worker import serve

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    if not serve(idle):
        typer.echo(f"another worker serves {home()}", err=True)


@app.command()
def pretrain(
    out: Annotated[Path, typer.Option(help="Where the model goes.")] = BUNDLED_MODEL,
    seed: Annotated[int, typer.Option(help="Seed of weights and pictures.")] = 0,
) -> None:
    """Train the bundled model from scratch, about 45 minutes on 2 CPU cores."""
    from engine.bench.world import neutral_accuracy
    from engine.config import Lora
    from engine.pretraining.pretrain import pretrain as train
    from engine.pretraining.recipe import Recipe
    from engine.vlm.loading import load_from

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    train(out, home() / f"pretrain-{seed}", Recipe(seed=seed))
    typer.echo(json.dumps(neutral_accuracy(load_from(str(out), Lora(), "cpu"), seed)))


@app.command(name="bundle-example", hidden=True)
def bundle_example(experiment: Annotated[int, typer.Argument()]) -> None:
    """Make a finished experiment the one that comes with the lab (assets/example)."""
    from engine.results.example import bundle

    bundle(experiment)


def main() -> None:
    """The entry point; turns every user's mistake into one line on stderr and exit status 2."""
    try:
        status = app(standalone_mode=False, prog_name="python -m engine")
    except UserMistake as mistake:
        status = _complain(str(mistake))
    except click.ClickException as mistake:
        status = _complain(mistake.format_message())
    except (click.Abort, KeyboardInterrupt):
        status = _complain("interrupted", status=130)
    sys.exit(status if isinstance(status, int) else 0)


def _complain(sentence: str, status: int = 2) -> int:
    typer.echo(f"error: {sentence}", err=True)
    return status


def _print_summaries(experiment: int, found: list[reads.Summary], as_json: bool) -> None:
    if as_json:
        rows = [asdict(summary) for summary in found]
        typer.echo(json.dumps({"experiment": experiment, "runs": rows}))
    else:
        _print_table(found)


def _print_table(found: list[reads.Summary]) -> None:
    table = Table(
        "run", "strategy", "status", "rounds", "base", "global", "personal", "worst", "MB"
    )
    for row in found:
        accuracies = (
            row.base_accuracy,
            row.global_accuracy,
            row.personal_accuracy,
            row.worst_client_accuracy,
        )
        table.add_row(
            str(row.run),
            row.strategy,
            row.status,
            str(row.rounds),
            *("–" if a is None else f"{a:.1%}" for a in accuracies),
            f"{(row.bytes_up + row.bytes_down) / 1e6:.1f}",
        )
    Console().print(table)
