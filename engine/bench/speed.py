"""How fast the lab is, side by side in one run: ``python -m engine bench speed``.

The reference is what one writes by hand after Flower's examples (benchmarks/reference.py), the
floor a bare loop without any federation (floor.py). All do the same steps on the same batches;
ratios are printed only where they reach the same losses.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from functools import partial
from statistics import median
from typing import Any

import torch

from db import reads
from engine.bench import floor, full_size, runtimes
from engine.bench.agreement import close, losses_of
from engine.bench.harness import (
    all_sets,
    output,
    run_here,
    run_side_by_side,
    temporary_home,
    wait,
    worker_ended,
)
from engine.bench.setting import write_setting
from engine.bench.shares import shares
from engine.bench.speed_figures import Measured, this_machine
from engine.config import ExperimentConfig
from engine.fl.context import ExperimentContext, context_of, forget
from engine.fl.training import Job, train, train_together
from engine.jobs import queue
from engine.paths import ROOT
from engine.presets import preset
from engine.system.seeding import rng

REPEATS = 3
FUSED_CLIENTS = (8, 32)
MANY_CLIENTS = (100, 1000)
# What the versions before have timed: the reference knows these two.
_TIMED = {"strategies": ["fedit", "plora"], "samples_per_client": 256, "rounds": 8}
_FUSED = {"samples_per_client": 64, "batch_size": 8}
_FUSED_STEPS = 6
SIDE_BY_SIDE: dict[str, dict[str, Any]] = {  # what is changed of the quickstart
    "3 strategies, 4 clients": {"strategies": ["local", "fedit", "plora"], "rounds": 8},
    "6 strategies, 8 clients": {
        "strategies": ["local", "fedit", "plora", "fedsa", "ffa", "ditto"],
        "clients": 8,
        "rounds": 2,
    },
}


def measure(parts: Sequence[str] = (), repeats: int = REPEATS) -> Measured:
    """Run these of PARTS, or all of them, the model of full size only where there is a GPU."""
    measured = Measured()
    has_gpu = torch.cuda.is_available()
    for part in parts or [part for part in PARTS if has_gpu or part != "full-size"]:
        PARTS[part](measured, repeats)
        measured.where[part] = this_machine()
    return measured


def quickstart(measured: Measured, repeats: int) -> None:
    """Compare the reference with the whole quickstart, each in a cold process."""
    config = ExperimentConfig.parse(preset("quickstart") | _TIMED)
    pairs = []
    with temporary_home() as home:
        setting = home / "setting"
        setting.mkdir()
        write_setting(config, setting)
        for _ in range(repeats):
            reference = output(
                [sys.executable, str(ROOT / "benchmarks/reference.py"), str(setting)]
            )
            measured.note("reference", reference["wall"])
            with temporary_home():
                file = home / "timed.yaml"
                file.write_text(config.to_yaml(), encoding="utf-8")
                done = output(
                    [sys.executable, "-m", "engine", "run", "--config", str(file), "--json"]
                )
                measured.note("quickstart", done["wall"])
                ours = {run["strategy"]: losses_of(run["run"]) for run in done["runs"]}
            pairs.append((reference["losses"], ours))
    report = measured.report
    report.quickstart_s = measured.time("quickstart")
    agree = all(close(theirs[key], ours[key]) for theirs, ours in pairs for key in ours)
    measured.compare("quickstart", agree)
    if agree:
        report.reference_over_ours = measured.time("reference") / report.quickstart_s


def bare(measured: Measured, repeats: int) -> None:
    """Compare the lab with its clients one after another with a bare loop, both warm."""
    config = ExperimentConfig.parse(preset("quickstart") | _TIMED)
    agree = True
    with temporary_home():
        context = context_of(config)
        list(context.sets.make_ready(all_sets(config)))
        for _ in range(repeats):
            start = time.perf_counter()
            lowest = {
                key: floor.run(config, context, shared)
                for key, shared in (("fedit", "lora_"), ("plora", "lora_B"))
            }
            measured.note("floor", time.perf_counter() - start)
            start = time.perf_counter()
            runs = run_here(config, context, together=False)
            measured.note("sequential", time.perf_counter() - start)
            agree &= all(close(lowest[key], losses_of(run)) for key, run in runs.items())
    report = measured.report
    measured.compare("floor", agree)
    if agree:
        report.ours_over_floor = measured.time("sequential") / measured.time("floor")


def fused(measured: Measured, repeats: int) -> None:
    """Compare training a cohort in one pass per step with one client after another."""
    ratios = {}
    for clients in FUSED_CLIENTS:
        config = ExperimentConfig.parse({**_FUSED, "clients": clients})
        with temporary_home():
            context = context_of(config)
            list(context.sets.make_ready([(k, "train") for k in range(clients)]))
            how: dict[str, Any] = {
                "batch_size": config.batch_size,
                "learning_rate": config.learning_rate,
            }
            names = list(context.vlm.factors)
            for repeat in range(repeats + 1):  # the first warms up
                start = time.perf_counter()
                apart = [train(context.vlm, job, names, **how)[1] for job in _jobs(context)]
                between = time.perf_counter()
                together = train_together(context.vlm, _jobs(context), names, **how)
                end = time.perf_counter()
                if not close(
                    [dict(enumerate(apart))], [dict(enumerate(loss for _, loss in together))]
                ):
                    measured.compare("fused", False)
                    return
                if repeat:
                    measured.note(f"apart {clients}", between - start)
                    measured.note(f"fused {clients}", end - between)
        ratios[str(clients)] = measured.time(f"apart {clients}") / measured.time(f"fused {clients}")
    measured.report.fused_over_sequential = ratios
    measured.compare("fused", True)


def together(measured: Measured, repeats: int) -> None:
    """Compare all runs of an experiment side by side with one after another, both warm.

    From the first round's begin to the last one's end; the order alternates.
    """
    ratios = {}
    for name, values in SIDE_BY_SIDE.items():
        config = ExperimentConfig.parse({**preset("quickstart"), **values})
        with temporary_home():
            context = context_of(config)
            list(context.sets.make_ready(all_sets(config)))
            ways = {
                "side by side": partial(run_side_by_side, config, context),
                "in turn": partial(run_here, config, context, together=True),
            }
            pairs = []
            for repeat in range(repeats):
                losses = {}
                for way in list(ways)[:: 1 if repeat % 2 else -1]:
                    runs = ways[way]()
                    measured.note(f"{name}, {way}", _span(runs.values()))
                    losses[way] = {key: losses_of(run) for key, run in runs.items()}
                pairs.append(losses)
        agree = all(
            close(own, pair["side by side"][key])
            for pair in pairs
            for key, own in pair["in turn"].items()
        )
        measured.compare("together", agree)
        if agree:
            ratios[name] = median(
                before / after
                for before, after in zip(
                    measured.seconds[f"{name}, in turn"],
                    measured.seconds[f"{name}, side by side"],
                    strict=True,
                )
            )
    measured.report.side_by_side = ratios


def start(measured: Measured, repeats: int) -> None:
    """Time the way from Run to the first point after round 0 in the database, cold and warm."""
    config = ExperimentConfig.parse(preset("quickstart") | _TIMED)
    for kind in ("cold", "warm"):
        for _ in range(repeats):
            with temporary_home(), worker_ended():
                if kind == "warm":
                    queue.prepare(config)
                    wait(lambda: (asked := reads.preparation()) and asked.ready_at)
                reads.runs()  # who presses Run has the page open, so the database is there
                pressed = time.perf_counter()
                _, [run, _] = queue.submit(config)
                wait(partial(_has_a_round, run))
                measured.note(kind, time.perf_counter() - pressed)
    measured.report.first_round_cold_s = measured.time("cold")
    measured.report.first_round_warm_s = measured.time("warm")


def many(measured: Measured, _: int) -> None:
    """Time twenty clients a round of a hundred and of a thousand, met first and met again."""
    for clients in MANY_CLIENTS:
        with temporary_home():
            settings = [f"clients={clients}", f"participation={20 / clients}", "rounds=4"]
            settings += ["samples_per_client=64", "strategies=fedit,plora"]
            command = [sys.executable, "-m", "engine", "run", "--json"]
            for setting in settings:
                command += ["--set", setting]
            runs = output(command)["runs"]
            first, again = (median(row.seconds for row in reads.rounds(run["run"])) for run in runs)
            peak = max(run["peak_rss_mb"] for run in runs)
            measured.many[clients] = {"first": first, "again": again, "peak_rss_mb": peak}


def profile(measured: Measured, _: int) -> None:
    """Profile a quickstart: with clients one after another, and together."""
    config = ExperimentConfig.parse(preset("quickstart") | _TIMED)
    for together in (False, True):
        with temporary_home():
            forget()
            with shares() as parts:
                run_here(config, context_of(config), together=together)
        (measured.after if together else measured.before).update(parts)


def large(measured: Measured, repeats: int) -> None:
    """Compare the lab with the bare loop on a model of Florence-2-base's real size."""
    measured.full_size = full_size.measure(repeats)
    measured.compare("full-size", measured.full_size.ours_over_floor is not None)


def on_runtimes(measured: Measured, _: int) -> None:
    """Say what each of Flower's engines adds to a start, a round and memory."""
    measured.runtimes = runtimes.measure()


PARTS: dict[str, Callable[[Measured, int], None]] = {
    "quickstart": quickstart,
    "floor": bare,
    "fused": fused,
    "together": together,
    "start": start,
    "many": many,
    "runtimes": on_runtimes,
    "profile": profile,
    "full-size": large,
}


def _has_a_round(run: int) -> bool:
    return any(row.round for row in reads.evaluations(run))


def _span(runs: Iterable[int]) -> float:
    """Return the seconds from the first round's begin to the last one's end, of all runs."""
    rows = [row for run in runs for row in reads.rounds(run)]
    begun = min(row.finished_at - timedelta(seconds=row.seconds) for row in rows)
    return (max(row.finished_at for row in rows) - begun).total_seconds()


def _jobs(context: ExperimentContext) -> list[Job]:
    initial, seed = context.initial, context.config.seed
    return [
        Job(initial, context.sets.get(k, "train"), _FUSED_STEPS, rng(seed, "fused", k))
        for k in range(context.config.clients)
    ]
