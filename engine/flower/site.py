"""A client at work: where its model comes from, and what it keeps to itself."""

from __future__ import annotations

from engine import checkpoints
from engine.flower.run_config import RunConfig
from engine.randomness import rng
from engine.training import Job
from engine.vlm.stacked import Factors
from engine.workbench import workbench


class Site:
    """Client ``k`` of a run. Its personal factors live in its own folder and in no message."""

    def __init__(self, run: RunConfig, client: int) -> None:
        self.run = run
        self.client = client
        self.bench = workbench(run.config)

    def factors(self, variant: str, shared: Factors, after_round: int) -> Factors:
        """A variant's factors, given the server's shared factors after a round."""
        base = self.bench.initial
        if variant == "base":
            return base
        if variant == "global":
            return base | shared
        own = checkpoints.read_personal(self.run.folder, self.client, up_to=after_round)
        return base | shared | own

    def job(self, shared: Factors, round_: int) -> Job:
        """What to train in a round: from the shared and the own factors, on the own samples."""
        config = self.run.config
        return Job(
            self.factors("personal", shared, round_ - 1),
            self.bench.sets.get(self.client, "train"),
            config.local_steps,
            rng(config.seed, "batches", round_, self.client),
        )

    def keep(self, trained: Factors, round_: int) -> None:
        """Store what stays on the client after a round."""
        personal = {n: value for n, value in trained.items() if self.run.strategy.stays(n)}
        if personal:
            path = checkpoints.personal_path(self.run.folder, self.client, round_)
            checkpoints.write(path, personal)
            checkpoints.prune(path.parent, "personal", newest=round_)
