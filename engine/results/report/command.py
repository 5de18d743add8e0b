"""The command that runs an experiment once more."""

from __future__ import annotations

import shlex
from typing import Any

from engine.config import WORLD, ConfigError, ExperimentConfig, flat, set_value
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
    goal, changes = flat(config.model_dump(mode="json")), []
    try:
        # What a data set changes by itself comes first.
        for keys in (("dataset",), goal):
            now = flat(ExperimentConfig.parse(values).model_dump(mode="json"))
            for key in (key for key in keys if now.get(key) != goal[key]):
                changes.append(f"{key}={_text(goal[key])}")
                values = set_value(values, changes[-1])
        reached = flat(ExperimentConfig.parse(values).model_dump(mode="json")) == goal
    except ConfigError:
        return ""
    return _RUN + start + "".join(f" --set {shlex.quote(c)}" for c in changes) if reached else ""


def _text(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)
