"""benchmarks/SPEED.md, written from what ``bench speed --report`` has measured."""

from __future__ import annotations

import platform

import torch

from engine.bench.agreement import FIRST_ROUNDS, FIRST_TOLERANCE, LATER_TOLERANCE
from engine.bench.full_size import FullSize
from engine.bench.speed import REPEATS, Measured
from engine.paths import ROOT
from engine.system.machine import cores

OUT = ROOT / "benchmarks" / "SPEED.md"


def write_report(measured: Measured) -> None:
    """Write all figures as one Markdown page."""
    OUT.write_text("\n".join(_lines(measured)) + "\n", encoding="utf-8")


def _lines(measured: Measured) -> list[str]:
    report, time = measured.report, measured.time
    fused = report.fused_over_sequential or {}
    return [
        "# Speed",
        "",
        f"Written by `python -m engine bench speed --report` on {cores()} "
        f"{platform.machine()} cores ({torch.backends.cpu.get_cpu_capability()}), {_gpu()}, Python "
        f"{platform.python_version()}. Medians of {REPEATS} repeats, side by side in one run. All "
        f"ways reach the same training losses: {'yes' if report.losses_agree else 'NO'}. (For "
        f"every client and round, within {FIRST_TOLERANCE:.0%} of its loss in the first round over "
        f"{FIRST_ROUNDS} rounds, then {LATER_TOLERANCE:.0%}, for training magnifies rounding; else "
        "no ratio is given.)",
        "",
        "## The quickstart: 4 clients, FedIT and pLoRA, 8 rounds of 12 steps of 16",
        "",
        "| what | seconds | |",
        "|---|---|---|",
        f"| Flower's own way (`benchmarks/reference.py`): Ray, the model loaded for every message, "
        f"pictures through the tower at every step | {time('reference'):.1f} | |",
        f"| the lab, cold process, nothing cached, all included | {time('quickstart'):.1f} | "
        f"**{_ratio(report.reference_over_ours)}** |",
        f"| the lab, warm, clients one after another | {time('sequential'):.1f} | "
        f"{_ratio(report.ours_over_floor)} of the floor |",
        f"| floor: a bare loop over cached features, warm | {time('floor'):.1f} | |",
        "",
        "The reference finds its pictures on disk and tests, after every round, the model that a "
        "client uses; the lab draws its pictures, tests every variant, and writes the answers.",
        "",
        "## From the press of Run to the first point of the chart",
        "",
        "| | seconds |",
        "|---|---|",
        f"| warm worker, which has seen the form | {report.first_round_warm_s:.1f} |",
        f"| no worker, nothing cached | {report.first_round_cold_s:.1f} |",
        "",
        "Until the scores after round 1 are in the database; the page looks once a second.",
        "",
        "## A cohort in one pass against one client after another (batch 8)",
        "",
        "| clients | apart, s | together, s | ratio |",
        "|---|---|---|---|",
        *(
            f"| {n} | {time(f'apart {n}'):.2f} | {time(f'fused {n}'):.2f} | {ratio:.1f}× |"
            for n, ratio in fused.items()
        ),
        "",
        *_side_by_side(measured),
        "",
        "## Many clients: 20 a round, 64 samples each, all personal factors on disk",
        "",
        "| clients | seconds a round, FedIT first | then pLoRA | peak memory |",
        "|---|---|---|---|",
        *(
            f"| {n:,} | {row['first']:.1f} | {row['again']:.1f} | {row['peak_rss_mb']:.0f} MB |"
            for n, row in measured.many.items()
        ),
        "",
        "The first run draws and encodes the pictures of every client that it meets for the first "
        "time, more of them out of a thousand; the second finds them on disk.",
        "",
        "## Where the time goes: a quickstart in one process, nothing cached",
        "",
        "Before: clients one after another, each tested alone. After: together.",
        "",
        "| | before | after |",
        "|---|---|---|",
        *_shares(measured),
        "",
        "## A model of Florence-2-base's real size, random weights",
        "",
        *_full_size(measured.full_size),
    ]


def _side_by_side(measured: Measured) -> list[str]:
    time = measured.time
    return [
        "## The runs of an experiment side by side against one after another",
        "",
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


def _gpu() -> str:
    return torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"


def _full_size(measured: FullSize | None) -> list[str]:
    if measured is None:
        return [
            "Not measured: no GPU was at hand. `python -m engine bench speed --only full-size`."
        ]
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
    rows = [f"| seconds | {before['seconds']:.1f} | {after['seconds']:.1f} |"]
    for name in sorted(names, key=lambda name: -before.get(name, 0)):
        rows.append(f"| {name} | {before.get(name, 0):.1%} | {after.get(name, 0):.1%} |")
    return rows
