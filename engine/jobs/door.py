"""The one door from this room's files, which import no torch, to those that do."""

from __future__ import annotations

import gc
import sys
from importlib import import_module
from types import ModuleType


def execution() -> ModuleType:
    """Import ``engine.jobs.execution`` and return it. A door: it brings torch, some seconds.

    The garbage collector is kept from what is imported: it would go through all of it, in vain,
    again and again now and once more when the process ends. That takes more than a second.
    """
    name = "engine.jobs.execution"
    if name in sys.modules:
        return sys.modules[name]
    gc.disable()
    try:
        module = import_module(name)
    finally:
        gc.enable()
    gc.freeze()
    return module
