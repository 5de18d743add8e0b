"""What a finished federation is good for: whom its models serve, and what they give a newcomer."""

from __future__ import annotations

from dataclasses import dataclass

from engine.config import WORLD
from engine.fl.client import Client
from engine.fl.context import context_of
from engine.fl.evaluation import Task, score_teacher_forced
from engine.fl.participation import tested
from engine.fl.training import Job, train_together
from engine.jobs.queue import NotPossible
from engine.jobs.stored import run_config
from engine.results.ask import usable_run
from engine.results.newest import at_newest
from engine.strategies import STRATEGIES
from engine.system.seeding import rng
from engine.vlm.encoded import concatenate, spans
from engine.vlm.lora import Factors

NEWCOMER_SAMPLES = (4, 16, 64)
NEWCOMER_STEPS = 40


@dataclass(frozen=True)
class Newcomer:
    """Accuracies on the newcomer's own test set, untrained and after so many samples."""

    camera: str
    base: float
    shared: float
    from_base: dict[int, float]
    from_shared: dict[int, float]


def cross_matrix(run_id: int) -> tuple[list[int], list[list[float]]]:
    """Return the tested clients, and the accuracy of client i's model (row) on client j's tests.

    A client's model is its personalised one, or the global one where there is none. Raises
    NoSuchRun, NotPossible.
    """
    run = usable_run(run_id, 0)
    variant = STRATEGIES[run.strategy].deployed_variant()
    config = run_config(run)
    context = context_of(config.config, config.resolved)
    clients = tested(config.config)
    tests = [context.sets.get(k, "test") for k in clients]
    everyone = concatenate(tests)
    ends = at_newest(
        config,
        lambda sent, last: [Client(config, k).factors(variant, sent, last) for k in clients],
    )
    tasks = [Task(factors, everyone) for factors in ends]
    judged = context.scored(tasks, [clients] * len(tasks))
    parts = spans(tests)
    return clients, [[row.select(part).accuracy for part in parts] for row, _ in judged]


def newcomer(run_id: int) -> Newcomer:
    """One more client, which the federation has never met, joins with what the server shares.

    It adapts both factors, NEWCOMER_STEPS steps on 4, 16 and 64 samples of its own, from the shared
    model and, to compare, from the base. Raises NoSuchRun, NotPossible.
    """
    run = usable_run(run_id, 0)
    stored = run_config(run)
    config = stored.config
    if config.dataset != WORLD:
        raise NotPossible(f"run {run_id} has only the clients of its data; nobody new can join")
    if config.heterogeneity.kind == "quantity":
        raise NotPossible(
            f"run {run_id} differs in amounts: one more client would change those of the others"
        )
    if not STRATEGIES[run.strategy].shared_factors:
        raise NotPossible(f"run {run_id} ({run.strategy}) shares nothing with a newcomer")
    samples = max(config.samples_per_client, NEWCOMER_SAMPLES[-1])
    values = {"clients": config.clients + 1, "samples_per_client": samples}
    context = context_of(config.model_copy(update=values))
    k = config.clients
    train, test = context.sets.get(k, "train"), context.sets.get(k, "test")
    shared = at_newest(stored, lambda sent, _: sent)
    base, met = context.initial, context.initial | shared

    def accuracies(adapters: list[Factors]) -> list[float]:
        tasks = [Task(factors, test) for factors in adapters]
        return [scores.accuracy for scores in score_teacher_forced(context.vlm, tasks)]

    def adapted(start: Factors) -> dict[int, float]:
        jobs = [
            Job(start, train.select(slice(0, n)), NEWCOMER_STEPS, rng(config.seed, "newcomer", n))
            for n in NEWCOMER_SAMPLES
        ]
        trained = train_together(
            context.vlm,
            jobs,
            list(context.vlm.factors),
            batch_size=config.batch_size,
            learning_rate=config.learning_rate,
        )
        ends = [start | factors for factors, _ in trained]
        return dict(zip(NEWCOMER_SAMPLES, accuracies(ends), strict=True))

    camera = context.dataset.profile(k).camera
    [from_nothing], [from_others] = accuracies([base]), accuracies([met])
    return Newcomer(camera, from_nothing, from_others, adapted(base), adapted(met))
