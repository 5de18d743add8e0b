"""``python -m engine bench NAME``: the measurements that anyone can repeat."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import timedelta
from typing import Annotated

import typer

from engine.cli import doors
from engine.cli.options import Json, Set, config_of, print_result
from engine.config import ConfigError
from engine.system.machine import cores

SPEED_PARTS = (
    *("quickstart", "floor", "fused", "together", "start", "many", "runtimes", "profile"),
    "full-size",
)
bench = typer.Typer(help="Repeat a measurement.", no_args_is_help=True)


@bench.callback()
def _names() -> None:
    """Each measurement is a command of its own."""


@bench.command()
def world(
    seed: Annotated[int, typer.Option(min=0, max=2**31 - 1, help="Seed of the pictures.")] = 0,
    as_json: Json = False,
    cards: Annotated[
        bool, typer.Option("--cards", help="Write the cards in assets/ anew.")
    ] = False,
) -> None:
    """Measure the embedded world and its model, some minutes on 2 CPU cores."""
    measurements = doors.bench()
    report = measurements.world.measure(seed)
    if cards:
        measurements.cards.write_cards(report, seed)
    typer.echo(json.dumps(asdict(report), indent=None if as_json else 2))


@bench.command()
def speed(
    only: Annotated[
        str | None, typer.Option("--only", help=f"Run one part: {', '.join(SPEED_PARTS)}.")
    ] = None,
    as_json: Json = False,
    report: Annotated[
        bool, typer.Option("--report", help="Write benchmarks/SPEED.md; of --only, that part anew.")
    ] = False,
) -> None:
    """Measure how fast the lab is, beside Flower's own way and a bare loop; some 40 minutes.

    Of all parts, full-size (a model as large as Florence-2-base) runs only where there is a GPU.
    """
    if only is not None and only not in SPEED_PARTS:
        raise ConfigError(f"--only: there is no '{only}'; allowed: {', '.join(SPEED_PARTS)}")
    measurements = doors.bench()
    measured = measurements.speed.measure([only] if only else ())
    if report:
        measurements.speed_report.write_report(measured)
    for line in measured.lines():
        typer.echo(line)
    typer.echo(json.dumps(asdict(measured.report), indent=None if as_json else 2))
    if measured.report.losses_agree is False:
        raise typer.Exit(1)


@bench.command()
def methods(
    strategies: Annotated[str | None, typer.Option(help="Compare these, comma-separated.")] = None,
    kinds: Annotated[str | None, typer.Option(help="Kinds of difference between clients.")] = None,
    levels: Annotated[str | None, typer.Option(help="How much they differ, from 0 to 1.")] = None,
    seeds: Annotated[
        int | None,
        typer.Option(min=1, help="Repeats, with other pictures and A₀: 5, of --samples 10."),
    ] = None,
    samples: Annotated[
        str | None,
        typer.Option(help="Vary the training samples per client instead, for example 16,64,256."),
    ] = None,
    long: Annotated[
        bool,
        typer.Option("--long", help="Is ours ever worse? 22 cells, ten draws and more: hours."),
    ] = False,
    most: Annotated[
        int, typer.Option(min=1, help="Draws that a cell of --long gets at most.")
    ] = 200,
    set_: Set = None,
    as_json: Json = False,
    report: Annotated[
        bool, typer.Option("--report", help="Write benchmarks/RESULTS.md and results.json.")
    ] = False,
) -> None:
    """Compare strategies over kinds, levels and seeds; goes on where it was interrupted."""
    chosen = {"strategies": strategies, "kinds": kinds, "levels": levels}
    if long:
        return _long(chosen | {"samples": samples}, seeds, most, set_, as_json, report)
    if samples is not None:
        if any(chosen.values()):
            raise ConfigError("--samples takes no --strategies, --kinds or --levels")
        return _samples(samples, seeds or 10, set_, as_json, report)
    seeds = seeds or 5
    if report and (set_ or any(chosen.values())):
        raise ConfigError("--report writes the whole comparison: it takes no option but --seeds")
    if report and seeds < 2:
        raise ConfigError("--report writes intervals: it needs --seeds 2 or more")
    lists = {key: text.split(",") for key, text in chosen.items() if text}
    measurements = doors.bench()
    plan = measurements.methods.Plan.of(lists, seeds, config_of(changes=set_))
    with _failing(measurements.grid.RunsFailed):
        results = measurements.methods.measure(plan)
    if report:
        measurements.methods_report.write_report(results)
    shown = measurements.methods_report
    print_result(shown.as_dict(results), [shown.table(results)], as_json)


def _add_pictures(preset: str, what: str) -> None:
    """Add the command of a preset on data that come along (engine/bench/pictures.py)."""
    told = f"Compare alone, shared and personalised on {what}; goes on where it ended."

    @bench.command(preset, help=told)
    def pictures(
        seeds: Annotated[int, typer.Option(min=1, help="Draws: who holds which, words, A₀.")] = 10,
        set_: Set = None,
        as_json: Json = False,
        report: Annotated[
            bool, typer.Option("--report", help="Write its page in benchmarks/.")
        ] = False,
    ) -> None:
        if report and (set_ or seeds < 2):
            raise ConfigError("--report is of the preset as it is, with --seeds 2 or more")
        measurements = doors.bench()
        base = config_of(preset, changes=set_)
        with _failing(measurements.grid.RunsFailed):
            own = measurements.pictures.measure_pictures(base, seeds)
        if report:
            measurements.pictures.write_pictures(base, own)
        shown = measurements.pictures
        print_result(shown.as_dict(base, own), [shown.table(own)], as_json)


_add_pictures("digits", "handwritten digits")
_add_pictures("easy-vqa", "the public set easy-VQA")


def _long(
    chosen: dict[str, str | None],
    draws: int | None,
    most: int,
    set_: list[str] | None,
    as_json: bool,
    report: bool,
) -> None:
    """Say how long it takes, then ask whether ours is ever worse (engine/bench/long.py)."""
    if draws == 1:
        raise ConfigError("--long compares over draws: it needs --seeds 2 or more")
    lists = {key: text.split(",") for key, text in chosen.items() if text}
    measurements = doors.bench()
    plan = measurements.long.plan_of(lists, draws, most, config_of(changes=set_))
    runs, seconds = measurements.long.seconds_missing(plan)
    if runs:
        took = f"about {timedelta(seconds=round(seconds))} on {cores()} cores"
        more = f", more draws not counted (up to {plan.most} where it is open)"
        typer.echo(f"{runs} runs are missing: {took}{more}", err=True)
    with _failing(measurements.grid.RunsFailed):
        results = measurements.long.measure_long(plan)
    shown = measurements.long_report
    if report:
        shown.write_long(results, shlex.join(["python", "-m", "engine", *sys.argv[1:]]))
    print_result(shown.as_dict(results), [shown.table(results)], as_json)


def _samples(listed: str, draws: int, set_: list[str] | None, as_json: bool, report: bool) -> None:
    """Compare over samples per client (engine/bench/crossing.py)."""
    try:
        samples = sorted({int(word) for word in listed.split(",")})
    except ValueError:
        raise ConfigError(f"--samples: numbers with commas between them (got '{listed}')") from None
    for count in samples:  # names what is allowed
        config_of(changes=[f"samples_per_client={count}"])
    measurements = doors.bench()
    if report and (set_ or draws < 2 or measurements.crossing.WORTH_AT not in samples):
        raise ConfigError(
            "--report with --samples takes no --set, 2 --seeds or more, and "
            f"{measurements.crossing.WORTH_AT} among the samples"
        )
    with _failing(measurements.grid.RunsFailed):
        crossing = measurements.crossing.measure_crossing(config_of(changes=set_), samples, draws)
    if report:
        measurements.crossing_report.write_crossing(crossing)
    shown = measurements.crossing_report
    print_result(shown.as_dict(crossing), [shown.table(crossing)], as_json)


@contextmanager
def _failing(runs_failed: type[Exception]) -> Iterator[None]:
    """End with status 1 and a sentence where runs of a measurement have not ended well."""
    try:
        yield
    except runs_failed as failed:
        typer.echo(f"error: {failed}", err=True)
        raise typer.Exit(1) from None
