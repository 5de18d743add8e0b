"""The federated strategies by key, in the order in which pages list them. One small file each.

A file in this folder is imported because it is here; it registers its strategy itself.
"""

from importlib import import_module
from pkgutil import iter_modules

from engine.strategies.base import GROUPS, STRATEGIES, Options, Phase, Strategy

# Those that explain the others come first; what is not named here follows by name.
_FIRST = (
    *("zero_shot", "local", "centralized", "fedit", "fedprox", "plora", "fedsa", "corners"),
    *("fedalt", "ffa", "rolora", "fedex", "flora", "hetlora", "flexlora", "feddpa", "ditto"),
)
_files = (module.name for module in iter_modules(__path__) if module.name[0] != "_")
for _name in dict.fromkeys((*_FIRST, *_files)):
    import_module(f"{__name__}.{_name}")

__all__ = ["GROUPS", "STRATEGIES", "Options", "Phase", "Strategy"]
