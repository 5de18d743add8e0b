"""Options that several commands have, the config that they make, and how results are printed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from db import reads, sweeps
from engine.config import ConfigError, ExperimentConfig, known_keys, read_config, set_value
from engine.jobs import queue
from engine.jobs import sweeps as sweeping
from engine.jobs.validate import notes_of
from engine.presets import PRESETS, preset

Preset = Annotated[
    str | None, typer.Option("--preset", help=f"Start from a preset: {', '.join(PRESETS)}.")
]
ConfigFile = Annotated[Path | None, typer.Option("--config", help="Start from a YAML file.")]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        help="Change one key, key=value, or have it take several, sweep.key=value,value. "
        f"Keys: {', '.join(known_keys())}.",
    ),
]
Runtime = Annotated[str | None, typer.Option("--runtime", help="Where the Flower apps run.")]
Experiment = Annotated[int, typer.Argument(help="Number of the experiment.")]
RunId = Annotated[int, typer.Argument(help="Number of the run.")]
Client = Annotated[int, typer.Option("--client", help="Number of the client, from 0.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on the last line.")]


def config_of(
    preset_name: str | None = None,
    file: Path | None = None,
    changes: list[str] | None = None,
    runtime: str | None = None,
) -> ExperimentConfig:
    """Make the config from a preset or a file and the changes to it; raises ConfigError."""
    if preset_name and file:
        raise ConfigError("--preset and --config exclude each other")
    values = preset(preset_name) if preset_name else {}
    if file:
        values = read_config(file)
    if runtime is not None:
        values = {**values, "runtime": runtime}
    return changed(values, changes)


def submit(config: ExperimentConfig, as_json: bool) -> None:
    """Queue an experiment or a sweep, and tell which runs; on stderr what to know first."""
    if config.is_swept:
        return _submit_sweep(config, as_json)
    experiment, runs = queue.submit(config)
    for line in notes_of(reads.run(runs[0]).experiment):
        typer.echo(line, err=True)
    if as_json:
        typer.echo(json.dumps({"experiment": experiment, "runs": runs}))
    else:
        typer.echo(f"experiment {experiment}: queued runs {', '.join(map(str, runs))}")
    return None


def _submit_sweep(config: ExperimentConfig, as_json: bool) -> None:
    sweep = sweeping.submit(config)
    runs = sweeps.runs(sweep)
    queued = [run for run in runs if not run.reused]
    if as_json:
        told = {"sweep": sweep, "experiments": sorted({run.experiment for run in runs})}
        typer.echo(json.dumps(told | {"runs": [run.run for run in runs]}))
    else:
        again = f"; {n} are stored already" if (n := len(runs) - len(queued)) else ""
        typer.echo(f"sweep {sweep}: queued {len(queued)} runs{again}")


def print_result(values: Mapping[str, Any], tables: Sequence[Table], as_json: bool) -> None:
    """Print a result as one JSON object, or as tables below each other."""
    if as_json:
        typer.echo(json.dumps(values))
    else:
        Console().print(*tables, sep="\n")


def changed(values: dict[str, Any], changes: list[str] | None) -> ExperimentConfig:
    """Make a config from values with ``key=value`` changes put in; raises ConfigError."""
    for change in changes or []:
        values = set_value(values, change)
    return ExperimentConfig.parse(values)
