"""A question to a client's models, answered where its personal factors are: only text leaves.

Clients of several runs of an experiment answer in the same passes over the model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from engine.data.dataset import Example
from engine.fl.client import Client
from engine.fl.evaluation import Task, generate, look
from engine.vlm.encoded import EncodedBatch
from engine.vlm.lora import Factors
from engine.vlm.model import Vlm


@dataclass(frozen=True)
class Inquiry:
    """A question about an image (height, width, 3) uint8 to variants of a client's model.

    ``shared`` is what the server shared after round ``after_round``.
    """

    client: Client
    shared: Factors
    after_round: int
    variants: Sequence[str]
    image: np.ndarray
    question: str

    def factors(self) -> list[Factors] | None:
        """Return every variant's factors; None where the client's own have been pruned."""
        try:
            return [self.client.factors(v, self.shared, self.after_round) for v in self.variants]
        except FileNotFoundError:  # the run has gone on since the question was sent
            return None


@dataclass(frozen=True)
class Said:
    """What a variant answers."""

    variant: str
    text: str
    confidence: float


@dataclass(frozen=True)
class Glance:
    """How much a variant attends to one field of the picture while it answers."""

    variant: str
    row: int
    column: int
    weight: float


def answers(inquiries: Sequence[Inquiry]) -> list[list[Said] | None]:
    """Return what the variants say to each question; None as ``Inquiry.factors``."""
    asked = _tasks(inquiries)
    written = generate(_vlm(inquiries), [task for _, _, task in asked])
    said: dict[int, list[Said]] = {}
    for (n, variant, _), [answer] in zip(asked, written, strict=True):
        said.setdefault(n, []).append(Said(variant, answer.text, answer.confidence))
    return [said.get(n) for n in range(len(inquiries))]


def glances(inquiries: Sequence[Inquiry]) -> list[list[Glance] | None]:
    """Return where the variants look, if that can be told; None as ``Inquiry.factors``."""
    asked = _tasks(inquiries)
    grids = look(_vlm(inquiries), [task for _, _, task in asked])
    seen: dict[int, list[Glance]] = {n: [] for n, _, _ in asked}
    for (n, variant, _), grid in zip(asked, grids, strict=True):
        if grid is not None:
            fields = np.ndenumerate(grid)
            seen[n] += [Glance(variant, row, column, float(w)) for (row, column), w in fields]
    return [seen.get(n) for n in range(len(inquiries))]


def _vlm(inquiries: Sequence[Inquiry]) -> Vlm:
    return inquiries[0].client.context.vlm


def _tasks(inquiries: Sequence[Inquiry]) -> list[tuple[int, str, Task]]:
    """Return the tasks with the number of the inquiry and the variant that each is for."""
    sets = inquiries[0].client.context.sets
    encoded: dict[tuple[str, bytes], EncodedBatch] = {}
    tasks: list[tuple[int, str, Task]] = []
    for n, inquiry in enumerate(inquiries):
        key = (inquiry.question, inquiry.image.tobytes())
        if key not in encoded:
            example = Example("asked", inquiry.question, "", "", image=inquiry.image)
            encoded[key] = sets.encode([example])
        for variant, factors in zip(inquiry.variants, inquiry.factors() or (), strict=False):
            group = len(tasks) if factors.has_deltas else -1
            tasks.append((n, variant, Task(factors, encoded[key], group)))
    return tasks
