"""The seam to Flower: these fail loudly when a new version changes what we rely on."""

import pytest
from flwr.app import ArrayRecord, Message, MessageType, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Strategy
from flwr.supercore.task_identity import TaskIdentity

from engine.config import ExperimentConfig
from engine.fl.flower.messages import ClientFailed
from engine.fl.flower.strategy import LoraStrategy
from engine.fl.participation import participants
from engine.fl.runtimes.local_grid import LocalGrid
from engine.strategies import STRATEGIES


def echo_app() -> ClientApp:
    app = ClientApp()

    @app.train()
    def train(message, context):
        k = context.node_config["partition-id"]
        if k == 1:
            raise ZeroDivisionError("client one is unwell")
        who = MetricRecord({"partition-id": k, "runs": int(context.run_config["run"])})
        return Message(RecordDict({"metrics": who}), reply_to=message)

    return app


def test_the_private_touch_is_still_there():
    LocalGrid(echo_app(), 1, {})
    assert (TaskIdentity.task_id, TaskIdentity.run_id, TaskIdentity.node_id) == (1, 1, 1)
    message = Message(RecordDict(), message_type=MessageType.TRAIN, dst_node_id=2)
    assert message.metadata.run_id == 1 and message.metadata.src_node_id == 1


def test_local_grid_is_a_grid_and_delivers_to_the_right_client():
    grid = LocalGrid(echo_app(), 3, {"run": 5})
    assert isinstance(grid, Grid)
    nodes = list(grid.get_node_ids())
    messages = [grid.create_message(RecordDict(), MessageType.TRAIN, n, "1") for n in nodes]
    first, broken, third = grid.send_and_receive(messages)
    assert first.content["metrics"] == {"partition-id": 0, "runs": 5}
    assert third.content["metrics"]["partition-id"] == 2
    assert broken.has_error() and "client one is unwell" in broken.error.reason
    ids = list(grid.push_messages(messages[:1]))
    [pulled] = grid.pull_messages(ids)
    assert pulled.content["metrics"]["partition-id"] == 0
    assert list(grid.pull_messages(ids)) == []


@pytest.mark.parametrize("key", STRATEGIES)
def test_strategies_explain_themselves(key):
    strategy = STRATEGIES[key]
    assert strategy.title and strategy.idea.endswith(".")
    assert strategy.shared_factors & strategy.personal_factors or not strategy.two_adapters


def test_participants_are_drawn_from_the_seed_and_change_by_round():
    config = ExperimentConfig(clients=20, participation=0.25, seed=3)
    drawn = [participants(config, r) for r in range(1, 6)]
    assert drawn == [participants(config, r) for r in range(1, 6)]
    assert {len(set(chosen)) for chosen in drawn} == {5}
    assert len({tuple(chosen) for chosen in drawn}) > 1


def test_an_error_reply_is_never_averaged_away():
    grid = LocalGrid(echo_app(), 3, {"run": 1})
    rule, nodes = STRATEGIES["fedit"](), {0: 2, 1: 3, 2: 4}
    strategy = LoraStrategy(rule, ExperimentConfig(clients=3), nodes)
    assert isinstance(strategy, Strategy)
    replies = grid.send_and_receive(strategy.configure_train(1, ArrayRecord(), {}, grid))
    with pytest.raises(ClientFailed, match="unwell"):
        strategy.aggregate_train(1, replies)
