"""The federated strategies by key, in the order in which pages list them. One small file each."""

from engine.strategies.base import ClientFailed, LoraStrategy
from engine.strategies.fedit import FedIT
from engine.strategies.local import Local
from engine.strategies.plora import PLora
from engine.strategies.zero_shot import ZeroShot

STRATEGIES: dict[str, type[LoraStrategy]] = {
    strategy.key: strategy for strategy in (ZeroShot, Local, FedIT, PLora)
}

__all__ = ["STRATEGIES", "ClientFailed", "LoraStrategy"]
