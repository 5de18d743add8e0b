"""Runs side by side: only what differs, and what each has reached."""

import pytest

from db import reads, writes
from engine.jobs.queue import NotPossible
from engine.results.compare import compare, differences
from tests.helpers.stored import store


def test_only_the_keys_that_differ_are_named_nested_ones_too():
    one = {"rounds": 8, "lora": {"rank": 4, "alpha": 16.0}, "heterogeneity": {"level": 0.0}}
    other = {"rounds": 8, "lora": {"rank": 8, "alpha": 16.0}, "heterogeneity": {"level": 0.8}}
    assert differences([one, other]) == {"lora.rank": [4, 8], "heterogeneity.level": [0.0, 0.8]}
    assert differences([one, one, one]) == {}
    assert differences([one, {**one, "seed": 3}]) == {"seed": [None, 3]}


def test_two_runs_that_differ_in_two_nested_keys_show_these_two():
    [first] = store(name="first", lora={"rank": 4}, heterogeneity={"level": 0.0})
    _, second = store(("fedit", "plora"), name="second", fedprox={"mu": 0.5})
    compared = compare([first, second])
    assert compared.differences == {"heterogeneity.level": [0.0, 0.8], "lora.rank": [4, 8]}
    assert compared.names == ["first", "second"]


def test_a_run_of_an_older_lab_has_todays_defaults_and_another_strategy_is_a_difference():
    [first] = store()
    config = dict(reads.run(first).experiment.config)
    del config["micro_batch"]
    _, [second] = writes.create_experiment({**config, "strategies": ["fedprox"]}, {"fedprox": 2})
    compared = compare([first, second])
    assert compared.differences["strategy"] == ["plora", "fedprox"]
    assert set(compared.differences) == {"strategy", "fedprox.mu", "plora.start"}


def test_data_that_changed_under_their_name_are_named():
    [first], [second] = store(dataset="folder:x"), store(dataset="folder:x")
    for run, digest in ((first, "aaaa"), (second, "bbbb")):
        stored = {"data": {"rows": 3, "pictures": digest}, "model": {"digest": "m"}}
        writes.set_resolved(reads.run(run).experiment_id, stored)
    assert compare([first, second]).differences == {"content of the data": ["3 aaaa", "3 bbbb"]}


def test_curves_and_clients_are_those_of_the_model_that_a_client_uses():
    [small] = store(clients=1)
    fedit, _ = store(("fedit", "plora"), accuracies=(0.1, 0.3))
    compared = compare([small, fedit])
    assert compared.curves == [{0: 0.2, 1: 0.6, 2: 0.5}, {0: 0.1, 1: 0.3}]
    assert compared.clients == {0: [0.5, 0.3], 1: [None, 0.3]}
    assert [summary.run for summary in compared.runs] == [small, fedit]


@pytest.mark.parametrize("count", [1, 7])
def test_two_to_six_runs_are_compared(count):
    runs = store(("plora",) * 1) * 2 if count == 1 else [store()[0] for _ in range(count)]
    with pytest.raises(NotPossible, match=f"2 to 6 different runs .got {count}."):
        compare(runs)
    with pytest.raises(reads.NoSuchRun):
        compare([runs[0], 999])
