"""The comparison of two ways of training one federation, by their losses."""

from __future__ import annotations

from db import reads

Losses = list[dict[int, float]]  # by round and client
# Of each client's loss in the first round, at first and later: training magnifies rounding.
FIRST_ROUNDS, FIRST_TOLERANCE, LATER_TOLERANCE = 2, 0.01, 0.05


def losses_of(run_id: int) -> Losses:
    """Read training losses by round and client from the database."""
    rows = reads.client_rounds(run_id)
    rounds = max(row.round for row in rows)
    return [{r.client: r.loss for r in rows if r.round == n} for n in range(1, rounds + 1)]


def close(ours: Losses, theirs: Losses) -> bool:
    """Tell if two ways reach the same losses for every client and round, up to rounding."""
    left, right = ([{int(k): v for k, v in row.items()} for row in way] for way in (ours, theirs))
    return all(
        abs(a[k] - b[k]) <= (FIRST_TOLERANCE if n < FIRST_ROUNDS else LATER_TOLERANCE) * left[0][k]
        for n, (a, b) in enumerate(zip(left, right, strict=True))
        for k in a
    )
