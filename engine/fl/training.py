"""Local training: AdamW steps on a client's own samples, alone or in a cohort."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch.nn import functional as F

from engine.adapters.adapter import Adapter
from engine.fl.interruption import check_wanted
from engine.vlm.deltas import deltas_active
from engine.vlm.encoded import IGNORE_INDEX, EncodedBatch, concatenate
from engine.vlm.lora import Factors
from engine.vlm.model import Vlm
from engine.vlm.multi_lora.logits import LogitsFn, logits_fn
from engine.vlm.multi_lora.stacked import StackedAdapters, active, stack


@dataclass(frozen=True)
class Job:
    """What one client is to train: from which factors, on which samples, in which order.

    With a ``prox_mu`` μ, μ/2·‖θ − prox_center‖² is part of the loss (not of the one reported).
    What the factors add to the model counts ``adapter_scale`` times. Jobs of one ``group`` add the
    same deltas to the frozen weights, so that they can be trained together; ``beside`` are deltas
    of this job alone.
    """

    factors: Factors
    samples: EncodedBatch
    steps: int
    generator: np.random.Generator  # draws the batches
    prox_mu: float = 0.0
    prox_center: Factors = field(default_factory=Adapter)
    adapter_scale: float = 1.0
    group: Hashable = 0
    beside: Factors = field(default_factory=Adapter)


def train(
    vlm: Vlm, job: Job, names: Collection[str], *, batch_size: int, learning_rate: float
) -> tuple[Factors, float]:
    """Train the named factors of one client; return them and the mean loss over the steps.

    The optimiser starts fresh in every round, as in FedAvg. Batches go through the samples in a new
    random order in every pass. Raises StopRequested.
    """
    vlm.load_factors(job.factors)
    trainable = [vlm.factors[name] for name in names]
    for parameter in trainable:
        parameter.requires_grad_(True)
    centers = [job.prox_center[name].to(vlm.device) for name in names] if job.prox_mu else []
    optimiser = torch.optim.AdamW(trainable, lr=learning_rate, weight_decay=0.0)
    total = torch.zeros((), device=vlm.device)
    try:
        with (
            deltas_active(vlm.model, Adapter(job.factors) | job.beside),
            vlm.adapter_scale(job.adapter_scale),
        ):
            for rows in batches(len(job.samples), job.steps, batch_size, job.generator):
                vlm.set_threads(batch_size)
                loss = _step(vlm, job.samples.select(rows))
                for parameter, center in zip(trainable, centers, strict=False):
                    pull = parameter.detach() - center
                    _gradient(parameter).add_(pull, alpha=job.prox_mu)
                optimiser.step()
                optimiser.zero_grad(set_to_none=True)
                total += loss
    finally:
        for parameter in trainable:
            parameter.requires_grad_(False)
            parameter.grad = None  # of a step that failed half-way
    return vlm.read_factors(names), (total / job.steps).item()


def _gradient(factor: torch.Tensor) -> torch.Tensor:
    if factor.grad is None:
        raise RuntimeError("a factor that is trained has no gradient")
    return factor.grad


def _step(vlm: Vlm, batch: EncodedBatch) -> torch.Tensor:
    """Return the mean loss per answer token; add its gradient, in the passes that memory allows."""
    total = torch.zeros((), device=vlm.device)
    tokens = (batch.labels != IGNORE_INDEX).sum()
    for start in range(0, len(batch), vlm.rows_per_pass):
        check_wanted()
        part = batch.select(slice(start, start + vlm.rows_per_pass)).to(vlm.device)
        logits = vlm.answer_logits(part)
        summed = F.cross_entropy(
            logits.flatten(0, 1), part.labels.flatten(), ignore_index=IGNORE_INDEX, reduction="sum"
        )
        loss = summed / tokens.to(vlm.device)
        loss.backward()
        total += loss.detach()
    return total


def train_together(
    vlm: Vlm,
    jobs: Sequence[Job],
    names: Collection[str],
    *,
    batch_size: int,
    learning_rate: float,
) -> list[tuple[Factors, float]]:
    """Do what ``train`` does for each job, up to rounding, in one pass per step for all of them.

    Every client keeps its own factors (and rank), optimiser state, order of batches, batch size and
    number of steps; all jobs must be of one group. Raises StopRequested.
    """
    if len({job.group for job in jobs}) != 1:
        raise ValueError("jobs with different deltas cannot be trained in one pass")
    together = vlm.rows_per_pass // batch_size
    if not together:  # not even one batch fits in a pass
        return [
            train(vlm, job, names, batch_size=batch_size, learning_rate=learning_rate)
            for job in jobs
        ]
    # Those with most steps first, so that the ones still at work are always the first ones.
    order = sorted(range(len(jobs)), key=lambda k: -jobs[k].steps)
    results: dict[int, tuple[Factors, float]] = {}
    for start in range(0, len(order), together):
        numbers = order[start : start + together]
        trained = _train_cohort(vlm, [jobs[k] for k in numbers], names, batch_size, learning_rate)
        results |= dict(zip(numbers, trained, strict=True))
    return [results[k] for k in range(len(jobs))]


def _train_cohort(
    vlm: Vlm, jobs: Sequence[Job], names: Collection[str], batch_size: int, learning_rate: float
) -> list[tuple[Factors, float]]:
    weights = [job.adapter_scale for job in jobs]
    besides = [job.beside for job in jobs]
    stacked = StackedAdapters(vlm, [job.factors for job in jobs], names, weights, besides)
    optimiser = torch.optim.AdamW(
        stacked.trained.values(), lr=learning_rate, weight_decay=0.0, fused=True
    )
    logits_of = logits_fn(vlm, stacked)
    pool = concatenate([job.samples for job in jobs])
    plan = _Plan(jobs, batch_size)
    losses = torch.zeros(len(jobs), device=vlm.device)
    pulls = torch.tensor([job.prox_mu for job in jobs], device=vlm.device).view(-1, 1, 1)
    pulled = list(stacked.trained) if pulls.any() else []
    centers = stack(
        [Adapter(job.prox_center or job.factors).padded(stacked.width) for job in jobs],
        pulled,
        vlm.device,
    )
    results: dict[int, Factors] = {}
    for step in range(jobs[0].steps):
        check_wanted()
        vlm.set_threads(len(jobs) * plan.width)
        at_work = sum(job.steps > step for job in jobs)
        if at_work < len(stacked):
            results |= dict(enumerate(stacked.adapters(at_work), at_work))
            _keep_first(at_work, stacked, optimiser)
        rows, counted = plan.rows(step, at_work)
        batch = pool.select(rows.flatten()).to(vlm.device)
        with active(stacked):
            loss = losses_of(logits_of, batch, counted.to(vlm.device))
            loss.sum().backward()
        for name, center in centers.items():
            factor = stacked.trained[name]
            pull = pulls[:at_work] * (factor.detach() - center[:at_work])
            _gradient(factor).add_(pull)
        stacked.freeze_besides()
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        losses[:at_work] += loss.detach()
    results |= dict(enumerate(stacked.adapters()))
    means = [total / job.steps for total, job in zip(losses.tolist(), jobs, strict=True)]
    return [(results[k], means[k]) for k in range(len(jobs))]


class _Plan:
    """Which rows of the pooled samples each client trains on, step by step."""

    def __init__(self, jobs: Sequence[Job], batch_size: int) -> None:
        self._batches: list[list[torch.Tensor]] = []
        start = 0
        for job in jobs:
            own = batches(len(job.samples), job.steps, batch_size, job.generator)
            self._batches.append([start + rows for rows in own])
            start += len(job.samples)
        self.width = max(len(own[0]) for own in self._batches)

    def rows(self, step: int, at_work: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return rows (at_work, width) and which count: small batches repeat their first row."""
        rows = torch.empty(at_work, self.width, dtype=torch.long)
        counted = torch.zeros(at_work, self.width, dtype=torch.bool)
        for k in range(at_work):
            own = self._batches[k][step]
            rows[k] = own[0]
            rows[k, : len(own)] = own
            counted[k, : len(own)] = True
        return rows, counted


def losses_of(logits_of: LogitsFn, batch: EncodedBatch, counted: torch.Tensor) -> torch.Tensor:
    """Return each client's mean loss per answer token, (clients,), as ``train`` has it."""
    labels = batch.labels.masked_fill(~counted.flatten().unsqueeze(1), IGNORE_INDEX)
    logits = logits_of(replace(batch, labels=labels))
    losses = F.cross_entropy(
        logits.flatten(0, 1), labels.flatten(), ignore_index=IGNORE_INDEX, reduction="none"
    )
    clients = len(counted)
    return losses.view(clients, -1).sum(1) / (labels != IGNORE_INDEX).view(clients, -1).sum(1)


def _keep_first(n: int, stacked: StackedAdapters, optimiser: torch.optim.Optimizer) -> None:
    """Go on with the first n adapters and their optimiser state; the others are done."""
    states = [optimiser.state.pop(factor) for factor in stacked.trained.values()]
    stacked.keep_first(n)
    optimiser.param_groups[0]["params"] = list(stacked.trained.values())
    for factor, state in zip(stacked.trained.values(), states, strict=True):
        kept = {key: state[key][:n].clone() for key in ("exp_avg", "exp_avg_sq")}
        optimiser.state[factor] = state | kept


def batches(
    n: int, steps: int, batch_size: int, generator: np.random.Generator
) -> Iterator[torch.Tensor]:
    """Draw ``steps`` batches of row numbers; a batch never holds a sample twice."""
    size = min(batch_size, n)
    order = np.empty(0, dtype=np.int64)
    for _ in range(steps):
        if len(order) < size:
            order = generator.permutation(n)
        yield torch.from_numpy(order[:size])
        order = order[size:]
