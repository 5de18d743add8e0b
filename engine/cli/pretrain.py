"""Commands that make what comes with the lab: the bundled model and the finished example."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from engine.cli import doors
from engine.config import ConfigError
from engine.paths import BUNDLED_MODEL, home
from engine.results.example import bundle

pretraining = typer.Typer()


@pretraining.command()
def pretrain(
    out: Annotated[Path, typer.Option(help="Where the model goes.")] = BUNDLED_MODEL,
    seed: Annotated[int, typer.Option(help="Seed of weights and pictures.")] = 0,
    start: Annotated[
        Path | None, typer.Option(help="Go on from the weights of an earlier bundled model.")
    ] = None,
) -> None:
    """Train the bundled model, from scratch about 45 minutes on 2 CPU cores."""
    if start and not all((start / n).is_file() for n in ("model.safetensors", "tokenizer.json")):
        raise ConfigError(f"--start: {start} is not the folder of a bundled model")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    out.mkdir(parents=True, exist_ok=True)  # not in 45 minutes
    making = doors.pretraining()
    recipe = replace(making.recipe.CONTINUED if start else making.recipe.Recipe(), seed=seed)
    making.pretrain.pretrain(out, home() / f"pretrain-{seed}", recipe, start)
    typer.echo(json.dumps(doors.bench().world.accuracy_of(str(out), seed)))


@pretraining.command(name="bundle-example", hidden=True)
def bundle_example(experiment: Annotated[int, typer.Argument()]) -> None:
    """Make a finished experiment the one that comes with the lab (assets/example)."""
    bundle(experiment)
