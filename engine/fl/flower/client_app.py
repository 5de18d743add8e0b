"""The ClientApp. A client trains on a train message and tests on an evaluate message.

Testing has a message of its own so that a round's scores are known when the round ends, not once
the next one has been trained. A runtime that starts a process, and so loads the model, for every
message (Flower's Deployment Runtime) would rather let it ride on the next train message: what a
reply says of tests is the same record either way. The ``…_together`` functions answer the messages
of many clients, of several runs, at once; a single client is a cohort of one.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from flwr.app import Array, ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.clientapp.typing import ClientAppCallable

from engine.adapters.adapter import Adapter
from engine.fl import asking
from engine.fl.client import Client
from engine.fl.cohort import Cohort
from engine.fl.cohort_evaluation import evaluate_cohorts
from engine.fl.cohort_training import Trained, train_cohorts
from engine.fl.evaluation import Score, WrittenAnswer
from engine.fl.flower.messages import arrays_of, error_reply, setting_of
from engine.fl.flower.packing import pack, unpack
from engine.fl.flower.records import Trouble, to_columns
from engine.fl.interruption import StopRequested
from engine.fl.run_config import RunConfig
from engine.vlm.lora import Factors

log = logging.getLogger(__name__)


def of_its_run(message: Message, context: Context, call_next: ClientAppCallable) -> Message:
    """Answer for the run that a message is about; a fault travels, in the same words everywhere.

    On Flower's own engines one Flower run serves all runs of an experiment, and arrays travel as
    one. A node may have a ``home`` of its own for what its client keeps.
    """
    run = message.content.config_records.get("run")
    if run is not None:
        message.content = unpack(message.content)
        values = context.run_config | {key: str(value) for key, value in run.items()}
        if home := context.node_config.get("home"):
            values["folder"] = str(Path(str(home)) / "runs" / str(run["run"]))
        own = (context.run_id, context.node_id, context.node_config, context.state, values)
        context = Context(*own)
    try:
        reply = call_next(message, context)
    except StopRequested:
        raise
    except Exception as fault:
        log.exception("a client failed")
        return error_reply(fault, message)
    if run is not None:
        reply.content = pack(reply.content)
    return reply


app = ClientApp(mods=[of_its_run])


@app.query()
def introduce(message: Message, context: Context) -> Message:
    """Tell which client this node is: node ids are random on some runtimes."""
    who = MetricRecord({"partition-id": _client(context)})
    return Message(RecordDict({"metrics": who}), reply_to=message)


@app.query("account")
def account(message: Message, context: Context) -> Message:
    """Tell in numbers what data this client has."""
    client = Client(_run(context), _client(context))
    dataset = client.context.dataset
    profile, problems = dataset.profile(client.number), dataset.account.problems
    counts: dict[str, int | float | list[int] | list[float]] = {
        "partition-id": client.number,
        "train-samples": profile.train_samples,
        "test-samples": profile.test_samples,
        "answers": len(profile.answers),
    }
    found = to_columns(Trouble, [Trouble(p.kind, p.count, p.left_out) for p in problems])
    content = RecordDict({"metrics": MetricRecord(counts), "problems": found})
    return Message(content, reply_to=message)


@app.train()
def train(message: Message, context: Context) -> Message:
    """Train one round, send the shared factors."""
    return train_together([message], [context])[0]


@app.evaluate()
def evaluate(message: Message, context: Context) -> Message:
    """Score the model as a round left it; where asked to, answer the own test set as well."""
    return evaluate_together([message], [context])[0]


@app.query("ask")
def ask(message: Message, context: Context) -> Message:
    """Answer a question about a picture; the personal factors that answer stay here."""
    return ask_together([message], [context])[0]


def train_together(messages: Sequence[Message], contexts: Sequence[Context]) -> list[Message]:
    """Reply to train messages of runs of an experiment, run after run, each of one round."""
    parts = _cohorts(messages, contexts)
    outcomes = train_cohorts([cohort for cohort, _ in parts])
    return [
        Message(_trained(client, trained), reply_to=message)
        for (cohort, own), outcome in zip(parts, outcomes, strict=True)
        for message, client, trained in zip(own, cohort.clients, outcome, strict=True)
    ]


def evaluate_together(messages: Sequence[Message], contexts: Sequence[Context]) -> list[Message]:
    """Reply to evaluate messages of runs of an experiment, run after run, each after one round."""
    parts = _cohorts(messages, contexts)
    answers = [bool(setting_of(own[0], "answers")) for _, own in parts]
    outcomes = evaluate_cohorts([cohort for cohort, _ in parts], answers)
    return [
        Message(_tested(client, *tested), reply_to=message)
        for (cohort, own), outcome in zip(parts, outcomes, strict=True)
        for message, client, tested in zip(own, cohort.clients, outcome, strict=True)
    ]


def ask_together(messages: Sequence[Message], contexts: Sequence[Context]) -> list[Message]:
    """Reply to questions to clients of runs of an experiment, all to be answered or looked at."""
    inquiries = [_inquiry(*pair) for pair in zip(messages, contexts, strict=True)]
    looking = bool(setting_of(messages[0], "looking"))
    found = asking.glances(inquiries) if looking else asking.answers(inquiries)
    kind = asking.Glance if looking else asking.Said
    replies = []
    for message, inquiry, rows in zip(messages, inquiries, found, strict=True):
        who = MetricRecord({"partition-id": inquiry.client.number})
        said = {} if rows is None else {"answers": to_columns(kind, rows)}
        replies.append(Message(RecordDict({"metrics": who, **said}), reply_to=message))
    return replies


def _inquiry(message: Message, context: Context) -> asking.Inquiry:
    records = message.content.config_records
    image: Any = records["image"]
    variants: Any = records["config"]["variants"]
    shape = (image["height"], image["width"], 3)
    return asking.Inquiry(
        Client(_run(context), _client(context)),
        to_factors(arrays_of(message)),
        int(str(setting_of(message, "server-round"))),
        variants,
        np.frombuffer(image["rgb"], np.uint8).reshape(shape),
        str(records["question"]["text"]),
    )


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


def _tested(
    client: Client, scores: Sequence[Score], answers: Sequence[WrittenAnswer]
) -> RecordDict:
    if client.context.dataset.stays:  # the server has no questions that they would be about
        scores, answers = [score for score in scores if score.scope == "own"], []
    return RecordDict(
        {
            "metrics": MetricRecord({"partition-id": client.number}),
            "scores": to_columns(Score, scores),
            "answers": to_columns(WrittenAnswer, answers),
        }
    )


def _cohorts(
    messages: Sequence[Message], contexts: Sequence[Context]
) -> list[tuple[Cohort, list[Message]]]:
    """Return the clients of every run that these messages are for, with the run's messages."""
    parts = []
    pairs = zip(messages, contexts, strict=True)
    for run, of_run in groupby(pairs, key=lambda pair: _run(pair[1])):
        own, nodes = zip(*of_run, strict=True)
        clients = [Client(run, _client(node)) for node in nodes]
        groups = [int(str(setting_of(message, "group"))) for message in own]
        records = {n: arrays_of(m) for n, m in zip(groups, own, strict=True)}
        shared = {group: to_factors(record) for group, record in records.items()}
        round_ = int(str(setting_of(own[0], "server-round")))
        parts.append((Cohort(clients, groups, shared, round_), list(own)))
    return parts


def to_arrays(factors: Factors) -> ArrayRecord:
    """Return factors as Flower sends them."""
    return ArrayRecord({name: Array(tensor.numpy()) for name, tensor in factors.items()})


def to_factors(arrays: ArrayRecord) -> Factors:
    """Return factors as torch uses them."""
    return Adapter(arrays.to_torch_state_dict())


def _run(context: Context) -> RunConfig:
    return RunConfig.of(context).at(context.node_config)


def _client(context: Context) -> int:
    return int(context.node_config["partition-id"])
