"""One row of the hub as one line of a table, and its picture as a file."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any

from PIL import Image

from engine.config import ConfigError
from engine.data.pictures import FORMATS, MAX_BYTES, MAX_PIXELS
from engine.data.user.rows import Problems
from engine.data.user.values import as_answers, as_text

_OTHERS = ("BMP", "GIF", "TIFF")  # common in data sets: kept as PNG
_PNG_MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")


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
        self._names = getattr(features.get(used["answer"]), "names", ())  # of numbered labels

    def __call__(
        self, values: dict[str, Any], split: str, where: str, problems: Problems
    ) -> dict[str, Any]:
        """Return the line for one row; {} when it has no picture, which is added to ``problems``.

        Raises ConfigError when what should be the picture is text.
        """
        picture = self._picture(values.get(self._used["image"]))
        if picture is None:
            problems.add("row without a picture", where)
            return {}
        line: dict[str, Any] = {"file_name": self._keep(picture), "split": split}
        line["question"], line["answer"] = self._asked(values)
        if "client" in self._used:
            line["client"] = as_text(values.get(self._used["client"]))
        return line

    def _asked(self, values: dict[str, Any]) -> tuple[str, list[str]]:
        question = as_text(values.get(self._used["question"]))
        answer = values.get(self._used["answer"])
        if self._choices:
            names: Sequence[str] = [as_text(choice) for choice in values.get(self._choices) or ()]
            question = f"{question}\nChoices: {'; '.join(names)}"
        else:
            names = self._names
        if names and isinstance(answer, int) and not isinstance(answer, bool):
            answer = names[answer] if 0 <= answer < len(names) else None
        return question, list(as_answers(answer))

    def _picture(self, value: Any) -> bytes | None:
        """Return the stored bytes of a picture; None when there is none."""
        import fsspec

        if isinstance(value, str):
            raise ConfigError(
                f"data.image: the column '{self._used['image']}' has text, not pictures; "
                "only data sets that hold their pictures can be read"
            )
        if isinstance(value, Mapping):
            if value.get("bytes"):
                return value["bytes"]
            if value.get("path") and self._is_within(value["path"]):
                with fsspec.open(value["path"], "rb") as file:
                    return file.read(MAX_BYTES + 1)  # one more: seen to be too large later
        return value if isinstance(value, bytes) else None

    def _is_within(self, path: str) -> bool:
        """Say whether a file belongs to the data set: a stranger's rows may name any file."""
        if self._local is None:
            return path.rpartition("::")[2].startswith("hf://")
        return "://" not in path and Path(path).resolve().is_relative_to(self._local)

    def _keep(self, picture: bytes) -> str:
        """Write a picture, once however many questions there are about it; returns its name."""
        picture, suffix = _as_file(picture)
        name = f"pictures/{blake2b(picture, digest_size=12).hexdigest()}.{suffix}"
        path = self._folder / name
        if not path.exists():
            path.write_bytes(picture)
        return name


def _as_file(picture: bytes) -> tuple[bytes, str]:
    """Return bytes and suffix: as they are, or as PNG if the lab does not read that kind.

    What is no picture stays as it is, too: it is told of when the folder is read.
    """
    try:
        image = Image.open(io.BytesIO(picture), formats=(*FORMATS, *_OTHERS))
        if image.format in FORMATS:
            return picture, image.format.lower()
        if image.width * image.height > MAX_PIXELS:
            return picture, "large"
        buffer = io.BytesIO()
        kept = image if image.mode in _PNG_MODES else image.convert("RGB")
        kept.save(buffer, "PNG")
    except Exception:  # decoders raise errors of any kind on bytes that are not theirs
        return picture, "unknown"
    return buffer.getvalue(), "png"
