"""Single keys of a config: which there are, their limits, and ``key=value``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, get_origin

from pydantic.fields import FieldInfo as PydanticField

from engine.config.errors import ConfigError
from engine.config.experiment import ExperimentConfig
from engine.config.sentences import field_at, keys_of, unknown_key
from engine.config.sweep import dotted, sweepable_keys


def set_value(values: dict[str, Any], assignment: str) -> dict[str, Any]:
    """Return ``values`` with one ``key=value`` of the command line put in, dotted or not.

    Lists are comma-separated, as are the values of a swept key, ``sweep.KEY=…``. Raises ConfigError
    when it is not of that form or the key is unknown.
    """
    key, equals, text = assignment.partition("=")
    if not equals:
        raise ConfigError(f"--set takes key=value, not '{assignment}'")
    value: Any = text  # pydantic reads numbers from text
    head, _, tail = key.partition(".")
    if head != "sweep" and get_origin(_field_at(key).annotation) is tuple:
        value = [part.strip() for part in text.split(",") if part.strip()]
    if tail:
        table = values.get(head) or {}
        if not isinstance(table, dict):
            raise ConfigError(f"{head}: holds 'key: value' lines (got {table!r})")
        return {**values, head: {**table, tail: value}}
    return {**values, head: value}


def flat(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return nested values by their dotted keys, such as ``lora.rank``."""
    return dict(dotted(values))


@dataclass(frozen=True)
class FieldInfo:
    """What a form needs to know of one key: ``low`` and ``high`` are None where it has no limits.

    ``annotation`` is its type; an open limit is not itself allowed.
    """

    key: str
    title: str
    annotation: Any
    low: Any = None
    high: Any = None
    low_is_open: bool = False
    high_is_open: bool = False

    def allows(self, value: float) -> bool:
        """Tell whether a number is within the limits."""
        above = self.low is None or value > self.low or (value == self.low and not self.low_is_open)
        below = self.high is None or value < self.high
        return above and (below or (value == self.high and not self.high_is_open))

    @property
    def allowed(self) -> str:
        """Say the limits in words, such as "from 1 to 1,000" or "above 0, at most 1"."""
        low, high = (f"{end:,}" if isinstance(end, int) else f"{end:g}" if end is not None else ""
                     for end in (self.low, self.high))  # fmt: skip
        if low and high and not (self.low_is_open or self.high_is_open):
            return f"from {low} to {high}"
        start = low and f"{'above' if self.low_is_open else 'at least'} {low}"
        end = high and f"{'below' if self.high_is_open else 'at most'} {high}"
        return ", ".join(filter(None, (start, end)))


def field(key: str) -> FieldInfo:
    """Return title, type and limits of a key. Raises ConfigError when there is no such key."""
    declared = _field_at(key)
    number = declared.annotation
    ends: dict[str, Any] = {"ge": None, "gt": None, "le": None, "lt": None}
    for limit in declared.metadata:
        ends |= {name: getattr(limit, name) for name in ends if hasattr(limit, name)}
    if number in (int, float):
        ends = {name: None if end is None else number(end) for name, end in ends.items()}
    low = ends["ge"] if ends["gt"] is None else ends["gt"]
    high = ends["le"] if ends["lt"] is None else ends["lt"]
    title = declared.title or key
    return FieldInfo(key, title, number, low, high, ends["gt"] is not None, ends["lt"] is not None)


def known_keys() -> list[str]:
    """Return every key that ``--set`` takes, dotted."""
    return keys_of(ExperimentConfig)


def swept_keys() -> list[str]:
    """Return every key whose values a sweep can take in turn."""
    return sweepable_keys(ExperimentConfig)


def _field_at(key: str) -> PydanticField:
    if key not in known_keys():
        raise ConfigError(unknown_key(key, ExperimentConfig))
    return field_at(ExperimentConfig, key)
