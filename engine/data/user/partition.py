"""Which client gets which rows of the data that people bring.

One dial, one meaning: the level L is the share of what a client holds that is its own; the rest is
dealt evenly. So 0 is exactly iid for every kind. flwr-datasets' partitioners deal:

========  ==================================================================================
natural   own: the rows that the ``client`` column gives it (without such a column: iid)
label     own: Dirichlet(0.1) over clients for every answer; rare answers go in groups
quantity  own: Dirichlet(0.5) over sizes, beyond a floor that every client keeps
task      own: rows sorted by the question's first word and cut into equal shares
domain    nothing: what differs is the camera through which a client sees (collected.py)
concept   nothing: what differs is what a client says (collected.py)
mixed     as label, at L/2
========  ==================================================================================

What is one's own is dealt for training and testing at once, so a client is tested on the mix that
it trains on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from datasets import Dataset
from flwr_datasets.partitioner import (
    DirichletPartitioner,
    IidPartitioner,
    NaturalIdPartitioner,
    Partitioner,
    natural_id_partitioner,
)

from engine.config import ConfigError, ExperimentConfig
from engine.data.synthetic.heterogeneity import LABEL_ALPHA, QUANTITY_ALPHA, SMALLEST, level_of
from engine.data.user.collection import Collection, Row
from engine.data.user.holding_out import hold_out
from engine.system.seeding import rng

natural_id_partitioner.tqdm = lambda rows, **_: rows  # no progress bar for what takes no time

_FLOOR = SMALLEST * 5 // 4  # rows that quantity leaves everyone: a fifth of them may be for tests
_PER_GROUP = 4  # rows of a group of answers per client: of fewer, rounding gives the last one most
_NAMED = 8  # clients that a message lists


@dataclass(frozen=True)
class Share:
    """One client: its name, if the data has one, and its rows, numbers in ``Collection.rows``."""

    name: str
    train: tuple[int, ...]
    test: tuple[int, ...]


def partition(collection: Collection, config: ExperimentConfig) -> list[Share]:
    """Every client's share; a function of the rows, the config and its seed alone.

    Raises ConfigError where there are more clients than the data allows, or where one of them would
    have nothing to train on or to be tested on.
    """
    names = _names(collection, config)
    held = _deal(collection, config, names)
    sets = hold_out(collection.rows, held, config.tested_on == "validation", config.seed)
    # Of amounts, samples_per_client is the mean, which was seen to before they were dealt.
    most = None if level_of(config, "quantity") else config.samples_per_client
    shares = [
        Share(name, tuple(train[:most]), tuple(test[: config.data.test_samples]))
        for name, (train, test) in zip(names, sets, strict=True)
    ]
    for k, share in enumerate(shares):
        _check(share, share.name or str(k))
    return shares


def kind_of(question: str) -> str:
    """The kind of a question: its first word in lower case, or nothing."""
    words = question.lower().split()
    return words[0].strip("¿¡\"'?!.,:;") if words else ""


def _names(collection: Collection, config: ExperimentConfig) -> list[str]:
    """Names of the clients; raises ConfigError where there are more than the data allows."""
    n, rows = config.clients, collection.rows
    if level_of(config, "natural") and (groups := list(collection.clients)):
        if n > len(groups):
            listed = ", ".join(groups[:_NAMED]) + (", …" if len(groups) > _NAMED else "")
            column = collection.columns.get("client", "client")
            raise ConfigError(
                f"clients: this data has {len(groups)} clients in its column '{column}' "
                f"({listed}); allowed: 1 to {len(groups)} (got {n})"
            )
        return groups[:n]
    tests = sum(row.split == "test" for row in rows)
    most = min(tests, len(rows) - tests) if tests else len(rows) // 2
    if n > most:
        held = f"{len(rows) - tests} questions to train on and {tests} to test on"
        raise ConfigError(
            f"clients: this data has {held if tests else f'{len(rows)} usable questions'}, and "
            f"every client needs one of each; allowed: 1 to {most} (got {n})"
        )
    return [""] * n


def _deal(collection: Collection, config: ExperimentConfig, names: list[str]) -> list[list[int]]:
    """The rows that each client holds, for training and tests."""
    rows, n, part = collection.rows, config.clients, _part(collection, config)
    members = set(names)
    held: list[list[int]] = [[] for _ in names]
    own: list[int] = []
    for is_test in (False, True):
        order = rng(config.seed, "deal", int(is_test)).permutation(len(rows)).tolist()
        pool = [i for i in order if (rows[i].split == "test") == is_test]
        if part == "natural":
            pool = [i for i in pool if rows[i].client in members]
        if part == "quantity" and not is_test:
            pool = pool[: _wanted(rows, config)]
        common = _in_common(len(pool), n, part, level_of(config, part))
        _hand_out(held, _evenly(pool[:common], n))
        own += pool[common:]
    # Training and test rows mixed: a partitioner cuts what it is given from front to back.
    own = rng(config.seed, "own").permutation(own).tolist()
    _hand_out(held, _own(rows, own, part, config, names))
    return held


def _part(collection: Collection, config: ExperimentConfig) -> str:
    """What the rows are dealt by; nothing for iid."""
    parts = ("natural" if collection.clients else "", "label", "quantity", "task")
    return next((part for part in parts if level_of(config, part)), "")


def _hand_out(held: list[list[int]], dealt: list[list[int]]) -> None:
    for mine, more in zip(held, dealt, strict=True):
        mine += more


def _wanted(rows: Sequence[Row], config: ExperimentConfig) -> int:
    """Rows to deal where amounts differ, so that a mean client trains on samples_per_client."""
    wanted = config.samples_per_client * config.clients
    return wanted if any(row.split == "test" for row in rows) else wanted * 5 // 4


def _in_common(count: int, clients: int, part: str, level: float) -> int:
    """How many of ``count`` rows are dealt evenly."""
    floor = min(_FLOOR * clients, count) if part == "quantity" else 0
    return floor + round((1 - level) * (count - floor))


def _own(
    rows: Sequence[Row], own: list[int], part: str, config: ExperimentConfig, names: list[str]
) -> list[list[int]]:
    """Each client's own of the rows ``own``, which come in random order."""
    n = config.clients
    if part == "natural":
        number = {name: k for k, name in enumerate(names)}
        owners = [number[rows[i].client] for i in own]
        dealt = iter(_dealt(own, owners, NaturalIdPartitioner("key")))
        there = set(owners)  # all rows of a small client may be dealt already
        return [next(dealt) if k in there else [] for k in range(n)]
    if part == "task":
        kinds = [kind_of(rows[i].question) for i in own]
        counts = Counter(kinds)
        by_kind = sorted(zip(kinds, own, strict=True), key=lambda pair: _rank(counts, pair[0]))
        return _evenly([i for _, i in by_kind], n)
    if len(own) < n:  # too few to make a mix of
        return _evenly(own, n)
    seed = int(rng(config.seed, "dirichlet").integers(2**31))
    if part == "quantity":
        sizes = DirichletPartitioner(n, "key", QUANTITY_ALPHA, 0, shuffle=False, seed=seed)
        return _dealt(own, [0] * len(own), sizes)
    groups = answer_groups([rows[i].answers[0] for i in own], _PER_GROUP * n)
    # Balanced, as in the paper's code: who holds more than the mean gets no more.
    mix = DirichletPartitioner(n, "key", LABEL_ALPHA, 0, True, shuffle=False, seed=seed)
    return _dealt(own, groups, mix)


def answer_groups(answers: Sequence[str], smallest: int) -> list[int]:
    """The group of each answer, by number; commoner ones come first.

    An answer that is met at least ``smallest`` times is a group of its own; rarer ones are joined
    with their neighbours in the alphabet until they are as many.
    """
    counts = Counter(answers)
    common = [answer for answer, count in counts.items() if count >= smallest]
    number = {a: g for g, a in enumerate(sorted(common, key=lambda a: _rank(counts, a)))}
    group, size = len(number), 0
    for answer in sorted(set(counts) - set(number)):
        number[answer] = group
        size += counts[answer]
        if size >= smallest:
            group, size = group + 1, 0
    return [number[answer] for answer in answers]


def _rank(counts: Counter[str], value: str) -> tuple[int, str]:
    """Sorts commoner values first, and equally common ones by name."""
    return -counts[value], value


def _evenly(rows: list[int], clients: int) -> list[list[int]]:
    """Equal shares, cut in order; of fewer rows than clients, which flwr-datasets refuses, one."""
    if len(rows) < clients:
        return [rows[k : k + 1] for k in range(clients)]
    return _dealt(rows, [0] * len(rows), IidPartitioner(clients))


def _dealt(rows: list[int], keys: list[int], partitioner: Partitioner) -> list[list[int]]:
    """The rows that a partitioner gives to each client; ``keys`` are what it goes by."""
    partitioner.dataset = Dataset.from_dict({"row": rows, "key": keys})
    return [partitioner.load_partition(k)["row"][:] for k in range(partitioner.num_partitions)]


def _check(share: Share, name: str) -> None:
    for count, purpose in ((len(share.train), "training"), (len(share.test), "test")):
        if not count:
            raise ConfigError(
                f"clients: client '{name}' would have no {purpose} question; take fewer "
                "clients, more rows (data.rows) or a lower heterogeneity.level"
            )
