"""A config's model, resolved once: its files' state, what it is like, on what device.

Made when an experiment is submitted, stored with it, and passed on. No torch here: models other
than the bundled one are looked at behind one door.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter

from engine.config import BUNDLED, WORLD, ConfigError, ExperimentConfig
from engine.system.machine import devices
from engine.vlm.checkpoint_files.bundled import bundled_facts, content_digest, weight_shapes
from engine.vlm.checkpoint_files.files import read_checkpoint
from engine.vlm.checkpoint_files.shape import CheckpointFacts
from engine.vlm.checkpoint_files.sources import place_of
from engine.vlm.limits import LONGEST_SIDE

_WORLD_SIDE = 112  # pixels of the embedded world's pictures


@dataclass(frozen=True)
class ResolvedModel(CheckpointFacts):
    """Facts of a config's model as it was when the experiment was submitted.

    digest: of its files' state; device and dtype: never "auto".
    """

    digest: str
    device: str
    dtype: str

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return _JSON.dump_python(self, mode="json")

    @staticmethod
    def from_dict(values: dict[str, Any]) -> ResolvedModel:
        """Return the model that ``to_dict`` has written down."""
        return _JSON.validate_python(values)

    def adapter_numel(self, rank: int) -> int:
        """Return the numbers in all factors of an adapter of this rank."""
        return rank * (self.numel_a + self.numel_b)


_JSON = TypeAdapter(ResolvedModel)


def resolve_model(config: ExperimentConfig) -> ResolvedModel:
    """Resolve a config's model; costs next to nothing where its files were looked at before.

    Raises ConfigError, with one sentence, when the model cannot be used here.
    """
    device = resolve_device(config.device)
    digest = digest_of(config.model)
    facts, _ = _inspected(config, digest)
    return ResolvedModel(**vars(facts), digest=digest, device=device, dtype=_dtype(config, device))


def digest_of(model: str) -> str:
    """Return a digest of the state of a model's files. Raises ConfigError where it has none."""
    return content_digest() if model == BUNDLED else read_checkpoint(model).digest


def check_files(model: str, resolved: ResolvedModel) -> None:
    """Raise ConfigError where a model's files are not those that were resolved."""
    if digest_of(model) != resolved.digest:
        raise ConfigError(
            f"model: the files of {model} have changed since this experiment was submitted; "
            "put them back, or clone the run to train what is there now"
        )


def linear_shapes(config: ExperimentConfig, model: ResolvedModel) -> Mapping[str, tuple[int, ...]]:
    """Return the shapes (d_out, d_in) of a model's linear layers, by name."""
    return _inspected(config, model.digest)[1]


def resolve_device(device: str) -> str:
    """Return the device to work on. Raises ConfigError when the machine lacks it."""
    there = devices()
    if device == "auto":
        return there[0]
    if device not in there:
        raise ConfigError(
            f"device: there is no {device.upper()} device on this machine; allowed: "
            f"{', '.join(['auto', *there])}"
        )
    return device


def _dtype(config: ExperimentConfig, device: str) -> str:
    """Return the number format of the frozen weights; adapters are always float32."""
    if config.dtype == "auto":
        half = device == "cuda" and config.model != BUNDLED
        return "bfloat16" if half else "float32"
    return config.dtype


def _inspected(
    config: ExperimentConfig, digest: str
) -> tuple[CheckpointFacts, Mapping[str, tuple[int, ...]]]:
    """Return facts and linear layers; a door to torch, which the bundled model does without."""
    of_world = config.dataset == WORLD
    if config.model == BUNDLED and not config.lora.vision:
        shapes = {name.removesuffix(".weight"): shape for name, shape in weight_shapes().items()}
        return bundled_facts(config.lora.targets, of_world=of_world), shapes
    from engine.vlm.checkpoint_files.skeleton import inspect_checkpoint

    side = _WORLD_SIDE if of_world else LONGEST_SIDE
    place, lora = place_of(config.model), config.lora
    return inspect_checkpoint(config.model, place, digest, lora.targets, lora.vision, side)
