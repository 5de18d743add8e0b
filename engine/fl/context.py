"""What a process keeps at hand for one experiment: the model, and the data as tensors."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from functools import cached_property, lru_cache
from itertools import chain

import torch

from engine.config import BUNDLED, ExperimentConfig
from engine.data.cache import EncodedSets
from engine.data.factory import dataset_of
from engine.data.vocabulary import words_of
from engine.fl.evaluation import (
    Answer,
    EvalResult,
    ItemScores,
    Task,
    score_generated,
    score_teacher_forced,
)
from engine.fl.resolved import Resolved, resolve
from engine.metrics import metric_of
from engine.vlm import loading, memory
from engine.vlm.limits import MicroBatch
from engine.vlm.lora import Factors, initial_factors
from engine.vlm.model import Vlm


class ExperimentContext:
    """Model and data of one experiment."""

    def __init__(self, config: ExperimentConfig, resolved: Resolved) -> None:
        self.config = config
        self.dataset = dataset_of(config, resolved.data)
        self.micro_batch: MicroBatch = memory.micro_batch(config, resolved.model)
        self.vlm: Vlm = loading.load(config, resolved.model, words_of(self.dataset))
        self.sets = EncodedSets(self.vlm, self.dataset, resolved.model)
        # What the untouched base makes of each client's tests: the same for all strategies.
        self.base_scores: dict[int, EvalResult] = {}
        self.base_answers: dict[int, list[Answer]] = {}

    @cached_property
    def initial(self) -> Factors:
        """The common start of all clients: A₀ from the seed, B = 0. Not to be changed in place."""
        shapes = {name: parameter.shape for name, parameter in self.vlm.factors.items()}
        return initial_factors(shapes, self.config.drawn_from)

    def scored(
        self, tasks: Sequence[Task], clients: Sequence[Sequence[int]], *, pooled: bool = False
    ) -> list[tuple[ItemScores, list[Answer]]]:
        """Score every task; with its answers where these are read to be judged.

        Task number i is about the test sets of ``clients[i]``, one after another, and the pooled
        one after them.
        """
        data = self.dataset
        if not data.free_form:
            return [(scores, []) for scores in score_teacher_forced(self.vlm, tasks)]
        tests = {k: data.items(k, "test") for k in set(chain(*clients))}
        rest = data.pooled_items() if pooled else []
        asked = [chain(*(tests[k] for k in group), rest) for group in clients]
        accepted = [[item.accepted for item in items] for items in asked]
        return score_generated(self.vlm, tasks, accepted, metric_of(self.config.data.metric))


@lru_cache(maxsize=2)
def _context_of(config: ExperimentConfig, resolved: Resolved) -> ExperimentContext:
    if config.model != BUNDLED and not loading.is_loaded(config):
        release()  # two large models do not lie in memory side by side
    return ExperimentContext(config, resolved)


def context_of(config: ExperimentConfig, resolved: Resolved | None = None) -> ExperimentContext:
    """Return the process's context for all experiments with the same model, data and seed.

    ``resolved`` when the experiment was submitted, else as they are now. Raises ConfigError where
    data or model are others by now, or are gone.
    """
    context = _context_of(config.without_training(), resolved or resolve(config))
    # Other experiments may use this model in other ways.
    context.vlm.set_micro_batch(context.micro_batch)
    return context


def release() -> None:
    """Give back the memory of all models and data that nobody uses any more."""
    forget()
    loading.load_from.cache_clear()
    gc.collect()  # models hold themselves: their methods are replaced by bound ones
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def forget() -> None:
    """Drop all contexts and their data: a benchmark wants to start anew."""
    _context_of.cache_clear()
    dataset_of.cache_clear()
