"""What a process keeps at hand for one experiment: the model, and the data as tensors."""

from __future__ import annotations

from functools import lru_cache

import torch

from engine.config import ExperimentConfig
from engine.encoded_sets import EncodedSets
from engine.evaluation import Answer, Examined
from engine.federation.federation import Federation
from engine.vlm import model as vlm_model
from engine.vlm.lora import initial_factors
from engine.vlm.model import Vlm


class Workbench:
    """Model and data of one experiment."""

    def __init__(self, config: ExperimentConfig) -> None:
        self.config = config
        self.vlm: Vlm = vlm_model.load(config)
        self.federation = Federation(config)
        self.sets = EncodedSets(self.vlm, self.federation)
        # What the untouched base makes of each client's tests: the same for all strategies.
        self.base_marks: dict[int, Examined] = {}
        self.base_answers: dict[int, list[Answer]] = {}

    def initial(self) -> dict[str, torch.Tensor]:
        """The common start of all clients: A₀ from the seed, B = 0."""
        shapes = {name: parameter.shape for name, parameter in self.vlm.factors.items()}
        return initial_factors(shapes, self.config.seed)


@lru_cache(maxsize=2)
def _workbench(config: ExperimentConfig) -> Workbench:
    return Workbench(config)


def workbench(config: ExperimentConfig) -> Workbench:
    """The process's workbench for all experiments with the same model, data and seed."""
    irrelevant = ("name", "strategies", "rounds", "local_steps", "batch_size", "learning_rate")
    irrelevant += ("participation",)
    neutral = ExperimentConfig()
    return _workbench(config.model_copy(update={key: getattr(neutral, key) for key in irrelevant}))


def forget() -> None:
    """Drop all workbenches: a benchmark wants to start anew."""
    _workbench.cache_clear()
