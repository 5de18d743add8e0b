"""Who gets which rows of data that people bring."""

from collections import Counter
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from engine.config import ConfigError, HeterogeneityKind
from engine.data.synthetic.heterogeneity import SMALLEST
from engine.data.user.collection import Row
from engine.data.user.dataset import UserDataset
from engine.data.user.partition import answer_groups, kind_of, partition
from tests.helpers.made_up import SITES, collection, config

KINDS = get_args(HeterogeneityKind)
DEALT = ("natural", "label", "task", "quantity", "mixed")
ALL = {"samples_per_client": 4096, "data": {"test_samples": 2000}}


def apart(data, shares, value):
    """Mean total variation between clients' distributions of ``value(row)`` in training."""
    found = [Counter(value(data.rows[i]) for i in share.train) for share in shares]

    def between(one, two):
        return sum(abs(one[v] / one.total() - two[v] / two.total()) for v in {*one, *two}) / 2

    return np.mean([between(*pair) for pair in combinations(found, 2)])


def unequal(shares):
    sizes = np.array([len(share.train) for share in shares])
    return np.abs(sizes / sizes.sum() - 1 / len(sizes)).sum() / 2


@pytest.mark.parametrize("tests", [0.0, 0.25])
def test_level_zero_is_the_same_iid_deal_for_every_kind(tests):
    data = collection(1202, tests=tests)
    found = [partition(data, config(kind, 0.0, **ALL)) for kind in KINDS]
    assert all(shares == found[0] for shares in found)
    held = [len(share.train) + len(share.test) for share in found[0]]
    if tests:
        for sizes in zip(*((len(s.train), len(s.test)) for s in found[0]), strict=True):
            assert max(sizes) - min(sizes) <= 1
        assert sum(held) == 1202
    else:
        # All were dealt 300 or 301; some are left out, for a neighbour is tested on their picture.
        assert max(held) <= 301 and min(held) > 0.9 * 300
    for value in (lambda r: r.answers[0], lambda r: kind_of(r.question), lambda r: r.client):
        assert apart(data, found[0], value) < 0.13


@pytest.mark.parametrize("kind", DEALT)
@pytest.mark.parametrize("seed", [0, 7])
@pytest.mark.parametrize("tests", [0.0, 0.25])
def test_clients_move_apart_as_the_dial_turns(kind, seed, tests):
    data = collection(2400, tests=tests)
    value = {
        "natural": lambda row: row.client,
        "task": lambda row: kind_of(row.question),
    }.get(kind, lambda row: row.answers[0])
    most = {**ALL, "samples_per_client": 128} if kind == "quantity" else ALL
    found = []
    for level in (0, 0.25, 0.5, 0.75, 1):
        shares = partition(data, config(kind, level, seed=seed, **most))
        found.append(unequal(shares) if kind == "quantity" else apart(data, shares, value))
    assert all(near < far for near, far in zip(found, found[1:], strict=False)), found
    assert found[0] < 0.13 and found[-1] > 0.25


@pytest.mark.parametrize("kind", ["concept", "domain"])
def test_where_only_words_or_cameras_differ_the_rows_are_iid(kind):
    data = collection()
    assert partition(data, config(kind, 1.0)) == partition(data, config(kind, 0.0))


@pytest.mark.parametrize("tests", [0.0, 0.25])
def test_natural_clients_are_the_groups_of_their_column(tests):
    data = collection(tests=tests, per_picture=1)
    shares = partition(data, config(**ALL))
    assert [share.name for share in shares] == list(data.clients) == list(SITES)
    for share in shares:
        rows = {i for i, row in enumerate(data.rows) if row.client == share.name}
        assert {*share.train, *share.test} == rows
        if tests:
            assert {data.rows[i].split for i in share.test} == {"test"}
        else:
            assert len(share.test) == round(len(rows) / 5)


def test_the_largest_groups_come_first():
    shares = partition(collection(), config(clients=2))
    assert [share.name for share in shares] == ["north", "south"]


def test_half_natural_is_half_of_ones_own():
    data = collection()
    for share in partition(data, config(level=0.5, clients=2, **ALL)):
        own = np.mean([data.rows[i].client == share.name for i in share.train])
        assert own == pytest.approx(0.5 + 0.5 * own_share(data, share.name), abs=0.12)


def own_share(data, name):
    both = data.clients["north"] + data.clients["south"]
    return data.clients[name] / both


def test_without_a_column_natural_is_iid():
    data = collection(sites={})
    assert partition(data, config(level=1.0)) == partition(data, config(level=0.0))
    assert [share.name for share in partition(data, config())] == [""] * 4


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("tested_on", ["test", "validation"])
def test_nobody_is_tested_on_a_picture_that_anybody_trained_on(kind, tested_on):
    data = collection()
    shares = partition(data, config(kind, 0.8, tested_on=tested_on))
    trained, tested = (
        [{data.rows[i].picture for i in rows} for rows in sets]
        for sets in ([s.train for s in shares], [s.test for s in shares])
    )
    assert not set.union(*trained) & set.union(*tested)
    rows = [i for share in shares for i in (*share.train, *share.test)]
    assert len(set(rows)) == len(rows), "no row is used twice"


@pytest.mark.parametrize("tests", [0.0, 0.25])
@pytest.mark.parametrize("kind", KINDS)
def test_validation_looks_at_no_test_row(kind, tests):
    data = collection(tests=tests)
    real = partition(data, config(kind, 0.6, **ALL))
    instead = partition(data, config(kind, 0.6, tested_on="validation", **ALL))
    for one, other in zip(real, instead, strict=True):
        assert set(other.test) <= set(one.train) and set(other.train) <= set(one.train)
        assert not set(other.test) & set(other.train)
        wanted = min(len(one.test), len(one.train) // 4)
        assert wanted <= len(other.test) < wanted + 3, "a picture's questions stay together"


@pytest.mark.parametrize("tests", [0.0, 0.25])
@pytest.mark.parametrize("kind", sorted(set(KINDS) - {"quantity"}))
def test_sizes_are_capped(kind, tests):
    values = {"samples_per_client": 50, "data": {"test_samples": 7}}
    data = collection(tests=tests)
    shares = partition(data, config(kind, 0.5, **values))
    whole = partition(data, config(kind, 0.5, **ALL))
    for share, all_of_it in zip(shares, whole, strict=True):
        assert len(share.train) == 50 and len(share.test) == 7
        assert share.train == all_of_it.train[:50] and share.test == all_of_it.test[:7]


@pytest.mark.parametrize("tests", [0.0, 0.25])
@pytest.mark.parametrize("seed", range(5))
def test_amounts_have_a_mean_and_a_floor(tests, seed):
    data = collection(tests=tests, per_picture=1)
    shares = partition(data, config("quantity", 1.0, samples_per_client=100, clients=6, seed=seed))
    sizes = [len(share.train) for share in shares]
    assert min(sizes) >= SMALLEST and np.mean(sizes) == pytest.approx(100, abs=2)
    assert len(set(sizes)) > 3 and max(sizes) > 150
    few = partition(collection(30, sites={}, per_picture=1), config("quantity", 1.0, seed=seed))
    held = [len(share.train) + len(share.test) for share in few]
    assert max(held) - min(held) <= 1, "with less than the floor for everyone, all get the same"


def test_a_task_client_has_its_own_kinds_of_question():
    data = collection()
    for share in partition(data, config("task", 1.0, **ALL)):
        for rows in (share.train, share.test):
            kinds = Counter(kind_of(data.rows[i].question) for i in rows)
            assert kinds.most_common(1)[0][1] > 0.8 * len(rows)


@pytest.mark.parametrize("kind", ["label", "task", "mixed"])
def test_a_client_is_tested_on_the_mix_that_it_trains_on(kind):
    data = collection(4000, tests=0.3)
    for share in partition(data, config(kind, 1.0, **ALL)):
        mixes = [
            Counter(data.rows[i].answers[0] for i in rows) for rows in (share.train, share.test)
        ]
        one, two = mixes
        between = sum(abs(one[a] / one.total() - two[a] / two.total()) for a in {*one, *two}) / 2
        assert between < 0.13, "what a sample of some 300 is off by"


@pytest.mark.parametrize("kind", KINDS)
def test_the_seed_decides_and_nothing_else(kind):
    data = collection()
    np.random.seed(1)
    one = partition(data, config(kind, 0.7))
    np.random.seed(2)
    assert partition(data, config(kind, 0.7, rounds=99, name="other")) == one
    assert partition(data, config(kind, 0.7, seed=1)) != one


def test_no_progress_bar_appears(capfd):
    partition(collection(), config())
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("level", [0.05, 0.5, 1.0])
@pytest.mark.parametrize("kind", KINDS)
def test_few_rows_are_dealt_or_refused(kind, level):
    data = collection(24, per_picture=1, sites={"a": 0.5, "b": 0.5})
    try:
        shares = partition(data, config(kind, level, clients=2))
    except ConfigError as error:
        assert "would have no" in str(error)
    else:
        assert all(share.train and share.test for share in shares)


def test_answers_that_are_all_different_are_still_spread():
    data = collection(800, sites={})
    rows = [replace(row, answers=(f"answer {i:03}",)) for i, row in enumerate(data.rows)]
    data = replace(data, rows=tuple(rows))
    sizes = [len(s.train) for s in partition(data, config("label", 1.0, **ALL))]
    assert max(sizes) < 0.45 * sum(sizes)


def test_rare_answers_go_in_groups():
    answers = ["yes"] * 5 + ["no"] * 9 + ["b", "a", "c", "d", "e"]
    groups = dict(zip(answers, answer_groups(answers, 4), strict=True))
    assert groups == {"no": 0, "yes": 1, "a": 2, "b": 2, "c": 2, "d": 2, "e": 3}


def test_answers_that_mean_the_same_are_of_one_label():
    """Groups of kind ``label`` are those of the exact match, whatever case and marks."""
    spelt = {"Yes.": "yes", "yes": "yes", "Ｎo": "no", "no": "no"}
    data = collection(400)
    rows = [replace(row, answers=(list(spelt)[i % 4],)) for i, row in enumerate(data.rows)]
    plain = [replace(row, answers=(spelt[row.answers[0]],)) for row in rows]
    how = config("label", 0.5, clients=2)
    one, other = (partition(replace(data, rows=tuple(r)), how) for r in (rows, plain))
    assert one == other


def test_the_kind_of_a_question_is_its_first_word():
    asked = ("What is it?", "  ¿Qué es?", "Is", "", "where’s it", "哪里？")
    assert [kind_of(q) for q in asked] == ["what", "qué", "is", "", "wheres", "哪"]


def test_more_clients_than_groups_are_refused():
    data = collection(300, sites={"a": 0.5, "b": 0.3, "c": 0.2})
    with pytest.raises(ConfigError) as error:
        partition(data, config())
    assert str(error.value) == (
        "clients: this data has 3 clients in its column 'site' (a, b, c); allowed: 1 to 3 (got 4)"
    )
    partition(data, config(level=0.0))


@pytest.mark.parametrize(
    ("tests", "sentence"),
    [
        (0.0, "clients: this data has 24 usable questions, .* allowed: 1 to 12"),
        (0.2, r"clients: this data has \d+ questions to train on and 4 .* allowed: 1 to 4"),
    ],
)
def test_more_clients_than_rows_allow_are_refused(tests, sentence):
    with pytest.raises(ConfigError, match=sentence):
        partition(collection(24, sites={}, tests=tests), config(clients=13))


def test_a_client_without_tests_or_training_is_named():
    data = collection(40, sites={"a": 1.0}, tests=0.4)
    alone = Row(Path("/pictures/x.png"), "What?", ("red",), "b", "train")
    with pytest.raises(ConfigError, match="clients: client 'b' would have no test question; "):
        partition(replace(data, rows=(*data.rows, alone)), config(clients=2))
    alone = replace(alone, split="test")
    with pytest.raises(ConfigError, match="client 'b' would have no training question; "):
        partition(replace(data, rows=(*data.rows, alone)), config(clients=2))


@pytest.mark.parametrize("kind", DEALT)
@pytest.mark.parametrize("tested_on", ["test", "validation"])
def test_a_picture_under_several_names_is_in_training_or_in_the_test(kind, tested_on):
    data = collection(240, per_picture=1)
    rows = [replace(row, content=f"picture {i % 60}") for i, row in enumerate(data.rows)]
    data = replace(data, rows=tuple(rows))
    shares = partition(data, config(kind, 0.5, tested_on=tested_on, **ALL))
    trained = {rows[i].content for share in shares for i in share.train}
    tested = {rows[i].content for share in shares for i in share.test}
    assert trained and tested and not trained & tested


def test_a_client_with_one_picture_alone_keeps_it_and_the_account_says_so():
    data = collection(40, sites={"a": 0.5, "b": 0.5}, per_picture=1)
    rows = [replace(r, content="the one" if r.client == "b" else r.content) for r in data.rows]
    data = replace(data, rows=tuple(rows))
    dataset = UserDataset(data, config(clients=2))
    share = next(share for share in dataset.shares if share.name == "b")
    assert share.train and share.test and not set(share.train) & set(share.test)
    [noted] = [line for line in dataset.account.lines() if line.startswith("noted")]
    assert f"trained on, too ({len(share.test)}; first: " in noted
    assert not [line for line in UserDataset(collection(40), config(clients=2)).account.lines()[1:]]
