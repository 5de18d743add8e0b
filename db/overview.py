"""All runs at a glance: their own accuracies, best and last, in one query."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import func, select

from db.engine import reading
from db.reads import VARIANTS
from db.tables import Evaluation, Run


@dataclass(frozen=True, slots=True)
class Reached:
    """Right answers on the clients' own test sets, mean over clients: best and last round."""

    best: float
    last: float


def reached(run_ids: Collection[int]) -> dict[int, Reached]:
    """Return what runs have reached with the model that a client would use, where tested."""
    keys = (Evaluation.run_id, Evaluation.variant, Evaluation.round)
    own = select(*keys, func.avg(Evaluation.accuracy)).where(
        Evaluation.run_id.in_(run_ids), Evaluation.scope == "own"
    )
    means: dict[int, dict[str, dict[int, float]]] = {}
    with reading() as session:
        for run_id, variant, round_, mean in session.execute(own.group_by(*keys)):
            means.setdefault(run_id, {}).setdefault(variant, {})[round_] = mean
    scores = {}
    for run_id, by_variant in means.items():
        by_round = next(by_variant[v] for v in VARIANTS if v in by_variant)
        scores[run_id] = Reached(max(by_round.values()), by_round[max(by_round)])
    return scores


def stamp() -> tuple[tuple[str, int, int], ...]:
    """Return what changes whenever a run begins, ends, comes or goes, or finishes a round."""
    sums = (func.count(), func.sum(Run.rounds_done))
    with reading() as session:
        shown = select(Run.status, *sums).where(Run.deleted_at.is_(None))
        rows = session.execute(shown.group_by(Run.status).order_by(Run.status))
        return tuple((status, count, rounds) for status, count, rounds in rows)
