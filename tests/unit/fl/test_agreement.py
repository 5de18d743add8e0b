"""What averaging gets wrong, against the dense matrices, and how far clients agree, by hand."""

import numpy as np
import pytest

from engine.adapters.products import Arrays, effective
from engine.fl import agreement as module
from engine.fl.agreement import agreement
from engine.strategies import STRATEGIES

SHAPES = {"narrow": (5, 7), "wide": (300, 200)}
SCALE = 1.5


def adapter(rng: np.random.Generator, rank: int, *, delta: bool = False) -> Arrays:
    factors = Arrays()
    for layer, (d_out, d_in) in SHAPES.items():
        factors[f"{layer}.lora_A"] = rng.normal(size=(rank, d_in)).astype(np.float32)
        factors[f"{layer}.lora_B"] = rng.normal(size=(d_out, rank)).astype(np.float32)
        if delta:
            factors[f"{layer}.offset"] = rng.normal(size=(d_out, d_in)).astype(np.float32)
    return factors


@pytest.mark.parametrize("ranks", [(4, 4, 4), (1, 4, 2)])
@pytest.mark.parametrize("delta", [False, True])
def test_the_error_is_that_of_the_dense_matrices(ranks, delta):
    rng = np.random.default_rng(0)
    received, merged = adapter(rng, 4), adapter(rng, 4, delta=delta)
    sent = [adapter(rng, rank) for rank in ranks]
    weights = np.array([0.5, 0.2, 0.3])
    missed = effective(merged, SCALE)
    for own, weight in zip(sent, weights, strict=True):
        for layer, value in effective(received | own, SCALE).items():
            missed[layer] = missed[layer] - weight * value
    dense = np.sqrt(sum(np.square(value).sum() for value in missed.values()))
    found = agreement(STRATEGIES["fedit"](), SCALE, received, sent, weights, merged)
    assert found.aggregation_error == pytest.approx(dense, rel=1e-9) and dense > 1


def test_nothing_is_wrong_where_the_server_has_the_mean():
    rng = np.random.default_rng(1)
    received = adapter(rng, 4)
    sent = [adapter(rng, 4).only("lora_B") for _ in range(3)]
    weights = np.array([0.5, 0.2, 0.3])
    merged = STRATEGIES["ffa"]().merge(sent, weights, received, SCALE, 4)
    size = np.sqrt(sum(np.square(v).sum() for v in effective(merged, SCALE).values()))
    error = agreement(STRATEGIES["ffa"](), SCALE, received, sent, weights, merged).aggregation_error
    assert error < 1e-6 * size


def test_no_matrix_of_a_layers_size_is_made_where_factors_are_thin(monkeypatch):
    shapes = []
    square = np.square
    monkeypatch.setattr(module.np, "square", lambda x: shapes.append(x.shape) or square(x))
    rng = np.random.default_rng(2)
    sent = [adapter(rng, 4) for _ in range(3)]
    agreement(STRATEGIES["fedit"](), 1.0, sent[0], sent, np.full(3, 1 / 3), sent[1])
    assert (16, 16) in shapes and (300, 200) not in shapes


def test_cosines_are_of_what_clients_changed():
    received = Arrays({"x.lora_A": np.zeros((1, 2)), "x.lora_B": np.ones((2, 1))})
    first = Arrays({"x.lora_A": np.array([[1.0, 0.0]]), "x.lora_B": np.array([[2.0], [1.0]])})
    second = Arrays({"x.lora_A": np.array([[0.0, 3.0]]), "x.lora_B": np.array([[5.0], [1.0]])})
    found = agreement(
        STRATEGIES["fedit"](), 1.0, received, [first, second], np.array([0.5, 0.5]), received
    )
    assert found.cosine_a == pytest.approx(0) and found.cosine_b == pytest.approx(1)
    alone = agreement(STRATEGIES["fedit"](), 1.0, received, [first], np.array([1.0]), received)
    assert alone.cosine_a is None and alone.cosine_b is None
