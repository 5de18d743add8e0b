"""The federated strategies by key, in the order in which pages list them. One small file each."""

from engine.strategies.base import ClientFailed, LoraStrategy, Phase
from engine.strategies.centralized import Centralized
from engine.strategies.ditto import Ditto
from engine.strategies.feddpa import FedDpa
from engine.strategies.fedex import FedEx
from engine.strategies.fedit import FedIT
from engine.strategies.fedprox import FedProx
from engine.strategies.fedsa import FedSa
from engine.strategies.ffa import Ffa
from engine.strategies.flexlora import FlexLora
from engine.strategies.flora import FLora
from engine.strategies.hetlora import HetLora
from engine.strategies.local import Local
from engine.strategies.plora import PLora
from engine.strategies.rolora import RoLora
from engine.strategies.zero_shot import ZeroShot

_ALL = (
    *(ZeroShot, Local, Centralized, FedIT, FedProx, PLora, FedSa, Ffa, RoLora, FedEx),
    *(FLora, HetLora, FlexLora, FedDpa, Ditto),
)
STRATEGIES: dict[str, type[LoraStrategy]] = {strategy.key: strategy for strategy in _ALL}

__all__ = ["STRATEGIES", "ClientFailed", "LoraStrategy", "Phase"]
