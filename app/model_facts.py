"""What there is to know of a model before it is loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from app.look import size
from engine.config import ExperimentConfig

if TYPE_CHECKING:
    from engine.memory import ModelFacts


def model_facts(config: ExperimentConfig) -> ModelFacts:
    """THE CALL SITE of engine.memory. Raises ConfigError where the model cannot be read."""
    from engine.memory import describe

    return describe(config)


def show_model(config: ExperimentConfig) -> None:
    """Family, size and memory of the model in a few figures. Raises ConfigError."""
    facts = model_facts(config)
    cells = st.columns(4)
    cells[0].metric("Family", facts.family)
    cells[1].metric("Parameters", f"{facts.parameters / 1e6:,.0f} M", help=size(facts.bytes))
    cells[2].metric("Memory it takes", size(facts.memory))
    cells[3].metric("This machine has", size(facts.available))
    st.caption(f"On {facts.device}, in {facts.dtype}.")
