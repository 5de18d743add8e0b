"""An experiment's data as they were when it was submitted: stored with it, and passed on."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from hashlib import blake2b
from typing import Any, Self


@dataclass(frozen=True)
class ResolvedData:
    """The place of the data, the number of their rows, and a digest of each part of all rows.

    Of the embedded world, which is drawn, the digests are of a sample.
    """

    place: str
    rows: int
    pictures: str
    questions: str
    answers: str
    clients: str = ""
    splits: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Return the data that ``to_dict`` has written down."""
        return cls(**values)

    def changes_since(self, before: Self) -> str:
        """Say what is not as it was; "" where all is. A change of place alone is none."""
        if self.rows != before.rows:
            return f"there are {self.rows:,} rows instead of {before.rows:,}"
        parts = [field.name for field in fields(self) if field.name != "place"]
        changed = [part for part in parts if getattr(self, part) != getattr(before, part)]
        return f"other {' and '.join(changed)}" if changed else ""


def digest(values: Iterable[object]) -> str:
    """Return a digest of values in this order; their text must say all of them."""
    hashed = blake2b(digest_size=16)
    for value in values:
        hashed.update(repr(value).encode("utf-8", "surrogatepass"))
    return hashed.hexdigest()
