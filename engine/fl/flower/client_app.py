"""The ClientApp. A client trains on a train message and tests on an evaluate message.

Testing has a message of its own so that a round's scores are known when the round ends, not once
the next one has been trained. A runtime that starts a process, and so loads the model, for every
message (Flower's Deployment Runtime) would rather let it ride on the next train message: what a
reply says of tests is the same record either way. The ``…_together`` functions answer the messages
of many clients at once; a single client is a cohort of one.
"""

from __future__ import annotations

from collections.abc import Sequence

from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from engine.adapters.factors import A, B
from engine.fl.client import Client
from engine.fl.cohort import Cohort
from engine.fl.evaluation import Score
from engine.fl.run_config import RunConfig
from engine.vlm.multi_lora.stacked import Factors

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
    """The replies to train messages of one round."""
    cohort, round_ = _cohort(messages, contexts)
    cohort.make_ready("train")
    replies = []
    for message, site, trained in zip(messages, cohort.sites, cohort.train(round_), strict=True):
        metrics = {
            "partition-id": site.number,
            "num-examples": trained.samples,
            "loss": trained.loss,
            "seconds": trained.seconds,
            "drift-a": trained.drift[A],
            "drift-b": trained.drift[B],
        }
        content = RecordDict(
            {"arrays": to_arrays(trained.shared), "metrics": MetricRecord(metrics)}
        )
        replies.append(Message(content, reply_to=message))
    return replies


def evaluate_together(messages: Sequence[Message], contexts: Sequence[Context]) -> list[Message]:
    """The replies to evaluate messages after one round."""
    cohort, after = _cohort(messages, contexts)
    cohort.make_ready("test")
    if messages[0].content["config"]["answers"]:
        found = cohort.final(after)
    else:
        found = [(scores, {}) for scores in cohort.scores(after)]
    replies = []
    for message, site, (scores, answers) in zip(messages, cohort.sites, found, strict=True):
        content = RecordDict(
            {
                "metrics": MetricRecord({"partition-id": site.number}),
                "evaluation": pack_scores(scores),
            }
        )
        for variant, written in answers.items():
            content[f"answers.{variant}"] = ConfigRecord(
                {
                    "text": [answer.text for answer in written],
                    "confidence": [answer.confidence for answer in written],
                }
            )
        replies.append(Message(content, reply_to=message))
    return replies


def _cohort(messages: Sequence[Message], contexts: Sequence[Context]) -> tuple[Cohort, int]:
    """The clients that these messages of one run and round are for, and the round."""
    run = RunConfig.of(contexts[0])
    sites = [Client(run, _client(context)) for context in contexts]
    records = {id(m.content["arrays"]): m.content["arrays"] for m in messages}
    factors = {key: to_factors(record) for key, record in records.items()}
    shared = [factors[id(message.content["arrays"])] for message in messages]
    return Cohort(sites, shared), int(messages[0].content["config"]["server-round"])


def to_arrays(factors: Factors) -> ArrayRecord:
    """Factors as Flower sends them."""
    return ArrayRecord({name: Array(tensor.numpy()) for name, tensor in factors.items()})


def to_factors(arrays: ArrayRecord) -> Factors:
    """Factors as torch uses them."""
    return dict(arrays.to_torch_state_dict())


def pack_scores(scores: dict[tuple[str, str], Score]) -> MetricRecord:
    """Scores as ``variant.scope`` -> [loss, accuracy, samples]."""
    return MetricRecord(
        {
            f"{variant}.{scope}": [found.loss, found.accuracy, float(found.samples)]
            for (variant, scope), found in scores.items()
        }
    )


def unpack_scores(record: MetricRecord) -> dict[tuple[str, str], Score]:
    """The inverse of ``pack_scores``."""
    return {
        tuple(key.split(".")): Score(loss, accuracy, int(samples))
        for key, (loss, accuracy, samples) in record.items()
    }


def _client(context: Context) -> int:
    return int(context.node_config["partition-id"])
