"""The form's fields that only some strategies have."""

from __future__ import annotations

from typing import Any

import streamlit as st

from app.fields import number, words
from engine.strategies import STRATEGIES


def strategy_options(
    strategies: list[str], base: dict[str, Any], start_from: str
) -> dict[str, dict[str, Any]]:
    """The options of the chosen strategies that have some."""
    options: dict[str, dict[str, Any]] = {}
    if "fedprox" in strategies:
        options["fedprox"] = {"mu": number("fedprox.mu", base, start_from, step=0.05)}
    if "feddpa" in strategies:
        options["feddpa"] = {"weight": number("feddpa.weight", base, start_from, step=0.05)}
    if "ditto" in strategies:
        options["ditto"] = {"lam": number("ditto.lam", base, start_from, step=0.05)}
    if "plora" in strategies:
        start = st.radio(
            "pLoRA: where a client's A starts in a round",
            ["persistent", "reset"],
            format_func={
                "persistent": "where it ended the round before",
                "reset": "at the common A₀",
            }.__getitem__,
            key=f"plora.start:{start_from}",
        )
        options["plora"] = {"start": start}
    return options


def client_ranks(strategies: list[str], base: dict[str, Any], start_from: str) -> list[str]:
    """The clients' own ranks, where a chosen strategy can use them."""
    if not any(STRATEGIES[key].mixed_ranks for key in strategies):
        return base["lora"]["client_ranks"]
    text = st.text_input(
        "Clients' ranks, in turn (HetLoRA, FlexLoRA, FLoRA)",
        ", ".join(map(str, base["lora"]["client_ranks"])),
        placeholder="for example 8, 4, 2; empty: all the same",
        key=f"lora.client_ranks:{start_from}",
    )
    return words(text)
