"""What the samples axis shows: benchmarks/crossing.svg, CROSSING.md, and a part of results.json."""

from __future__ import annotations

from dataclasses import asdict
from html import escape
from math import ceil, floor, log2
from pathlib import Path
from typing import Any

from rich.table import Table

from engine.bench import results_file
from engine.bench.crossing import (
    AT,
    BOTH,
    CROSSING,
    KIND,
    LEVEL,
    OURS,
    WORTH_AT,
    Crossing,
    gains,
    over_best,
)

# Name, colour, dash and symbol, as on the pages (engine/results/look.py).
_LOOK = {
    "local": ("Alone (local)", "#009E73", "9 3 2 3", "square"),
    "fedit": ("One for all (FedIT)", "#0072B2", "8 4", "circle"),
    "plora": ("Personalised (pLoRA)", "#D55E00", "", "circle"),
    "fedsa": ("Personalised (FedSA-LoRA)", "#D55E00", "", "diamond"),
    OURS: ("Personalised (corners)", "#CC79A7", "", "square"),
}
_WIDTH, _HEIGHT = 680, 440
_LEFT, _RIGHT, _TOP, _BOTTOM = 62, 660, 124, 380
_APART = 7  # pixels between the marks of two strategies, so that bars do not cover each other


def write_crossing(crossing: Crossing, folder: Path = results_file.OUT) -> None:
    """Write table and, of several sizes, chart; put worth and crossing into results.json."""
    if len(crossing.samples) > 1:
        (folder / "crossing.svg").write_text(chart(crossing), encoding="utf-8")
    (folder / "CROSSING.md").write_text("\n".join(_page(crossing)) + "\n", encoding="utf-8")
    results_file.put(as_dict(crossing), folder)


def as_dict(crossing: Crossing) -> dict[str, Any]:
    """Return everything as plain values; accuracies and gains are fractions."""
    points = [{**asdict(point), "interval": asdict(point.interval)} for point in crossing.points]
    found: dict[str, Any] = {
        "crossing": {
            "draws": crossing.draws,
            "base": crossing.base.model_copy(update={"strategies": CROSSING}).model_dump(
                mode="json"
            )
            | AT,
            "points": points,
        }
    }
    if WORTH_AT in crossing.samples:
        found["worth"] = worth(crossing)
    return found


def worth(crossing: Crossing) -> dict[str, Any]:
    """Return what federating and personalising are worth where data are scarce."""
    own = {strategy: crossing.point(strategy, WORTH_AT).own for strategy in CROSSING}
    return {
        "samples": WORTH_AT,
        "draws": crossing.draws,
        **gains(own),
        "ours_over_best_of_both": over_best(own, BOTH),
    }


def table(crossing: Crossing) -> Table:
    """Return own accuracies for a terminal."""
    title = "Own accuracy, % ± half the 95 % interval over draws"
    shown = Table("samples", "draws", *CROSSING, title=title)
    for n in crossing.samples:
        points = [crossing.point(strategy, n) for strategy in CROSSING]
        draws = str(len(points[0].own))
        shown.add_row(str(n), draws, *(point.interval.short() for point in points))
    return shown


def _page(crossing: Crossing) -> list[str]:
    base, curve = crossing.base, len(crossing.samples) > 1
    rows = [
        f"| {n:,} | {len(crossing.point('local', n).own)} | "
        + " | ".join(crossing.point(s, n).interval.points() for s in CROSSING)
        + f" | {crossing.gain('plora', 'local', n).points(sign=True)} |"
        + f" {crossing.gain('plora', 'fedit', n).points(sign=True)} |"
        for n in crossing.samples
    ]
    return [
        "# Alone, one for all, or personalised: how many samples decide",
        "",
        "Written by `python -m engine bench methods "
        f"--samples {','.join(map(str, crossing.samples))} --report`: "
        f"{AT['clients']} clients, `{KIND}` {LEVEL}, "
        f"{100 * base.fault_share:.0f} % of the questions about faults, {AT['rounds']} rounds of "
        f"{base.local_steps} steps of {base.batch_size}, learning rate {base.learning_rate:g}, "
        f"LoRA rank {base.lora.rank}. "
        "Percent of right answers on the clients' own test sets, in brackets the 95 % interval "
        "over draws (Student's t on the logit); differences in points, paired by draw.",
        "",
        *(["![Own accuracy over training samples per client](crossing.svg)", ""] if curve else []),
        "| samples | draws | " + " | ".join(f"`{s}`" for s in CROSSING)
        + " | `plora` − `local` | `plora` − `fedit` |",
        "|---" * (len(CROSSING) + 4) + "|",
        *rows,
    ]  # fmt: skip


def chart(crossing: Crossing) -> str:
    """Return the chart as SVG: a line per strategy over samples, bars for the intervals."""
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" '
        f'width="{_WIDTH}" height="{_HEIGHT}" font-family="sans-serif" font-size="13">',
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#FFFFFF"/>',
        _text(_LEFT, 24, "Right answers on the clients' own test pictures", size=16, bold=True),
        _text(
            _LEFT,
            44,
            f"{AT['clients']} sites, {KIND} {LEVEL}, mean and 95 % interval over "
            f"{_draws(crossing)} draws. Alone pays where green meets red.",
        ),
    ]
    low, high = _ends(crossing)
    for tick in range(low, high + 1, 20):
        y = _y(crossing, tick / 100)
        lines.append(f'<path d="M{_LEFT} {y:.1f}H{_RIGHT}" stroke="#E3E1DC"/>')
        lines.append(_text(_LEFT - 8, y + 4, f"{tick} %", anchor="end"))
    for n in crossing.samples:
        lines.append(_text(_x(crossing, n), _BOTTOM + 20, f"{n:,}", anchor="middle"))
    middle = (_LEFT + _RIGHT) / 2
    lines.append(_text(middle, _BOTTOM + 42, "training samples per client", anchor="middle"))
    for strategy in CROSSING:
        lines += _series(crossing, strategy)
    lines += _legend()
    return "\n".join([*lines, "</svg>"]) + "\n"


def _draws(crossing: Crossing) -> str:
    """Say of how many draws the points are: "3 to 10"."""
    counts = sorted({len(point.own) for point in crossing.points})
    return " to ".join(str(count) for count in dict.fromkeys([counts[0], counts[-1]]))


def _series(crossing: Crossing, strategy: str) -> list[str]:
    _, colour, dash, symbol = _LOOK[strategy]
    aside = _APART * (list(_LOOK).index(strategy) - (len(_LOOK) - 1) / 2)
    places, marks = [], []
    for n in crossing.samples:
        interval = crossing.point(strategy, n).interval
        x, y = _x(crossing, n) + aside, _y(crossing, interval.mean)
        places.append(f"{x:.1f},{y:.1f}")
        if interval.low is not None and interval.high is not None:
            ends = f"M{x:.1f} {_y(crossing, interval.low):.1f}V{_y(crossing, interval.high):.1f}"
            marks.append(f'<path d="{ends}" stroke="{colour}" stroke-width="1.5"/>')
        marks.append(_mark(symbol, x, y, colour))
    line = f'<polyline points="{" ".join(places)}" fill="none" stroke="{colour}"'
    return [f'{line} stroke-width="2.5" stroke-dasharray="{dash or "none"}"/>', *marks]


def _mark(symbol: str, x: float, y: float, colour: str) -> str:
    if symbol == "circle":
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4.5" fill="{colour}"/>'
    turn = f' transform="rotate(45 {x:.1f} {y:.1f})"' if symbol == "diamond" else ""
    fill = "#FFFFFF" if symbol == "diamond" else colour
    box = f'x="{x - 4.5:.1f}" y="{y - 4.5:.1f}" width="9" height="9"'
    return f'<rect {box} fill="{fill}" stroke="{colour}" stroke-width="2"{turn}/>'


def _legend() -> list[str]:
    lines = []
    for place, (name, colour, dash, symbol) in enumerate(_LOOK.values()):
        x, y = _LEFT + 215 * (place % 3), 70 + 22 * (place // 3)
        lines.append(
            f'<path d="M{x} {y}H{x + 34}" stroke="{colour}" stroke-width="2.5" '
            f'stroke-dasharray="{dash or "none"}"/>'
        )
        lines += [_mark(symbol, x + 17, y, colour), _text(x + 42, y + 4, name)]
    return lines


def _x(crossing: Crossing, samples: int) -> float:
    first, last = log2(crossing.samples[0]), log2(crossing.samples[-1])
    share = (log2(samples) - first) / (last - first) if last > first else 0.5
    return _LEFT + 30 + share * (_RIGHT - _LEFT - 60)


def _ends(crossing: Crossing) -> tuple[int, int]:
    """Return the axis' ends in percent, multiples of 20 around all bars."""
    intervals = [point.interval for point in crossing.points]
    lowest = min(i.mean if i.low is None else i.low for i in intervals)
    highest = max(i.mean if i.high is None else i.high for i in intervals)
    return 20 * floor(5 * lowest), max(20 * ceil(5 * highest), 20 * floor(5 * lowest) + 20)


def _y(crossing: Crossing, share: float) -> float:
    low, high = (end / 100 for end in _ends(crossing))
    return _BOTTOM - (share - low) / (high - low) * (_BOTTOM - _TOP)


def _text(
    x: float, y: float, words: str, *, anchor: str = "start", size: int = 13, bold: bool = False
) -> str:
    weight = ' font-weight="600"' if bold else ""
    where = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}"{weight}'
    return f'<text {where} fill="#23211E">{escape(words)}</text>'
