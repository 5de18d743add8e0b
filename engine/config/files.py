"""A config as a YAML file, in whatever encoding an editor or a shell has written it."""

from __future__ import annotations

import codecs
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from engine.config.errors import ConfigError

_MARKS = {  # bytes at the start of a file that say how it is encoded; the longer ones first
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


def read_config(path: Path) -> dict[str, Any]:
    """Return the values of a YAML file; raises ConfigError where it cannot be read."""
    if not path.is_file():
        raise ConfigError(f"config: there is no file {path}")
    return read_yaml(_decoded(path.read_bytes(), path))


def read_yaml(text: str) -> dict[str, Any]:
    """Return the values of a YAML text; raises ConfigError when it is not a mapping.

    A section without anything in it says nothing.
    """
    try:
        values = yaml.load(text, _Loader)  # noqa: S506 - a SafeLoader
    except yaml.YAMLError as error:
        reason = " ".join(str(error).split())
        raise ConfigError(f"config: this is not YAML ({reason[:200]})") from None
    except (ValueError, RecursionError) as error:  # 2024-13-45; a thousand brackets
        raise ConfigError(f"config: this is not YAML ({error})") from None
    if not isinstance(values, dict):
        raise ConfigError("config: a config file holds 'key: value' lines")
    return {str(key): value for key, value in values.items() if value is not None}


def _decoded(data: bytes, path: Path) -> str:
    encoding = next((name for mark, name in _MARKS.items() if data.startswith(mark)), "")
    if not encoding and b"\0" in data:  # UTF-16 without a mark: every other byte of a key is 0
        encoding = "utf-16-be" if data[:1] == b"\0" else "utf-16-le"
    try:
        return data.decode(encoding or "utf-8")
    except UnicodeDecodeError:
        if encoding:
            raise ConfigError(f"config: {path} is not text; save it as UTF-8") from None
    return data.decode("cp1252", "replace")  # what Windows editors call ANSI


class _Loader(yaml.SafeLoader):
    """YAML in which a key stands once: the last of two would win in silence."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        if twice := next((key for k, key in enumerate(keys) if key in keys[:k]), None):
            raise yaml.YAMLError(f"the key '{twice}' stands there twice")
        return super().construct_mapping(node, deep)
