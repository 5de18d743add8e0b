"""What a process keeps at hand for one experiment: the model, the data, and the data as tensors."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import torch

from engine.config import ExperimentConfig
from engine.federation.federation import Example, Federation
from engine.vlm import model as vlm_model
from engine.vlm.lora import initial_factors
from engine.vlm.model import Encoded, Vlm


class Workbench:
    """Model and data of one experiment, with the encoded sets of recent clients."""

    def __init__(self, config: ExperimentConfig) -> None:
        self.config = config
        self.vlm: Vlm = vlm_model.load(config)
        self.federation = Federation(config)
        self.samples = lru_cache(maxsize=128)(self._samples)
        self.pooled = lru_cache(maxsize=1)(self._pooled)

    def initial(self) -> dict[str, torch.Tensor]:
        """The common start of all clients: A₀ from the seed, B = 0."""
        shapes = {name: parameter.shape for name, parameter in self.vlm.factors.items()}
        return initial_factors(shapes, self.config.seed)

    def encode(self, examples: Sequence[Example]) -> Encoded:
        """Examples as tensors."""
        return self.vlm.encode(
            [example.image for example in examples],
            [example.question for example in examples],
            [example.answer for example in examples],
        )

    def _samples(self, client: int, split: str) -> Encoded:
        return self.encode(self.federation.examples(client, split))

    def _pooled(self) -> Encoded:
        return self.encode(self.federation.pooled_test())


@lru_cache(maxsize=2)
def _workbench(config: ExperimentConfig) -> Workbench:
    return Workbench(config)


def workbench(config: ExperimentConfig) -> Workbench:
    """The process's workbench for all experiments with the same model, data and seed."""
    irrelevant = ("name", "strategies", "rounds", "local_steps", "batch_size", "learning_rate")
    neutral = ExperimentConfig()
    return _workbench(config.model_copy(update={key: getattr(neutral, key) for key in irrelevant}))
