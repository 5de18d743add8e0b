"""The facts of a model before it is loaded."""

from __future__ import annotations

import streamlit as st

from engine.config import ExperimentConfig
from engine.results.look import size
from engine.vlm.memory import ModelFacts, describe
from engine.vlm.resolved import resolve_model


def model_facts(config: ExperimentConfig) -> ModelFacts:
    """Look up the facts of a config's model. Raises ConfigError where it cannot be used."""
    with st.spinner("Looking at the model …"):
        return describe(config, resolve_model(config))


def show_model(config: ExperimentConfig) -> None:
    """Show family, size and memory of the model in a few figures. Raises ConfigError."""
    facts = model_facts(config)
    micro_batch = facts.micro_batch
    st.subheader("The model")
    cells = st.columns(4)
    cells[0].metric("Family", facts.family)
    cells[1].metric(
        "Parameters",
        f"{facts.parameters / 1e6:,.{1 if facts.parameters < 1e8 else 0}f} M",
        help=f"Weights of {size(facts.bytes)} in {facts.dtype}.",
    )
    cells[2].metric(
        "Memory it takes", size(facts.estimate.needed(micro_batch.train)), help="An estimate."
    )
    cells[3].metric("This machine has", size(facts.memory))
    saving = ", layers computed twice to save memory" if micro_batch.checkpointing else ""
    rows = min(micro_batch.train, config.batch_size)
    st.caption(f"On {facts.device}, in {facts.dtype}: {rows} rows at a time in training{saving}.")
    if not facts.fits:
        st.warning("This is likely to be too much for this machine.")
