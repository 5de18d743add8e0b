"""A client at work: where its model comes from, and what it keeps to itself."""

from __future__ import annotations

from engine import checkpoints
from engine.flower.run_config import RunConfig
from engine.randomness import rng
from engine.strategies import Phase
from engine.training import Job
from engine.vlm.lora import side_by_side
from engine.vlm.stacked import Factors
from engine.workbench import workbench


class Site:
    """Client ``k`` of a run. Its personal factors live in its own folder and in no message."""

    def __init__(self, run: RunConfig, client: int) -> None:
        self.run = run
        self.client = client
        self.bench = workbench(run.config)

    def factors(self, variant: str, shared: Factors, after_round: int) -> Factors:
        """A variant's factors, given the server's shared factors after a round.

        They may hold offsets of the frozen weights, and be of twice the rank where a client has two
        adapters that both act.
        """
        base = self.bench.initial
        if variant == "base":
            return base
        if variant == "global":
            return base | shared
        own = checkpoints.read_personal(self.run.folder, self.client, up_to=after_round)
        if any(phase.beside for phase in self.phases):
            return side_by_side(base | shared, base | own)
        return base | shared | own

    @property
    def phases(self) -> tuple[Phase, ...]:
        """What this client trains in a round."""
        return self.run.strategy.phases(self.run.config)

    def job(self, phase: Phase, shared: Factors, beside: Factors, round_: int) -> Job:
        """What to train in a phase of a round; ``beside`` is ``as_offsets`` of what was sent."""
        config, base = self.run.config, self.bench.initial
        own = checkpoints.read_personal(self.run.folder, self.client, up_to=round_ - 1)
        start = base | (beside if phase.beside else shared) | (own if phase.own else {})
        scope = "batches" if phase.sends else "own batches"
        return Job(
            start,
            self.bench.sets.get(self.client, "train"),
            config.local_steps,
            rng(config.seed, scope, round_, self.client),
            phase.pull,
            base | shared,
        )

    def keep(self, trained: Factors, round_: int) -> None:
        """Store what stays on the client after a round."""
        personal = {n: value for n, value in trained.items() if self.run.strategy.stays(n)}
        if personal:
            path = checkpoints.personal_path(self.run.folder, self.client, round_)
            checkpoints.write(path, personal)
            checkpoints.prune(path.parent, "personal", newest=round_)
