"""The keys of a config's model, and its mistakes as sentences that name one of them."""

from __future__ import annotations

from reprlib import Repr

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

_SHORT = Repr()  # a file's value may be huge
_SHORT.maxlevel, _SHORT.maxstring, _SHORT.maxother, _SHORT.maxlong = 3, 200, 200, 50


def keys_of(model: type[BaseModel]) -> list[str]:
    """Return every key of a model, dotted where it stands in a table."""
    keys: list[str] = []
    for name, field in model.model_fields.items():
        table = field.annotation
        if isinstance(table, type) and issubclass(table, BaseModel):
            keys += [f"{name}.{inner}" for inner in table.model_fields]
        else:
            keys.append(name)
    return keys


def field_at(model: type[BaseModel], key: str) -> FieldInfo:
    """Return the declaration of a key of a model, dotted or not."""
    head, _, tail = key.partition(".")
    field = model.model_fields[head]
    return field.annotation.model_fields[tail] if tail else field  # type: ignore[union-attr]


def unknown_key(key: str, model: type[BaseModel]) -> str:
    """Return the sentence for a key that is none."""
    return f"{key}: there is no such key; allowed: {', '.join(keys_of(model))}"


def sentence(error: ValidationError, model: type[BaseModel]) -> str:
    """Return the first mistake as 'key: what is wrong and what is allowed (got …)'."""
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"] if not isinstance(part, int))
    if first["type"] == "extra_forbidden":
        return unknown_key(key, model)
    message = first["msg"].removeprefix("Value error, ")
    return f"{key}: {message[0].lower()}{message[1:]} (got {_SHORT.repr(first['input'])})"
