"""How well models answer: loss and exact match, and the answers themselves.

Everything takes several adapters at once, each with questions of its own: a *task*.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import NamedTuple, TypeVar

import torch

from engine.metrics import Metric
from engine.vlm.encoded import IGNORE_INDEX, EncodedBatch, concatenate
from engine.vlm.model import Vlm, deltas_of
from engine.vlm.multi_lora.logits import LogitsFn, logits_fn
from engine.vlm.multi_lora.stacked import (
    Factors,
    StackedAdapters,
    active,
    rank_of,
    supports_stacking,
)

Found = TypeVar("Found")


class Task(NamedTuple):
    """The questions that one adapter is to answer."""

    factors: Factors
    samples: EncodedBatch


@dataclass(frozen=True)
class Score:
    """Mean loss per answer token and mean points of the answers, over ``samples`` items."""

    loss: float
    accuracy: float
    samples: int


@dataclass(frozen=True)
class Answer:
    """A generated answer; confidence is the probability that the model gives it, token by token."""

    text: str
    confidence: float


@dataclass(frozen=True)
class ItemScores:
    """Per question, all (n,): summed loss, answer tokens, right or not, confidence, points.

    An answer is right when every token of the reference is the likeliest one after the tokens
    before it: just then greedy generation writes the reference. So one forward pass is enough, and
    ``confidence`` is what generation would give to the reference. ``points`` from 0 to 1 are what
    the answer is worth: as right, until somebody has read it.
    """

    loss: torch.Tensor
    tokens: torch.Tensor
    right: torch.Tensor
    confidence: torch.Tensor
    points: torch.Tensor

    def cut(self, some: slice) -> ItemScores:
        """The marks of some of the questions."""
        return ItemScores(**{name: column[some] for name, column in vars(self).items()})

    def score(self) -> Score:
        """The score over all questions."""
        n = len(self.right)
        return Score((self.loss.sum() / self.tokens.sum()).item(), self.points.sum().item() / n, n)


def joined(parts: Sequence[ItemScores]) -> ItemScores:
    """The marks of all parts, one after another."""
    columns = zip(*(vars(part).values() for part in parts), strict=True)
    return ItemScores(*map(torch.cat, columns))


@dataclass(frozen=True)
class EvalResult:
    """What an adapter makes of a client's own and of the pooled test set.

    ``answers`` to the own test set, where they were written to be judged.
    """

    own: ItemScores
    pooled: Score
    answers: tuple[Answer, ...] = ()


@torch.inference_mode()
def score_teacher_forced(vlm: Vlm, tasks: Sequence[Task]) -> list[ItemScores]:
    """Loss and exact match of every question of every task, teacher-forced."""
    found: list[list[ItemScores]] = [[] for _ in tasks]
    for k, marks, share in _asked(vlm, tasks, _mark):
        found[k].append(marks.cut(share))
    return [joined(parts) for parts in found]


@torch.inference_mode()
def answer(vlm: Vlm, tasks: Sequence[Task], marks: Sequence[ItemScores]) -> list[list[Answer]]:
    """Greedy answers to all questions of every task, in order.

    Where ``marks`` say that the reference is what the model writes, that is the answer already;
    only the others are generated.
    """
    found: list[list[Answer]] = []
    for task, known in zip(tasks, marks, strict=True):
        references = task.samples.labels.masked_fill(task.samples.labels == IGNORE_INDEX, vlm.pad)
        pairs = zip(vlm.texts(references), known.confidence.tolist(), strict=True)
        found.append([Answer(text, confidence) for text, confidence in pairs])
    wrong = [(~known.right).nonzero().flatten() for known in marks]
    at = [k for k, rows in enumerate(wrong) if len(rows)]
    open_ = [Task(tasks[k].factors, tasks[k].samples.select(wrong[k])) for k in at]
    for k, answers in zip(at, generate(vlm, open_), strict=True):
        for row, text in zip(wrong[k].tolist(), answers, strict=True):
            found[k][row] = text
    return found


def score_generated(
    vlm: Vlm, tasks: Sequence[Task], accepted: Sequence[Sequence[tuple[str, ...]]], metric: Metric
) -> list[tuple[ItemScores, list[Answer]]]:
    """Marks and written answers of every task, with the points that a metric gives the answers.

    ``accepted``: for every question of every task all that counts as right.
    """
    marks = score_teacher_forced(vlm, tasks)
    found = []
    for own, answers, references in zip(marks, answer(vlm, tasks, marks), accepted, strict=True):
        pairs = zip(answers, references, strict=True)
        points = [metric.score(one.text, right) for one, right in pairs]
        found.append((replace(own, points=torch.tensor(points)), answers))
    return found


@torch.inference_mode()
def generate(vlm: Vlm, tasks: Sequence[Task]) -> list[list[Answer]]:
    """Greedy answers, written token by token; references are not looked at."""
    found: list[list[Answer]] = [[] for _ in tasks]
    for k, answers, share in _asked(vlm, tasks, _generate):
        found[k] += answers[share]
    return found


def _asked(
    vlm: Vlm, tasks: Sequence[Task], find: Callable[[Vlm, LogitsFn, EncodedBatch], Found]
) -> Iterator[tuple[int, Found, slice]]:
    """What ``find`` finds in every pass: a task's number, the pass's result, the task's rows."""
    for numbers, batch, counts in _passes(vlm, tasks):
        adapters = [tasks[k].factors for k in numbers]
        with _adapters(vlm, adapters) as ask, vlm.threads_for(len(batch)):
            found = find(vlm, ask, batch)
        width = len(batch) // len(numbers)
        for place, (k, count) in enumerate(zip(numbers, counts, strict=True)):
            yield k, found, slice(place * width, place * width + count)


def _passes(vlm: Vlm, tasks: Sequence[Task]) -> Iterator[tuple[list[int], EncodedBatch, list[int]]]:
    """Batches in which each of some tasks has an equal share of the rows.

    Yields the tasks' numbers, the batch, and how many rows of each share count: a shorter share
    repeats its first row.
    """
    most = vlm.rows_tested
    together = max(1, most // 8) if supports_stacking(vlm) else 1
    by_offsets: dict[object, list[int]] = {}  # the frozen weights are common to a pass
    for k, task in enumerate(tasks):
        same = tuple(id(value) for value in deltas_of(task.factors).values())
        by_offsets.setdefault(same, []).append(k)
    for order in by_offsets.values():
        order.sort(key=lambda k: -len(tasks[k].samples))
        for some in (order[i : i + together] for i in range(0, len(order), together)):
            yield from _shares(tasks, some, most)


def _shares(
    tasks: Sequence[Task], some: Sequence[int], most: int
) -> Iterator[tuple[list[int], EncodedBatch, list[int]]]:
    width = max(1, most // len(some))
    for start in range(0, len(tasks[some[0]].samples), width):
        left = [k for k in some if len(tasks[k].samples) > start]
        shares = [tasks[k].samples.select(slice(start, start + width)) for k in left]
        longest = max(map(len, shares))
        rows = [_padded(share, longest) for share in shares]
        yield left, concatenate(rows), [len(share) for share in shares]


def _padded(share: EncodedBatch, length: int) -> EncodedBatch:
    rows = torch.arange(length, device=share.labels.device)
    return share.select(torch.where(rows < len(share), rows, 0))


@contextmanager
def _adapters(vlm: Vlm, adapters: Sequence[Factors]) -> Iterator[LogitsFn]:
    """Inside, the rows of the model belong to these adapters in equal shares; gives its logits."""
    with vlm.weight_delta(adapters[0]):
        if supports_stacking(vlm) or rank_of(adapters[0]) != rank_of(vlm.factors):
            stacked = StackedAdapters(vlm, adapters)
            with active(stacked):
                yield logits_fn(vlm, stacked)
        else:
            vlm.load_factors(adapters[0])
            yield vlm.answer_logits


def _mark(vlm: Vlm, ask: LogitsFn, batch: EncodedBatch) -> ItemScores:
    batch = batch.to(vlm.device)
    logits = ask(batch)
    kept = batch.labels != IGNORE_INDEX
    labels = batch.labels.masked_fill(~kept, 0)
    log_p = logits.log_softmax(-1).gather(-1, labels.unsqueeze(-1)).squeeze(-1)
    log_p = log_p.masked_fill(~kept, 0)
    hits = logits.argmax(-1) == batch.labels
    free = log_p
    if vlm.model.generation_config.forced_bos_token_id is not None:
        hits[:, 0] = True  # generation is made to start with it
        free = log_p[:, 1:]
    right = (hits | ~kept).all(-1)
    return ItemScores(-log_p.sum(-1), kept.sum(-1), right, free.sum(-1).exp(), right.float())


def _generate(vlm: Vlm, _: LogitsFn, batch: EncodedBatch) -> list[Answer]:
    texts, confidence = vlm.generate(batch)
    return [Answer(text, p) for text, p in zip(texts, confidence.tolist(), strict=True)]
