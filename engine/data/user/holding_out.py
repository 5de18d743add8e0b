"""A client's rows in two: for training and for tests.

Rows are held out by picture, which is its content, whatever its files are called. All clients go
through the pictures in one order, so that they hold out the same ones: no model is tested on a
picture that it, or a neighbour, was trained on, unless a client has no other.
"""

from __future__ import annotations

from collections.abc import Sequence

from engine.data.user.collection import Row
from engine.system.seeding import rng

Sets = list[tuple[list[int], list[int]]]  # training and test rows of every client


def hold_out(rows: Sequence[Row], held: Sequence[list[int]], validation: bool, seed: int) -> Sets:
    """Training and test rows of every client, of the rows that it holds, each in random order.

    Those that the data calls ``test`` are for tests; where it calls none so, a fifth of each
    client's rows is, at least one. For ``validation``, as many of the training rows (a quarter of
    them at most) stand in for the tests, which nobody then looks at.
    """
    pictures = list(dict.fromkeys(row.picture_key for row in rows))
    order = rng(seed, "pictures").permutation(len(pictures)).tolist()
    place = dict(zip(pictures, order, strict=True))
    places = [place[row.picture_key] for row in rows]

    if any(row.split == "test" for row in rows):
        sets = [
            (
                [i for i in own if rows[i].split != "test"],
                [i for i in own if rows[i].split == "test"],
            )
            for own in held
        ]
    else:
        sets = _cut(held, [max(1, round(len(own) / 5)) for own in held], places)
    if validation:
        counts = [min(len(test), max(1, len(train) // 4)) for train, test in sets]
        sets = _cut([train for train, _ in sets], counts, places)

    turn = rng(seed, "turns").permutation(len(rows)).tolist()
    return [
        (sorted(train, key=turn.__getitem__), sorted(test, key=turn.__getitem__))
        for train, test in sets
    ]


def _cut(held: Sequence[list[int]], counts: Sequence[int], places: Sequence[int]) -> Sets:
    """Hold out each client's first pictures, of so many rows or a few more.

    A client with one picture alone, in several rows, has it in both sets: the account says so.
    """
    tests = [_first(own, count, places) for own, count in zip(held, counts, strict=True)]
    out = {places[i] for test in tests for i in test}
    sets = []
    for own, test, count in zip(held, tests, counts, strict=True):
        train = [i for i in own if places[i] not in out]
        if len(own) > count and len({places[i] for i in own}) == 1:
            train, test = own[count:], own[:count]
        sets.append((train, test))
    return sets


def _first(own: list[int], count: int, places: Sequence[int]) -> list[int]:
    """Return the first ``count`` rows in the order of pictures, and all on the last of these."""
    in_order = sorted(places[i] for i in own)[:count]
    return [i for i in own if in_order and places[i] <= in_order[-1]]
