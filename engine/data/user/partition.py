"""The rows of each client, of the data that people bring.

One dial, one meaning: the level L is the share of what a client holds that is its own; the rest is
dealt evenly. So 0 is exactly iid for every kind (dealing.py has the partitioners):

========  ==================================================================================
natural   own: the rows that the ``client`` column gives it (without such a column: iid)
label     own: Dirichlet(0.1) over clients for every answer; rare answers go in groups
quantity  own: Dirichlet(0.5) over sizes, beyond a floor that every client keeps
task      own: rows sorted by the question's first word and cut into equal shares
domain    nothing: what differs is the camera through which a client sees (dataset.py)
concept   nothing: what differs is what a client says (dataset.py)
mixed     as label, at L/2
========  ==================================================================================

What is one's own is dealt for training and testing at once, so a client is tested on the mix that
it trains on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from engine.config import ConfigError, ExperimentConfig
from engine.data.synthetic.heterogeneity import SMALLEST, level_of
from engine.data.user.collection import Collection, Row
from engine.data.user.dealing import deal_by_group, deal_by_owner, deal_by_size, deal_evenly
from engine.data.user.holding_out import hold_out
from engine.metrics.normal_form import normalised, words
from engine.system.seeding import rng

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
    """Deal every client's share; a function of the rows, the config and its seed alone.

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
    """Return the kind of a question: its first word (of Chinese, character), or nothing."""
    first = "".join(question.split()[:1])
    return next(iter(words(first)), "")


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
    """Return the rows that each client holds, for training and tests."""
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
            pool = pool[: _rows_to_deal(rows, config)]
        common = _in_common(len(pool), n, part, level_of(config, part))
        _hand_out(held, deal_evenly(pool[:common], n))
        own += pool[common:]
    # Training and test rows mixed: a partitioner cuts what it is given from front to back.
    own = rng(config.seed, "own").permutation(own).tolist()
    _hand_out(held, _own(rows, own, part, config, names))
    return held


def _part(collection: Collection, config: ExperimentConfig) -> str:
    """Name what the rows are dealt by; nothing for iid."""
    parts = ("natural" if collection.clients else "", "label", "quantity", "task")
    return next((part for part in parts if level_of(config, part)), "")


def _hand_out(held: list[list[int]], dealt: list[list[int]]) -> None:
    for mine, more in zip(held, dealt, strict=True):
        mine += more


def _rows_to_deal(rows: Sequence[Row], config: ExperimentConfig) -> int:
    """Return how many rows give a mean client ``samples_per_client`` to train on."""
    trained = config.samples_per_client * config.clients
    return trained if any(row.split == "test" for row in rows) else trained * 5 // 4


def _in_common(count: int, clients: int, part: str, level: float) -> int:
    """Return how many of ``count`` rows are dealt evenly."""
    floor = min(_FLOOR * clients, count) if part == "quantity" else 0
    return floor + round((1 - level) * (count - floor))


def _own(
    rows: Sequence[Row], own: list[int], part: str, config: ExperimentConfig, names: list[str]
) -> list[list[int]]:
    """Return each client's own of the rows ``own``, which come in random order."""
    n = config.clients
    if part == "natural":
        number = {name: k for k, name in enumerate(names)}
        owners = [number[rows[i].client] for i in own]
        return deal_by_owner(own, owners, n)
    if part == "task":
        kinds = [kind_of(rows[i].question) for i in own]
        counts = Counter(kinds)
        by_kind = sorted(zip(kinds, own, strict=True), key=lambda pair: _rank(counts, pair[0]))
        return deal_evenly([i for _, i in by_kind], n)
    if len(own) < n:  # too few to make a mix of
        return deal_evenly(own, n)
    seed = int(rng(config.seed, "dirichlet").integers(2**31))
    if part == "quantity":
        return deal_by_size(own, n, seed)
    groups = answer_groups([normalised(rows[i].answers[0]) for i in own], _PER_GROUP * n)
    return deal_by_group(own, groups, n, seed)


def answer_groups(answers: Sequence[str], smallest: int) -> list[int]:
    """Return the group of each answer, by number; commoner ones come first.

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
    """Sort commoner values first, and equally common ones by name."""
    return -counts[value], value


def _check(share: Share, name: str) -> None:
    for count, purpose in ((len(share.train), "training"), (len(share.test), "test")):
        if not count:
            raise ConfigError(
                f"clients: client '{name}' would have no {purpose} question; take fewer "
                "clients, more rows (data.rows) or a lower heterogeneity.level"
            )
