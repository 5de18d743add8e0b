"""What a process keeps at hand for one experiment: the model, and the data as tensors."""

from __future__ import annotations

from functools import cached_property, lru_cache

import torch

from engine.config import ExperimentConfig
from engine.encoded_sets import EncodedSets
from engine.evaluation import Answer, Examined
from engine.federation.federation import federation_of
from engine.vlm import loading
from engine.vlm.lora import initial_factors
from engine.vlm.model import Vlm


class Workbench:
    """Model and data of one experiment."""

    def __init__(self, config: ExperimentConfig) -> None:
        self.config = config
        self.vlm: Vlm = loading.load(config)
        self.federation = federation_of(config)
        self.sets = EncodedSets(self.vlm, self.federation)
        # What the untouched base makes of each client's tests: the same for all strategies.
        self.base_marks: dict[int, Examined] = {}
        self.base_answers: dict[int, list[Answer]] = {}

    @cached_property
    def initial(self) -> dict[str, torch.Tensor]:
        """The common start of all clients: A₀ from the seed, B = 0. Not to be changed in place."""
        shapes = {name: parameter.shape for name, parameter in self.vlm.factors.items()}
        return initial_factors(shapes, self.config.seed)


@lru_cache(maxsize=2)
def _workbench(config: ExperimentConfig) -> Workbench:
    return Workbench(config)


def workbench(config: ExperimentConfig) -> Workbench:
    """The process's workbench for all experiments with the same model, data and seed."""
    return _workbench(config.without_training())


def forget() -> None:
    """Drop all workbenches and their data: a benchmark wants to start anew."""
    _workbench.cache_clear()
    federation_of.cache_clear()
