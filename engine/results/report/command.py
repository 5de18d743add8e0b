"""The command that runs an experiment once more."""

from __future__ import annotations

import shlex
from typing import Any

from engine.config import WORLD, ConfigError, ExperimentConfig, set_value
from engine.presets import PRESETS

_RUN = "python -m engine run"


def command_of(config: ExperimentConfig) -> str:
    """Return the shortest command that runs this config, from the defaults or from a preset.

    With its YAML file where ``--set`` cannot say it.
    """
    if config.dataset == WORLD:  # its answers are judged in one way
        config = config.model_copy(update={"data": config.data.model_copy(update=_ANY_METRIC)})
    starts: dict[str, dict[str, Any]] = {"": {}}
    starts |= {f" --preset {name}": values for name, values in PRESETS.items()}
    commands = [_command(start, values, config) for start, values in starts.items()]
    return min(filter(None, commands), key=len, default=f"{_RUN} --config config.yaml")


_ANY_METRIC = {"metric": "auto"}


def _command(start: str, values: dict[str, Any], config: ExperimentConfig) -> str:
    """Return a start with the changes that lead to a config; "" where none do."""
    goal, changes = _flat(config), []
    try:
        # What a data set changes by itself comes first.
        for keys in (("dataset",), goal):
            now = _flat(ExperimentConfig.parse(values))
            for key in (key for key in keys if now[key] != goal[key]):
                changes.append(f"{key}={_text(goal[key])}")
                values = set_value(values, changes[-1])
        reached = _flat(ExperimentConfig.parse(values)) == goal
    except ConfigError:
        return ""
    return _RUN + start + "".join(f" --set {shlex.quote(c)}" for c in changes) if reached else ""


def _flat(config: ExperimentConfig) -> dict[str, Any]:
    """Return the values by dotted key."""
    flat: dict[str, Any] = {}
    for key, value in config.model_dump(mode="json").items():
        if isinstance(value, dict):
            flat |= {f"{key}.{inner}": leaf for inner, leaf in value.items()}
        else:
            flat[key] = value
    return flat


def _text(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)
