"""Commands that make what comes with the lab: the bundled model and the finished example."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Annotated

import typer

from engine.cli import doors
from engine.paths import BUNDLED_MODEL, home
from engine.results.example import bundle

pretraining = typer.Typer()


@pretraining.command()
def pretrain(
    out: Annotated[Path, typer.Option(help="Where the model goes.")] = BUNDLED_MODEL,
    seed: Annotated[int, typer.Option(help="Seed of weights and pictures.")] = 0,
) -> None:
    """Train the bundled model from scratch, about 45 minutes on 2 CPU cores."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    out.mkdir(parents=True, exist_ok=True)  # not in 45 minutes
    making = doors.pretraining()
    making.pretrain.pretrain(out, home() / f"pretrain-{seed}", making.recipe.Recipe(seed=seed))
    typer.echo(json.dumps(doors.bench().world.accuracy_of(str(out), seed)))


@pretraining.command(name="bundle-example", hidden=True)
def bundle_example(experiment: Annotated[int, typer.Argument()]) -> None:
    """Make a finished experiment the one that comes with the lab (assets/example)."""
    bundle(experiment)
