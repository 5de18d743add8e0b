"""After a round a client weighs what it was sent against what it keeps; some strategies ask it to.

It chooses a corner (engine/strategies/base.py) by losses on rows of its own, or weighs the two by
gradients on them. All clients at once, in as few passes as possible; each stores its decision.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from engine.fl.client import Client, Decision
from engine.fl.cohort import Cohort, make_ready
from engine.fl.evaluation import Task, score_teacher_forced
from engine.fl.interruption import check_wanted
from engine.fl.training import losses_of
from engine.vlm.encoded import EncodedBatch, concatenate
from engine.vlm.lora import Factors
from engine.vlm.model import Vlm
from engine.vlm.multi_lora.logits import logits_fn
from engine.vlm.multi_lora.stacked import StackedAdapters, active, supports_stacking

_ROWS = 4  # in one gradient
_GRADIENTS = 8


@dataclass(frozen=True)
class _Asked:
    """A client that must decide after a round, and what it was sent then."""

    client: Client
    shared: Factors
    after_round: int

    def at_corners(self, *corners: str) -> list[Factors]:
        return self.client.at_corners(corners, self.shared, self.after_round)

    @property
    def rows(self) -> EncodedBatch:
        return self.client.rows_to_decide_by(self.after_round)

    def store(self, decision: Decision) -> None:
        self.client.store(decision, self.after_round)


def decide(cohorts: Sequence[Cohort], rounds_ago: int) -> None:
    """Let every client decide that must and has not, with what it was sent so many rounds ago."""
    waiting = {cohort: _waiting(cohort, cohort.round - rounds_ago) for cohort in cohorts}
    at_work = [cohort for cohort, asked in waiting.items() if asked]
    if at_work:
        make_ready(at_work, "train")
        vlm = cohorts[0].context.vlm
        _choose(vlm, [a for c in at_work if c.run.strategy.corners for a in waiting[c]])
        _weigh(vlm, [a for c in at_work if c.run.strategy.merges for a in waiting[c]])


def _waiting(cohort: Cohort, after_round: int) -> list[_Asked]:
    if after_round == 0 or not cohort.run.strategy.decides(after_round, cohort.run.config.rounds):
        return []
    asked = [_Asked(client, cohort.sent(client), after_round) for client in cohort.clients]
    return [own for own in asked if own.client.must_decide(after_round)]


def _choose(vlm: Vlm, asked: Sequence[_Asked]) -> None:
    """Score the corners to compare on the client's rows, and have the strategy choose."""
    tasks: list[Task] = []
    for own in asked:
        rows, compared = own.rows, own.client.run.strategy.compared
        tasks += [Task(factors, rows) for factors in own.at_corners(*compared)]
    scores = iter(score_teacher_forced(vlm, tasks) if tasks else ())
    for own in asked:
        rule = own.client.run.strategy
        of_corners = [next(scores) for _ in rule.compared]
        losses = [(s.loss / s.tokens).double().cpu().numpy() for s in of_corners]
        own.store(own.client.choice(np.stack(losses), own.shared, own.after_round))


def _weigh(vlm: Vlm, asked: Sequence[_Asked]) -> None:
    """Take gradients at both adapters on the client's rows, and have the strategy weigh them."""
    pairs = [own.at_corners("fedit", "local") for own in asked]
    moments = _moments(vlm, pairs, [own.rows for own in asked])
    for own, seen in zip(asked, moments, strict=True):
        own.store(Decision(own_weight=own.client.run.strategy.own_weight(*seen)))


def _moments(
    vlm: Vlm, pairs: Sequence[Sequence[Factors]], rows: Sequence[EncodedBatch]
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Yield mean squares of the gradients at both adapters of each pair, and of their product."""
    adapters = [adapter for pair in pairs for adapter in pair]
    chosen = [own for own in rows for _ in range(2)]
    together = max(1, vlm.rows_per_pass // _ROWS) if supports_stacking(vlm) else 1
    gradients: dict[int, list[np.ndarray]] = {k: [] for k in range(len(adapters))}
    for start in range(0, len(adapters), together):
        numbers = range(start, min(start + together, len(adapters)))
        stacked = StackedAdapters(vlm, [adapters[k] for k in numbers], list(vlm.factors))
        for step in range(_GRADIENTS):
            check_wanted()
            parts = [_cyclic(chosen[k], step) for k in numbers]
            for k, gradient in zip(numbers, _gradients(vlm, stacked, parts), strict=True):
                gradients[k].append(gradient)
    for k in range(0, len(adapters), 2):
        shared, own = np.stack(gradients[k]), np.stack(gradients[k + 1])
        yield (shared**2).mean(0), (own**2).mean(0), (shared * own).mean(0)


def _cyclic(rows: EncodedBatch, step: int) -> EncodedBatch:
    """Return the next few rows, from the first again behind the last."""
    return rows.select((torch.arange(_ROWS) + step * _ROWS) % len(rows))


def _gradients(
    vlm: Vlm, stacked: StackedAdapters, parts: Sequence[EncodedBatch]
) -> Iterator[np.ndarray]:
    batch = concatenate(parts).to(vlm.device)
    vlm.set_threads(len(batch))
    counted = torch.ones(len(parts), _ROWS, dtype=torch.bool, device=vlm.device)
    with active(stacked):
        losses_of(logits_fn(vlm, stacked), batch, counted).sum().backward()
    whole = [
        factor.grad.flatten(1) for factor in stacked.trained.values() if factor.grad is not None
    ]
    for factor in stacked.trained.values():
        factor.grad = None
    yield from torch.cat(whole, 1).double().cpu().numpy()
