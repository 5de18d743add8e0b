"""The promises of every strategy, exact where it says so, on real messages."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
import pytest
import torch
from flwr.app import Message

from db import reads
from engine.adapters.adapter import DELTA_A, DELTA_B, A, Adapter, B, factor_of
from engine.config import ExperimentConfig
from engine.data.cache import EncodedSets
from engine.fl import checkpoints
from engine.fl.client import Client
from engine.fl.context import context_of
from engine.fl.flower.messages import payload_bytes, to_numpy
from engine.fl.participation import participants
from engine.fl.run_config import RunConfig
from engine.fl.traffic import traffic_of
from engine.paths import run_folder
from engine.strategies import STRATEGIES
from engine.strategies.base import CORNERS, Arrays, Phase
from engine.vlm.deltas import deltas_active
from engine.vlm.lora import as_deltas
from engine.vlm.resolved import resolve_model
from tests.helpers.runs import changed, record_wire, run

TRAINED = [key for key, strategy in STRATEGIES.items() if strategy.trained]


def mixes(key: str) -> bool:
    return STRATEGIES[key].mixed_ranks


EXACT = ("ffa", "rolora", "fedex", "flora")


MIXED = (2, 3, 4)  # ranks of the three clients


@pytest.fixture(scope="module")
def setting(tiny) -> ExperimentConfig:
    """Square and other layers, clients with different numbers of samples."""
    return changed(
        tiny,
        clients=3,
        learning_rate=0.02,
        lora={"rank": 4, "alpha": 6, "targets": ("q_proj", "fc1", "fc2")},
        heterogeneity={"kind": "quantity", "level": 1.0},
    )


def with_strategy(config: ExperimentConfig, key: str, **values) -> ExperimentConfig:
    return changed(config, strategies=[key], **values)


def of_ranks(config: ExperimentConfig, *ranks: int) -> ExperimentConfig:
    return changed(config, lora={**config.lora.model_dump(), "client_ranks": ranks})


@dataclass(frozen=True)
class Trial:
    """A run of two rounds, and every message of it."""

    config: ExperimentConfig
    summary: reads.Summary
    wire: list[Message]

    def server(self, round_: int) -> dict[str, np.ndarray]:
        """The server's factors after a round, as its checkpoint keeps them."""
        path = checkpoints.server_path(run_folder(self.summary.run), round_)
        return {name: value.numpy() for name, value in checkpoints.read(path).items()}

    def personal(self, client: int) -> dict[str, torch.Tensor]:
        """What a client keeps after the last round."""
        path = checkpoints.personal_path(run_folder(self.summary.run), client, 2)
        return checkpoints.read(path) if path.exists() else {}


@pytest.fixture(scope="module")
def trial(setting, module_home) -> Callable[..., Trial]:
    """The run of a strategy with clients of some ranks, done when it is first asked for."""

    @cache
    def of(key: str, *ranks: int) -> Trial:
        config = with_strategy(of_ranks(setting, *ranks), key)
        with pytest.MonkeyPatch.context() as patch:
            wire = record_wire(patch)
            [summary] = run(config)
        assert summary.status == "done"
        return Trial(config, summary, wire)

    return of


def products(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """B·A by layer, in float64."""
    own = Adapter(arrays)
    return {k: own.b(k).astype(np.float64) @ own.a(k).astype(np.float64) for k in own.layers()}


def effective(arrays: dict[str, np.ndarray], config: ExperimentConfig) -> dict[str, np.ndarray]:
    """What a model's factors and deltas add to the frozen weights, by layer."""
    initial = Arrays({n: value.numpy() for n, value in context_of(config).initial.items()})
    whole = initial | arrays
    weights = {layer: config.lora.scale * product for layer, product in products(whole).items()}
    for layer in weights:
        if delta := whole.delta(layer):
            weights[layer] += delta[0].astype(np.float64) @ delta[1].astype(np.float64)
    return weights


def sent_to(wire, message_type: str) -> list[Message]:
    """What the server sends to make clients ``train`` or ``evaluate``."""
    messages = [m for m in wire if m.metadata.message_type == message_type]
    return [m for m in messages if "config" in m.content]


def replies_to_train(wire) -> list[Message]:
    return [m for m in wire if "arrays" in m.content and "metrics" in m.content]


def by_round(wire, config) -> list[tuple[dict, list[tuple[int, dict]]]]:
    """Per round what was sent down, and what came back with its number of samples."""
    n = config.clients
    trains, downs = replies_to_train(wire), sent_to(wire, "train")
    rounds = []
    for start in range(0, len(trains), n):
        down = to_numpy(downs[start].content["arrays"])
        ups = [
            (int(m.content["metrics"]["num-examples"]), to_numpy(m.content["arrays"]))
            for m in trains[start : start + n]
        ]
        rounds.append((down, ups))
    return rounds


def aggregation_errors(trial: Trial) -> list[float]:
    """Relative distance of the server's model from the mean of the clients' models, by layer."""
    config, distances = trial.config, []
    for round_, (down, ups) in enumerate(by_round(trial.wire, config), start=1):
        total = sum(n for n, _ in ups)
        assert len({n for n, _ in ups}) > 1, "weights that are all alike prove little"
        clients = [(n / total, effective(down | up, config)) for n, up in ups]
        for layer, reached in effective(trial.server(round_), config).items():
            mean = sum(weight * models[layer] for weight, models in clients)
            assert np.linalg.norm(mean) > 0
            distances.append(np.linalg.norm(reached - mean) / np.linalg.norm(mean))
    assert round_ == 2
    return distances


@pytest.mark.parametrize(("key", "ranks"), [*((key, ()) for key in EXACT), ("flora", MIXED)])
def test_the_average_is_exact(key, ranks, trial, setting):
    assert max(aggregation_errors(trial(key, *ranks))) <= 1e-5
    shapes = {tuple(p.shape) for p in context_of(setting).vlm.factors.values()}
    assert {(4, 128), (384, 4)} <= shapes, "not on square layers alone"


def test_fedit_is_not_exact_unless_the_clients_agree(trial):
    assert max(aggregation_errors(trial("fedit"))) > 1e-3
    rule = STRATEGIES["fedit"]()
    generator = np.random.default_rng(0)
    first = Arrays(
        {
            "x.lora_A": generator.normal(size=(4, 7)),
            "x.lora_B": generator.normal(size=(5, 4)),
        }
    )
    errors = []
    for spread in (0.0, 0.1, 0.5, 1.0):
        second = Arrays({name: value + spread for name, value in first.items()})
        mean = products(rule.merge([first, second], np.array([0.25, 0.75]), Arrays(), 1.0, 4))["x"]
        exact = 0.25 * products(first)["x"] + 0.75 * products(second)["x"]
        errors.append(np.linalg.norm(mean - exact))
    assert errors[0] < 1e-12 and errors == sorted(errors) and errors[-1] > 1


@pytest.mark.parametrize(
    ("key", "ranks"),
    [*((key, ()) for key in TRAINED), *((key, MIXED) for key in TRAINED if mixes(key))],
)
def test_bytes_are_as_the_formula_says_and_nothing_personal_travels(key, ranks, trial):
    run_of = trial(key, *ranks)
    config, summary, wire = run_of.config, run_of.summary, run_of.wire
    rule, model = STRATEGIES[key], resolve_model(config)
    rounds = by_round(wire, config)
    for round_, (down, ups) in enumerate(rounds, start=1):
        assert all(rule.is_shared(name) or factor_of(name) in (DELTA_A, DELTA_B) for name in down)
        for _, up in ups:
            assert all(rule.sends(name, round_) for name in up)
            assert bool(up) == bool(rule.shared_factors) or key == "centralized"
    expected = traffic_of(key, config, model)
    assert summary.bytes_up == expected.bytes_up * config.rounds * config.clients
    assert summary.trainable_parameters == expected.trainable
    own = [run_of.personal(k) for k in range(config.clients)]
    assert all(bool(factors) == bool(rule.personal_factors) for factors in own)
    sent = [array for m in wire for record in m.content.array_records.values()
            for array in to_numpy(record).values()]  # fmt: skip
    downs, tests = sent_to(wire, "train"), sent_to(wire, "evaluate")
    assert summary.bytes_down == sum(payload_bytes(m.content["arrays"]) for m in downs)
    # A round's result is sent to be tested just as it is sent to be trained on: counted once.
    assert len(tests) == len(downs) + config.clients
    for test, down in zip(tests, downs, strict=False):
        assert test.content["arrays"] == down.content["arrays"]
    for factors in own if not config.rule(key).sends_what_it_keeps else ():
        for value in factors.values():
            assert not any(
                array.shape == value.shape and np.array_equal(array, value.numpy())
                for array in sent
            )


@pytest.mark.parametrize("key", TRAINED)
def test_before_training_every_variant_is_the_base(key, setting, trial):
    summary = trial(key).summary
    rows = [row for row in reads.evaluations(summary.run) if row.round == 0]
    assert {row.variant for row in rows} == {"base", *STRATEGIES[key].variants}
    for k in range(setting.clients):
        for scope in ("own", "pooled"):
            same = {(r.loss, r.accuracy) for r in rows if (r.client, r.scope) == (k, scope)}
            assert len(same) == 1


LONE = (
    *("centralized", "fedit", "fedprox", "plora", "fedsa", "fedex", "hetlora", "ditto"),
    *("potara", "tap"),
)


def test_a_lone_client_trains_as_if_it_were_alone(setting):
    values = {"clients": 1, "fedprox": {"mu": 0.0}, "ditto": {"lam": 0.0}}
    local, *others = run(changed(setting, strategies=["local", *LONE], **values))
    losses = [row.loss for row in reads.client_rounds(local.run)]
    for key, summary in zip(LONE, others, strict=True):
        own_losses = [row.loss for row in reads.client_rounds(summary.run)]
        assert own_losses == pytest.approx(losses, rel=1e-4), key
        if not STRATEGIES[key].two_adapters:
            assert summary.personal_accuracy == pytest.approx(local.personal_accuracy, abs=0.03)


def test_flexlora_sends_the_best_adapter_of_every_rank(setting, trial):
    wire = trial("flexlora", *MIXED).wire
    (_, ups), *_ = by_round(wire, setting)
    total = sum(n for n, _ in ups)
    second = [to_numpy(m.content["arrays"]) for m in sent_to(wire, "train")[setting.clients :]]
    assert [len(next(iter(down.values()))) for down in second] == list(MIXED)
    for layer in products(ups[0][1]):
        exact = sum(n / total * products(up)[layer] for n, up in ups)
        u, s, vt = np.linalg.svd(exact, full_matrices=False)
        for rank, down in zip(MIXED, second, strict=True):
            best = (u[:, :rank] * s[:rank]) @ vt[:rank]
            off = np.linalg.norm(products(down)[layer] - best)
            assert off <= 1e-5 * np.linalg.norm(best)


def test_flexlora_leaves_no_direction_dead_when_few_have_trained(setting):
    config = with_strategy(of_ranks(setting, 2), "flexlora", rounds=1, clients=1)
    [summary] = run(config)
    end = checkpoints.read(checkpoints.server_path(run_folder(summary.run), 1))
    for name, value in end.items():
        if name.endswith("lora_A"):
            assert value.shape[0] == 4 and (value.norm(dim=1) > 0).all()


def test_hetlora_pads_and_weighs_by_what_was_learned():
    generator = np.random.default_rng(0)
    sent = [
        Arrays(
            {
                "x.lora_A": generator.normal(size=(rank, 7)).astype(np.float32),
                "x.lora_B": generator.normal(size=(5, rank)).astype(np.float32),
            }
        )
        for rank in (4, 2)
    ]
    merged = STRATEGIES["hetlora"]().merge(sent, np.array([0.5, 0.5]), Arrays(), 1.0, 4)
    norms = [np.linalg.norm(own["x.lora_B"] @ own["x.lora_A"]) for own in sent]
    share = norms[1] / sum(norms)
    assert share != pytest.approx(0.5, abs=0.01)
    np.testing.assert_allclose(
        merged["x.lora_A"][:2],
        (1 - share) * sent[0]["x.lora_A"][:2] + share * sent[1]["x.lora_A"],
        rtol=1e-5,
    )
    np.testing.assert_allclose(
        merged["x.lora_B"][:, 2:], (1 - share) * sent[0]["x.lora_B"][:, 2:], rtol=1e-5
    )


@pytest.mark.parametrize("key", ["hetlora", "flexlora", "flora"])
def test_a_client_of_a_lower_rank_trains_and_sends_only_that(key, setting, trial):
    for _, ups in by_round(trial(key, *MIXED).wire, setting):
        shapes = [{name: value.shape for name, value in up.items()} for _, up in ups]
        for rank, own in zip(MIXED, shapes, strict=True):
            assert {shape[0] for name, shape in own.items() if name.endswith("A")} == {rank}
            assert {shape[1] for name, shape in own.items() if name.endswith("B")} == {rank}


def test_full_batch_steps_of_fedit_are_those_of_centralized(setting, monkeypatch):
    """With plain gradient descent the mean of the clients' steps is the step on all data."""

    def descend(parameters, lr, **_):
        return torch.optim.SGD(parameters, lr=lr)

    def alike(self, client, split):
        # Answers of one length: a loss is a mean over tokens, a weight counts samples.
        found = get(self, client, split)
        if split != "train":
            return found
        tokens = (found.labels != -100).sum(1)
        return found.select(torch.nonzero(tokens == tokens.min()).flatten()[: 2 + 2 * client])

    get = EncodedSets.get
    monkeypatch.setattr(torch.optim, "AdamW", descend)
    monkeypatch.setattr(EncodedSets, "get", alike)
    ends = {}
    for key in ("fedit", "centralized"):
        values = {"batch_size": 16, "local_steps": 1, "rounds": 1, "learning_rate": 0.5}
        values["fault_share"] = 0  # many answers of one word
        [summary] = run(with_strategy(setting, key, **values))
        ends[key] = checkpoints.read(checkpoints.server_path(run_folder(summary.run), 1))
        samples = [row.samples for row in reads.client_rounds(summary.run)]
    assert samples == [2, 4, 6]
    start = context_of(setting).initial
    for name, value in ends["fedit"].items():
        torch.testing.assert_close(value, ends["centralized"][name], atol=1e-6, rtol=1e-4)
    assert any(not torch.equal(value, start[name]) for name, value in ends["fedit"].items())


def test_who_drops_out_of_a_round_sends_nothing(setting, monkeypatch):
    wire = record_wire(monkeypatch)
    config = with_strategy(setting, "fedit", clients=6, dropout=0.5, rounds=4, local_steps=1)
    [summary] = run(config)
    rows = reads.client_rounds(summary.run)
    by_round = [{row.client for row in rows if row.round == r} for r in (1, 2, 3, 4)]
    assert all(0 < len(clients) <= 6 for clients in by_round)
    assert 0 < len(rows) < 24 and len(set(map(frozenset, by_round))) > 1
    assert len(replies_to_train(wire)) == len(rows)
    assert any("dropped out" in event.text for event in reads.events(summary.run))
    unlucky = config.model_copy(update={"dropout": 0.999})
    assert len(participants(unlucky, 1)) == 1, "somebody stays"


def test_the_pull_of_fedprox_and_ditto_holds_back(setting):
    def strayed(key: str, **options) -> float:
        [summary] = run(with_strategy(setting, key, rounds=1, local_steps=6, **options))
        folder = run_folder(summary.run)
        if key == "ditto":
            end = checkpoints.read_personal(folder, 0, 1)
        else:
            end = checkpoints.read(checkpoints.server_path(folder, 1))
        start = context_of(setting).initial
        return sum((end[name] - start[name]).norm().item() for name in end)

    for key, option in (("fedprox", "mu"), ("ditto", "lam")):
        free, held = (strayed(key, **{key: {option: value}}) for value in (0.0, 100.0))
        assert held < 0.7 * free, key


def test_plora_can_restart_from_the_common_a(setting, trial):
    [summary] = run(with_strategy(setting, "plora", plora={"start": "reset"}))
    kept = [trial("plora").personal(1), checkpoints.read_personal(run_folder(summary.run), 1, 2)]
    initial = context_of(setting).initial
    moved = [sum((own[name] - initial[name]).norm().item() for name in own) for own in kept]
    assert moved[1] < moved[0], "two rounds of steps lead farther than one"


@pytest.mark.parametrize("weight", [0.5, 0.25])
def test_feddpa_answers_with_both_adapters(trial, weight):
    """The personal model is the base with both products added, each at its weight."""
    run_of = trial("feddpa")
    config = changed(run_of.config, feddpa={"weight": weight})
    summary, folder = run_of.summary, run_folder(run_of.summary.run)
    shared = checkpoints.read(checkpoints.server_path(folder, 2))
    own = run_of.personal(1)
    client = Client(RunConfig(summary.run, "feddpa", config, folder), 1)
    both = as_deltas(client.factors("personal", shared, 2), config.lora.alpha / 8)
    apart = as_deltas(shared, config.lora.scale), as_deltas(own, config.lora.scale)
    for layer in shared.layers():
        whole, first, second = (b @ a for b, a in (d.delta(layer) for d in (both, *apart)))
        assert second.abs().max() > 0
        torch.testing.assert_close(whole, (1 - weight) * first + weight * second)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("key", ["flora", "fedex"])
def test_a_delta_acts_whole_in_every_number_format(key, dtype, setting):
    """Five rounds of small updates, each below what bfloat16 can tell from the weight."""
    config = ExperimentConfig.parse({**setting.model_dump(), "dtype": dtype})
    context = context_of(config)
    initial = {name: value.numpy() for name, value in context.initial.items()}
    generator, state = np.random.default_rng(0), Adapter(initial)
    for _ in range(5):
        sent = [
            Adapter({n: v + generator.normal(size=v.shape).astype(np.float32) * 3e-3
                     for n, v in state.only(A, B).items()})
            for _ in range(3)
        ]  # fmt: skip
        merged = STRATEGIES[key]().merge(sent, np.full(3, 1 / 3), state, 1.5, 4)
        state = Adapter(initial) | merged
    layer = state.layers()[0]
    b, a = (torch.from_numpy(part) for part in state.delta(layer))
    base = context.vlm.model.get_submodule(layer).base_layer
    before = base.weight.clone()
    x = torch.randn(4000, base.in_features, generator=torch.Generator().manual_seed(0))
    x = x.to(before.dtype)
    with torch.no_grad():
        plain = base(x)
        tensors = Adapter({name: torch.from_numpy(value) for name, value in state.items()})
        with deltas_active(context.vlm.model, tensors):
            whole = base(x)
    wanted = x.double() @ (b.double() @ a.double()).T
    assert 0 < (b @ a).abs().max() < 0.01 * before.float().abs().max()
    moved = (whole.double() - plain.double()).flatten()
    share = moved @ wanted.flatten() / wanted.square().sum()
    assert abs(share - 1) < (0.02 if dtype == "bfloat16" else 1e-3)
    exact = x.double() @ before.double().T + wanted
    if base.bias is not None:
        exact = exact + base.bias.double()
    digits = max(2 * torch.finfo(before.dtype).eps, 1e-5)  # base and sum: each rounded once
    assert ((whole - exact).abs() <= digits * exact.abs().clamp(min=exact.std())).all()
    assert torch.equal(base.weight, before) and "forward" not in vars(base)


@pytest.mark.parametrize("key", ["flora", "fedex"])
def test_the_rank_of_a_delta_is_bounded_and_its_sum_stays(key, setting):
    generator, state = np.random.default_rng(1), Adapter()
    shape = {"x.lora_A": (4, 20), "x.lora_B": (12, 4)}
    wanted = np.zeros((12, 20))
    for _ in range(6):
        sent = [
            Adapter({n: generator.normal(size=s).astype(np.float32) for n, s in shape.items()})
            for _ in range(3)
        ]
        state = STRATEGIES[key]().merge(sent, np.full(3, 1 / 3), state, 2.0, 4)
        mean = 2 * sum(products(own)["x"] for own in sent) / 3
        wanted += mean - (2 * products(state)["x"] if key == "fedex" else 0)
    b, a = state.delta("x")
    assert b.shape[1] == len(a) <= 12
    np.testing.assert_allclose(b @ a, wanted, atol=1e-5 * np.linalg.norm(wanted))


def client_of(trial: Trial, key: str, number: int) -> Client:
    return Client(
        RunConfig(trial.summary.run, key, trial.config, run_folder(trial.summary.run)), number
    )


def added(factors, scale: float) -> dict[str, torch.Tensor]:
    """What an adapter adds to the frozen weights, by layer."""
    deltas = as_deltas(factors, scale)
    return {layer: b @ a for layer in factors.layers() for b, a in [deltas.delta(layer)]}


def test_fedalt_answers_with_its_own_adapter_beside_the_mean_of_the_others(trial):
    run_of = trial("fedalt")
    config = run_of.config
    _, (_, ups) = by_round(run_of.wire, config)
    others = [Arrays({n: torch.from_numpy(v.copy()) for n, v in up.items()}) for _, up in ups]
    own = others.pop(1)
    mean = Arrays({name: (others[0][name] + others[1][name]) / 2 for name in own})
    shared = checkpoints.read(checkpoints.server_path(run_folder(run_of.summary.run), 2))
    whole = client_of(run_of, "fedalt", 1).factors("personal", shared, 2)
    scale = config.lora.scale
    parts = added(own, scale), added(mean, scale)
    for layer, product in added(whole, config.lora.alpha / 8).items():
        expected = 0.5 * parts[0][layer] + 0.5 * parts[1][layer]
        assert parts[1][layer].abs().max() > 0
        torch.testing.assert_close(product, expected, atol=1e-6, rtol=1e-4)


def test_without_others_fedalt_has_nothing_beside(trial):
    rule = STRATEGIES["fedalt"]()
    mean = Arrays({"x.lora_A": np.ones((2, 3)), "x.lora_B": np.ones((4, 2))})
    assert rule.beside(mean, Arrays(), 0.0) is mean
    assert not rule.beside(mean, mean, 1.0)["x.lora_B"].any()


def test_potara_merges_products_and_trusts_the_surer_adapter(trial):
    run_of = trial("potara")
    config, folder = run_of.config, run_folder(run_of.summary.run)
    client = client_of(run_of, "potara", 1)
    weight = client.decision(2).own_weight
    assert 0 <= weight <= 1 and client.decision(1).own_weight != weight
    shared = checkpoints.read(checkpoints.server_path(folder, 2))
    parts = added(shared, config.lora.scale), added(run_of.personal(1), config.lora.scale)
    whole = added(client.factors("personal", shared, 2), config.lora.alpha / 8)
    for layer, product in whole.items():
        expected = (1 - weight) * parts[0][layer] + weight * parts[1][layer]
        torch.testing.assert_close(product, expected, atol=1e-6, rtol=1e-4)
    rule = STRATEGIES["potara"]()
    flat, steep, apart = np.full(5, 0.1), np.full(5, 10.0), np.zeros(5)
    assert rule.own_weight(flat, flat, apart) == pytest.approx(0.5)
    assert rule.own_weight(flat, steep, apart) > 0.8 > 0.2 > rule.own_weight(steep, flat, apart)
    assert rule.own_weight(apart, apart, apart) == 0.5, "nothing is known"


def test_tap_takes_the_shared_adapter_only_where_it_is_clearly_better():
    rule = STRATEGIES["tap"]()
    nobody = np.empty(0)
    assert rule.choose(np.array([[1.0, 1.0], [0.9, 0.9]]), nobody, 3) == "fedit"
    assert rule.choose(np.array([[1.0, 1.0], [0.995, 0.995]]), nobody, 3) == "local"


@pytest.mark.parametrize("key", STRATEGIES["corners"].compared)
def test_corners_has_two_methods_as_its_constant_cases(key, setting, trial, monkeypatch):
    rule = STRATEGIES["corners"]
    monkeypatch.setattr(rule, "choose", lambda *_: key)
    monkeypatch.setattr(rule, "held_out", lambda *_: 0.0)
    monkeypatch.setattr(rule, "decides", lambda *_: True)
    [summary] = run(with_strategy(setting, "corners"))
    expected = trial(key).summary
    pairs = zip(reads.client_rounds(summary.run), reads.client_rounds(expected.run), strict=True)
    assert all(one.loss == pytest.approx(other.loss, rel=1e-4) for one, other in pairs)
    own, theirs = (reads.deployed_accuracies(s.run, "own") for s in (summary, expected))
    assert own == pytest.approx(theirs, abs=0.03)
    chosen = reads.client_corners(summary.run)
    assert {(row.round, row.client) for row in chosen} == {
        (round_, k) for round_ in (1, 2) for k in range(setting.clients)
    }
    assert {row.corner for row in chosen} == {key}


def test_corners_goes_where_right_answers_are_clearly_likelier_else_halfway():
    rule = STRATEGIES["corners"]()
    rows, nobody = np.linspace(0.2, 1, 11), rule.extras()["corners.votes"]
    noise = np.where(np.arange(11) % 2, 0.3, -0.3)
    assert rule.choose(np.stack([rows, rows + 0.2]), nobody, 4) == "fedit"
    assert rule.choose(np.stack([rows + 0.2, rows]), nobody, 4) == "fedsa"
    assert rule.choose(np.stack([rows, rows + noise]), nobody, 4) == "half"
    assert rule.choose(np.stack([rows, rows]), nobody, 4) == "half"


def test_corners_would_rather_be_right_often_than_never_sure():
    rule = STRATEGIES["corners"]()
    sure = np.array([0.01] * 12 + [9.0] * 8)  # right in six of ten, and sure of all ten
    unsure = np.full(20, 0.9)  # which loses less in the mean, but hardly answers right
    assert unsure.mean() < sure.mean()
    assert rule.choose(np.stack([unsure, sure]), np.empty(0), 4) == "fedsa"


def test_corners_heeds_the_votes_of_clients_that_agree_and_not_of_those_that_differ():
    rule, generator = STRATEGIES["corners"](), np.random.default_rng(1)

    def losses(gap: float, noise: float = 0.3) -> np.ndarray:
        """Of twelve rows, on which its own B loses so much more than the mean."""
        own = generator.normal(1, 0.2, 12)
        return np.stack([own, own + gap + generator.normal(0, noise, 12)])

    def votes(clients: list[np.ndarray]) -> np.ndarray:
        return np.mean([rule.vote(own) for own in clients], axis=0)

    agreed = votes([losses(-0.3) for _ in range(8)])
    misled = losses(0.2, noise=0.2)
    assert rule.choose(misled, np.zeros(4), 8) == "fedit"
    assert rule.choose(misled, agreed, 8) == "fedsa"
    sides = [losses(gap, noise=0.05) for gap in (-0.9, 0.9) * 4]
    assert [rule.choose(own, votes(sides), 8) for own in sides[:2]] == ["fedsa", "fedit"]


def test_half_of_its_own_is_halfway_between_what_a_client_keeps_and_what_it_was_sent(
    setting, monkeypatch
):
    monkeypatch.setattr(STRATEGIES["corners"], "choose", lambda *_: "half")
    config = with_strategy(setting, "corners", rounds=1)
    [summary] = run(config)
    client = Client(RunConfig(summary.run, "corners", config, run_folder(summary.run)), 1)
    shared = checkpoints.read_shared(run_folder(summary.run), 1)
    own = checkpoints.read_personal(run_folder(summary.run), 1, 1)
    assert own and all(factor_of(name) == B for name in own)
    deployed = client.factors("personal", shared, 1)
    for name, value in deployed.items():
        expected = (own[name] + shared[name]) / 2 if name in own else shared[name]
        torch.testing.assert_close(value, expected)
    start = client.job(Phase(), shared, 2, 0).factors
    for name, value in deployed.items():
        torch.testing.assert_close(start[name], value)


def test_corners_holds_rows_out_only_while_it_chooses(setting):
    config = with_strategy(setting, "corners", rounds=5)
    client = Client(RunConfig(1, "corners", config, run_folder(1)), 2)
    train = client.context.sets.get(2, "train")
    held, kept = client.rows_to_decide_by(2), client.rows_to_train_on(2)
    assert len(held) == round(0.2 * len(train)) and len(held) + len(kept) == len(train)
    rows = [tuple(row.tolist()) for part in (held, kept) for row in part.features.flatten(1)[:, :9]]
    assert sorted(rows) == sorted(
        tuple(row.tolist()) for row in train.features.flatten(1)[:, :9]
    ), "each row is in one of the two"
    assert len(client.rows_to_train_on(3)) == len(train)
    rule = STRATEGIES["corners"]()
    assert [rule.decides(r, 5) for r in (1, 2, 3, 4, 5)] == [True, True, False, False, False]
    assert rule.decides(1, 1)


@pytest.mark.parametrize("clip", [0.0, 1.0])
def test_votes_travel_with_the_factors_unless_what_is_sent_is_clipped(clip, setting, monkeypatch):
    wire = record_wire(monkeypatch)
    config = with_strategy(setting, "corners", rounds=4, privacy={"clip": clip})
    [summary] = run(config)
    rounds = by_round(wire, config)
    sent = [[up["corners.votes"] for _, up in ups] for _, ups in rounds]
    assert not np.any(sent[0]), "nobody has chosen before the first round"
    later = [vote for votes in sent[1:] for vote in votes]
    assert all(vote[0] == (not clip) for vote in later)
    assert np.any(later) == (not clip)
    down = rounds[2][0]["corners.votes"]
    total = sum(n for n, _ in rounds[1][1])
    mean = sum(n / total * up["corners.votes"] for n, up in rounds[1][1])
    np.testing.assert_allclose(down, mean, rtol=1e-5)
    assert {row.corner for row in reads.client_corners(summary.run)} <= set(CORNERS)
