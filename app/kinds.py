"""The kinds of difference between clients, in words that fit the data at hand."""

from __future__ import annotations

from engine.config import SITES, WORLD, HeterogeneityKind
from engine.data.synthetic.heterogeneity import MEANINGS
from engine.data.user.collection import Collection

Meanings = dict[HeterogeneityKind, tuple[str, str]]  # a short name, and what the dial then does

_TOLD: dict[HeterogeneityKind, str] = {
    "mixed": "Each client has its own camera, its own words and answer mix.",
    "concept": "Common short answers swap places: one client's yes is another's no.",
    "domain": "Each client sees its pictures through its own camera.",
    "label": "Each client meets some answers far more often than others.",
    "task": "Each client mostly asks its own kind, by the question's first word.",
    "quantity": "Some clients have many training samples, some few.",
}
_OWN: Meanings = {kind: (MEANINGS[kind][0], told) for kind, told in _TOLD.items()}


def meanings_for(dataset: str, collection: Collection | None) -> Meanings:
    """Return the kinds that the data support; people's own may not have been read yet."""
    if dataset == WORLD:
        return MEANINGS
    if dataset == SITES:
        return {"natural": ("what they have", "Each client has its own, as it comes.")}
    if collection is None or not collection.clients:
        return _OWN
    column, count = collection.columns.get("client", "client"), len(collection.clients)
    told = f"As they come: the column “{column}” names {count:,}. At 0 all rows are dealt evenly."
    return {"natural": ("its own clients", told), **_OWN}
