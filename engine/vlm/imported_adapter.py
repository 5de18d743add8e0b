"""Starting from an adapter that was exported, here or elsewhere: it becomes part of the base.

W ← W + s·B·A, once, when the model is loaded. So the adapter may have any rank and any layers, and
every strategy starts as ever, with B = 0. An export puts it beside what was trained since.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING

from safetensors import SafetensorError, safe_open

from engine.adapters.factors import DELTA, A, B
from engine.config import BUNDLED, ConfigError
from engine.paths import BUNDLED_MODEL, home

if TYPE_CHECKING:
    import torch
    from torch import nn

    Factors = dict[str, torch.Tensor]

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
_PLAIN = {"peft_type": "LORA", "use_dora": False, "bias": "none", "fan_in_fan_out": False}
_PATTERNS = ("rank_pattern", "alpha_pattern", "modules_to_save", "layer_replication")
_BEFORE, _AFTER = "base_model.model.", ".weight"


@dataclass(frozen=True)
class Start:
    """A LoRA adapter on disk; ``scale`` is what B·A counts."""

    folder: Path
    scale: float

    def factors(self) -> Factors:
        """Its factors by name, as the lab names them."""
        from safetensors.torch import load_file

        found = load_file(self.folder / WEIGHTS)
        return {_plain_name(name): value.float() for name, value in found.items()}


def read_adapter(place: str) -> Start:
    """The adapter in a folder. Raises ConfigError where it is none that can be added to weights."""
    folder = Path(place).expanduser()
    if not (folder / CONFIG).is_file():
        raise ConfigError(
            f"start: {place} is no adapter folder: it has no {CONFIG}{_inside(folder)}"
        )
    if not (folder / WEIGHTS).is_file():
        raise ConfigError(f"start: {place} has no {WEIGHTS}; only safetensors are read")
    try:
        values = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        rank, alpha = int(values["r"]), float(values["lora_alpha"])
    except (ValueError, KeyError, TypeError):
        raise ConfigError(f"start: the {CONFIG} in {place} cannot be read") from None
    unusual = [f"{k}={values[k]}" for k, plain in _PLAIN.items() if values.get(k, plain) != plain]
    unusual += [f"{key}={values[key]}" for key in _PATTERNS if values.get(key)]
    if unusual:
        raise ConfigError(f"start: only plain LoRA adapters can be used (this has {unusual[0]})")
    root = rank**0.5 if values.get("use_rslora") else rank
    return Start(folder, alpha / root)


def import_adapter(place: str, model: str) -> str:
    """Check an adapter and copy it into this home, so that runs do not lose it; returns where.

    Raises ConfigError where it does not fit the model.
    """
    start = read_adapter(place)
    names = _layers(start.folder / WEIGHTS)
    if model == BUNDLED:
        with safe_open(BUNDLED_MODEL / "model.safetensors", framework="numpy") as weights:
            _check_layers(names, {name.removesuffix(_AFTER) for name in weights.keys()})  # noqa: SIM118
    files = [start.folder / CONFIG, start.folder / WEIGHTS]
    digest = blake2b(b"".join(file.read_bytes() for file in files), digest_size=8).hexdigest()
    kept = home() / "adapters" / digest
    if kept.resolve() != start.folder.resolve():
        kept.mkdir(parents=True, exist_ok=True)
        for file in files:
            shutil.copy2(file, kept / file.name)
    return str(kept)


def merge_adapter(model: nn.Module, place: str) -> None:
    """Add an adapter to a model's weights, in place. Raises ConfigError where it does not fit."""
    import torch

    from engine.vlm.lora import as_deltas

    start = read_adapter(place)
    changes = as_deltas(start.factors(), start.scale)
    changes = {name.removesuffix(f".{DELTA}"): change for name, change in changes.items()}
    modules = dict(model.named_modules())
    _check_layers(set(changes), modules)
    with torch.no_grad():
        for layer, change in changes.items():
            weight = modules[layer].weight
            if change.shape != weight.shape:
                raise ConfigError(f"start: the adapter's layer {layer} has another shape here")
            weight.add_(change.to(weight.device, weight.dtype))


def peft_name(name: str) -> str:
    """What PEFT calls a factor in an adapter's file."""
    return f"{_BEFORE}{name}{_AFTER}"


def _layers(weights: Path) -> set[str]:
    try:
        with safe_open(weights, framework="numpy") as file:
            names = [_plain_name(name) for name in file.keys()]  # noqa: SIM118
    except (SafetensorError, OSError):
        raise ConfigError(f"start: {weights} cannot be read") from None
    other = [name for name in names if name.rpartition(".")[2] not in (A, B)]
    if other or not names:
        raise ConfigError(f"start: {weights.parent} holds more than LoRA factors: {other[:1]}")
    return {name.rpartition(".")[0] for name in names}


def _check_layers(layers: set[str], there: object) -> None:
    if missing := sorted(layer for layer in layers if layer not in there):
        raise ConfigError(f"start: the adapter is for another model: here is no layer {missing[0]}")


def _plain_name(name: str) -> str:
    return name.removeprefix(_BEFORE).removesuffix(_AFTER)


def _inside(folder: Path) -> str:
    """A hint for somebody who names a whole export."""
    found = sorted(str(path.parent.relative_to(folder)) for path in folder.glob(f"*/**/{CONFIG}"))
    return f"; there are adapters in {', '.join(found[:4])}" if found else ""
