"""Whatever has happened to an adapter's files: it is taken as it is, or refused in one sentence."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import save

from engine.config import ConfigError, ExperimentConfig
from engine.vlm.imported_adapter import CONFIG, WEIGHTS, import_adapter
from engine.vlm.resolved import linear_shapes, resolve_model

PLAIN = {"peft_type": "LORA", "r": 2, "lora_alpha": 4}
LAYERS = tuple(
    f"model.language_model.{side}.layers.0.fc{n}" for side in ("encoder", "decoder") for n in (1, 2)
)
NAMES = [f"base_model.model.{layer}.lora_{factor}.weight" for layer in LAYERS for factor in "AB"]


def whole() -> dict[str, np.ndarray]:
    config = ExperimentConfig()
    shapes = linear_shapes(config, resolve_model(config))
    factors = {}
    for layer in LAYERS:
        d_out, d_in = shapes[layer]
        factors[f"base_model.model.{layer}.lora_A.weight"] = np.ones((2, d_in), np.float32)
        factors[f"base_model.model.{layer}.lora_B.weight"] = np.ones((d_out, 2), np.float32)
    return factors


CHANGES = {
    "drop": lambda value: None,
    "turn": lambda value: np.ascontiguousarray(value.T),
    "cut": lambda value: value[:-1],
    "flatten": lambda value: value.reshape(-1),
    "empty": lambda value: value[:0],
    "infinite": lambda value: value * np.inf,
    "whole numbers": lambda value: value.astype(np.int16),
}
changes = st.dictionaries(st.sampled_from(NAMES), st.sampled_from(sorted(CHANGES)), min_size=1)
values = st.none() | st.booleans() | st.integers(-3, 99) | st.floats() | st.text() | st.lists(
    st.integers())  # fmt: skip
options = st.dictionaries(st.sampled_from([*PLAIN, "use_rslora", "bias", "new"]), values)


def outcome(folder: Path, settings_: object, weights: bytes) -> str:
    folder.mkdir(exist_ok=True)
    (folder / CONFIG).write_text(json.dumps(settings_))
    (folder / WEIGHTS).write_bytes(weights)
    config = ExperimentConfig(start=str(folder))
    try:
        return import_adapter(config, resolve_model(config))
    except ConfigError as error:
        assert str(error).startswith("start: ") and "\n" not in str(error)
        return ""


quick = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def test_a_whole_adapter_is_taken(tmp_path):
    assert outcome(tmp_path / "adapter", PLAIN, save(whole()))


@quick
@given(changes)
def test_changed_factors_are_refused(tmp_path, changed):
    factors = whole()
    for name, change in changed.items():
        factors[name] = CHANGES[change](factors[name])
    kept = {name: value for name, value in factors.items() if value is not None}
    taken = outcome(tmp_path / "adapter", PLAIN, save(kept))
    layers = {name.rpartition(".lora_")[0] for name in kept}
    dropped_in_pairs = set(changed.values()) == {"drop"} and len(kept) == 2 * len(layers) > 0
    assert bool(taken) is dropped_in_pairs


@quick
@given(options)
def test_any_options_are_known_or_refused(tmp_path, changed):
    outcome(tmp_path / "adapter", PLAIN | changed, save(whole()))


@quick
@given(st.binary(max_size=200), st.integers(0, 400))
def test_any_bytes_are_refused(tmp_path, noise, cut):
    assert not outcome(tmp_path / "adapter", PLAIN, noise)
    assert not outcome(tmp_path / "adapter", PLAIN, save(whole())[: cut + 1])


@pytest.mark.parametrize(
    "config", [[], "text", None, 3, {"r": "many"}, {"r": [1]}, PLAIN | {"r": float("inf")}]
)
def test_a_config_of_any_kind_is_refused(tmp_path, config):
    assert not outcome(tmp_path / "adapter", config, save(whole()))
