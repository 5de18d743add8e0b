"""How well models answer: loss and exact match, and the answers themselves.

Everything takes several adapters at once, each with questions of its own: a *task*.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import NamedTuple, TypeVar

import numpy as np
import torch

from engine.adapters.adapter import Adapter
from engine.fl.interruption import check_wanted
from engine.metrics import Metric
from engine.vlm.attention import cross_attention
from engine.vlm.deltas import deltas_active
from engine.vlm.encoded import IGNORE_INDEX, EncodedBatch, concatenate
from engine.vlm.lora import Factors
from engine.vlm.model import Vlm
from engine.vlm.multi_lora.logits import LogitsFn, logits_fn
from engine.vlm.multi_lora.stacked import StackedAdapters, active, supports_stacking

Found = TypeVar("Found")


class Task(NamedTuple):
    """The questions that one adapter is to answer.

    Tasks of one ``group`` add the same deltas to the frozen weights, so that they can share a pass.
    """

    factors: Factors
    samples: EncodedBatch
    group: Hashable = 0


@dataclass(frozen=True)
class Score:
    """How a variant does on a client's ``own`` or on the ``pooled`` test set.

    Mean loss per answer token and mean score of the answers, over ``samples`` items; ``corner``:
    which one the client has chosen for it, if it chooses. It travels and is stored as it is: a row
    of ``evaluations``.
    """

    variant: str
    scope: str
    loss: float
    accuracy: float
    samples: int
    corner: str = ""


@dataclass(frozen=True)
class Answer:
    """A generated answer; confidence is the probability that the model gives it, token by token."""

    text: str
    confidence: float


@dataclass(frozen=True)
class WrittenAnswer:
    """What a variant answers to question number ``item`` of a client's test set."""

    variant: str
    item: int
    text: str
    confidence: float


@dataclass(frozen=True)
class ItemScores:
    """Per question, all (n,): summed loss, answer tokens, exact match, confidence, score.

    An answer matches when every token of the reference is the likeliest one after the tokens before
    it: just then greedy generation writes the reference. So one forward pass is enough, and
    ``confidence`` is what generation would give to the reference. ``score`` from 0 to 1 is what the
    answer is worth: as exact_match, until somebody has read it.
    """

    loss: torch.Tensor
    tokens: torch.Tensor
    exact_match: torch.Tensor
    confidence: torch.Tensor
    score: torch.Tensor

    def __len__(self) -> int:
        return len(self.loss)

    def select(self, rows: slice) -> ItemScores:
        """Return the scores of some of the questions."""
        return ItemScores(**{name: column[rows] for name, column in vars(self).items()})

    @property
    def mean_loss(self) -> float:
        """The mean loss per answer token."""
        return (self.loss.sum() / self.tokens.sum()).item()

    @property
    def accuracy(self) -> float:
        """The mean score of the answers."""
        return self.score.sum().item() / len(self)


def concatenate_scores(parts: Sequence[ItemScores]) -> ItemScores:
    """Return the scores of all parts, one after another."""
    columns = zip(*(vars(part).values() for part in parts), strict=True)
    return ItemScores(*map(torch.cat, columns))


@dataclass(frozen=True)
class EvalResult:
    """What an adapter makes of a client's own and of the pooled test set.

    ``answers`` to the own test set, where they were written to be judged.
    """

    own: ItemScores
    pooled: ItemScores
    answers: tuple[Answer, ...] = ()

    def scores(self, variant: str, corner: str = "") -> list[Score]:
        """Return the means over both test sets, under the name of a variant."""
        return [
            Score(variant, scope, items.mean_loss, items.accuracy, len(items), corner)
            for scope, items in (("own", self.own), ("pooled", self.pooled))
        ]


@torch.inference_mode()
def score_teacher_forced(vlm: Vlm, tasks: Sequence[Task]) -> list[ItemScores]:
    """Return loss and exact match of every question of every task, teacher-forced."""
    parts: list[list[ItemScores]] = [[] for _ in tasks]
    for k, scores, share in _in_passes(vlm, tasks, _score_pass):
        parts[k].append(scores.select(share))
    return [concatenate_scores(own) for own in parts]


@torch.inference_mode()
def answer(vlm: Vlm, tasks: Sequence[Task], scores: Sequence[ItemScores]) -> list[list[Answer]]:
    """Return greedy answers to all questions of every task, in order.

    Where ``scores`` say that the reference is what the model writes, that is the answer already;
    only the others are generated.
    """
    answers: list[list[Answer]] = []
    for task, known in zip(tasks, scores, strict=True):
        references = task.samples.labels.masked_fill(task.samples.labels == IGNORE_INDEX, vlm.pad)
        pairs = zip(vlm.texts(references), known.confidence.tolist(), strict=True)
        answers.append([Answer(text, confidence) for text, confidence in pairs])
    wrong = [(~known.exact_match).nonzero().flatten() for known in scores]
    unanswered = [k for k, rows in enumerate(wrong) if len(rows)]
    rest = [tasks[k]._replace(samples=tasks[k].samples.select(wrong[k])) for k in unanswered]
    for k, written in zip(unanswered, generate(vlm, rest), strict=True):
        for row, text in zip(wrong[k].tolist(), written, strict=True):
            answers[k][row] = text
    return answers


def score_generated(
    vlm: Vlm, tasks: Sequence[Task], accepted: Sequence[Sequence[tuple[str, ...]]], metric: Metric
) -> list[tuple[ItemScores, list[Answer]]]:
    """Return scores and written answers of every task, the answers judged by a metric.

    ``accepted``: for every question of every task all that counts as right.
    """
    scores = score_teacher_forced(vlm, tasks)
    judged = []
    for own, answers, references in zip(scores, answer(vlm, tasks, scores), accepted, strict=True):
        pairs = zip(answers, references, strict=True)
        values = [metric.score(written.text, right) for written, right in pairs]
        judged.append((replace(own, score=torch.tensor(values)), answers))
    return judged


@torch.inference_mode()
def generate(vlm: Vlm, tasks: Sequence[Task]) -> list[list[Answer]]:
    """Return greedy answers, written token by token; references are not looked at."""
    answers: list[list[Answer]] = [[] for _ in tasks]
    for k, written, share in _in_passes(vlm, tasks, _generate_pass):
        answers[k] += written[share]
    return answers


@torch.inference_mode()
def look(vlm: Vlm, tasks: Sequence[Task]) -> list[np.ndarray | None]:
    """Return each task's attention on the picture of its first question while it answers it.

    A grid (rows, columns) that sums to 1; None where the model has none to show.
    """
    grids: list[np.ndarray | None] = [None] * len(tasks)
    firsts = [task._replace(samples=task.samples.select(slice(0, 1))) for task in tasks]
    if not vlm.causal:
        for k, rows, share in _in_passes(vlm, firsts, _look_pass):
            [grids[k]] = rows[share]
    return grids


def _in_passes(
    vlm: Vlm, tasks: Sequence[Task], run: Callable[[Vlm, LogitsFn, EncodedBatch], Found]
) -> Iterator[tuple[int, Found, slice]]:
    """Run every pass; yield, for each task in it, its number, the pass's result, its rows."""
    for numbers, batch, counts in _passes(vlm, tasks):
        check_wanted()
        adapters = [tasks[k].factors for k in numbers]
        vlm.set_threads(len(batch))
        with _adapters(vlm, adapters) as logits:
            result = run(vlm, logits, batch)
        width = len(batch) // len(numbers)
        for place, (k, count) in enumerate(zip(numbers, counts, strict=True)):
            yield k, result, slice(place * width, place * width + count)


def _passes(vlm: Vlm, tasks: Sequence[Task]) -> Iterator[tuple[list[int], EncodedBatch, list[int]]]:
    """Yield batches in which each of some tasks has an equal share of the rows.

    With the tasks' numbers, and how many rows of each share count: a shorter share repeats its
    first row.
    """
    most = vlm.rows_tested
    together = max(1, most // 8) if supports_stacking(vlm) else 1
    groups: dict[Hashable, list[int]] = {}  # the frozen weights are common to a pass
    for k, task in enumerate(tasks):
        groups.setdefault(task.group, []).append(k)
    for members in groups.values():
        members.sort(key=lambda k: -len(tasks[k].samples))
        for i in range(0, len(members), together):
            yield from _shares(tasks, members[i : i + together], most)


def _shares(
    tasks: Sequence[Task], numbers: Sequence[int], most: int
) -> Iterator[tuple[list[int], EncodedBatch, list[int]]]:
    width = max(1, most // len(numbers))
    for start in range(0, len(tasks[numbers[0]].samples), width):
        left = [k for k in numbers if len(tasks[k].samples) > start]
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
    if supports_stacking(vlm) or Adapter(adapters[0]).rank != vlm.factors.rank:
        stacked = StackedAdapters(vlm, adapters)
        with active(stacked):
            yield logits_fn(vlm, stacked)
    else:
        vlm.load_factors(adapters[0])
        with deltas_active(vlm.model, Adapter(adapters[0])):
            yield vlm.answer_logits


def _score_pass(vlm: Vlm, logits_of: LogitsFn, batch: EncodedBatch) -> ItemScores:
    batch = batch.to(vlm.device)
    logits = logits_of(batch)
    kept = batch.labels != IGNORE_INDEX
    labels = batch.labels.masked_fill(~kept, 0)
    log_p = logits.log_softmax(-1).gather(-1, labels.unsqueeze(-1)).squeeze(-1)
    log_p = log_p.masked_fill(~kept, 0)
    hits = logits.argmax(-1) == batch.labels
    free = log_p
    if vlm.model.generation_config.forced_bos_token_id is not None:
        hits[:, 0] = True  # generation is made to start with it
        free = log_p[:, 1:]
    exact = (hits | ~kept).all(-1)
    return ItemScores(-log_p.sum(-1), kept.sum(-1), exact, free.sum(-1).exp(), exact.float())


def _generate_pass(vlm: Vlm, _: LogitsFn, batch: EncodedBatch) -> list[Answer]:
    texts, confidence = vlm.generate(batch)
    return [Answer(text, p) for text, p in zip(texts, confidence.tolist(), strict=True)]


def _look_pass(vlm: Vlm, _: LogitsFn, batch: EncodedBatch) -> list[np.ndarray | None]:
    texts, _confidence = vlm.generate(batch)
    return cross_attention(vlm, replace(batch, labels=vlm.prompter.labels(texts)))
