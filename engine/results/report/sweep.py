"""What the report of a sweep says."""

from __future__ import annotations

from collections.abc import Sequence

from db import sweeps
from db.tables import now
from engine.config import ExperimentConfig
from engine.config.sweep import shown
from engine.jobs.queue import NotPossible
from engine.metrics.intervals import Interval
from engine.results import sweep_charts
from engine.results.look import measured, name_of
from engine.results.report.command import command_of
from engine.results.report.contents import Chart, Contents, Section
from engine.results.report.tables import Table, exact_percent, origin
from engine.results.sweep import Cell, Difference, SweepResult, sweep_result
from engine.results.sweep_words import SIGNS, label, title_of, who_is_better
from engine.results.verdict_words import Sentence


def sweep_contents(sweep_id: int) -> Contents:
    """Gather all that there is to say of a sweep.

    Raises NoSuchSweep, NotPossible where none of its runs is done, and ConfigError where its config
    is of another version.
    """
    result = sweep_result(sweep_id)
    stored = sweeps.sweep(sweep_id)
    config = ExperimentConfig.parse(stored.config)
    if not any(cell.interval for cell in result.cells):
        raise NotPossible(f"sweep {sweep_id} has no finished run yet to report on")
    return Contents(
        what=f"sweep {sweep_id}",
        name=stored.name,
        made_at=f"{now():%Y-%m-%d %H:%M} UTC",
        sentence=_sentence(result),
        notes=_notes(result),
        figures=[],
        charts=_charts(result, config),
        sections=[
            Section(
                "Right answers on the clients' own test sets",
                "Mean over clients and draws, with the 95 % interval over the draws.",
                table=_accuracies(result),
            ),
            *_differences(result),
            Section("Every run", table=_draws(result)),
        ],
        command=command_of(config),
        yaml=config.to_yaml(),
        origin=origin(config, None),
    )


def _judged(result: SweepResult) -> str:
    """Return the strategy whose differences are told first; "" where none is compared."""
    compared = list(dict.fromkeys(ours for ours, _ in result.gaps))
    return "plora" if "plora" in compared else next(reversed(compared), "")


def _sentence(result: SweepResult) -> Sentence:
    lines = [line for (ours, _), line in result.gaps.items() if ours == _judged(result)]
    if not lines:
        return Sentence("Nothing to compare", ": there is one strategy.")
    first, *rest = map(_counted, lines)
    headline, colon, told = first.partition(": ")
    return Sentence(headline, colon + " ".join([told, *rest]))


def _counted(line: Sequence[Difference]) -> str:
    """Say at how many values one strategy is surely better or worse than another."""
    pair = f"{name_of(line[0].ours)} against {name_of(line[0].theirs)}"
    signs = [gap.interval.sign for gap in line if gap.interval and gap.draws > 1]
    if not signs or len(line) == 1:
        return who_is_better(line)
    counts = [f"{words} at {signs.count(sign)}" for sign, words in SIGNS.items() if sign in signs]
    return f"{pair}: {', '.join(counts)} of {len(line)} values."


def _notes(result: SweepResult) -> list[str]:
    draws = [draw for cell in result.cells for draw in cell.draws]
    done = sum(draw.accuracy is not None for draw in draws)
    planned = len(result.cells) * len(result.seeds)
    notes = [f"Seeds: {', '.join(map(str, result.seeds))}."]
    if done < planned:
        notes.append(f"{done} of {planned} runs are done: its figures are those so far.")
    return notes


def _charts(result: SweepResult, config: ExperimentConfig) -> list[Chart]:
    measure, ours = measured(config), _judged(result)
    over = f" over {title_of(result.axes[0].key)}" if result.axes else ""
    drawn = []
    for number, (values, panel) in enumerate(result.panels()):
        at = "".join(f", at {title_of(key)} {shown(value)}" for key, value in values.items())
        drawn.append(
            Chart(
                f"accuracies-{number}",
                f"{measure} on the clients' own test sets{over}{at}",
                "Lines: mean over clients and draws. Shade: 95 % interval over the draws.",
                sweep_charts.accuracies(panel),
            )
        )
        if ours:
            drawn.append(
                Chart(
                    f"differences-{number}",
                    f"By how many points {name_of(ours)} is better in the same draws{over}{at}",
                    "Above 0 it is better; where the shade does not touch 0, surely.",
                    sweep_charts.differences(panel, ours, result),
                )
            )
    return drawn


def _accuracies(result: SweepResult) -> Table:
    head = [_head(result), *map(name_of, result.strategies)]
    lines = zip(result.values, *result.lines.values(), strict=True)
    rows = [[label(values), *(_told(cell) for cell in cells)] for values, *cells in lines]
    return Table(head, rows, frozenset(range(1, len(head))))


def _differences(result: SweepResult) -> list[Section]:
    if not result.gaps:
        return []
    pairs = [f"{name_of(ours)} over {name_of(theirs)}" for ours, theirs in result.gaps]
    rows = [
        [label(values), *(_points(gap.interval, sign=True) for gap in gaps)]
        for values, *gaps in zip(result.values, *result.gaps.values(), strict=True)
    ]
    table = Table([_head(result), *pairs], rows, frozenset(range(1, 1 + len(pairs))))
    told = " ".join(["In points, paired by draw.", *map(who_is_better, result.gaps.values())])
    return [Section("Differences", told, table=table)]


def _draws(result: SweepResult) -> Table:
    rows = [
        [
            label(cell.values),
            name_of(cell.strategy),
            str(draw.seed),
            exact_percent(draw.accuracy),
            draw.status,
            f"{draw.run} of experiment {draw.experiment}",
        ]
        for cell in result.cells
        for draw in cell.draws
    ]
    head = [_head(result), "way", "seed", "right", "status", "run"]
    return Table(head, rows, frozenset({2, 3}))


def _head(result: SweepResult) -> str:
    return " / ".join(title_of(axis.key) for axis in result.axes)


def _told(cell: Cell) -> str:
    return _points(cell.interval)


def _points(interval: Interval | None, *, sign: bool = False) -> str:
    return "–" if interval is None else interval.points(sign=sign)
