"""What a strategy says: which factors travel and stay, what clients train, and how to average.

A strategy is a rule without surroundings: it knows NumPy and its own options, and neither Flower
nor torch nor the experiment's config. engine/fl/flower/strategy.py builds the messages of a round
and calls ``merge`` with the replies; engine/fl/client.py follows the phases.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from pydantic import BaseModel, ConfigDict

from engine.adapters.adapter import A, Adapter, B, factor_of
from engine.plugins import Registry
from engine.strategies.averaging import MEAN, Arrays, Average

BOTH = frozenset({A, B})
REFERENCE, FOR_ALL, PERSONAL = "References", "One model for all", "Personalised"
TWO_ADAPTERS = "Two adapters"
# Where a client can stand between what all share and what is its own: how much of its own it keeps
# of each factor. The four corners are methods of their own, "half" lies between two of them.
CORNERS = {
    "fedit": dict[str, float](),
    "plora": {A: 1.0},
    "fedsa": {B: 1.0},
    "local": {A: 1.0, B: 1.0},
    "half": {B: 0.5},
}
GROUPS = (REFERENCE, FOR_ALL, PERSONAL, TWO_ADAPTERS)


class Options(BaseModel):
    """Base of strategies' own options, which become keys of a config: ``<strategy>.<field>``.

    A field's title and limits are those of the form, of YAML and of ``--set``.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)


@dataclass(frozen=True)
class Phase:
    """One training of a client in a round; most strategies have just one.

    start_from_personal: start from what the client keeps, on top of what it was sent (else only
    from the latter); uploads, persists: what becomes of the result; prox_mu: weight μ of
    μ/2·‖θ − θ_sent‖² in the loss; mix_weight: above 0 what ``Strategy.beside`` makes of
    the received adapter stays in place, frozen, and a second one is trained beside it, which counts
    with this weight, the other with the rest.
    """

    start_from_personal: bool = True
    uploads: bool = True
    persists: bool = True
    prox_mu: float = 0.0
    mix_weight: float = 0.0


class Strategy:
    """Base of all strategies; a subclass registers itself with ``@STRATEGIES.register(key)``.

    title, paper (its number at arXiv), idea: for people. ``shared_factors`` and
    ``personal_factors`` say which LoRA factors travel and which stay on the client; ``variants``
    which models there are to evaluate beside the base; ``trained`` is false where there are no
    rounds at all; ``server_trains`` is true where the server trains, on everybody's data;
    ``two_adapters`` is true where a client trains a whole second adapter; ``corners`` are those of
    CORNERS that a client chooses from after a round, by its losses at those ``compared``,
    ``undecided`` is the one at which it begins, and ``merges`` is true where it weighs what it
    was sent against what it keeps: in both cases A and B of both; ``mixed_ranks`` is true where
    ``lora.client_ranks`` says each client's rank, while α / rank of the server's adapter scales
    them all. ``options_model``: its own options, if it has some.
    """

    title: ClassVar[str]
    paper: ClassVar[str] = ""
    idea: ClassVar[str]
    shared_factors: ClassVar[frozenset[str]] = frozenset()
    personal_factors: ClassVar[frozenset[str]] = frozenset()
    variants: ClassVar[tuple[str, ...]] = ()
    trained: ClassVar[bool] = True
    server_trains: ClassVar[bool] = False
    two_adapters: ClassVar[bool] = False
    corners: ClassVar[tuple[str, ...]] = ()
    compared: ClassVar[tuple[str, ...]] = ()
    undecided: ClassVar[str] = ""
    merges: ClassVar[bool] = False
    mixed_ranks: ClassVar[bool] = False
    options_model: ClassVar[type[Options] | None] = None

    def __init__(self, options: Options | None = None, average: Average = MEAN) -> None:
        """Make the rule with its options, None for their defaults, and its way of averaging."""
        self.options: Any = options or (self.options_model and self.options_model())
        self.average = average

    def phases(self) -> tuple[Phase, ...]:
        """Return what a client trains in a round, one after another; () where the server trains."""
        return () if self.server_trains else (Phase(),)

    def merge(
        self, sent: list[Arrays], weights: np.ndarray, before: Arrays, scale: float, rank: int
    ) -> Arrays:
        """Return what the server sends next: here the average, and what nobody sent as it was.

        ``sent``: each client's factors; ``weights``: their shares of all samples, p_k; ``before``:
        what they had been sent; ``scale`` and ``rank``: α / r and r of the server's adapter.
        """
        return before | self.average(sent, weights, before)

    @classmethod
    def takes_any_average(cls) -> bool:
        """Tell whether a robust average may stand in for the mean: not in a merge of one's own."""
        return cls.merge is Strategy.merge

    def beside(self, received: Adapter[Any], own: Adapter[Any], share: float) -> Adapter[Any]:
        """Return the frozen adapter of a phase with ``mix_weight``: here what was received.

        ``own``: what the client keeps, ``share``: how much of it is in what was received, up to 1.
        The values may be arrays or tensors.
        """
        return received

    def held_out(self, round_: int, rounds: int) -> float:
        """Return the share of its rows that a client chooses by, and does not train on so far."""
        return 0.0

    def decides(self, round_: int, rounds: int) -> bool:
        """Tell whether clients choose or weigh anew after a round, or stay with what they did."""
        return bool(self.corners) or self.merges

    def choose(self, losses: np.ndarray, votes: np.ndarray, senders: int) -> str:
        """Return the corner to deploy and to start from, by losses (compared corners, rows).

        ``votes``: the mean of what that many clients said in the round; empty without ``extras``.
        """
        raise NotImplementedError

    def extras(self) -> Arrays:
        """Return what travels beside the factors, as it is before the first round."""
        return Arrays()

    def vote(self, losses: np.ndarray) -> np.ndarray:
        """Return what a client says with its next factors, by losses (compared, rows)."""
        return np.empty(0)

    def own_weight(self, shared: np.ndarray, own: np.ndarray, both: np.ndarray) -> float:
        """Return the weight from 0 to 1 of what a client keeps in what it deploys.

        By second moments of the gradients at both adapters, and the mean of their product, a number
        for every factor's every value.
        """
        raise NotImplementedError

    @property
    def sends_what_it_keeps(self) -> bool:
        """Whether a client's own factors are those that it sends, and so are no secret."""
        kept = self.shared_factors & self.personal_factors
        return bool(kept) and any(p.uploads and p.persists for p in self.phases())

    @classmethod
    def rank(cls, full: int, affordable: int) -> int:
        """Return the rank of a client that can afford so much, where the server's is ``full``."""
        return affordable if cls.mixed_ranks else full

    @classmethod
    def group(cls) -> str:
        """Return which of GROUPS a strategy stands in."""
        if cls.server_trains or not cls.shared_factors:
            return REFERENCE
        if cls.two_adapters:
            return TWO_ADAPTERS
        return PERSONAL if cls.personal_factors else FOR_ALL

    @classmethod
    def deployed_variant(cls) -> str:
        """Return the variant that a client would use: its own, else the global one, or the base."""
        return next((v for v in ("personal", "global") if v in cls.variants), "base")

    @classmethod
    def is_shared(cls, name: str) -> bool:
        """Tell whether the factor of this name is sent to the server and averaged."""
        return factor_of(name) in cls.shared_factors

    @classmethod
    def is_personal(cls, name: str) -> bool:
        """Tell whether the factor of this name is the client's own, kept from round to round."""
        return factor_of(name) in cls.personal_factors

    @classmethod
    def is_trained(cls, name: str) -> bool:
        """Tell whether clients ever train the factor of this name."""
        return cls.is_shared(name) or cls.is_personal(name)

    @classmethod
    def trains(cls, name: str, round_: int) -> bool:
        """Tell whether clients train the factor of this name in a round."""
        return cls.is_trained(name)

    @classmethod
    def sends(cls, name: str, round_: int) -> bool:
        """Tell whether clients send the factor of this name after training in a round."""
        return not cls.server_trains and cls.is_shared(name) and cls.trains(name, round_)


STRATEGIES: Registry[type[Strategy]] = Registry("strategy")
