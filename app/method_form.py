"""The form's fields that only some strategies have."""

from __future__ import annotations

from typing import Any

import streamlit as st

from app.fields import choice, words
from engine.config import field
from engine.strategies import STRATEGIES


def strategy_options(
    strategies: list[str], base: dict[str, Any], start_from: str
) -> dict[str, dict[str, Any]]:
    """Draw the options of the chosen strategies that have some; return them by strategy."""
    models = {key: STRATEGIES[key].options_model for key in strategies}
    return {
        key: {name: choice(f"{key}.{name}", base, start_from) for name in model.model_fields}
        for key, model in models.items()
        if model is not None
    }


def client_ranks(strategies: list[str], base: dict[str, Any], start_from: str) -> list[str]:
    """Draw the clients' own ranks, where a chosen strategy can use them; return them as words."""
    if not any(STRATEGIES[key].mixed_ranks for key in strategies):
        return base["lora"]["client_ranks"]
    names = ", ".join(
        rule.title.partition(" (")[0] for rule in STRATEGIES.values() if rule.mixed_ranks
    )
    text = st.text_input(
        f"{field('lora.client_ranks').title} ({names})",
        ", ".join(map(str, base["lora"]["client_ranks"])),
        placeholder="for example 8, 4, 2; empty: all the same",
        key=f"lora.client_ranks:{start_from}",
    )
    return words(text)
