"""Test items on which the models of an experiment disagree, from their stored answers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from db import reads
from db.tables import Prediction, Run

LOOKED_AT = 16  # clients, to find a telling one


@dataclass(frozen=True)
class Disagreement:
    """A client's item with the stored answers of the global and of the client's own model."""

    client: int
    item: str
    shared: Prediction
    own: Prediction

    @property
    def rank(self) -> int:
        """How telling it is: 2 if personalising put it right, 1 if it put it wrong."""
        if self.own.correct == self.shared.correct:
            return 0
        return 2 if self.own.correct else 1


def disagreements(run: Run, client: int) -> list[Disagreement]:
    """Find a client's items whose global and personal answers differ; none before a run's end.

    The global answers are those of the experiment's FedIT run where there is one, as on Ask.
    """
    siblings = reads.runs_of(run.experiment_id)
    fedit = next((r for r in siblings if r.strategy == "fedit" and r.rounds_done), run)
    shared = _answers(reads.predictions(fedit.id, client), "global")
    own = _answers(reads.predictions(run.id, client), "personal")
    pairs = ((item, shared[item], own[item]) for item in shared if item in own)
    return [
        Disagreement(client, item, theirs, ours)
        for item, theirs, ours in pairs
        if theirs.answer != ours.answer
    ]


def most_telling(candidates: Iterable[Disagreement]) -> Disagreement | None:
    """Return the first of the most telling ones."""
    return max(candidates, key=lambda d: d.rank, default=None)


@dataclass(frozen=True)
class Filter:
    """A choice of a client's test items, by what personalising did to their answers."""

    name: str
    told: str
    items: frozenset[str]


def filters(run: Run, client: int, items: frozenset[str]) -> dict[str, Filter]:
    """Return the choices of a client's test items by their names in a link."""
    differing = [d for d in disagreements(run, client) if d.item in items]
    chosen: dict[str, tuple[str, str, tuple[int, ...]]] = {
        "fixed": ("fixed", "the global model is wrong, the personal one right", (2,)),
        "broken": ("broken", "the global model is right, the personal one wrong", (1,)),
        "differ": ("they disagree", "their answers differ", (0, 1, 2)),
    }
    named = {
        key: Filter(name, told, frozenset(d.item for d in differing if d.rank in ranks))
        for key, (name, told, ranks) in chosen.items()
    }
    return {**named, "all": Filter("all", "all of the client's test questions", items)}


def telling_client(run: Run, clients: int) -> int:
    """Return the first client whose own model puts right what the global one gets wrong, or 0."""
    looked_at = range(min(clients, LOOKED_AT))
    best = (most_telling(disagreements(run, client)) for client in looked_at)
    return next((d.client for d in best if d and d.rank == 2), 0)


def _answers(predictions: Iterable[Prediction], variant: str) -> dict[str, Prediction]:
    return {row.item: row for row in predictions if row.variant == variant}
