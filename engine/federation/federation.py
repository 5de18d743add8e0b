"""Every client's pictures, questions and answers, made from the config and the seed alone."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from engine.config import ExperimentConfig
from engine.federation.cameras import CAMERAS, look_through
from engine.federation.questions import Question, ask, neutral_answers
from engine.federation.scenes import render, sample_scenes
from engine.federation.words import HOUSE, site_words
from engine.randomness import rng

TEST_SAMPLES = 48  # per client
POOLED_SAMPLES = 64  # of the pooled test set, about the same number from every client
_POOL = 8  # candidates per sample, so that a skewed answer mix can be drawn without repeats


@dataclass(frozen=True)
class Example:
    """One picture with one question and its right answer at one site."""

    item: str
    image: np.ndarray  # (height, width, 3) uint8
    question: str
    answer: str
    family: str


@dataclass(frozen=True)
class ClientData:
    """What one client holds."""

    client: int
    train: tuple[Example, ...]
    test: tuple[Example, ...]


@dataclass(frozen=True)
class ClientProfile:
    """What sets one client apart: its camera, its words, the answers it sees."""

    client: int
    camera: str
    words: dict[str, str]
    train_samples: int
    test_samples: int
    answers: dict[str, int]
    families: dict[str, int]


class Federation:
    """The clients of one experiment. Data are made on demand; only a few clients stay in memory.

    How ``heterogeneity.level`` L acts, by kind (0 is exactly iid for each):

    - ``domain``: client k looks through camera ``k mod 6``, blended with day at strength L;
    - ``concept``: a share L of the colour and kind words is passed round the sites (words.py);
    - ``label``: answers are drawn from Dirichlet(α·n·p) over the n answers, p their natural
      frequencies and α = 10 · 0.01^L (Hsu et al., arXiv 1909.06335; L=0.5: α=1, L=1: α=0.1);
    - ``mixed``: all three, ``label`` at L/2 so that no site loses a whole family of questions.
    """

    def __init__(self, config: ExperimentConfig) -> None:
        self.config = config
        self._client = lru_cache(maxsize=64)(self._make_client)

    def __len__(self) -> int:
        return self.config.clients

    def client(self, k: int) -> ClientData:
        """The data of client k; raises IndexError outside ``0 … clients-1``."""
        if not 0 <= k < len(self):
            raise IndexError(f"client {k} does not exist: clients are 0 to {len(self) - 1}")
        return self._client(k)

    def pooled_test(self) -> tuple[Example, ...]:
        """The pooled test set: the first test items of every client, up to about POOLED_SAMPLES."""
        each = max(1, POOLED_SAMPLES // len(self))
        chosen = range(min(len(self), POOLED_SAMPLES))
        return tuple(example for k in chosen for example in self.client(k).test[:each])

    def camera(self, k: int) -> str:
        """The camera of client k."""
        return tuple(CAMERAS)[k % len(CAMERAS)] if self._level("domain") else "day"

    def words(self, k: int) -> dict[str, str]:
        """Neutral answer -> the word that client k uses."""
        return site_words(self.config.seed, k, self._level("concept"))

    def profile(self, k: int) -> ClientProfile:
        """A summary of client k for tables and previews."""
        data = self.client(k)
        words = self.words(k)
        return ClientProfile(
            client=k,
            camera=self.camera(k),
            words={
                neutral: word
                for neutral, word in words.items()
                if HOUSE.get(neutral, neutral) != word
            },
            train_samples=len(data.train),
            test_samples=len(data.test),
            answers=dict(Counter(example.answer for example in data.train).most_common()),
            families=dict(Counter(example.family for example in data.train)),
        )

    def _level(self, part: str) -> float:
        kind = self.config.heterogeneity.kind
        return self.config.heterogeneity.level if kind in (part, "mixed") else 0.0

    def _answer_weights(self, k: int) -> dict[str, float] | None:
        """How much more often than naturally client k meets each answer; None without skew."""
        level = self._level("label") * (0.5 if self.config.heterogeneity.kind == "mixed" else 1)
        if level == 0:
            return None
        share = _natural_shares()
        answers = neutral_answers()
        p = np.array([share[answer] for answer in answers])
        alpha = 10 * 0.01**level
        drawn = rng(self.config.seed, "labels", k).dirichlet(alpha * len(answers) * p + 1e-6)
        return dict(zip(answers, drawn / p, strict=True))

    def _make_client(self, k: int) -> ClientData:
        samples = {"train": self.config.samples_per_client, "test": TEST_SAMPLES}
        return ClientData(
            k, **{split: self._make_split(k, split, n) for split, n in samples.items()}
        )

    def _make_split(self, k: int, split: str, n: int) -> tuple[Example, ...]:
        generator = rng(self.config.seed, "client", split, k)
        weights = self._answer_weights(k)
        scenes = sample_scenes(n * (_POOL if weights else 1), generator)
        questions = ask(scenes, generator)
        if weights:
            # The floor keeps enough candidates possible when one answer has all the weight.
            odds = 1e-4 + np.array([weights[question.answer] for question in questions])
            rows = generator.choice(len(questions), n, replace=False, p=odds / odds.sum())
            scenes, questions = scenes.take(rows), [questions[row] for row in rows]
        images = look_through(self.camera(k), render(scenes), self._level("domain"), generator)
        words = self.words(k)
        return tuple(
            _example(f"{k}-{split}-{i}", image, question, words)
            for i, (image, question) in enumerate(zip(images, questions, strict=True))
        )


def _example(item: str, image: np.ndarray, question: Question, words: dict[str, str]) -> Example:
    answer = words.get(question.answer, question.answer)
    return Example(item, image, question.text, answer, question.family)


@lru_cache(maxsize=1)
def _natural_shares() -> dict[str, float]:
    """The share of each neutral answer in the world without skew, from 4,000 draws."""
    generator = rng(0, "natural shares")
    counts = Counter(question.answer for question in ask(sample_scenes(4000, generator), generator))
    answers = neutral_answers()
    total = sum(counts[answer] + 1 for answer in answers)
    return {answer: (counts[answer] + 1) / total for answer in answers}
