"""A client at work: it puts its model together, tests it, trains it, and keeps what is its own."""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch

from engine import checkpoints
from engine.evaluation import Answer, Score, answer, score
from engine.flower.run_config import RunConfig
from engine.randomness import rng
from engine.training import train
from engine.workbench import workbench

Factors = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Trained:
    """What local training gives: the factors to send, and how it went."""

    shared: Factors
    loss: float
    samples: int
    seconds: float


class Site:
    """Client ``k`` of a run. Its personal factors live in its own folder and in no message."""

    def __init__(self, run: RunConfig, client: int) -> None:
        self.run = run
        self.client = client
        self.bench = workbench(run.config)

    def variants(self, shared: Factors, after_round: int) -> dict[str, Factors]:
        """The factors of each variant, given the server's shared factors after a round."""
        base = self.bench.initial()
        own = checkpoints.read_personal(self.run.folder, self.client, up_to=after_round)
        every = {"base": base, "global": base | shared, "personal": base | shared | own}
        return {name: every[name] for name in ("base", *self.run.strategy.variants)}

    def evaluate(
        self, shared: Factors, after_round: int, *, with_base: bool
    ) -> dict[tuple[str, str], Score]:
        """Scores by (variant, scope) on the own and on the pooled test set.

        Before training B = 0, so that every variant is the base, bit for bit: it is scored once.
        """
        variants = self.variants(shared, after_round)
        wanted = ["base"] if after_round == 0 else [v for v in variants if with_base or v != "base"]
        sets = {"own": self.bench.samples(self.client, "test"), "pooled": self.bench.pooled()}
        scores: dict[tuple[str, str], Score] = {}
        for variant in wanted:
            self.bench.vlm.load_factors(variants[variant])
            scores |= {(variant, s): score(self.bench.vlm, data) for s, data in sets.items()}
        if after_round == 0:
            scores |= {(v, s): scores["base", s] for v in variants for s in sets}
        return scores

    def answers(self, shared: Factors, after_round: int) -> dict[str, list[Answer]]:
        """Every variant's answers to the own test set."""
        found: dict[str, list[Answer]] = {}
        for variant, factors in self.variants(shared, after_round).items():
            self.bench.vlm.load_factors(factors)
            found[variant] = answer(self.bench.vlm, self.bench.samples(self.client, "test"))
        return found

    def train(self, shared: Factors, round_: int) -> Trained:
        """Train from the shared and the own factors for one round and store the own ones."""
        start = time.perf_counter()
        config, strategy, vlm = self.run.config, self.run.strategy, self.bench.vlm
        own = checkpoints.read_personal(self.run.folder, self.client, up_to=round_ - 1)
        vlm.load_factors(self.bench.initial() | shared | own)
        samples = self.bench.samples(self.client, "train")
        loss = train(
            vlm,
            samples,
            [name for name in vlm.factors if strategy.trains(name)],
            steps=config.local_steps,
            batch_size=config.batch_size,
            learning_rate=config.learning_rate,
            generator=rng(config.seed, "batches", round_, self.client),
        )
        personal = vlm.read_factors([name for name in vlm.factors if strategy.stays(name)])
        if personal:
            path = checkpoints.personal_path(self.run.folder, self.client, round_)
            checkpoints.write(path, personal)
            checkpoints.prune(path.parent, "personal", newest=round_)
        sent = vlm.read_factors([name for name in vlm.factors if strategy.travels(name)])
        return Trained(sent, loss, len(samples), time.perf_counter() - start)
