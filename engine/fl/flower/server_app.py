"""The ServerApp: rounds of a strategy, each one on disk and in the database before the next begins.

A round trains, averages, and has the result tested at once, so that it is whole when it is
committed. Flower's own ``Strategy.start`` would run the same messages; this loop adds resuming,
stopping, and the commit after every round.
"""

from __future__ import annotations

import time
from dataclasses import asdict

import torch
from flwr.app import ArrayRecord, ConfigRecord, Context, Message, RecordDict
from flwr.serverapp import Grid, ServerApp

from db import reads, writes
from db.tables import Round
from engine.adapters.adapter import Adapter
from engine.config import SITES
from engine.fl import checkpoints
from engine.fl.agreement import Agreement, agreement
from engine.fl.context import context_of
from engine.fl.flower.client_app import to_arrays, to_factors
from engine.fl.flower.ledger import Ledger
from engine.fl.flower.messages import (
    ACCOUNT,
    ClientFailed,
    arrays_of,
    client_of,
    require_success,
    to_numpy,
    weights_of,
)
from engine.fl.flower.recorder import Recorder
from engine.fl.flower.strategy import LoraStrategy
from engine.fl.interruption import StopRequested
from engine.fl.privacy import budget_in_words, spends
from engine.fl.run_config import RunConfig

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Train from the last committed round to the end, or to a request to stop; then get answers."""
    run, ledger = RunConfig.of(context), Ledger()
    try:
        _run_rounds(grid, Recorder(run, ledger), run)
    finally:  # what is let go has crossed, too
        writes.save_crossings(ledger.take(run.run))


def _run_rounds(grid: Grid, recorder: Recorder, run: RunConfig) -> None:
    nodes = _meet_clients(grid, recorder)
    if run.config.dataset == SITES:
        asked = [Message(RecordDict(), message_type=ACCOUNT, dst_node_id=n) for n in nodes.values()]
        recorder.save_accounts(require_success(_exchange(grid, recorder, asked)))
    strategy = LoraStrategy(run.strategy, run.config, nodes, run.resolved)
    row = reads.run(run.run)
    last, arrays = row.rounds_done, _arrays_after(run, row.rounds_done)
    for round_ in range(last + 1, row.rounds + 1):
        is_last = round_ == row.rounds
        try:
            if reads.stop_requested(run.run):
                break
            if round_ == 1:  # by itself, so that the first points need not wait for training
                recorder.save_scores(0, _tested(grid, strategy, recorder, 0, arrays))
            arrays = _one_round(grid, strategy, recorder, round_, arrays, is_last=is_last)
        except StopRequested:  # what is not committed is let go
            break
        last = round_
    if last == row.rounds and (spent := budget_in_words(run.config)) and spends(run.strategy):
        writes.add_event(run.run, f"Ends after round {last}: {spent}.")
    recorder.save_final(last, _tested(grid, strategy, recorder, last, arrays, answers=True))


def _one_round(
    grid: Grid,
    strategy: LoraStrategy,
    recorder: Recorder,
    round_: int,
    arrays: ArrayRecord,
    *,
    is_last: bool,
) -> ArrayRecord:
    start = time.perf_counter()
    messages = list(strategy.configure_train(round_, arrays, ConfigRecord(), grid))
    replies = _exchange(grid, recorder, messages)
    arrays = strategy.aggregate_train(round_, replies)[0]
    agreed = _agreement(strategy, recorder.run, require_success(replies), arrays)
    checkpoints.write(checkpoints.server_path(recorder.run.folder, round_), to_factors(arrays))
    # After the last round all are tested, with answers; twice would be once too often.
    tested = [] if is_last else _tested(grid, strategy, recorder, round_, arrays)
    if missed := strategy.dropped_out(round_):
        writes.add_event(recorder.run.run, f"Round {round_}: {missed} dropped out.")
    row = Round(
        run_id=recorder.run.run,
        round=round_,
        seconds=time.perf_counter() - start,
        epsilon=strategy.epsilon(round_),
        **asdict(agreed),
    )
    recorder.save_round(row, messages, replies, tested)
    checkpoints.prune(recorder.run.folder, "server", newest=round_)
    return arrays


def _tested(
    grid: Grid,
    strategy: LoraStrategy,
    recorder: Recorder,
    round_: int,
    arrays: ArrayRecord,
    *,
    answers: bool = False,
) -> list[Message]:
    """Return what clients make of the model after a round, with their answers if asked for."""
    config = ConfigRecord({"answers": answers})
    messages = list(strategy.configure_evaluate(round_, arrays, config, grid))
    replies = _exchange(grid, recorder, messages)
    strategy.aggregate_evaluate(round_, replies)
    return replies


def _agreement(
    strategy: LoraStrategy, run: RunConfig, replies: list[Message], merged: ArrayRecord
) -> Agreement:
    initial = context_of(run.config, run.resolved).initial
    start = Adapter({name: value.numpy() for name, value in initial.items()})
    return agreement(
        strategy.rule,
        run.config.lora.scale,
        start | to_numpy(strategy.sent),
        [to_numpy(arrays_of(reply)) for reply in replies],
        weights_of(replies),
        start | to_numpy(merged),
    )


def _exchange(grid: Grid, recorder: Recorder, messages: list[Message]) -> list[Message]:
    """Send, wait and count; raises ClientFailed when somebody is silent: no partial mean passes."""
    recorder.ledger.sent(messages)
    replies = list(grid.send_and_receive(messages))
    recorder.ledger.received(replies)
    if len(replies) < len(messages):
        raise ClientFailed(f"only {len(replies)} of {len(messages)} clients answered")
    return replies


def _meet_clients(grid: Grid, recorder: Recorder) -> dict[int, int]:
    """Return the node of each client."""
    questions = [
        Message(RecordDict(), message_type="query", dst_node_id=node)
        for node in grid.get_node_ids()
    ]
    nodes: dict[int, int] = {}
    for reply in _exchange(grid, recorder, questions):
        if reply.has_error():
            raise ClientFailed(reply.error.reason or "a client could not start")
        nodes[client_of(reply)] = reply.metadata.src_node_id
    return nodes


def _arrays_after(run: RunConfig, round_: int) -> ArrayRecord:
    """Return the shared factors after a committed round; at the start, the common initial ones."""
    if round_ > 0:
        return to_arrays(checkpoints.read(checkpoints.server_path(run.folder, round_)))
    initial = context_of(run.config, run.resolved).initial
    checkpoints.write(checkpoints.initial_path(run.folder), initial)
    extras = {name: torch.from_numpy(v) for name, v in run.strategy.extras().items()}
    return to_arrays(initial.where(run.strategy.is_shared) | extras)
