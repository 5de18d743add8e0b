"""Differential privacy of what a client sends: clipped, with Gaussian noise, and counted.

The promise is made to each client, against everyone who sees the factors that it sends, the server
included: whether its data are there or not changes the odds of what is seen by a bounded (ε, δ). So
a client adds the whole noise itself, and to be sampled seldom helps only by sending less often.
McMahan et al., "Learning Differentially Private Recurrent Language Models", arXiv 1710.06963, clip
and add noise in the same way, but on the server.

Two limits: the figures that the lab draws (losses, accuracies, numbers of samples) are not
protected, and the noise comes from the experiment's seed, so that runs repeat: a simulation.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from engine.adapters.adapter import Adapter
from engine.config import ExperimentConfig, Privacy
from engine.fl.participation import participants
from engine.strategies import STRATEGIES, Strategy
from engine.system.seeding import rng

if TYPE_CHECKING:
    import torch


def protected(
    sent: Mapping[str, torch.Tensor],
    received: Mapping[str, torch.Tensor],
    privacy: Privacy,
    seed: int,
    *scope: int,
) -> Adapter[torch.Tensor]:
    """Return what goes out in place of ``sent``: received + clip(sent − received) + noise.

    The update of all factors together is clipped to an L2 norm of ``privacy.clip``; the noise has
    the standard deviation noise · clip on every number and is drawn for the scope (round, client).
    """
    import torch  # not at the top: pages import this file and render without torch

    updates = {name: value - received[name] for name, value in sent.items()}
    norm = sum(float(update.square().sum()) for update in updates.values()) ** 0.5
    shrink = min(1.0, privacy.clip / max(norm, 1e-12))
    released: Adapter[torch.Tensor] = Adapter()
    # One stream of numbers per message, seeded by 128 bits: torch's generators keep 32 of a seed,
    # so that of some 10⁵ tensors two would get the same noise, and it would cancel out.
    generator = rng(seed, "privacy", *scope)
    for name, update in sorted(updates.items()):
        drawn = torch.from_numpy(generator.standard_normal(tuple(update.shape), np.float32))
        noise = drawn.to(update.device) * privacy.noise * privacy.clip
        released[name] = received[name] + shrink * update + noise
    return released


@lru_cache(maxsize=1024)
def epsilon(privacy: Privacy, times: int) -> float | None:
    """Return the ε at ``privacy.delta`` after so many messages of a client; None without noise.

    By Google's dp-accounting, through Rényi divergences (Mironov, arXiv 1702.07476).
    """
    if not privacy.noise or not times:
        return None
    from dp_accounting import GaussianDpEvent
    from dp_accounting.rdp import RdpAccountant

    accountant = RdpAccountant().compose(GaussianDpEvent(privacy.noise), times)
    return float(accountant.get_epsilon(privacy.delta))


def spends(rule: Strategy | type[Strategy]) -> bool:
    """Tell whether a strategy's clients send factors, which costs privacy."""
    return bool(rule.shared_factors) and not rule.server_trains and rule.trained


def spent(config: ExperimentConfig, round_: int) -> float | None:
    """Return the ε that the client that sent most often has spent after a round; None without."""
    if not config.privacy.noise:
        return None
    return epsilon(config.privacy, _most_messages(config)[round_ - 1])


def planned_rounds(config: ExperimentConfig, strategy: str) -> int:
    """Return how many rounds a strategy's run has: those that ``privacy.max_epsilon`` allows."""
    rule = STRATEGIES[strategy]
    if not rule.trained:
        return 0
    return rounds_allowed(config) if spends(rule) else config.rounds


def rounds_allowed(config: ExperimentConfig) -> int:
    """Return the rounds, of those asked for, that the privacy budget allows."""
    if not config.privacy.max_epsilon:
        return config.rounds
    rounds = range(1, config.rounds + 1)
    return bisect_right(rounds, config.privacy.max_epsilon, key=lambda r: spent(config, r) or 0.0)


def budget_in_words(config: ExperimentConfig) -> str:
    """Say how many rounds the budget allows; "" where it allows all, or there is none."""
    allowed, limit = rounds_allowed(config), config.privacy.max_epsilon
    if allowed == config.rounds:
        return ""
    after = spent(config, allowed + 1)
    return (
        f"the privacy budget allows {allowed} of {config.rounds} rounds: round {allowed + 1} would "
        f"bring ε to {after:.3g}, above privacy.max_epsilon ({limit:g})"
    )


@lru_cache(maxsize=8)
def _most_messages(config: ExperimentConfig) -> tuple[int, ...]:
    """Return, for every round, how often the client has sent until then that did most often."""
    sent = np.zeros(config.clients, int)
    most = []
    for round_ in range(1, config.rounds + 1):
        sent[participants(config, round_)] += 1
        most.append(int(sent.max()))
    return tuple(most)
