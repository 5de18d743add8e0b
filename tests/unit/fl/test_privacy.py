"""What a client sends under differential privacy, and what it costs."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
import torch
from dp_accounting import GaussianDpEvent
from dp_accounting.rdp import RdpAccountant

from db import reads
from engine.adapters.adapter import Adapter
from engine.config import ConfigError, ExperimentConfig, Privacy
from engine.fl.client import Client
from engine.fl.context import context_of
from engine.fl.flower.messages import to_numpy
from engine.fl.privacy import budget_in_words, epsilon, planned_rounds, protected
from engine.fl.run_config import RunConfig
from engine.system.seeding import rng
from tests.helpers.runs import changed, record_wire, run

BEFORE = {"x.lora_A": torch.ones(4, 7), "x.lora_B": torch.zeros(5, 4)}
AFTER = {"x.lora_A": torch.full((4, 7), 3.0), "x.lora_B": torch.full((5, 4), -1.0)}


def norm(one: dict, other: dict) -> float:
    return float(torch.sqrt(sum((one[name] - other[name]).square().sum() for name in one)))


def test_an_update_is_clipped_as_a_whole_and_keeps_its_direction():
    sent = protected(AFTER, BEFORE, Privacy(clip=0.5), 0, 1, 2)
    assert norm(sent, BEFORE) == pytest.approx(0.5, rel=1e-5)
    share = 0.5 / norm(AFTER, BEFORE)
    torch.testing.assert_close(sent["x.lora_A"], torch.full((4, 7), 1 + 2 * share))
    small = protected(AFTER, BEFORE, Privacy(clip=1000), 0, 1, 2)
    torch.testing.assert_close(small["x.lora_B"], AFTER["x.lora_B"])


def test_noise_has_the_size_that_was_asked_for_and_is_new_for_every_message():
    big = {"x.lora_A": torch.zeros(400, 500)}
    privacy = Privacy(clip=2.0, noise=1.5)
    one, same, other = (protected(big, big, privacy, 0, *who) for who in ((1, 2), (1, 2), (1, 3)))
    assert float(one["x.lora_A"].std()) == pytest.approx(3.0, rel=0.02)
    assert torch.equal(one["x.lora_A"], same["x.lora_A"])
    assert not torch.equal(one["x.lora_A"], other["x.lora_A"])


def test_no_two_messages_of_a_run_get_the_same_noise(tiny):
    """A client that has changed nothing sends what it was sent, and its own noise of the round."""
    config = changed(tiny, clients=3, privacy={"clip": 1.0, "noise": 1.0}, strategies=["fedit"])
    run_config = RunConfig(0, "fedit", config, Path())
    start = context_of(config).initial
    noises = []
    for client in (Client(run_config, k) for k in range(3)):
        for round_ in (1, 2, 3):
            sent = client.message(start, Adapter(), round_)
            noises += [sent[name] - start[name] for name in sent]
    flat = torch.stack([noise.flatten()[:64] for noise in noises])
    likeness = torch.corrcoef(flat).fill_diagonal_(0).abs()
    assert len(flat) == 9 * len(start) and likeness.max() < 0.9
    assert torch.stack([noise.std() for noise in noises]).mean() == pytest.approx(1, rel=0.02)


def test_noise_is_seeded_by_more_than_32_bits():
    """Of some 10⁵ tensors two had the same noise: the first number tells."""
    point = {"x.lora_A": torch.zeros(2, 2)}
    privacy = Privacy(clip=1.0, noise=1.0)
    firsts = {
        tuple(protected(point, point, privacy, 0, round_, client)["x.lora_A"].flatten().tolist())
        for round_ in range(100)
        for client in range(100)
    }
    assert len(firsts) == 10_000
    states = {str(rng(0, "privacy", 1, k).bit_generator.state["state"]["state"]) for k in range(9)}
    assert min(map(int, states)) > 2**64


def test_epsilon_is_the_accountants_and_grows_with_every_message():
    privacy = Privacy(clip=1, noise=2.0, delta=1e-6)
    accountant = RdpAccountant()
    for times in (1, 2, 3):
        accountant.compose(GaussianDpEvent(2.0))
        assert epsilon(privacy, times) == pytest.approx(accountant.get_epsilon(1e-6))
    assert epsilon(Privacy(clip=1, noise=4.0, delta=1e-6), 3) < epsilon(privacy, 3)
    assert epsilon(Privacy(clip=1), 3) is None


@pytest.mark.parametrize("key", ["fedit", "plora", "fedsa", "feddpa", "hetlora"])
def test_a_private_run_sends_little(key, tiny, monkeypatch):
    wire = record_wire(monkeypatch)
    run(changed(tiny, strategies=[key], privacy={"clip": 0.05, "noise": 0.0}, rounds=1))
    replies = [m for m in wire if "metrics" in m.content and "arrays" in m.content]
    assert len(replies) == tiny.clients
    start = context_of(tiny).initial
    for reply in replies:
        up = {n: torch.tensor(v) for n, v in to_numpy(reply.content["arrays"]).items()}
        assert 0 < norm(up, start) <= 0.0501


def test_a_run_has_spent_what_the_client_that_sent_most_often_has_spent(tiny):
    """Being drawn seldom helps by sending less often, and by nothing else."""
    values = {"clients": 4, "participation": 0.5, "rounds": 5, "local_steps": 1}
    values |= {"privacy": {"clip": 0.05, "noise": 1.0}, "strategies": ["plora"]}
    for summary in run(changed(tiny, **values)):
        rows = reads.client_rounds(summary.run)
        sent = [Counter(row.client for row in rows if row.round <= r) for r in range(1, 6)]
        times = [max(counts.values()) for counts in sent]
        assert times[0] == 1 < times[-1] < 5, "nobody in all rounds, or it proves little"
        spent = [row.epsilon for row in reads.rounds(summary.run)]
        assert spent == [epsilon(Privacy(clip=0.05, noise=1.0), n) for n in times]


def test_who_sends_nothing_spends_nothing(tiny):
    values = {"strategies": ["local"], "privacy": {"clip": 1, "noise": 1}, "rounds": 1}
    [summary] = run(ExperimentConfig.parse({**tiny.model_dump(), **values}))
    assert [row.epsilon for row in reads.rounds(summary.run)] == [None]


def test_noise_without_a_clip_is_refused():
    with pytest.raises(ConfigError, match=r"privacy.noise: needs privacy.clip above 0"):
        ExperimentConfig.parse({"privacy": {"noise": 1}})


SPENDING = {"rounds": 6, "local_steps": 1, "strategies": ["plora", "local"]}


def test_a_run_ends_before_the_round_that_would_exceed_its_budget(tiny):
    noise = Privacy(clip=0.05, noise=1.0)
    limit = epsilon(noise, 3) + 0.01
    values = {"clip": 0.05, "noise": 1.0, "max_epsilon": limit}
    config = changed(tiny, **SPENDING, privacy=values)
    assert (planned_rounds(config, "plora"), planned_rounds(config, "local")) == (3, 6)
    assert budget_in_words(config).startswith("the privacy budget allows 3 of 6 rounds: round 4")
    plora, local = run(config)
    assert (plora.status, plora.rounds) == ("done", 3) and (local.status, local.rounds) == (
        "done",
        6,
    )
    spent = [row.epsilon for row in reads.rounds(plora.run)]
    assert spent[-1] <= limit < epsilon(noise, 4)
    told = [event.text for event in reads.events(plora.run)]
    assert any(text.startswith("Ends after round 3: the privacy budget") for text in told)
    assert not any("budget" in event.text for event in reads.events(local.run))
    assert {p.variant for p in reads.predictions(plora.run, 0)} == {"base", "global", "personal"}


def test_a_budget_lasts_longer_where_clients_are_drawn_seldom(tiny):
    limit = epsilon(Privacy(clip=0.05, noise=1.0), 2) + 0.01
    values = {**SPENDING, "privacy": {"clip": 0.05, "noise": 1.0, "max_epsilon": limit}}
    often, seldom = (changed(tiny, clients=4, participation=p, **values) for p in (1.0, 0.25))
    assert planned_rounds(often, "plora") == 2 < planned_rounds(seldom, "plora")


def test_a_budget_that_allows_no_round_or_has_no_noise_is_refused(tiny):
    with pytest.raises(ConfigError, match=r"privacy.max_epsilon: one round spends [\d.]+; allowed"):
        run(changed(tiny, privacy={"clip": 1, "noise": 0.1, "max_epsilon": 0.5}))
    with pytest.raises(ConfigError, match=r"privacy.max_epsilon: needs privacy.noise above 0"):
        changed(tiny, privacy={"clip": 1, "max_epsilon": 3})
