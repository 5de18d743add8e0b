"""The form's fields about the model: which one, from where it starts, and how it is run."""

from __future__ import annotations

from typing import Any, get_args

import streamlit as st

from app.fields import DEFAULTS, number, words
from engine.config import BUNDLED, ExperimentConfig

SOURCES = ("Bundled", "A folder or hub id")
_DEVICES = {"auto": "the best there is", "cpu": "CPU", "cuda": "NVIDIA GPU", "mps": "Apple GPU"}
_FORMATS = {"auto": "as suits the device"}


def choose_model() -> str:
    """The model; "" while none is named."""
    source = st.segmented_control(
        "Model",
        SOURCES,
        default=SOURCES[0],
        required=True,
        key="model.source",
        persist_state="session",
    )
    if source == SOURCES[0]:
        return BUNDLED
    return st.text_input(
        "Folder or hub id of the model",
        placeholder="for example HuggingFaceTB/SmolVLM-256M-Instruct",
        help="A vision-language model as transformers loads it. One of the hub is fetched when a "
        "run needs it.",
        key="model",
        persist_state="session",
    ).strip()


def model_settings(base: dict[str, Any]) -> dict[str, Any]:
    """Where adapters sit and how the model is run; values of the config, ``lora`` in part."""
    st.markdown("**Model**")
    one, two = st.columns(2)
    with one:
        device = _one_of("device", _DEVICES)
        micro_batch = number("micro_batch", DEFAULTS)
        targets = st.text_input(
            "LoRA on these layers",
            ", ".join(base["lora"]["targets"]),
            help="Names of linear layers, such as q_proj, v_proj; all-linear: every one of the "
            "language model.",
            key="lora.targets",
        )
    with two:
        dtype = _one_of("dtype", _FORMATS)
        start = st.text_input(
            "Adapter to start from",
            placeholder="a folder; empty: a new one",
            help="A folder with a PEFT LoRA adapter, such as Export gives.",
            key="start",
        ).strip()
        vision = st.checkbox("LoRA on the vision tower too", key="lora.vision")
        checkpointing = st.checkbox(
            "Gradient checkpointing", help="Less memory, slower.", key="checkpointing"
        )
    return {
        "device": device,
        "dtype": dtype,
        "micro_batch": micro_batch,
        "start": start,
        "checkpointing": checkpointing,
        "lora": {"targets": words(targets), "vision": vision},
    }


def _one_of(key: str, names: dict[str, str]) -> str:
    """A select box over the values that a key allows."""
    found = ExperimentConfig.model_fields[key]
    return st.selectbox(
        found.title,
        get_args(found.annotation),
        format_func=lambda value: names.get(value, value),
        key=key,
    )
