"""Single keys of a config: which there are, their limits, and ``key=value``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, get_origin

from pydantic.fields import FieldInfo as PydanticField

from engine.config.errors import ConfigError
from engine.config.experiment import ExperimentConfig
from engine.config.sentences import keys_of, unknown_key


def set_value(values: dict[str, Any], assignment: str) -> dict[str, Any]:
    """Return ``values`` with one ``key=value`` of the command line put in, dotted or not.

    Lists are comma-separated. Raises ConfigError when it is not of that form or the key is unknown.
    """
    key, equals, text = assignment.partition("=")
    if not equals:
        raise ConfigError(f"--set takes key=value, not '{assignment}'")
    value: Any = text  # pydantic reads numbers from text
    if get_origin(_field_at(key).annotation) is tuple:
        value = [part.strip() for part in text.split(",") if part.strip()]
    head, _, tail = key.partition(".")
    if tail:
        table = values.get(head) or {}
        if not isinstance(table, dict):
            raise ConfigError(f"{head}: holds 'key: value' lines (got {table!r})")
        return {**values, head: {**table, tail: value}}
    return {**values, head: value}


@dataclass(frozen=True)
class FieldInfo:
    """What a form needs to know of one key: ``low`` and ``high`` are None where it has no limits.

    ``annotation`` is its type.
    """

    key: str
    title: str
    annotation: Any
    low: Any = None
    high: Any = None

    def allows(self, value: float) -> bool:
        """Tell whether a number is within the limits."""
        return (self.low is None or value >= self.low) and (self.high is None or value <= self.high)


def field(key: str) -> FieldInfo:
    """Return title, type and limits of a key; an open limit becomes one a small step inside.

    Raises ConfigError when there is no such key.
    """
    declared = _field_at(key)
    limits = {type(limit).__name__: limit for limit in declared.metadata}
    low = limits["Ge"].ge if "Ge" in limits else None
    if low is None and "Gt" in limits:
        low = limits["Gt"].gt + 1e-4
    high = limits["Le"].le if "Le" in limits else None
    if high is None and "Lt" in limits:
        high = limits["Lt"].lt - 1e-2
    number = declared.annotation
    if number in (int, float):
        low, high = (None if limit is None else number(limit) for limit in (low, high))
    return FieldInfo(key, declared.title or key, number, low, high)


def known_keys() -> list[str]:
    """Return every key that ``--set`` takes, dotted."""
    return keys_of(ExperimentConfig)


def _field_at(key: str) -> PydanticField:
    if key not in known_keys():
        raise ConfigError(unknown_key(key, ExperimentConfig))
    head, _, tail = key.partition(".")
    field = ExperimentConfig.model_fields[head]
    return field.annotation.model_fields[tail] if tail else field  # type: ignore[union-attr]
