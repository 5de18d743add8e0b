"""Experiments that the lab knows by name, as the values that differ from the defaults."""

from __future__ import annotations

from typing import Any

from engine.config import ConfigError

# Alone, one for all, personalised; what is learnt together takes its time.
_STORY = {"strategies": ["local", "fedit", "plora"], "rounds": 16}
PRESETS: dict[str, dict[str, Any]] = {
    "quickstart": {"name": "Quickstart: four sites that disagree", **_STORY},
    "alike": {"name": "Everyone alike", "heterogeneity": {"level": 0.0}, **_STORY},
    "scarce": {"name": "Few pictures each", "clients": 8, "samples_per_client": 64, **_STORY},
    "tiny": {
        "name": "Tiny",
        "clients": 2,
        "samples_per_client": 16,
        "rounds": 2,
        "local_steps": 2,
        "batch_size": 8,
    },
    "digits": {
        "name": "Handwritten digits: eight sites, half of the words passed round",
        "dataset": "digits",
        "clients": 8,
        "samples_per_client": 160,
        "heterogeneity": {"kind": "concept", "level": 0.5},
        "strategies": ["local", "fedit", "plora", "fedsa"],
        "rounds": 24,
        "local_steps": 20,
    },
    "easy-vqa": {
        "name": "easy-VQA: eight sites, half of the words passed round",
        "dataset": "easy-vqa",
        "data": {"rows": 4000},
        "clients": 8,
        "samples_per_client": 160,
        "heterogeneity": {"kind": "concept", "level": 0.5},
        "strategies": ["local", "fedit", "plora", "fedsa"],
        "rounds": 16,
    },
}


_VLM = {"model": "HuggingFaceTB/SmolVLM-256M-Instruct", "learning_rate": 2e-4, "batch_size": 8}
# Data sets of the hub with a model of the hub; engine/data/user/known.py knows their columns.
PRESETS |= {
    "rlaif-v": {
        "name": "RLAIF-V, the data of the FedVLM paper",
        "dataset": "hub:openbmb/RLAIF-V-Dataset",
        "data": {"answer_tokens": 128},
        **_VLM,
    },
    "vqa-rad": {
        "name": "VQA-RAD: questions to radiologists",
        "dataset": "hub:flaviagiammarino/vqa-rad",
        "heterogeneity": {"kind": "label"},
        **_VLM,
    },
    "slake": {
        "name": "SLAKE: radiology in English",
        "dataset": "hub:mdwiratathya/SLAKE-vqa-english",
        "heterogeneity": {"kind": "label"},
        **_VLM,
    },
    "scienceqa": {
        "name": "ScienceQA: one client per subject",
        "dataset": "hub:derek-thomas/ScienceQA",
        **_VLM,
    },
}


def preset(name: str) -> dict[str, Any]:
    """Return the values of a preset; raises ConfigError when there is none of that name."""
    if name not in PRESETS:
        raise ConfigError(f"preset: there is no '{name}'; allowed: {', '.join(PRESETS)}")
    return PRESETS[name]
