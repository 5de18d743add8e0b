"""What an experiment costs, before it runs: numbers, bytes, memory, and time as measured here."""

from __future__ import annotations

from collections.abc import Sequence
from math import log

import streamlit as st
from pydantic import ValidationError

from app.look import capital
from db import reads
from engine.config import ExperimentConfig
from engine.fl.privacy import budget_in_words, rounds_allowed
from engine.fl.traffic import Traffic, traffic_of
from engine.jobs import sweeps as sweeping
from engine.results.look import duration, name_of, size
from engine.strategies import STRATEGIES
from engine.vlm.memory import describe
from engine.vlm.resolved import ResolvedModel, resolve_model


def show_summary(config: ExperimentConfig) -> None:
    """Say in a line what an experiment takes. Raises ConfigError where the model cannot be used."""
    model = resolve_model(config)
    trained = sweeping.lacking(config) if config.is_swept else [config]
    sent = sum(_sent(traffic_of(key, run, model), run) for run in trained for key in run.strategies)
    takes = f"takes {time_of(*trained)}" if trained else "all of them are stored already"
    if config.is_swept:
        points = len(config.points())
        runs = points * len(config.strategies)
        stored = runs - sum(len(run.strategies) for run in trained)
        again = f", {stored} of them stored already" if trained and stored else ""
        takes = f"{points} experiments, {runs} runs{again}: {takes}"
    st.markdown(f"**{capital(takes)}** · {size(sent)} sent · {_memory(config, model)}")
    limited = "" if config.is_swept else budget_in_words(config)
    if limited:
        st.warning(f"{capital(limited)}.")


def show_costs(config: ExperimentConfig) -> None:
    """Show what each way trains and sends. Raises ConfigError where the model cannot be used."""
    model = resolve_model(config)
    traffic = {key: traffic_of(key, config, model) for key in config.strategies}
    st.table(
        [
            {
                "way": f"{name_of(key)} :small[:gray[{key}]]",
                "a client trains": f"{traffic[key].trainable:,} numbers",
                "sends in a round": size(traffic[key].bytes_up),
                "all send in all rounds": size(_sent(traffic[key], config)),
            }
            for key in config.strategies
        ],
        hide_index=True,
    )


def seconds_of(*configs: ExperimentConfig) -> tuple[float | None, bool]:
    """Return how long the rounds of all runs are likely to take, and if that was measured here.

    By the stored run on the same model whose rounds are most alike in work; None where there is
    none. What is done once, such as looking at the pictures for the first time, is not in it.
    Several experiments take their time one after another.
    """
    paces = [(pace, other) for pace in reads.paces() if (other := _parsed(pace.config))]
    total, here = 0.0, True
    for config in configs:
        seconds, measured_here = _seconds(config, paces)
        if seconds is None:
            return None, False
        total, here = total + seconds, here and measured_here
    return total, here


def _seconds(
    config: ExperimentConfig, paces: Sequence[tuple[reads.Pace, ExperimentConfig]]
) -> tuple[float | None, bool]:
    known = [
        (pace.bundled, abs(log(_work(config) / _work(other))), pace.seconds / _work(other))
        for pace, other in paces
        if _setting(other) == _setting(config)
    ]
    if not known:
        return None, False
    bundled, _, per_row = min(known)
    return per_row * _work(config) * config.rounds, not bundled


def _sent(traffic: Traffic, config: ExperimentConfig) -> int:
    """Return the bytes that all clients send in all rounds."""
    return traffic.bytes_up * config.clients_per_round * rounds_allowed(config)


def time_of(*configs: ExperimentConfig) -> str:
    """Say how long the rounds of experiments are likely to take, and whence that is known."""
    seconds, here = seconds_of(*configs)
    if seconds is None:
        return "a time that its first round will tell"
    return f"about {duration(seconds)}{'' if here else ' on the machine that made the example'}"


def _memory(config: ExperimentConfig, model: ResolvedModel) -> str:
    facts = describe(config, model)
    needed = facts.estimate.needed(facts.micro_batch.train)
    return f"{size(needed)} of memory; this machine has {size(facts.memory)}"


def _work(config: ExperimentConfig) -> int:
    """Return the rows that a round trains in all runs, which train together."""
    trained = sum(STRATEGIES[key].trained for key in config.strategies)
    return max(1, trained) * config.clients_per_round * config.local_steps * config.batch_size


def _setting(config: ExperimentConfig) -> tuple[object, ...]:
    """Return what else decides how long a row takes."""
    return config.model, config.device, config.dtype, config.dataset == "world", config.lora.vision


def _parsed(values: dict[str, object]) -> ExperimentConfig | None:
    try:
        return ExperimentConfig.model_validate(values)
    except ValidationError:  # of another version, or with a plugin that is not named any more
        return None
