"""A client at work: where its model comes from, and what it keeps to itself."""

from __future__ import annotations

from engine.adapters.adapter import Adapter
from engine.fl import checkpoints
from engine.fl.context import context_of
from engine.fl.participation import keepers
from engine.fl.privacy import protected
from engine.fl.run_config import RunConfig
from engine.fl.training import Job
from engine.strategies import Phase
from engine.system.seeding import rng
from engine.vlm.lora import Factors, side_by_side


class Client:
    """Client ``k`` of a run. Its personal factors live in its own folder and in no message."""

    def __init__(self, run: RunConfig, client: int) -> None:
        self.run = run
        self.number = client
        self.context = context_of(run.config, run.resolved)

    def factors(self, variant: str, shared: Factors, after_round: int) -> Factors:
        """Return a variant's factors, given the server's shared factors after a round.

        They may hold deltas of the frozen weights, and be of twice the rank where a client has two
        adapters that both act.
        """
        base = self.context.initial
        if variant == "base":
            return base
        shared = self._received(shared)
        if variant == "global":
            return base | shared
        own = self._own(after_round)
        if weight := max((phase.mix_weight for phase in self.phases), default=0.0):
            return side_by_side(base | shared, base | own, weight)
        return base | shared | own

    def _own(self, after_round: int) -> Factors:
        """Return what this client keeps to itself after a round; none before it took part.

        Raises FileNotFoundError where it has been pruned: the run has gone on since.
        """
        for round_ in range(after_round, 0, -1):
            if self.number in keepers(self.run.strategy, self.run.config, round_):
                return checkpoints.read_personal(self.run.folder, self.number, round_)
        return Adapter()

    @property
    def rank(self) -> int:
        """The rank of this client's adapter."""
        lora = self.run.config.lora
        return self.run.strategy.rank(lora.rank, lora.rank_of(self.number))

    def _received(self, shared: Factors) -> Factors:
        """Return what the server shares, as far as this client's rank goes."""
        return shared.cut(self.rank).padded(self.run.config.lora.rank)

    @property
    def phases(self) -> tuple[Phase, ...]:
        """What this client trains in a round."""
        return self.run.strategy.phases()

    def job(self, phase: Phase, shared: Factors, beside: Factors, round_: int, group: int) -> Job:
        """Return what to train in a phase of a round; ``beside``: what was sent, as deltas."""
        config, base = self.run.config, self.context.initial
        own = self._own(round_ - 1)
        shared = self._received(shared)
        start = (
            base
            | (beside if phase.mix_weight else shared)
            | (own if phase.start_from_personal else {})
        )
        start = start.cut(self.rank).padded(config.lora.rank)
        scope = "batches" if phase.uploads else "own batches"
        return Job(
            start,
            self.context.sets.get(self.number, "train"),
            config.local_steps,
            rng(config.seed, scope, round_, self.number),
            phase.prox_mu,
            base | shared,
            phase.mix_weight or 1.0,
            group if start.has_deltas else 0,
        )

    def message(self, trained: Factors, shared: Factors, round_: int) -> Factors:
        """Return what this client sends of what it has trained: at its rank, and protected."""
        config = self.run.config
        sent = trained.where(self.run.strategy.is_shared).cut(self.rank)
        if config.privacy.clip:
            before = (self.context.initial | self._received(shared)).cut(self.rank)
            sent = protected(sent, before, config.privacy, config.seed, round_, self.number)
        return Adapter({name: value.contiguous() for name, value in sent.items()})

    def keep(self, trained: Factors, round_: int) -> None:
        """Store what stays on the client after a round."""
        personal = trained.where(self.run.strategy.is_personal)
        if personal:
            path = checkpoints.personal_path(self.run.folder, self.number, round_)
            checkpoints.write(path, personal)
            checkpoints.prune(path.parent, "personal", newest=round_)
