"""A cohort gives what its clients give one after another, and halves itself for want of memory."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace

import pytest
import torch

from db import reads
from engine.adapters.adapter import A, Adapter
from engine.config import ExperimentConfig, Lora
from engine.fl import checkpoints, cohort_training
from engine.fl.context import context_of
from engine.fl.flower import client_app
from engine.fl.runtimes import local, local_grid
from engine.fl.training import Job, train, train_together
from engine.paths import run_folder
from engine.system.seeding import rng
from engine.vlm.lora import as_deltas, initial_factors
from tests.helpers.models import loaded
from tests.helpers.precision import in_double
from tests.helpers.runs import run


def assert_same(one: torch.Tensor, other: torch.Tensor, start: torch.Tensor) -> None:
    """Alike but for rounding, of which AdamW makes a step where a gradient is next to nothing."""
    assert (one - other).norm() <= 0.005 * (one - start).norm()


def one_after_another(monkeypatch) -> None:
    monkeypatch.setattr(local, "_TOGETHER", {})


def jobs(config: ExperimentConfig, steps: list[int], sizes: list[int]) -> list[Job]:
    context = context_of(config)
    found = []
    for k, (n, size) in enumerate(zip(steps, sizes, strict=True)):
        start = context.initial | {}
        for name in start:
            start[name] = start[name] + 0.01 * torch.randn(
                start[name].shape, generator=torch.Generator().manual_seed(k)
            )
        samples = context.sets.get(k % config.clients, "train").select(slice(0, size))
        samples = replace(samples, features=samples.features.to(torch.get_default_dtype()))
        found.append(Job(start, samples, n, rng(0, "batches", k)))
    return found


@pytest.mark.parametrize("trained", ["both", "only A", "only B"])
def test_training_together_is_training_apart(tiny, trained):
    vlm, sets = context_of(tiny).vlm, context_of(tiny).sets
    list(sets.make_ready([(k, "train") for k in range(tiny.clients)]))  # in single precision
    ends = {"both": "", "only A": "lora_A", "only B": "lora_B"}[trained]
    names = [name for name in vlm.factors if name.endswith(ends)]
    # Different numbers of steps and samples; one client has fewer samples than a batch.
    setting = ([3, 5, 5, 2], [16, 5, 12, 9])
    how = {"batch_size": 8, "learning_rate": 3e-3}
    with in_double(vlm.model):
        apart = [train(vlm, job, names, **how) for job in jobs(tiny, *setting)]
        together = train_together(vlm, jobs(tiny, *setting), names, **how)
        ended = zip(jobs(tiny, *setting), apart, together, strict=True)
    for job, (one, loss), (other, same_loss) in ended:
        assert loss == pytest.approx(same_loss, rel=1e-4)
        assert list(one) == list(other) == names
        for name in names:
            assert_same(one[name], other[name], job.factors[name])


def test_what_stands_beside_an_adapter_acts_and_stays(tiny):
    """Also next to clients that have nothing beside, and that are pulled back."""
    vlm, sets = context_of(tiny).vlm, context_of(tiny).sets
    list(sets.make_ready([(k, "train") for k in range(tiny.clients)]))
    how, names = {"batch_size": 8, "learning_rate": 3e-3}, list(vlm.factors)

    def mixed() -> list[Job]:
        first, second, third = jobs(tiny, [3, 4, 2], [16, 9, 12])
        others = [as_deltas(job.factors, 20.0) for job in (third, first)]
        return [
            replace(first, adapter_scale=0.5, beside=others[0]),
            replace(second, prox_mu=5.0, prox_center=third.factors),
            replace(third, adapter_scale=0.25, beside=others[1]),
        ]

    with in_double(vlm.model):
        apart = [train(vlm, job, names, **how) for job in mixed()]
        together = train_together(vlm, mixed(), names, **how)
        [(_, without)] = train_together(vlm, [replace(mixed()[0], beside=Adapter())], names, **how)
    assert apart[0][1] != pytest.approx(without, rel=1e-3)
    for job, (one, loss), (other, same_loss) in zip(mixed(), apart, together, strict=True):
        assert loss == pytest.approx(same_loss, rel=1e-4)
        for name in names:
            assert one[name].shape == other[name].shape
            assert_same(one[name], other[name], job.factors[name])


def test_clients_of_different_ranks_train_together(tiny):
    ranks, how = [2, 8, 5], {"batch_size": 8, "learning_rate": 3e-3}
    own, apart = [], []
    samples = context_of(tiny).sets.get(0, "train")
    samples = replace(samples, features=samples.features.double())
    for rank in ranks:
        config = tiny.model_copy(update={"lora": Lora(rank=rank)})
        vlm = loaded(config)
        with in_double(vlm.model):
            start = initial_factors({n: p.shape for n, p in vlm.factors.items()}, rank)
            own.append(Job(start, samples, 4, rng(0, "ranks", rank)))
            job = Job(start, samples, 4, rng(0, "ranks", rank))
            apart.append(train(vlm, job, list(start), **how))
    vlm = loaded(tiny)  # of rank 8
    with in_double(vlm.model):
        together = train_together(vlm, own, list(vlm.factors), **how)
    ended = zip(own, ranks, apart, together, strict=True)
    for job, rank, (one, loss), (other, same_loss) in ended:
        assert loss == pytest.approx(same_loss, rel=1e-4)
        for name, value in other.items():
            assert value.shape[0 if name.endswith(A) else 1] == rank
            assert_same(one[name], value, job.factors.cut(rank)[name])


@pytest.mark.parametrize(
    "key",
    [
        *("plora", "flora", "feddpa", "fedalt"),
        *(
            pytest.param(key, marks=pytest.mark.slow)
            for key in ("fedit", "rolora", "hetlora", "flexlora", "ditto", "corners", "potara")
        ),
    ],
)
def test_a_run_has_the_same_numbers_with_and_without_cohorts(key, tiny, monkeypatch):
    values = {"strategies": [key], "clients": 3, "lora": {"client_ranks": [8, 2, 3]}}
    config = ExperimentConfig.parse({**tiny.model_dump(), **values})
    config = config.model_copy(update={"participation": 0.67})
    [together] = run(config)
    one_after_another(monkeypatch)
    [apart] = run(config)
    rows = [reads.round_client_rows(summary.run) for summary in (together, apart)]
    assert len(rows[0]) == len(rows[1]) > 6
    for one, other in zip(*rows, strict=True):
        for row in (one, other):
            del row["seconds"]
            row |= {key: -1 for key, value in row.items() if value is None}
        assert one == pytest.approx(other, rel=1e-3)
    states = [
        checkpoints.read(checkpoints.server_path(run_folder(summary.run), 2))
        for summary in (together, apart)
    ]
    # AdamW turns rounding of a gradient near zero into a step: no single number, but the whole.
    off = sum((value - states[1][name]).square().sum() for name, value in states[0].items())
    size = sum(value.square().sum() for value in states[0].values())
    assert (off / size).sqrt() < 2e-3
    for k in range(3):
        one, other = (
            {(p.item, p.variant): p.answer for p in reads.predictions(summary.run, k)}
            for summary in (together, apart)
        )
        assert one == other


def test_the_local_runtime_works_in_cohorts(tiny, monkeypatch):
    served = []
    monkeypatch.setattr(local_grid, "_deliver", _spy(local_grid._deliver, served))
    [summary] = run(ExperimentConfig.parse({**tiny.model_dump(), "strategies": ["plora"]}))
    assert summary.status == "done"
    assert set(served) == {"query"}, "train and evaluate messages were answered together"


@pytest.mark.parametrize(("most", "sizes"), [(2, [4, 2, 2]), (1, [4, 2, 1, 1, 2, 1, 1])])
def test_without_memory_for_a_cohort_its_halves_work(most, sizes, tiny, monkeypatch):
    seen, alive = [], client_app.train_cohorts

    def limited(cohorts):
        clients = sum(len(cohort.clients) for cohort in cohorts)
        seen.append(clients)
        if clients > most:
            raise MemoryError("too many at once")
        return alive(cohorts)

    values = {"strategies": ["plora"], "clients": 4, "rounds": 1}
    config = ExperimentConfig.parse({**tiny.model_dump(), **values})
    [whole] = run(config)
    monkeypatch.setattr(client_app, "train_cohorts", limited)
    [halves] = run(config)
    assert seen == sizes
    assert (halves.status, halves.rounds) == ("done", 1)
    losses = [[row.loss for row in reads.client_rounds(s.run)] for s in (whole, halves)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_one_client_without_memory_fails_the_run(tiny, monkeypatch):
    def fail(*_, **__):
        raise MemoryError("too much")

    monkeypatch.setattr(client_app, "train_cohorts", fail)
    [summary] = run(ExperimentConfig.parse({**tiny.model_dump(), "strategies": ["fedit"]}))
    assert summary.status == "failed" and "memory ran out" in reads.run(summary.run).error


def test_a_cohort_that_fails_is_not_done_again(tiny, monkeypatch):
    seen = []

    def fail(cohorts):
        seen.append(len(cohorts[0].clients))
        raise ZeroDivisionError("a client is unwell")

    monkeypatch.setattr(client_app, "train_cohorts", fail)
    [summary] = run(ExperimentConfig.parse({**tiny.model_dump(), "strategies": ["fedit"]}))
    assert summary.status == "failed" and seen == [2]
    assert "ZeroDivisionError: a client is unwell" in reads.run(summary.run).error


def test_what_is_trained_together_is_told_by_groups_and_not_by_identities(tiny, monkeypatch):
    """A runtime that serialises messages makes every record anew."""
    sizes, together = [], cohort_training.train_together

    def noted(vlm, jobs, *rest, **how):
        sizes.append(len(jobs))
        return together(vlm, jobs, *rest, **how)

    class Serialising(local.MeetingGrid):
        def send_and_receive(self, messages, *, timeout=None):
            copies = [deepcopy(message) for message in messages]
            return super().send_and_receive(copies, timeout=timeout)

    monkeypatch.setattr(cohort_training, "train_together", noted)
    monkeypatch.setattr(local, "MeetingGrid", Serialising)
    values = {"strategies": ["flora", "feddpa"], "clients": 3}
    run(ExperimentConfig.parse({**tiny.model_dump(), **values}))
    # flora with the first phase of feddpa; in its second phase, and from round 2 on, deltas differ
    assert sizes == [6, 3, 3, 3, 3]


def _spy(method, served):
    def deliver(app, message, context):
        served.append(message.metadata.message_type)
        return method(app, message, context)

    return deliver
