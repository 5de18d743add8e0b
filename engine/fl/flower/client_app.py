"""The ClientApp. A client trains on a train message and tests on an evaluate message.

Testing has a message of its own so that a round's scores are known when the round ends, not once
the next one has been trained. A runtime that starts a process, and so loads the model, for every
message (Flower's Deployment Runtime) would rather let it ride on the next train message: what a
reply says of tests is the same record either way. The ``…_together`` functions answer the messages
of many clients at once; a single client is a cohort of one.
"""

from __future__ import annotations

from collections.abc import Sequence

from flwr.app import Array, ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from engine.adapters.adapter import Adapter
from engine.fl.client import Client
from engine.fl.cohort import Cohort
from engine.fl.evaluation import Score, WrittenAnswer
from engine.fl.flower.messages import arrays_of
from engine.fl.flower.records import to_columns
from engine.fl.run_config import RunConfig
from engine.vlm.lora import Factors

app = ClientApp()


@app.query()
def introduce(message: Message, context: Context) -> Message:
    """Tell which client this node is: node ids are random on some runtimes."""
    who = MetricRecord({"partition-id": _client(context)})
    return Message(RecordDict({"metrics": who}), reply_to=message)


@app.train()
def train(message: Message, context: Context) -> Message:
    """Train one round, send the shared factors."""
    return train_together([message], [context])[0]


@app.evaluate()
def evaluate(message: Message, context: Context) -> Message:
    """Score the model as a round left it; where asked to, answer the own test set as well."""
    return evaluate_together([message], [context])[0]


def train_together(messages: Sequence[Message], contexts: Sequence[Context]) -> list[Message]:
    """Reply to the train messages of one round."""
    cohort, round_ = _cohort(messages, contexts)
    cohort.make_ready("train")
    replies = []
    work = zip(messages, cohort.clients, cohort.train(round_), strict=True)
    for message, client, trained in work:
        metrics: dict[str, int | float | list[int] | list[float]] = {
            "partition-id": client.number,
            "num-examples": trained.samples,
            "loss": trained.loss,
            "seconds": trained.seconds,
            "drift-a": trained.drift_a,
            "drift-b": trained.drift_b,
        }
        content = RecordDict(
            {"arrays": to_arrays(trained.shared), "metrics": MetricRecord(metrics)}
        )
        replies.append(Message(content, reply_to=message))
    return replies


def evaluate_together(messages: Sequence[Message], contexts: Sequence[Context]) -> list[Message]:
    """Reply to the evaluate messages after one round."""
    cohort, after = _cohort(messages, contexts)
    cohort.make_ready("test")
    if messages[0].content["config"]["answers"]:
        results = cohort.final(after)
    else:
        results = [(scores, []) for scores in cohort.scores(after)]
    replies = []
    for message, client, (scores, answers) in zip(messages, cohort.clients, results, strict=True):
        content = RecordDict(
            {
                "metrics": MetricRecord({"partition-id": client.number}),
                "scores": to_columns(Score, scores),
                "answers": to_columns(WrittenAnswer, answers),
            }
        )
        replies.append(Message(content, reply_to=message))
    return replies


def _cohort(messages: Sequence[Message], contexts: Sequence[Context]) -> tuple[Cohort, int]:
    """Return the clients that these messages of one run and round are for, and the round."""
    run = RunConfig.of(contexts[0])
    clients = [Client(run, _client(context)) for context in contexts]
    settings = [message.content.config_records["config"] for message in messages]
    groups = [int(str(setting["group"])) for setting in settings]
    records = {n: arrays_of(m) for n, m in zip(groups, messages, strict=True)}
    shared = {group: to_factors(record) for group, record in records.items()}
    return Cohort(clients, groups, shared), int(str(settings[0]["server-round"]))


def to_arrays(factors: Factors) -> ArrayRecord:
    """Return factors as Flower sends them."""
    return ArrayRecord({name: Array(tensor.numpy()) for name, tensor in factors.items()})


def to_factors(arrays: ArrayRecord) -> Factors:
    """Return factors as torch uses them."""
    return Adapter(arrays.to_torch_state_dict())


def _client(context: Context) -> int:
    return int(context.node_config["partition-id"])
