"""A client at work: where its model comes from, and what it keeps to itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from engine.adapters.adapter import DELTA_A, DELTA_B, VOTES_NAME, A, Adapter, B, factor_of
from engine.fl import checkpoints
from engine.fl.context import context_of
from engine.fl.participation import keepers, participants
from engine.fl.privacy import protected
from engine.fl.run_config import RunConfig
from engine.fl.training import Job
from engine.strategies import Phase
from engine.strategies.base import CORNERS
from engine.system.seeding import rng
from engine.vlm.encoded import EncodedBatch
from engine.vlm.lora import Factors, as_deltas, side_by_side

MOST_ROWS = 64  # that a client decides by


@dataclass(frozen=True)
class Decision:
    """What a client chose after a round: a corner, or the weight of what it keeps."""

    corner: str = ""
    own_weight: float = 0.0
    vote: np.ndarray | None = None  # what the client says of it with its next factors


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
        received = base | self._received(shared)
        if variant == "global":
            return received
        own, rule = self._own(after_round), self.run.strategy
        weight = max((phase.mix_weight for phase in self.phases), default=0.0)
        if rule.merges:
            weight = self.decision(after_round).own_weight
        if weight or rule.merges:
            return side_by_side(self._beside(received, own, after_round), base | own, weight)
        return received | self._chosen(own, received, after_round)

    def at_corners(
        self, corners: Sequence[str], shared: Factors, after_round: int
    ) -> list[Factors]:
        """Return the factors of some of CORNERS, given the server's after a round."""
        own, received = self._own(after_round), self.context.initial | self._received(shared)
        return [received | _at(corner, own, received) for corner in corners]

    def decision(self, after_round: int) -> Decision:
        """Return what this client chose last, up to a round; before that it is undecided."""
        corners = self.run.strategy.corners
        for round_, path in reversed(checkpoints.numbered(self._folder, checkpoints.DECISION)):
            if round_ <= after_round:
                stored = checkpoints.read(path)
                corner = corners[int(stored["corner"])] if corners else ""
                vote = stored["vote"].numpy() if "vote" in stored else None
                return Decision(corner, float(stored["own_weight"]), vote)
        return Decision(self.run.strategy.undecided, 0.5)

    def must_decide(self, after_round: int) -> bool:
        """Tell whether this client keeps something and has not decided after this round."""
        return not self._decision_path(after_round).exists() and bool(self._kept_in(after_round))

    def choice(self, losses: np.ndarray, shared: Factors, after_round: int) -> Decision:
        """Return what this client chooses after a round, by losses (compared corners, rows)."""
        rule, votes = self.run.strategy, np.empty(0)
        if VOTES_NAME in shared:
            votes = shared[VOTES_NAME].double().numpy()
        senders = len(participants(self.run.config, after_round))
        return Decision(rule.choose(losses, votes, senders), vote=rule.vote(losses))

    def store(self, decision: Decision, after_round: int) -> None:
        """Store what this client decided after a round."""
        corners = self.run.strategy.corners
        corner = corners.index(decision.corner) if corners else 0
        vote = torch.zeros(0) if decision.vote is None else torch.from_numpy(decision.vote).float()
        weight = torch.tensor(decision.own_weight)
        values = {"corner": torch.tensor(corner), "own_weight": weight, "vote": vote}
        checkpoints.write(self._decision_path(after_round), Adapter(values))
        checkpoints.prune(self._folder, checkpoints.DECISION, newest=after_round)

    def rows_to_decide_by(self, round_: int) -> EncodedBatch:
        """Return what this client has held out from training so far, else some of its rows."""
        return self._rows(slice(0, self._held_out(round_) or MOST_ROWS))

    def rows_to_train_on(self, round_: int) -> EncodedBatch:
        """Return this client's training rows without those that are held out."""
        held = self._held_out(round_)
        return (
            self._rows(slice(held, None)) if held else self.context.sets.get(self.number, "train")
        )

    def _rows(self, part: slice) -> EncodedBatch:
        """Return a part of the training rows, in an order of their own for every client."""
        train = self.context.sets.get(self.number, "train")
        order = rng(self.run.config.drawn_from, "held out", self.number).permutation(len(train))
        return train.select(torch.from_numpy(np.sort(order[part])))

    def _held_out(self, round_: int) -> int:
        """Return how many rows are held out from training in a round."""
        n = len(self.context.sets.get(self.number, "train"))
        share = self.run.strategy.held_out(round_, self.run.config.rounds)
        return min(n - 1, max(1, round(share * n))) if share else 0

    def _chosen(self, own: Factors, received: Factors, after_round: int) -> Factors:
        """Return the factors that it goes by instead of those received."""
        if not self.run.strategy.corners:
            return own
        return _at(self.decision(after_round).corner, own, received)

    @property
    def _folder(self) -> Path:
        return checkpoints.client_folder(self.run.folder, self.number)

    def _decision_path(self, round_: int) -> Path:
        return checkpoints.decision_path(self.run.folder, self.number, round_)

    def _beside(self, received: Factors, own: Factors, after_round: int) -> Factors:
        """Return the frozen adapter that stands beside the client's own after a round."""
        senders = participants(self.run.config, after_round) if after_round else []
        share = 1 / len(senders) if self.number in senders else 0.0
        return self.run.strategy.beside(received, own, share)

    def _own(self, after_round: int) -> Factors:
        """Return what this client keeps to itself after a round; none before it took part.

        Raises FileNotFoundError where it has been pruned: the run has gone on since.
        """
        if kept_in := self._kept_in(after_round):
            return checkpoints.read_personal(self.run.folder, self.number, kept_in)
        return Adapter()

    def _kept_in(self, after_round: int) -> int:
        """Return the last round up to this one in which this client kept something; 0 for none."""
        rule, config = self.run.strategy, self.run.config
        rounds = range(after_round, 0, -1)
        return next((r for r in rounds if self.number in keepers(rule, config, r)), 0)

    @property
    def rank(self) -> int:
        """The rank of this client's adapter."""
        lora = self.run.config.lora
        return self.run.strategy.rank(lora.rank, lora.rank_of(self.number))

    def _received(self, shared: Factors) -> Factors:
        """Return what the server shares, as far as this client's rank goes."""
        factors = shared.only(A, B, DELTA_A, DELTA_B)
        return factors.cut(self.rank).padded(self.run.config.lora.rank)

    @property
    def phases(self) -> tuple[Phase, ...]:
        """What this client trains in a round."""
        return self.run.strategy.phases()

    def job(self, phase: Phase, shared: Factors, round_: int, group: int) -> Job:
        """Return what to train in a phase of a round."""
        config, base = self.run.config, self.context.initial
        received: Factors = base | self._received(shared)
        own = self._chosen(self._own(round_ - 1), received, round_ - 1)
        start: Factors = received
        beside: Factors = Adapter()
        if phase.mix_weight:
            frozen = self._beside(received, own, round_ - 1)
            start, beside = base, as_deltas(frozen, (1 - phase.mix_weight) * config.lora.scale)
        start = start | (own if phase.start_from_personal else {})
        start = start.cut(self.rank).padded(config.lora.rank)
        scope = "batches" if phase.uploads else "own batches"
        return Job(
            start,
            self.rows_to_train_on(round_),
            config.local_steps,
            rng(config.drawn_from, scope, round_, self.number),
            phase.prox_mu,
            received,
            phase.mix_weight or 1.0,
            group if start.has_deltas else 0,
            beside,
        )

    def message(self, trained: Factors, shared: Factors, round_: int) -> Factors:
        """Return what this client sends of what it has trained: at its rank, and protected."""
        config = self.run.config
        sent = trained.where(self.run.strategy.is_shared).cut(self.rank)
        if config.privacy.clip:
            before = (self.context.initial | self._received(shared)).cut(self.rank)
            sent = protected(sent, before, config.privacy, config.drawn_from, round_, self.number)
        for name, nobodys in self.run.strategy.extras().items():
            vote = self.decision(round_ - 1).vote
            silent = vote is None or bool(config.privacy.clip)
            sent[name] = torch.from_numpy(nobodys if silent else vote)
        return Adapter({name: value.contiguous() for name, value in sent.items()})

    def keep(self, trained: Factors, round_: int) -> None:
        """Store what stays on the client after a round."""
        personal = trained.where(self.run.strategy.is_personal)
        if personal:
            path = checkpoints.personal_path(self.run.folder, self.number, round_)
            checkpoints.write(path, personal)
            checkpoints.prune(path.parent, "personal", newest=round_)


def _at(corner: str, own: Factors, received: Factors) -> Factors:
    """Return the factors of which a client keeps something at one of CORNERS."""
    kept = CORNERS[corner]
    parts = own.only(*kept).items()
    return Adapter(
        {name: torch.lerp(received[name], value, kept[factor_of(name)]) for name, value in parts}
    )
