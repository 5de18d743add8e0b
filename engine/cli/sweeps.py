"""``python -m engine sweep ID``: accuracy over the swept keys, and a sweep stopped or resumed."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Annotated

import typer
from rich.table import Table

from engine.cli.options import Json, print_result
from engine.jobs import queue
from engine.jobs import sweeps as sweeping
from engine.metrics.intervals import Interval
from engine.results.sweep import SweepResult, sweep_result

sweeps = typer.Typer()


class Action(StrEnum):
    """What can be asked of a sweep as a whole."""

    STOP = "stop"
    PAUSE = "pause"
    RESUME = "resume"


_ACTIONS: dict[Action, tuple[Callable[[int], None], str]] = {
    Action.STOP: (sweeping.stop, "stops; its finished rounds are kept"),
    Action.PAUSE: (sweeping.pause, "pauses after the experiment at work"),
    Action.RESUME: (sweeping.resume, "goes on"),
}


@sweeps.command()
def sweep(
    sweep_id: Annotated[int, typer.Argument(metavar="ID", help="Number of the sweep.")],
    action: Annotated[Action | None, typer.Argument(help="What to do; else it is shown.")] = None,
    as_json: Json = False,
) -> None:
    """Show own accuracy over the swept keys with intervals over draws; or stop, pause, resume."""
    queue.tend()
    if action is not None:
        act, told = _ACTIONS[action]
        act(sweep_id)
        typer.echo(f"sweep {sweep_id} {told}")
        return
    say_result(sweep_result(sweep_id), as_json)


def say_result(result: SweepResult, as_json: bool) -> None:
    """Print what a sweep has measured, as tables or as one JSON object."""
    print_result(result.to_dict(), tables(result), as_json)


def tables(result: SweepResult) -> list[Table]:
    """Return a sweep as tables: own accuracy by strategy, then the paired differences."""
    draws = f"{len(result.seeds)} draws" if len(result.seeds) > 1 else "one draw"
    keys = [axis.key for axis in result.axes]
    title = f"sweep {result.sweep}, {result.name}: right on own tests, %, {draws}"
    accuracies = Table(*keys, *result.strategies, title=title)
    lines, gaps = result.lines.values(), result.gaps
    for values, *cells in zip(result.values, *lines, strict=True):
        accuracies.add_row(*map(str, values.values()), *(_points(cell.interval) for cell in cells))
    if not gaps:
        return [accuracies]
    pairs = [f"{ours} over {theirs}" for ours, theirs in gaps]
    differences = Table(*keys, *pairs, title="In points, paired by draw")
    for values, *of_pairs in zip(result.values, *gaps.values(), strict=True):
        shown = (_points(gap.interval, sign=True) for gap in of_pairs)
        differences.add_row(*map(str, values.values()), *shown)
    return [accuracies, differences]


def _points(interval: Interval | None, *, sign: bool = False) -> str:
    return "–" if interval is None else interval.points(sign=sign)
