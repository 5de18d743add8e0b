"""The form's fields about the model: which one, from where it starts, and how it is run."""

from __future__ import annotations

import streamlit as st

from app.form import Form
from engine.config import BUNDLED

SOURCES = ("Bundled", "A folder or hub id")
_DEVICES = {"auto": "the best there is", "cpu": "CPU", "cuda": "NVIDIA GPU", "mps": "Apple GPU"}
_FORMATS = {"auto": "as suits the device", "float32": "float32", "bfloat16": "bfloat16"}


def choose(model: str) -> None:
    """Have the fields say this model when they are drawn next."""
    st.session_state["model.source"] = SOURCES[model != BUNDLED]
    if model != BUNDLED:
        st.session_state["model"] = model


def choose_model() -> str:
    """Ask for the model; returns "" while none is named."""
    source = st.segmented_control(
        "Model",
        SOURCES,
        default=None if "model.source" in st.session_state else SOURCES[0],
        required=True,
        key="model.source",
        persist_state="session",
    )
    if source == SOURCES[0]:
        return BUNDLED
    name: str = st.text_input(
        "Folder or hub id of the model",
        placeholder="for example HuggingFaceTB/SmolVLM-256M-Instruct",
        help="A vision-language model as transformers loads it. One of the hub is fetched when a "
        "run needs it.",
        key="model",
        persist_state="session",
    )
    return name.strip()


def model_settings(form: Form) -> None:
    """Ask where adapters sit and how the model is run."""
    st.markdown("**Model and machine**")
    left, right = st.columns(2)
    with left:
        form.choose("device", list(_DEVICES), _DEVICES.__getitem__)
        form.number("micro_batch")
        form.text(
            "lora.targets",
            help="Names of linear layers, such as q_proj, v_proj; all-linear: every one of the "
            "language model.",
        )
    with right:
        form.choose("dtype", list(_FORMATS), _FORMATS.__getitem__)
        form.text(
            "start",
            placeholder="a folder; empty: a new one",
            help="A folder with a PEFT LoRA adapter, such as Export gives.",
        )
        form.tick("lora.vision")
        form.tick("checkpointing")
