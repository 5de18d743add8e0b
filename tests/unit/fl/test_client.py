"""A client's own part: towards what it is pulled, and how far it says that it has moved."""

import pytest
import torch

from db import reads
from engine.adapters.adapter import Adapter
from engine.fl import checkpoints
from engine.fl.client import Client
from engine.fl.context import context_of
from engine.fl.run_config import RunConfig
from engine.paths import run_folder
from tests.helpers.runs import changed, run


def test_dittos_personal_adapter_starts_where_it_was_and_is_pulled_to_the_shared_one(
    tiny, tmp_path
):
    config = changed(tiny, strategies=["ditto"], ditto={"lam": 0.3})
    client = Client(RunConfig(0, "ditto", config, tmp_path), 1)
    initial = client.context.initial
    own = Adapter({name: value + 0.5 for name, value in initial.items()})
    shared = Adapter({name: value - 0.25 for name, value in initial.items()})
    client.keep(own, 1)
    globally, personally = (client.job(phase, shared, 2, 0) for phase in client.phases)
    assert globally.prox_mu == 0 and personally.prox_mu == 0.3
    for name in initial:
        torch.testing.assert_close(globally.factors[name], shared[name])
        torch.testing.assert_close(personally.factors[name], own[name])
        torch.testing.assert_close(personally.prox_center[name], shared[name])


@pytest.mark.parametrize("key", ["fedit", "ditto"])
def test_drift_is_how_far_the_factors_moved_from_what_was_sent(tiny, key):
    """By hand: what a lone client sends is what the server has. Ditto's first phase counts."""
    config = changed(tiny, clients=1, strategies=[key], rounds=2, local_steps=3)
    [summary] = run(config)
    states = [context_of(config).initial]
    states += [
        checkpoints.read(checkpoints.server_path(run_folder(summary.run), round_))
        for round_ in (1, 2)
    ]
    rows = sorted(reads.client_rounds(summary.run), key=lambda row: row.round)
    for row, before, after in zip(rows, states, states[1:], strict=False):
        moved = {
            factor: sum((after[n] - before[n]).square().sum() for n in after if n.endswith(factor))
            for factor in ("lora_A", "lora_B")
        }
        assert row.drift_a == pytest.approx(float(moved["lora_A"]) ** 0.5, rel=1e-4)
        assert row.drift_b == pytest.approx(float(moved["lora_B"]) ** 0.5, rel=1e-4)
        assert row.drift_a != pytest.approx(row.drift_b, rel=1e-3)
