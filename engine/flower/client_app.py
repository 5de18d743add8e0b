"""The ClientApp. One train message makes a client test what it was sent, then train and reply.

Testing rides on the train message because Flower's Deployment Runtime starts a process, and so
loads the model, for every message.
"""

from __future__ import annotations

from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from engine.evaluation import Score
from engine.flower.run_config import RunConfig
from engine.flower.site import Factors, Site

app = ClientApp()


@app.query()
def introduce(message: Message, context: Context) -> Message:
    """Tell which client this node is: node ids are random on some runtimes."""
    who = MetricRecord({"partition-id": _client(context)})
    return Message(RecordDict({"metrics": who}), reply_to=message)


@app.train()
def train(message: Message, context: Context) -> Message:
    """Score the model as the round before left it, train one round, send the shared factors."""
    site = Site(RunConfig.of(context), _client(context))
    round_ = int(message.content["config"]["server-round"])
    shared = to_factors(message.content["arrays"])
    scores = site.evaluate(shared, after_round=round_ - 1, with_base=round_ == 1)
    trained = site.train(shared, round_)
    metrics = {
        "partition-id": site.client,
        "num-examples": trained.samples,
        "loss": trained.loss,
        "seconds": trained.seconds,
    }
    content = RecordDict(
        {
            "arrays": to_arrays(trained.shared),
            "metrics": MetricRecord(metrics),
            "evaluation": pack_scores(scores),
        }
    )
    return Message(content, reply_to=message)


@app.evaluate()
def evaluate(message: Message, context: Context) -> Message:
    """Score every variant after the last round, and answer the own test set with each."""
    site = Site(RunConfig.of(context), _client(context))
    after = int(message.content["config"]["server-round"])
    shared = to_factors(message.content["arrays"])
    content = RecordDict(
        {
            "metrics": MetricRecord({"partition-id": site.client}),
            "evaluation": pack_scores(site.evaluate(shared, after, with_base=True)),
        }
    )
    for variant, answers in site.answers(shared, after).items():
        content[f"answers.{variant}"] = ConfigRecord(
            {
                "text": [answer.text for answer in answers],
                "confidence": [answer.confidence for answer in answers],
            }
        )
    return Message(content, reply_to=message)


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
