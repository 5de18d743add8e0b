"""An adapter that was exported, here or elsewhere, to start from: it becomes part of the base.

W ← W + s·B·A, once, when the model is loaded (engine/vlm/merging.py). So the adapter may have any
rank and any layers, and every strategy starts as ever, with B = 0. An export puts it beside what
was trained since. No torch here: an adapter is checked before anything starts.
"""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors import SafetensorError, deserialize
from safetensors.numpy import save

from engine.adapters.adapter import A, Adapter, B
from engine.config import ConfigError, ExperimentConfig
from engine.paths import home
from engine.vlm.resolved import ResolvedModel, linear_shapes

if TYPE_CHECKING:
    import torch

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
_BEFORE, _AFTER = "base_model.model.", ".weight"
# Options of an adapter that may have any value, since its factors say the same or it is of no
# matter once they are trained. All others must be off, but for those with one of these values.
_OF_NO_MATTER = (
    *("auto_mapping", "base_model_name_or_path", "exclude_modules", "inference_mode"),
    *("layers_pattern", "layers_to_transform", "lora_alpha", "lora_dropout", "peft_version", "r"),
    *("revision", "target_modules", "task_type", "use_rslora"),
)
_KNOWN_VALUES: Mapping[str, tuple[Any, ...]] = {
    "peft_type": ("LORA",),
    "bias": ("none",),
    "init_lora_weights": (True, False, None, "gaussian", "eva", "orthogonal"),  # base unchanged
    "megatron_core": ("megatron.core", None),
    "qalora_group_size": (16, None),  # of a variant that use_qalora switches on
}
# What layers were called before transformers 4.52 and 5, and what they are called today.
_OLD_NAMES = (
    (r"(model\.)?language_model\.model\.", "model.language_model."),
    (r"language_model\.lm_head", "lm_head"),
    (r"(model\.)?vision_tower\.vision_model\.", "model.vision_tower."),
    (r"(vision_tower|visual|multi_modal_projector)\.", r"model.\1."),
    (r"model\.layers\.", "model.language_model.layers."),
)
Factors = dict[str, np.ndarray]
_FORMATS = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}


@dataclass(frozen=True)
class ImportedAdapter:
    """A LoRA adapter on disk; ``scale`` is what B·A counts."""

    folder: Path
    rank: int
    scale: float

    def factors(self) -> Adapter[torch.Tensor]:
        """Return its factors by name, as the lab names them."""
        from safetensors.torch import load_file

        tensors = load_file(self.folder / WEIGHTS)
        return Adapter({_plain_name(name): value.float() for name, value in tensors.items()})


def read_adapter(place: str) -> ImportedAdapter:
    """Read an adapter folder's config. Raises ConfigError where it is no plain LoRA."""
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
        options = {"peft_type": None, **values}
        unusual = [key for key, value in options.items() if not _is_plain(key, value)]
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError):
        raise ConfigError(f"start: the {CONFIG} in {place} cannot be read") from None
    if unusual:
        option = f"{unusual[0]}={json.dumps(options[unusual[0]])[:60]}"
        raise ConfigError(f"start: only plain LoRA adapters can be used ({place} has {option})")
    if rank < 1 or not math.isfinite(alpha):
        raise ConfigError(f"start: {place} has r={rank}, lora_alpha={alpha:g}; r is at least 1")
    root = rank**0.5 if values.get("use_rslora") else rank
    return ImportedAdapter(folder, rank, alpha / root)


def import_adapter(config: ExperimentConfig, model: ResolvedModel) -> str:
    """Check the adapter that a config starts from and copy it into this home; returns where.

    So runs do not lose it. Raises ConfigError where it does not fit the model.
    """
    adapter = read_adapter(config.start)
    layers = linear_shapes(config, model)
    factors = _with_todays_names(_read_factors(adapter.folder / WEIGHTS), layers)
    _check_shapes(factors, adapter.rank, layers)
    weights = save({peft_name(name): value for name, value in factors.items()}, {"format": "pt"})
    settings = (adapter.folder / CONFIG).read_bytes()
    kept = home() / "adapters" / blake2b(settings + weights, digest_size=8).hexdigest()
    if not kept.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        fresh = Path(tempfile.mkdtemp(dir=kept.parent))
        (fresh / CONFIG).write_bytes(settings)
        (fresh / WEIGHTS).write_bytes(weights)
        try:
            os.rename(fresh, kept)
        except OSError:  # another process was faster, with the same content
            shutil.rmtree(fresh)
    return str(kept)


def peft_name(name: str) -> str:
    """Return what PEFT calls a factor in an adapter's file."""
    return f"{_BEFORE}{name}{_AFTER}"


def _is_plain(key: str, value: object) -> bool:
    """Tell whether an option is known to leave an adapter what it is: s·B·A on top of the base."""
    if key in _KNOWN_VALUES:
        return value in _KNOWN_VALUES[key]
    return key in _OF_NO_MATTER or not value


def _read_factors(path: Path) -> Factors:
    """Read factors by name, in float32; raises ConfigError for what is none."""
    try:
        tensors = {_plain_name(name): tensor for name, tensor in deserialize(path.read_bytes())}
    except (SafetensorError, OSError):
        raise ConfigError(f"start: {path} cannot be read; was it cloned without git-lfs?") from None
    others = [name for name in tensors if name.rpartition(".")[2] not in (A, B)]
    if others or not tensors:
        raise ConfigError(f"start: {path.parent} holds more than LoRA factors: {others[:1]}")
    factors = {}
    for name, tensor in tensors.items():
        if tensor["dtype"] not in _FORMATS:
            raise ConfigError(f"start: {name} has numbers of the type {tensor['dtype']}")
        numbers = np.frombuffer(tensor["data"], _FORMATS[tensor["dtype"]])
        if tensor["dtype"] == "BF16":  # the upper half of a float32
            numbers = (numbers.astype(np.uint32) << 16).view(np.float32)
        factors[name] = numbers.astype(np.float32).reshape(tensor["shape"])
        if not np.isfinite(factors[name]).all():
            raise ConfigError(f"start: {name} in {path.parent} holds what is not a number")
    return factors


def _with_todays_names(factors: Factors, layers: Mapping[str, tuple[int, ...]]) -> Factors:
    """Return the factors with the names that the model's layers have in today's transformers."""
    renamed = {}
    for name, value in factors.items():
        layer, _, factor = name.rpartition(".")
        renamings = (re.sub(f"^{old}", new, layer) for old, new in _OLD_NAMES)
        todays = next((known for known in (layer, *renamings) if known in layers), None)
        if todays is None:
            raise ConfigError(f"start: the adapter is for another model: here is no layer {layer}")
        renamed[f"{todays}.{factor}"] = value
    return renamed


def _check_shapes(factors: Factors, rank: int, layers: Mapping[str, tuple[int, ...]]) -> None:
    """Raise ConfigError unless every layer has A (rank, d_in) and B (d_out, rank)."""
    for layer in sorted({name.rpartition(".")[0] for name in factors}):
        d_out, d_in = layers[layer]
        for factor, shape in ((A, (rank, d_in)), (B, (d_out, rank))):
            if f"{layer}.{factor}" not in factors:
                raise ConfigError(f"start: the adapter has no {factor} for the layer {layer}")
            own = factors[f"{layer}.{factor}"].shape
            if own != shape:
                raise ConfigError(
                    f"start: {factor} of the layer {layer} has the shape {list(own)}; with "
                    f"r={rank} this model needs {list(shape)}"
                )


def _plain_name(name: str) -> str:
    return name.removeprefix(_BEFORE).removesuffix(_AFTER)


def _inside(folder: Path) -> str:
    """Return a hint for somebody who names a whole export."""
    folders = sorted(str(path.parent.relative_to(folder)) for path in folder.glob(f"*/**/{CONFIG}"))
    return f"; there are adapters in {', '.join(folders[:4])}" if folders else ""
