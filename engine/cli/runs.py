"""Commands that start runs, list them and look after them."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from db import reads, sweeps
from engine.cli import options
from engine.cli.options import (
    ConfigFile,
    Json,
    Preset,
    RunId,
    Runtime,
    Set,
    changed,
    config_of,
)
from engine.cli.sweeps import say_result
from engine.config import ExperimentConfig
from engine.jobs import queue
from engine.jobs.foreground import run_in_foreground, run_sweep_in_foreground
from engine.jobs.worker import serve
from engine.paths import home
from engine.results.crossed import beside, crossed
from engine.results.sweep import sweep_result

runs = typer.Typer()


@runs.command()
def run(
    preset: Preset = None,
    config: ConfigFile = None,
    set_: Set = None,
    runtime: Runtime = None,
    as_json: Json = False,
) -> None:
    """Run an experiment or a sweep here and now, with a progress bar on a terminal."""
    experiment_or_sweep = config_of(preset, config, set_, runtime)
    if experiment_or_sweep.is_swept:
        return _run_sweep(experiment_or_sweep, as_json)
    experiment, ids = run_in_foreground(experiment_or_sweep)
    summaries = reads.summaries([reads.run(run_id) for run_id in ids])
    if as_json:
        rows = [asdict(summary) for summary in summaries]
        typer.echo(json.dumps({"experiment": experiment, "runs": rows}))
    else:
        _print_table(summaries)
    if any(summary.status == "failed" for summary in summaries):
        raise typer.Exit(1)
    return None


def _run_sweep(config: ExperimentConfig, as_json: bool) -> None:
    sweep = run_sweep_in_foreground(config)
    say_result(sweep_result(sweep), as_json)
    if any(run.status == "failed" for run in sweeps.runs(sweep)):
        raise typer.Exit(1)


@runs.command()
def submit(
    preset: Preset = None,
    config: ConfigFile = None,
    set_: Set = None,
    runtime: Runtime = None,
    as_json: Json = False,
) -> None:
    """Queue an experiment or a sweep for the background worker and return."""
    options.submit(config_of(preset, config, set_, runtime), as_json)


@runs.command()
def clone(run_id: RunId, set_: Set = None, as_json: Json = False) -> None:
    """Queue a run once more as an experiment of its own, perhaps with changes."""
    original = reads.run(run_id)
    values = {**original.experiment.config, "strategies": [original.strategy]}
    options.submit(changed(values, set_), as_json)


@runs.command(name="runs")
def list_runs(as_json: Json = False) -> None:
    """List all runs, newest first."""
    queue.tend()
    summaries = reads.summaries(reads.runs())
    if as_json:
        typer.echo(json.dumps({"runs": [asdict(summary) for summary in summaries]}))
    elif summaries:
        _print_table(summaries)
    else:
        typer.echo("no runs yet; try: python -m engine run --preset quickstart")


@runs.command()
def show(run_id: RunId, as_json: Json = False) -> None:
    """Show one run: its figures, what crossed, its latest events; --json by round and client."""
    queue.tend()
    summary = reads.summary(run_id)
    if as_json:
        rows, crossings = reads.round_client_rows(run_id), reads.crossings(run_id)
        counted = [{name: getattr(row, name) for name in _CROSSING} for row in crossings]
        typer.echo(json.dumps({**asdict(summary), "rows": rows, "crossed": counted}))
        return
    _print_table([summary])
    _print_crossed(run_id, summary.strategy)
    for event in reversed(reads.events(run_id)):
        typer.echo(f"{event.at:%Y-%m-%d %H:%M:%S}  {event.text}")


@runs.command()
def stop(run_id: RunId) -> None:
    """Ask a run to stop; the rounds so far are kept."""
    queue.stop(run_id)
    typer.echo(f"run {run_id} stops; its finished rounds are kept")


@runs.command()
def pause(run_id: RunId) -> None:
    """Have a run's experiment pause after its current round."""
    experiment = reads.run(run_id).experiment_id
    queue.pause(experiment)
    typer.echo(f"experiment {experiment} pauses after its current round")


@runs.command()
def step(run_id: RunId) -> None:
    """Have a run's paused experiment do one more round."""
    experiment = reads.run(run_id).experiment_id
    queue.step(experiment)
    typer.echo(f"experiment {experiment} does one more round")


@runs.command()
def resume(run_id: RunId, runtime: Runtime = None) -> None:
    """Queue a stopped, failed or interrupted run again, or go on with a paused experiment."""
    queue.resume(run_id, runtime)
    typer.echo(f"run {run_id} is queued again")


@runs.command()
def worker(
    idle: Annotated[float, typer.Option(help="Leave after so many seconds without a run.")] = 900,
) -> None:
    """Take queued experiments one at a time; the lab starts this by itself."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    if not serve(idle):
        typer.echo(f"another worker serves {home()}", err=True)


_CROSSING = ("client", "kind", "to_server", "messages", "bytes", "parts")


def _print_crossed(run_id: int, strategy: str) -> None:
    """Say what crossed between the server and the clients."""
    table = Table("for", "", "what crossed", "messages", "clients", "kB")
    for row in crossed(run_id):
        figures = (f"{row.messages:,}", f"{row.clients:,}", f"{row.bytes / 1e3:,.1f}")
        table.add_row(row.purpose, row.direction, row.what, *figures)
    if table.row_count:
        Console().print(table)
    if more := beside(strategy):
        typer.echo(more)


def _print_table(summaries: Sequence[reads.Summary]) -> None:
    table = Table(
        "run", "strategy", "status", "rounds", "base", "global", "personal", "worst", "MB"
    )
    for summary in summaries:
        accuracies = (
            summary.base_accuracy,
            summary.global_accuracy,
            summary.personal_accuracy,
            summary.worst_client_accuracy,
        )
        table.add_row(
            str(summary.run),
            summary.strategy,
            summary.status,
            str(summary.rounds),
            *("–" if a is None else f"{a:.1%}" for a in accuracies),
            f"{(summary.bytes_up + summary.bytes_down) / 1e6:.1f}",
        )
    Console().print(table)
