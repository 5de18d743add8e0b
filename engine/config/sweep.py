"""Repeats and sweeps: one or two keys of a config with the values that they take in turn.

In files and in the database ``sweep`` is a mapping, ``lora.rank: [1, 2, 4]``; on the command line
``--set sweep.lora.rank=1,2,4``. What it stands for is ``ExperimentConfig.points``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import prod
from typing import Annotated, Any, Literal, NamedTuple, get_origin

from pydantic import (
    BaseModel,
    BeforeValidator,
    PlainSerializer,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
)
from pydantic.fields import FieldInfo

from engine.config.sentences import field_at, keys_of

MOST_KEYS = 2
MOST_REPEATS = 100
MOST_POINTS = 256  # experiments that one sweep may stand for
# What has a key of its own (repeats draw the seed), or decides only where and how fast it computes.
_NEVER = ("repeats", "seed", "runtime", "flower", "device", "dtype", "micro_batch", "checkpointing")


class Axis(NamedTuple):
    """A key and the values that it takes."""

    key: str
    values: tuple[Any, ...]


def _read(given: Any) -> tuple[Axis, ...]:
    if given in ("", [], ()):  # as ``--set sweep=`` takes it away
        return ()
    if not isinstance(given, Mapping):
        raise ValueError(
            "holds 'key: values' lines, such as lora.rank: [1, 2, 4]; "
            "on the command line sweep.lora.rank=1,2,4"
        )
    return tuple(Axis(key, _values(values)) for key, values in dotted(given))


def dotted(given: Mapping[Any, Any], head: str = "") -> Iterator[tuple[str, Any]]:
    """Yield dotted keys with their values; tables may be written as such."""
    for key, values in given.items():
        if isinstance(values, Mapping):
            yield from dotted(values, f"{head}{key}.")
        else:
            yield f"{head}{key}", values


def _values(given: Any) -> tuple[Any, ...]:
    if isinstance(given, str):
        return tuple(part.strip() for part in given.split(",") if part.strip())
    return tuple(given) if isinstance(given, list | tuple) else (given,)


def _written(axes: tuple[Axis, ...]) -> dict[str, list[Any]]:
    return {axis.key: list(axis.values) for axis in axes}


Sweep = Annotated[tuple[Axis, ...], BeforeValidator(_read), PlainSerializer(_written)]


def sweepable_keys(model: type[BaseModel]) -> list[str]:
    """Return the keys that can be swept: numbers, yes or no, and one of a few."""
    plain = [key for key in keys_of(model) if _is_plain(field_at(model, key))]
    return [key for key in plain if key.partition(".")[0] not in _NEVER]


def checked(model: type[BaseModel], axes: tuple[Axis, ...], info: ValidationInfo) -> Any:
    """Return the axes with values of their keys' types. Raises ValueError with a sentence."""
    if len(axes) > MOST_KEYS:
        raise ValueError(f"takes at most {MOST_KEYS} keys, not {len(axes)}")
    axes = tuple(Axis(axis.key, _typed(model, axis)) for axis in axes)
    if len({axis.key for axis in axes}) < len(axes):
        raise ValueError(f"names {axes[0].key} twice")
    repeats = info.data.get("repeats", 1)
    counts = [len(axis.values) for axis in axes]
    if (points := prod(counts) * repeats) > MOST_POINTS:
        product = " × ".join(map(str, (*counts, repeats)))
        raise ValueError(f"{product} are {points} experiments; allowed: at most {MOST_POINTS}")
    return axes


def put(values: dict[str, Any], key: str, value: Any) -> dict[str, Any]:
    """Return nested values with that of a dotted key put in."""
    head, _, tail = key.partition(".")
    return {**values, head: {**values.get(head, {}), tail: value} if tail else value}


def told(axes: tuple[Axis, ...], values: tuple[Any, ...]) -> str:
    """Write one value of every axis: ``lora.rank=4, heterogeneity.level=0.5``."""
    return ", ".join(f"{axis.key}={shown(v)}" for axis, v in zip(axes, values, strict=True))


def shown(value: Any) -> str:
    """Write one value of a swept key."""
    return f"{value:g}" if isinstance(value, float) else str(value)


def _is_plain(declared: FieldInfo) -> bool:
    annotation = declared.annotation
    return annotation in (int, float, bool) or get_origin(annotation) is Literal


def _typed(model: type[BaseModel], axis: Axis) -> tuple[Any, ...]:
    if axis.key not in (allowed := sweepable_keys(model)):
        words = "cannot be swept" if axis.key in keys_of(model) else "is no key"
        raise ValueError(f"{axis.key} {words}; allowed: {', '.join(allowed)}")
    if not axis.values:
        raise ValueError(f"{axis.key} needs values, such as 1,2,4")
    declared = field_at(model, axis.key)
    limited = (declared.annotation, *declared.metadata)
    kind: Any = Annotated[limited] if limited[1:] else limited[0]
    adapter = TypeAdapter(kind)
    values = []
    for value in axis.values:
        try:
            values.append(adapter.validate_python(value))
        except ValidationError as error:
            message = error.errors()[0]["msg"]
            reason = f"{message[0].lower()}{message[1:]}"
            raise ValueError(f"{axis.key}={str(value)[:50]} is not possible: {reason}") from None
    if len(set(values)) < len(values):
        raise ValueError(f"{axis.key} names the same value twice")
    return tuple(values)
