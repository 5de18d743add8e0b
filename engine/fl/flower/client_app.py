"""The ClientApp. A client trains on a train message and tests on an evaluate message.

Testing has a message of its own so that a round's scores are known when the round ends, not once
the next one has been trained. A runtime that starts a process, and so loads the model, for every
message (Flower's Deployment Runtime) would rather let it ride on the next train message: what a
reply says of tests is the same record either way. The ``…_together`` functions answer the messages
of many clients, of several runs, at once; a single client is a cohort of one.
"""

from __future__ import annotations

from collections.abc import Sequence

from flwr.app import Array, ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from engine.adapters.adapter import Adapter
from engine.fl.client import Client
from engine.fl.cohort import Cohort
from engine.fl.cohort_evaluation import evaluate_cohorts
from engine.fl.cohort_training import Trained, train_cohorts
from engine.fl.evaluation import Score, WrittenAnswer
from engine.fl.flower.messages import arrays_of, error_reply, setting_of
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
    return _only(_train([message], [context]))


@app.evaluate()
def evaluate(message: Message, context: Context) -> Message:
    """Score the model as a round left it; where asked to, answer the own test set as well."""
    return _only(_evaluate([message], [context]))


def train_together(messages: Sequence[Message], contexts: Sequence[Context]) -> list[Message]:
    """Reply to train messages of one or more runs of an experiment, each of one round."""
    pairs = zip(messages, _train(messages, contexts), strict=True)
    return [error_reply(r, m) if isinstance(r, Exception) else r for m, r in pairs]


def evaluate_together(messages: Sequence[Message], contexts: Sequence[Context]) -> list[Message]:
    """Reply to evaluate messages of one or more runs of an experiment, each after one round."""
    pairs = zip(messages, _evaluate(messages, contexts), strict=True)
    return [error_reply(r, m) if isinstance(r, Exception) else r for m, r in pairs]


def _only(replies: list[Message | Exception]) -> Message:
    """Return the one reply, or raise what went wrong: each runtime has its own way to say it."""
    [reply] = replies
    if isinstance(reply, Exception):
        raise reply
    return reply


def _train(messages: Sequence[Message], contexts: Sequence[Context]) -> list[Message | Exception]:
    cohorts, places = _cohorts(messages, contexts)
    replies: dict[int, Message | Exception] = {}
    for cohort, own, outcome in zip(cohorts, places, train_cohorts(cohorts), strict=True):
        if isinstance(outcome, Exception):
            replies |= dict.fromkeys(own, outcome)
            continue
        for place, client, trained in zip(own, cohort.clients, outcome, strict=True):
            replies[place] = Message(_trained(client, trained), reply_to=messages[place])
    return [replies[place] for place in range(len(messages))]


def _trained(client: Client, trained: Trained) -> RecordDict:
    metrics: dict[str, int | float | list[int] | list[float]] = {
        "partition-id": client.number,
        "num-examples": trained.samples,
        "loss": trained.loss,
        "seconds": trained.seconds,
        "drift-a": trained.drift_a,
        "drift-b": trained.drift_b,
    }
    return RecordDict({"arrays": to_arrays(trained.shared), "metrics": MetricRecord(metrics)})


def _evaluate(
    messages: Sequence[Message], contexts: Sequence[Context]
) -> list[Message | Exception]:
    cohorts, places = _cohorts(messages, contexts)
    answers = [bool(setting_of(messages[own[0]], "answers")) for own in places]
    replies: dict[int, Message | Exception] = {}
    outcomes = evaluate_cohorts(cohorts, answers)
    for cohort, own, outcome in zip(cohorts, places, outcomes, strict=True):
        if isinstance(outcome, Exception):
            replies |= dict.fromkeys(own, outcome)
            continue
        for place, client, (scores, written) in zip(own, cohort.clients, outcome, strict=True):
            content = RecordDict(
                {
                    "metrics": MetricRecord({"partition-id": client.number}),
                    "scores": to_columns(Score, scores),
                    "answers": to_columns(WrittenAnswer, written),
                }
            )
            replies[place] = Message(content, reply_to=messages[place])
    return [replies[place] for place in range(len(messages))]


def _cohorts(
    messages: Sequence[Message], contexts: Sequence[Context]
) -> tuple[list[Cohort], list[list[int]]]:
    """Return the clients of every run that these messages are for, and the messages' places."""
    of_run: dict[int, list[int]] = {}
    runs = [RunConfig.of(context) for context in contexts]
    for place, run in enumerate(runs):
        of_run.setdefault(run.run, []).append(place)
    cohorts = []
    for places in of_run.values():
        own = [messages[place] for place in places]
        clients = [Client(runs[place], _client(contexts[place])) for place in places]
        groups = [int(str(setting_of(message, "group"))) for message in own]
        records = {n: arrays_of(m) for n, m in zip(groups, own, strict=True)}
        shared = {group: to_factors(record) for group, record in records.items()}
        round_ = int(str(setting_of(own[0], "server-round")))
        cohorts.append(Cohort(clients, groups, shared, round_))
    return cohorts, list(of_run.values())


def to_arrays(factors: Factors) -> ArrayRecord:
    """Return factors as Flower sends them."""
    return ArrayRecord({name: Array(tensor.numpy()) for name, tensor in factors.items()})


def to_factors(arrays: ArrayRecord) -> Factors:
    """Return factors as torch uses them."""
    return Adapter(arrays.to_torch_state_dict())


def _client(context: Context) -> int:
    return int(context.node_config["partition-id"])
