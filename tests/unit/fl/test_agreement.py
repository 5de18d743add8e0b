"""The aggregation error is that of the dense formula, and is found without a dense matrix."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from engine.adapters.adapter import DELTA_A, DELTA_B, Adapter
from engine.fl.agreement import agreement
from engine.strategies import STRATEGIES


def drawn(layers: int, d_in: int, d_out: int, rank: int, seed: int) -> Adapter:
    generator = np.random.default_rng(seed)
    names = [f"{k}.q_proj" for k in range(layers)]
    a = [generator.normal(size=(rank, d_in)).astype(np.float32) for _ in names]
    b = [generator.normal(size=(d_out, rank)).astype(np.float32) for _ in names]
    return Adapter.of_layers(names, a, b)


def dense(model: Adapter, layer: str, scale: float) -> np.ndarray:
    whole = scale * model.b(layer).astype(np.float64) @ model.a(layer)
    delta = model.delta(layer)
    return whole if delta is None else whole + delta[0].astype(np.float64) @ delta[1]


@pytest.mark.parametrize("key", ["fedit", "fedex"])
@pytest.mark.parametrize(("clients", "d_in"), [(3, 40), (9, 20)])  # narrow and wide sums
def test_the_error_is_that_of_the_dense_formula(key, clients, d_in):
    received = drawn(2, d_in, 30, 4, 0)
    extra = drawn(2, d_in, 30, 3, 99)
    for layer in extra.layers():
        received |= Adapter.of_layers([layer], [extra.a(layer)], [extra.b(layer)],
                                      (DELTA_A, DELTA_B))  # fmt: skip
    sent = [drawn(2, d_in, 30, 4, k + 1) for k in range(clients)]
    weights = np.arange(1.0, clients + 1) / np.arange(1.0, clients + 1).sum()
    merged = STRATEGIES[key]().merge(sent, weights, received, 0.5, 4)
    found = agreement(STRATEGIES[key](), 0.5, received, sent, weights, received | merged)
    squares = 0.0
    for layer in received.layers():
        mean = sum(
            w * dense(received | own, layer, 0.5) for w, own in zip(weights, sent, strict=True)
        )
        squares += np.square(dense(received | merged, layer, 0.5) - mean).sum()
    size = np.linalg.norm(mean)
    assert found.aggregation_error == pytest.approx(squares**0.5, rel=1e-6, abs=1e-6 * size)
    assert (found.aggregation_error < 1e-4) == (key == "fedex")


def test_a_large_layer_is_never_made_dense():
    received, sent = drawn(4, 800, 800, 4, 0), [drawn(4, 800, 800, 4, k) for k in (1, 2)]
    merged = STRATEGIES["fedit"]().merge(sent, np.array([0.5, 0.5]), received, 1.0, 4)
    tracemalloc.start()
    agreement(STRATEGIES["fedit"](), 1.0, received, sent, np.array([0.5, 0.5]), received | merged)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8 * 800 * 800 / 2, "half of one layer's matrix in float64"


def test_nothing_is_wrong_where_the_server_has_the_mean():
    received = drawn(2, 20, 30, 4, 0)
    sent = [drawn(2, 20, 30, 4, k).only("lora_B") for k in (1, 2, 3)]
    weights = np.array([0.5, 0.2, 0.3])
    merged = STRATEGIES["ffa"]().merge(sent, weights, received, 1.5, 4)
    size = sum(np.square(dense(merged, layer, 1.5)).sum() for layer in merged.layers()) ** 0.5
    error = agreement(STRATEGIES["ffa"](), 1.5, received, sent, weights, merged).aggregation_error
    assert error < 1e-6 * size


def test_clients_of_lower_ranks_count_with_what_they_have():
    received, sent = drawn(2, 20, 30, 4, 0), [drawn(2, 20, 30, rank, rank) for rank in (1, 4, 2)]
    weights = np.array([0.5, 0.2, 0.3])
    squares = 0.0
    for layer in received.layers():
        mean = sum(w * dense(own, layer, 1.5) for w, own in zip(weights, sent, strict=True))
        squares += np.square(dense(received, layer, 1.5) - mean).sum()
    found = agreement(STRATEGIES["hetlora"](), 1.5, received, sent, weights, received)
    assert found.aggregation_error == pytest.approx(squares**0.5, rel=1e-9)


def test_cosines_are_of_what_clients_changed():
    received = Adapter({"x.lora_A": np.zeros((1, 2)), "x.lora_B": np.ones((2, 1))})
    first = Adapter({"x.lora_A": np.array([[1.0, 0.0]]), "x.lora_B": np.array([[2.0], [1.0]])})
    second = Adapter({"x.lora_A": np.array([[0.0, 3.0]]), "x.lora_B": np.array([[5.0], [1.0]])})
    found = agreement(
        STRATEGIES["fedit"](), 1.0, received, [first, second], np.array([0.5, 0.5]), received
    )
    assert found.cosine_a == pytest.approx(0) and found.cosine_b == pytest.approx(1)
    alone = agreement(STRATEGIES["fedit"](), 1.0, received, [first], np.array([1.0]), received)
    assert alone.cosine_a is None and alone.cosine_b is None
