"""Registries of what the lab knows by name, and the files from outside that add to them.

The environment variable FEDVLM_PLUGINS names files (``.py``) or modules, separated by commas. They
are imported with the config (engine/config), before any config is read, in every process.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import NoReturn, TypeVar

from engine.paths import BadEnvironment

VARIABLE = "FEDVLM_PLUGINS"
T = TypeVar("T")
Item = TypeVar("Item")
_files: list[Path] = []


class PluginError(BadEnvironment):
    """A file that FEDVLM_PLUGINS names cannot be used, or one is missing, in one sentence."""


class Registry(dict[str, T]):
    """Things of one kind by key, in the order in which they are listed.

    Add a function or class with the decorator ``@REGISTRY.register(key)``, a value with
    ``REGISTRY[key] = value``. A key counts once. To ask for an unknown one raises PluginError.
    """

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind

    def register(self, key: str) -> Callable[[Item], Item]:
        """Return a decorator that adds what it stands above under this key."""

        def add(item: Item) -> Item:
            self[key] = item  # type: ignore[assignment]  # an Item is some T
            return item

        return add

    def __setitem__(self, key: str, item: T) -> None:
        if key in self:
            raise PluginError(f"there is a {self.kind} called {key!r} already")
        if not re.fullmatch(r"[\w/.-]+", key):
            raise PluginError(f"{key!r} is no name for a {self.kind}: letters, digits, -_./")
        super().__setitem__(key, item)

    def __missing__(self, key: str) -> NoReturn:
        raise PluginError(
            f"{self.kind} {key!r} is not known here: {VARIABLE} does not name the file that adds it"
        )


def load() -> None:
    """Import what FEDVLM_PLUGINS names; raises PluginError with the name and the reason.

    Relative paths count from the working folder; processes that are started later, perhaps
    elsewhere, inherit absolute ones.
    """
    names = [name.strip() for name in os.environ.get(VARIABLE, "").split(",") if name.strip()]
    if not names:
        return
    names = [str(_path(name)) if _is_path(name) else name for name in names]
    os.environ[VARIABLE] = ",".join(names)
    for name in names:
        try:
            module = _import_file(Path(name)) if _is_path(name) else importlib.import_module(name)
        except Exception as error:  # whatever somebody's file does becomes a sentence
            reason = f"{type(error).__name__}: {error}".splitlines()[0]
            raise PluginError(f"{VARIABLE}: {name} cannot be loaded ({reason})") from error
        _files.append(Path(module.__file__ or ""))


def files() -> list[Path]:
    """Return the files that were loaded: what a camera of theirs draws depends on them."""
    return [path for path in _files if path.is_file()]


def _is_path(name: str) -> bool:
    return name.endswith(".py") or os.sep in name


def _path(name: str) -> Path:
    return Path(name).expanduser().absolute()


def _import_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise FileNotFoundError("there is no such file")
    name = "fedvlm_plugin_" + re.sub(r"\W", "_", str(path))
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError("this is not a Python file")
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module
