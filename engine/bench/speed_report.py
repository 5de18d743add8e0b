"""benchmarks/SPEED.md, written from what ``bench speed --report`` has measured."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from engine.bench import results_file
from engine.bench.agreement import FIRST_ROUNDS, FIRST_TOLERANCE, LATER_TOLERANCE
from engine.bench.speed import REPEATS
from engine.bench.speed_figures import Measured, load, store


def write_report(measured: Measured, folder: Path = results_file.OUT) -> None:
    """Write SPEED.md of these figures, and of stored ones where there are none among them."""
    whole = measured.over(load(folder))
    store(whole, folder)
    (folder / "SPEED.md").write_text("\n".join(_lines(whole)) + "\n", encoding="utf-8")


def _lines(measured: Measured) -> list[str]:
    agree = "yes" if measured.report.losses_agree else "NO"
    lines = [
        "# Speed",
        "",
        "Written by `python -m engine bench speed --report`; with `--only PART` that part is "
        f"measured anew and the others are kept. Medians of {REPEATS} repeats, side by side in one "
        f"run. All ways reach the same training losses: {agree}. (For every client and round, "
        f"within {FIRST_TOLERANCE:.0%} of its loss in the first round over {FIRST_ROUNDS} rounds, "
        f"then {LATER_TOLERANCE:.0%}, for training magnifies rounding; else no ratio is given.)",
    ]
    for part, (title, section) in SECTIONS.items():
        lines += ["", f"## {title}", ""]
        if part in measured.where:
            lines += [*section(measured), "", f"On {measured.where[part]}."]
        else:
            lines.append(f"Not measured. `python -m engine bench speed --only {part}`")
    return lines


def _quickstart(measured: Measured) -> list[str]:
    time = measured.time
    return [
        "| what | seconds | |",
        "|---|---|---|",
        f"| Flower's own way (`benchmarks/reference.py`): Ray, the model loaded for every message, "
        f"pictures through the tower at every step | {time('reference'):.1f} | |",
        f"| the lab, cold process, nothing cached, all included | {time('quickstart'):.1f} | "
        f"**{_ratio(measured.report.reference_over_ours)}** |",
        "",
        "The reference finds its pictures on disk and tests, after every round, the model that a "
        "client uses; the lab draws its pictures, tests every variant, and writes the answers.",
    ]


def _floor(measured: Measured) -> list[str]:
    time = measured.time
    return [
        "| what | seconds | |",
        "|---|---|---|",
        f"| the lab, warm, clients one after another | {time('sequential'):.1f} | "
        f"{_ratio(measured.report.ours_over_floor)} of the floor |",
        f"| floor: a bare loop over cached features, warm | {time('floor'):.1f} | |",
    ]


def _start(measured: Measured) -> list[str]:
    return [
        "| | seconds |",
        "|---|---|",
        f"| warm worker, which has seen the form | {measured.report.first_round_warm_s:.1f} |",
        f"| no worker, nothing cached | {measured.report.first_round_cold_s:.1f} |",
        "",
        "Until the scores after round 1 are in the database; the page looks once a second.",
    ]


def _fused(measured: Measured) -> list[str]:
    time = measured.time
    return [
        "| clients | apart, s | together, s | ratio |",
        "|---|---|---|---|",
        *(
            f"| {n} | {time(f'apart {n}'):.2f} | {time(f'fused {n}'):.2f} | {ratio:.1f}× |"
            for n, ratio in (measured.report.fused_over_sequential or {}).items()
        ),
    ]


def _many(measured: Measured) -> list[str]:
    return [
        "| clients | seconds a round, FedIT first | then pLoRA | peak memory |",
        "|---|---|---|---|",
        *(
            f"| {n:,} | {row['first']:.1f} | {row['again']:.1f} | {row['peak_rss_mb']:.0f} MB |"
            for n, row in measured.many.items()
        ),
        "",
        "The first run draws and encodes the pictures of every client that it meets for the first "
        "time, more of them out of a thousand; the second finds them on disk.",
    ]


def _runtimes(measured: Measured) -> list[str]:
    return [
        "| | seconds to the first round | seconds of a later one | unshared memory |",
        "|---|---|---|---|",
        *(
            f"| {name} | {own.start_seconds:.1f} | {own.round_seconds:.2f} | "
            f"{own.memory_bytes / 1e9:.1f} GB |"
            for name, own in measured.runtimes.items()
        ),
        "",
        "The first three: four clients with next to nothing to train, one run of each, what was "
        "drawn and encoded included; memory of the worker and of all that it started, at its peak. "
        "Then one step of 20 clients a round, who are all or a tenth, their pictures drawn before.",
    ]


def _side_by_side(measured: Measured) -> list[str]:
    time = measured.time
    return [
        "| | in turn, s | side by side, s | ratio |",
        "|---|---|---|---|",
        *(
            f"| {name} | {time(f'{name}, in turn'):.1f} | {time(f'{name}, side by side'):.1f} | "
            f"{ratio:.2f}× |"
            for name, ratio in (measured.report.side_by_side or {}).items()
        ),
        "",
        "From the first round's begin to the last one's end, warm; medians, of the ratio too. The "
        "arithmetic is the same: what is won is that larger products keep all cores at work. In "
        "turn, the first line on the chart is finished before the second begins.",
    ]


def _full_size(figures: Measured) -> list[str]:
    measured = figures.full_size
    if measured is None:
        return []
    parts = ", ".join(
        f"{name} {share:.0%}" for name, share in measured.shares.items() if share > 0.005
    )
    return [
        f"{measured.parameters / 1e6:.0f} million parameters, {measured.dtype}, on "
        f"{measured.device}.",
        "",
        "| | |",
        "|---|---|",
        f"| samples trained per second | {measured.samples_per_s:.1f} |",
        "| with every picture through the tower at every step | "
        f"{measured.with_tower_samples_per_s:.1f} |",
        f"| the lab, with tests and answers | {_ratio(measured.ours_over_floor)} of the floor |",
        f"| memory | {measured.memory_bytes / 1e9:.1f} GB |",
        f"| where the time goes | {parts} |",
    ]


def _ratio(value: float | None) -> str:
    return "no ratio" if value is None else f"{value:.2f}×"


def _shares(measured: Measured) -> list[str]:
    before, after = measured.before, measured.after
    names = [name for name in before | after if name != "seconds"]
    rows = ["Before: clients one after another, each tested alone. After: together.", ""]
    rows += ["| | before | after |", "|---|---|---|"]
    rows += [f"| seconds | {before['seconds']:.1f} | {after['seconds']:.1f} |"]
    for name in sorted(names, key=lambda name: -before.get(name, 0)):
        rows.append(f"| {name} | {before.get(name, 0):.1%} | {after.get(name, 0):.1%} |")
    return rows


SECTIONS: Mapping[str, tuple[str, Callable[[Measured], list[str]]]] = {
    "quickstart": (
        "The quickstart: 4 clients, FedIT and pLoRA, 8 rounds of 12 steps of 16",
        _quickstart,
    ),
    "floor": ("The same without a federation", _floor),
    "start": ("From the press of Run to the first point of the chart", _start),
    "fused": ("A cohort in one pass against one client after another (batch 8)", _fused),
    "together": (
        "The runs of an experiment side by side against one after another",
        _side_by_side,
    ),
    "many": ("Many clients: 20 a round, 64 samples each, all personal factors on disk", _many),
    "runtimes": ("Flower's own engines beside the local runtime", _runtimes),
    "profile": ("Where the time goes: a quickstart in one process, nothing cached", _shares),
    "full-size": ("A model of Florence-2-base's real size, random weights", _full_size),
}
