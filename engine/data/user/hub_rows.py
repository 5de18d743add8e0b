"""One row of the hub as one line of a table, and its picture as a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from engine.config import ConfigError
from engine.data.account import Problems
from engine.data.pictures import MAX_BYTES, BadPicture, as_png, format_of
from engine.data.user.checking import digest_of
from engine.data.user.folder import within
from engine.data.user.values import as_text
from engine.data.user.written_out import NotUnderstood

_KEPT = {"PNG": "png", "JPEG": "jpeg", "MPO": "jpeg", "WEBP": "webp"}  # others become PNG
_MOST = 10 * MAX_BYTES  # of a file that is turned into PNG; one more is seen to be too large


class Converter:
    """A maker of ``metadata.jsonl``: turns rows of a data set into its lines."""

    def __init__(
        self,
        folder: Path,
        used: dict[str, str],
        choices: str,
        features: Mapping[str, Any],
        local: Path | None,
    ) -> None:
        """Write pictures to ``folder``; ``used`` has the columns by role.

        ``choices`` is the column that numeric answers point into; ``local`` is the folder of the
        data set, if it is not on the hub.
        """
        self._folder = folder
        self._local = local
        self._used = used
        self._choices = choices
        self._answer = features.get(used["answer"])  # its type

    def __call__(
        self, values: dict[str, Any], split: str, where: str, problems: Problems
    ) -> dict[str, Any]:
        """Return the line for one row; {} when it has no usable picture: see ``problems``.

        Lists and tables stay as they are: they are looked into when the folder is read.
        Raises ConfigError when what should be the picture is text.
        """
        try:
            picture = self._picture(values.get(self._used["image"]))
        except NotUnderstood as error:
            problems.add("picture not understood", f"{error} ({where})")
            return {}
        if picture is None:
            problems.add("row without a picture", where)
            return {}
        try:
            question, answer = self._asked(values)
            line = {"split": split, "question": question, "answer": answer}
            if "client" in self._used:
                line["client"] = _plain(values.get(self._used["client"]))
        except NotUnderstood as error:
            problems.add("row not understood", f"{error} ({where})")
            return {}
        return {"file_name": self._keep(picture), **line}

    def _asked(self, values: dict[str, Any]) -> tuple[Any, Any]:
        question = values.get(self._used["question"])
        answer = values.get(self._used["answer"])
        if not self._choices:
            return _plain(question), _plain(_named(answer, self._answer))
        choices = [as_text(choice) for choice in values.get(self._choices) or ()]
        question = f"{as_text(question)}\nChoices: {'; '.join(choices)}"
        return question, _plain(_choice(answer, choices))

    def _picture(self, value: Any) -> bytes | None:
        """Return the stored bytes of the one picture; None when there is none."""
        if isinstance(value, list | tuple) and len(value) > 1:
            raise NotUnderstood(f"{len(value)} pictures in one row")
        if isinstance(value, list | tuple):
            return self._picture(value[0]) if value else None
        if isinstance(value, bytes):
            return value
        if isinstance(value, str):
            raise ConfigError(
                f"data.image: the column '{self._used['image']}' has text, not pictures; "
                "only data sets that hold their pictures can be read"
            )
        if value is None:
            return None
        if not isinstance(value, Mapping):
            raise NotUnderstood(f"of the type {type(value).__name__}")
        if value.get("bytes"):
            return value["bytes"]
        if value.get("path"):
            return self._read(value["path"])
        parts = [part for part in value.values() if isinstance(part, Mapping | bytes)]
        return self._picture(parts)

    def _read(self, path: str) -> bytes | None:
        """Return a file of the data set; None when it is not there, or not of the data set."""
        import fsspec

        if not self._is_within(path):  # a stranger's rows may name any file
            return None
        try:
            with fsspec.open(path, "rb") as file:
                return file.read(_MOST)
        except FileNotFoundError:  # as a link to nowhere
            return None

    def _is_within(self, path: str) -> bool:
        if self._local is None:
            return path.rpartition("::")[2].startswith("hf://")
        return "://" not in path and within(self._local, Path(path)) is not None

    def _keep(self, picture: bytes) -> str:
        """Write a picture, once however many questions there are about it; return its name."""
        picture, suffix = _as_file(picture)
        name = f"pictures/{digest_of(picture)[:24]}.{suffix}"
        path = self._folder / name
        if not path.exists():
            path.write_bytes(picture)
        return name


def _named(value: Any, feature: Any) -> Any:
    """Return numbered labels by their names, also in lists and tables of them."""
    if names := getattr(feature, "names", None):
        return _choice(value, names)
    inner = getattr(feature, "feature", None)  # of a list
    if inner is not None and isinstance(value, list | tuple):
        return [_named(part, inner) for part in value]
    if isinstance(feature, Mapping) and isinstance(value, Mapping):
        return {key: _named(part, feature.get(key)) for key, part in value.items()}
    return value


def _choice(value: Any, names: Sequence[str]) -> Any:
    """Return the name with a number; None where there is no such, as -1 for unknown labels."""
    if isinstance(value, int) and not isinstance(value, bool):
        return names[value] if 0 <= value < len(names) else None
    return value


def _plain(value: Any) -> Any:
    """Return a value as JSON has it, dates and their kind as text. Raises NotUnderstood."""
    if isinstance(value, Mapping):
        return {str(key): _plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    if value is None or isinstance(value, str | bool | int | float):
        return value
    return as_text(value)


def _as_file(picture: bytes) -> tuple[bytes, str]:
    """Return bytes and suffix: as they are, or as PNG where files of that kind are mostly large.

    What cannot be read stays as it is, too: it is told of when the folder is read.
    """
    if suffix := _KEPT.get(format_of(picture)):
        return picture, suffix
    try:
        return as_png(picture), "png"
    except BadPicture:
        return picture, "unknown"
